/** Parity beside a naive model: the polynomial through the data's bytes, worked out point by point. */
import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import fc from "fast-check";
import { DESCRIPTOR_WORDS, PARITY_DATA_MAX, PARITY_MAX, Verdict, Word } from "./layout.ts";
import { Parity, parityUsable } from "./native.ts";

const { EINVAL, ENODATA } = constants.errno;
const SLOT_BYTES = 2048;
const SLOTS = PARITY_DATA_MAX + PARITY_MAX;
const CANARY = 0xa5;
const isUsable = parityUsable();

/** Product in the field of x^8 + x^4 + x^3 + x^2 + 1, bit by bit. */
function product(a: number, b: number): number {
  let sum = 0;
  for (let bit = 0, shifted = a; bit < 8; bit++) {
    if (((b >> bit) & 1) !== 0) sum ^= shifted;
    shifted = (shifted << 1) ^ ((shifted & 0x80) === 0 ? 0 : 0x11d);
  }
  return sum;
}

function inverse(a: number): number {
  for (let b = 1; b < 256; b++) if (product(a, b) === 1) return b;
  throw new RangeError("0 has no inverse");
}

/** The share of data packet `index` in the polynomial's value at `point`; data lies at 0, 1, ... */
function share(index: number, point: number, dataMax: number): number {
  let value = 1;
  for (let other = 0; other < dataMax; other++) {
    if (other !== index) value = product(value, product(point ^ other, inverse(index ^ other)));
  }
  return value;
}

function naiveParity(data: readonly Uint8Array[], point: number, bytes: number): Uint8Array {
  const parity = new Uint8Array(bytes);
  data.forEach((shard, index) => {
    const factor = share(index, point, data.length);
    shard.forEach((byte, at) => {
      parity[at] = (parity[at] ?? 0) ^ product(factor, byte);
    });
  });
  return parity;
}

class Block {
  readonly slab = new Uint8Array(new SharedArrayBuffer(SLOTS * SLOT_BYTES)).fill(CANARY);
  readonly shards = new Int32Array(new SharedArrayBuffer(SLOTS * DESCRIPTOR_WORDS * 4));
  readonly parity = new Parity(this.slab, this.shards);

  set(row: number, length: number, verdict: number): void {
    const at = row * DESCRIPTOR_WORDS;
    this.shards[at + Word.start] = row * SLOT_BYTES;
    this.shards[at + Word.length] = length;
    this.shards[at + Word.verdict] = verdict;
  }

  put(row: number, bytes: Uint8Array): void {
    this.slab.set(bytes, row * SLOT_BYTES);
    this.set(row, bytes.length, Verdict.done);
  }

  bytes(row: number): Uint8Array {
    const start = row * SLOT_BYTES;
    const length = this.shards[row * DESCRIPTOR_WORDS + Word.length] ?? 0;
    return this.slab.slice(start, start + length);
  }
}

const shapes = fc.record({
  dataMax: fc.constantFrom(1, 2, 3, 10, 20, 63, 64),
  parityMax: fc.constantFrom(1, 2, 3, 4, 31, 32),
  bytes: fc.constantFrom(1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1400, 1426, SLOT_BYTES),
});

test("parity is what the polynomial through the data says, also for short packets", {
  skip: !isUsable,
}, () => {
  fc.assert(
    fc.property(shapes, fc.gen(), (shape, gen) => {
      const { dataMax, parityMax, bytes } = shape;
      const block = new Block();
      const data = Array.from({ length: dataMax }, () => {
        const length = gen(fc.integer, { min: 0, max: Math.min(bytes, 70) });
        return gen(fc.uint8Array, { minLength: length, maxLength: length });
      });
      for (const [row, shard] of data.entries()) block.put(row, shard);
      const wanted = gen(fc.integer, { min: 1, max: parityMax });
      for (let at = 0; at < parityMax; at++) {
        block.set(dataMax + at, at < wanted ? bytes : 0, Verdict.none);
      }
      assert.equal(block.parity.encode(dataMax, parityMax, bytes), wanted);
      for (const at of [0, wanted - 1]) {
        const naive = naiveParity(data, dataMax + at, bytes);
        assert.deepEqual(block.bytes(dataMax + at), naive);
      }
      assert(block.slab.subarray((dataMax + wanted) * SLOT_BYTES).every((byte) => byte === CANARY));
    }),
    { numRuns: 60 },
  );
});

