import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DESCRIPTOR_WORDS } from "../native/layout.ts";
import {
  CONTROL_ROW_BYTES,
  decodeNotice,
  decodeOrder,
  encodeJson,
  joinControl,
  type Notice,
  type Order,
  splitControl,
} from "./orders.ts";

const path = Array.from({ length: DESCRIPTOR_WORDS }, (_, index) => index - 8);
const slot = (base: number) => ({ slot: base, generation: base + 0x7fff_0000 });
const orders: readonly Order[] = [
  {
    kind: "openSession",
    index: 1,
    peerId: 0xff_ffff,
    isDialled: true,
    isStream: false,
    path,
    pingIntervalMs: 10_000,
    timeoutMs: 60_000,
    hasProbes: true,
    hasParity: true,
    uplink: 2,
  },
  { kind: "installKey", index: 2, keyId: 7, open: slot(1), seal: slot(2) },
  { kind: "sendWith", index: 3, keyId: 0 },
  { kind: "retireKey", index: 4, keyId: 6 },
  { kind: "closeSession", index: 5 },
  { kind: "knowSession", sessionId: "0123456789abcdef", index: 0 },
  { kind: "sendExit", index: 6 },
  { kind: "declareStation", index: -1, mac: "02:00:00:00:00:01" },
  { kind: "forgetStations", index: 8 },
  { kind: "stop" },
];
const notices: readonly Notice[] = [
  { kind: "floated", index: 1, path },
  { kind: "silent", index: 2 },
  { kind: "exited", index: 3 },
  { kind: "needsKey", index: 4 },
  { kind: "failed", operation: "epoll_wait", errno: 9 },
];

test("every order and notice comes out of the ring as it went in", () => {
  for (const order of orders) assert.deepEqual(decodeOrder(encodeJson(order)), order);
  for (const notice of notices) assert.deepEqual(decodeNotice(encodeJson(notice)), notice);
});

test("a control datagram and its path row come apart as they were joined", () => {
  const words = fc.int32Array({ minLength: DESCRIPTOR_WORDS, maxLength: DESCRIPTOR_WORDS });
  fc.assert(
    fc.property(
      words,
      fc.uint8Array({ minLength: 1, maxLength: 1400, size: "max" }),
      (row, bytes) => {
        const record = joinControl(row, bytes);
        assert.equal(record.length, CONTROL_ROW_BYTES + bytes.length);
        const parts = splitControl(record);
        assert.deepEqual(parts, { row, datagram: Buffer.from(bytes) });
      },
    ),
  );
});

test("a row inside a larger table is the one that travels", () => {
  const table = Int32Array.from({ length: 3 * DESCRIPTOR_WORDS }, (_, index) => index);
  const row = table.subarray(DESCRIPTOR_WORDS, 2 * DESCRIPTOR_WORDS);
  assert.deepEqual(splitControl(joinControl(row, Buffer.of(1)))?.row, Int32Array.from(row));
});

test("the parts share no memory with the record, whatever kind of bytes it is", () => {
  const row = new Int32Array(DESCRIPTOR_WORDS).fill(7);
  const plain = joinControl(row, Buffer.from("abc"));
  // A small Buffer lies in a pool: its memory starts somewhere else.
  for (const record of [plain, Buffer.from(plain)]) {
    const parts = splitControl(record);
    record.fill(0xff);
    assert.deepEqual(parts, { row, datagram: Buffer.from("abc") });
  }
});

test("a record without a datagram is refused", () => {
  for (const length of [0, 1, CONTROL_ROW_BYTES - 1, CONTROL_ROW_BYTES]) {
    assert.equal(splitControl(new Uint8Array(length)), undefined);
  }
});
