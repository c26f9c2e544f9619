import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bytesLess } from "./sizing.ts";
import { DATA_V2_EPOCH_BYTES } from "./wire/mss-clamp.ts";
import {
  PARITY_HEADER_BYTES,
  ParityFields,
  SHARD_LENGTH_BYTES,
  writeParity,
} from "./wire/redundancy.ts";

const sizes = fc.integer({ min: 600, max: 9000 });

/** A sealed parity packet for packets of so many sealed bytes, as it is written. */
function parityBytes(dataPackets: number, sealedBytes: number): number {
  const fields = new ParityFields();
  fields.dataCount = dataPackets;
  fields.dataMax = dataPackets;
  for (let at = 0; at < dataPackets; at++) fields.offsets[at] = at;
  const view = new DataView(new ArrayBuffer(PARITY_HEADER_BYTES + dataPackets));
  const shardStart = writeParity(view, 0, fields);
  return shardStart + SHARD_LENGTH_BYTES + sealedBytes + DATA_V2_EPOCH_BYTES;
}

test("full-size packets and their parity fit every path whose size is known", () => {
  fc.assert(
    fc.property(sizes, sizes, fc.integer({ min: 0, max: 64 }), (payload, mtu, dataPackets) => {
      const packet = payload - bytesLess(payload, mtu, dataPackets);
      assert(packet <= payload);
      assert(packet <= mtu);
      if (dataPackets === 0) assert.equal(packet, Math.min(payload, mtu));
      else {
        assert(parityBytes(dataPackets, packet) <= mtu);
        assert(packet === payload || parityBytes(dataPackets, packet + 1) > mtu, "none is wasted");
      }
    }),
  );
});

test("before anything is known of the paths, parity stays within what was asked for", () => {
  assert.equal(bytesLess(1444, Infinity, 0), 0);
  const packet = 1444 - bytesLess(1444, Infinity, 10);
  assert.equal(parityBytes(10, packet), 1444);
});
