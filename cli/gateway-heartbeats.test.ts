import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseBeat, printBeat } from "./gateway-heartbeats.ts";

const BEAT = {
  identity: "a-gateway-0",
  sequence: 1_700_000_000_000_123,
  news: { transition: 7 },
} as const;

test("a beat is read with its key alone, and no byte of it may change", () => {
  const datagram = printBeat(BEAT, "key");
  assert.deepEqual(parseBeat(datagram, "key"), BEAT);
  assert.equal(parseBeat(datagram, "other"), undefined);
  fc.assert(
    fc.property(fc.nat(datagram.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const changed = Buffer.from(datagram);
      changed[at] = (changed[at] ?? 0) ^ mask;
      assert.equal(parseBeat(changed, "key"), undefined);
    }),
  );
});

test("a standby's word is told from that of one that forwards", () => {
  const standby = { ...BEAT, news: { template: "0123456789abcdef" } };
  assert.deepEqual(parseBeat(printBeat(standby, "key"), "key"), standby);
  assert.equal(parseBeat(printBeat(standby, "key"), "other"), undefined);
});

test("what is no beat is none", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      assert.equal(parseBeat(Buffer.from(bytes), "key"), undefined);
    }),
  );
});