test("whatever is lost comes back from as many parity packets, and from fewer nothing does", {
  skip: !isUsable,
}, () => {
  fc.assert(
    fc.property(shapes, fc.gen(), (shape, gen) => {
      const { dataMax, parityMax, bytes } = shape;
      const block = new Block();
      const count = gen(fc.integer, { min: 1, max: dataMax });
      const data = Array.from({ length: count }, (_, row) =>
        new Uint8Array(gen(fc.integer, { min: 1, max: bytes })).map(
          (_, at) => row * 89 + at * 7 + 1,
        ),
      );
      for (const [row, shard] of data.entries()) block.put(row, shard);
      for (let row = count; row < dataMax; row++) block.set(row, 0, Verdict.none);
      for (let at = 0; at < parityMax; at++) block.set(dataMax + at, bytes, Verdict.none);
      assert.equal(block.parity.encode(dataMax, parityMax, bytes), parityMax);

      const lost = gen(fc.subarray, [...data.keys()], { minLength: 1 });
      const here = gen(
        fc.subarray,
        Array.from({ length: parityMax }, (_, at) => at),
      );
      for (let at = 0; at < parityMax; at++) {
        block.set(dataMax + at, bytes, here.includes(at) ? Verdict.done : Verdict.none);
      }
      for (const row of lost) {
        block.slab.fill(CANARY, row * SLOT_BYTES, (row + 1) * SLOT_BYTES);
        block.set(row, SLOT_BYTES, Verdict.open);
      }
      const result = block.parity.recover(dataMax, parityMax, bytes);
      if (lost.length > here.length) {
        assert.equal(result, -ENODATA);
        for (const row of lost) assert(block.bytes(row).every((byte) => byte === CANARY));
        return;
      }
      assert.equal(result, lost.length);
      for (const row of lost) {
        const shard = data[row] as Uint8Array;
        const restored = block.bytes(row);
        assert.equal(restored.length, bytes);
        assert.deepEqual(restored.subarray(0, shard.length), shard);
        assert(restored.subarray(shard.length).every((byte) => byte === 0));
      }
    }),
    { numRuns: 100 },
  );
});

test("numbers and rows of any value are refused or change only what they grant", {
  skip: !isUsable,
}, () => {
  const edges = [Number.NaN, -1, 0, 0.5, 1, 10, 32, 33, 64, 65, 65_535, 65_536, 2 ** 31, 2 ** 53];
  const words = [-(2 ** 31), -1, 0, 1, 6, 2048, SLOTS * SLOT_BYTES, 2 ** 31 - 1];
  fc.assert(
    fc.property(fc.gen(), (gen) => {
      const block = new Block();
      const guarded = block.slab.slice();
      const granted = new Uint8Array(block.slab.length);
      for (let row = 0; row < SLOTS; row++) {
        const start = gen(fc.constantFrom, ...words, row * SLOT_BYTES);
        const length = gen(fc.constantFrom, ...words, 100);
        const at = row * DESCRIPTOR_WORDS;
        block.shards[at + Word.start] = start;
        block.shards[at + Word.length] = length;
        block.shards[at + Word.verdict] = gen(fc.constantFrom, 0, 1, 2, 6, -22);
        if (start >= 0 && length > 0) granted.fill(1, start, start + length);
      }
      const isEncode = gen(fc.boolean);
      const [a, b, c] = [0, 1, 2].map(() => gen(fc.constantFrom, ...edges)) as [
        number,
        number,
        number,
      ];
      const { parity } = block;
      const result = isEncode ? parity.encode(a, b, c) : parity.recover(a, b, c);
      assert(result <= PARITY_DATA_MAX, `${result}`);
      for (let at = 0; at < guarded.length; at++) {
        if (granted[at] === 0) assert.equal(block.slab[at], guarded[at]);
      }
    }),
    { numRuns: 200 },
  );
});

test("a table that is too short, memory that is not shared and a shard that is too long are refused", {
  skip: !isUsable,
}, () => {
  const block = new Block();
  assert.throws(() => new Parity(new Uint8Array(64), block.shards), { code: "InvalidArg" });
  const short = new Int32Array(new SharedArrayBuffer(12 * DESCRIPTOR_WORDS * 4));
  assert.equal(new Parity(block.slab, short).encode(10, 3, 100), -EINVAL);
  block.put(0, new Uint8Array(101));
  assert.equal(block.parity.encode(1, 1, 100), -EINVAL);
});
