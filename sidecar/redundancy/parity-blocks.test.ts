/** The tables of parity beside a naive model that keeps everything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PARITY_DATA_MAX, ParityFields } from "../wire/redundancy.ts";
import { KEPT_MAX, KeptPackets, NOT_KEPT } from "./kept-packets.ts";
import { OpenBlock } from "./open-block.ts";
import {
  BLOCK_LIFETIME_MS,
  BLOCKS_MAX,
  ParityBlocks,
  ParityVerdict,
  SHARDS_MAX,
} from "./parity-blocks.ts";

const FIRST_SLOT = 1000;
const SHARD_SLOT = 5000;
const AT = { nowMs: 0, path: 0 };
/** Ids around the wrap of the low word, and small ones. */
const firstIds = fc.constantFrom(
  1,
  31,
  32,
  33,
  2 ** 31 - 3,
  2 ** 32 - 65,
  2 ** 32 - 2,
  2 ** 33 + 7,
);

function words(id: number): { high: number; low: number } {
  return { high: (0x0001_0000 + Math.floor(id / 2 ** 32)) | 0, low: id | 0 };
}

function keep(kept: KeptPackets, id: number, slot: number): number {
  return kept.keep({ keyId: 0, ...words(id) }, 100, slot);
}

function fieldsOf(
  ids: readonly number[],
  shape: { parityMax: number },
  index: number,
): ParityFields {
  const fields = new ParityFields();
  const first = ids[0] ?? 0;
  const { high, low } = words(first);
  Object.assign(fields, {
    dataCount: ids.length,
    dataMax: Math.max(10, ids.length),
    parityMax: shape.parityMax,
    index,
    firstHigh: high,
    firstLow: low,
    shardBytes: 100,
  });
  for (const [at, id] of ids.entries()) fields.offsets[at] = id - first;
  return fields;
}

test("an open block names exactly the packets that joined it, across the wrap of ids", () => {
  const steps = fc.array(fc.constantFrom(1, 2, 254, 255), { minLength: 1, maxLength: 64 });
  fc.assert(
    fc.property(firstIds, steps, (first, gaps) => {
      const shape = { dataPackets: 64, parityPackets: 4, maxDelayMs: 30 };
      const block = new OpenBlock();
      const ids = gaps.map((_, at) => first + gaps.slice(0, at).reduce((sum, gap) => sum + gap, 0));
      for (const [at, id] of ids.entries()) {
        const { high, low } = words(id);
        assert(block.takes(3, high, low));
        assert.equal(block.add({ keyId: 3, high, low }, 50 + at, shape, 7), at === 63);
      }
      const last = ids.at(-1) ?? 0;
      if (ids.length < 64) {
        assert(!block.takes(3, words(last).high, words(last).low), "the same id again");
        assert(!block.takes(3, words(last + 256).high, words(last + 256).low), "too far behind");
        assert(!block.takes(2, words(last + 1).high, words(last + 1).low), "another key");
        const otherEpoch = words(last + 1).high + 0x0001_0000;
        assert(!block.takes(3, otherEpoch, words(last + 1).low), "another epoch");
      }
      assert.equal(block.count, ids.length);
      assert.equal(block.dueMs, 37);
      assert.equal(block.fields.shardBytes, 50 + ids.length - 1 + 2);
      const named = [...block.fields.offsets.subarray(0, ids.length)].map(
        (offset) => first + offset,
      );
      assert.deepEqual(named, ids);
    }),
  );
});

test("kept packets are found under their whole id until 512 later ids, and no slot is ever shared", () => {
  const order = fc.array(fc.integer({ min: 0, max: 3 * KEPT_MAX }), { maxLength: 300 });
  fc.assert(
    fc.property(firstIds, order, (first, offsets) => {
      const kept = new KeptPackets(FIRST_SLOT);
      const model = new Map<number, { id: number; slot: number }>();
      let free = FIRST_SLOT - 1;
      for (const offset of offsets) {
        const id = first + offset;
        const slot = free;
        free = keep(kept, id, slot);
        model.set((id >>> 0) % KEPT_MAX, { id, slot });
        assert(![...model.values()].some((other) => other.slot === free), "the free slot is free");
      }
      for (const offset of offsets) {
        const { high, low } = words(first + offset);
        const place = kept.find(0, high, low);
        const expected = model.get(low & (KEPT_MAX - 1));
        if (expected?.id === first + offset) assert.equal(kept.slotAt(place), expected.slot);
        else assert.equal(place, NOT_KEPT);
        assert.equal(kept.find(1, high, low), NOT_KEPT);
      }
    }),
  );
});

interface ModelBlock {
  readonly ids: readonly number[];
  readonly parity: Set<number>;
}

test("a block can be recovered exactly when as much parity as missing packets is here", () => {
  fc.assert(
    fc.property(firstIds, fc.gen(), (first, gen) => {
      const kept = new KeptPackets(FIRST_SLOT);
      const blocks = new ParityBlocks(SHARD_SLOT);
      const shape = { parityMax: 3 };
      const model: ModelBlock[] = [0, 1, 2].map((at) => ({
        ids: Array.from(
          { length: gen(fc.integer, { min: 1, max: 10 }) },
          (_, n) => first + at * 20 + n,
        ),
        parity: new Set<number>(),
      }));
      const heard = new Set<number>();
      const done = new Set<ModelBlock>();
      const slots = new Set<number>();
      const events = gen(fc.integer, { min: 0, max: 60 });
      for (let event = 0; event < events; event++) {
        const block = model[gen(fc.integer, { min: 0, max: 2 })] as ModelBlock;
        if (gen(fc.boolean)) {
          const id = block.ids[gen(fc.integer, { min: 0, max: block.ids.length - 1 })] as number;
          keep(kept, id, 1 + event);
          heard.add(id);
        } else {
          const index = gen(fc.integer, { min: 0, max: 2 });
          const missing = block.ids.filter((id) => !heard.has(id));
          const slot = blocks.take(fieldsOf(block.ids, shape, index), kept, AT);
          const isUnneeded = done.has(block) || block.parity.has(index) || missing.length === 0;
          assert.equal(slot < 0, isUnneeded, "kept when it may be of use");
          if (slot >= 0) {
            assert(slot >= SHARD_SLOT && slot < SHARD_SLOT + SHARDS_MAX && !slots.has(slot));
            slots.add(slot);
            block.parity.add(index);
          }
          if (missing.length === 0) done.add(block);
        }
        for (;;) {
          const found = blocks.nextRecoverable(kept);
          const ready = model.filter((one) => {
            const missing = one.ids.filter((id) => !heard.has(id)).length;
            return (
              !done.has(one) && one.parity.size > 0 && missing > 0 && missing <= one.parity.size
            );
          });
          if (found === undefined) {
            assert.deepEqual(ready, []);
            break;
          }
          const is = model.find((one) => words(one.ids[0] ?? 0).low === found.firstLow);
          assert(is !== undefined && ready.includes(is));
          const named = is.ids.map((_, at) => ({ high: found.highOf(at), low: found.lowOf(at) }));
          assert.deepEqual(named, is.ids.map(words));
          for (let at = 0; at < 3; at++) slots.delete(found.slots[at] as number);
          blocks.finish(found);
          done.add(is);
        }
        for (const one of model) {
          if (one.parity.size > 0 && one.ids.every((id) => heard.has(id))) done.add(one);
        }
      }
      const waiting = model.filter((one) => one.parity.size > 0 && !done.has(one));
      assert.equal(blocks.waitingCount, waiting.length);
      blocks.expire(BLOCK_LIFETIME_MS - 1);
      assert.equal(blocks.takeLost(), 0);
      blocks.expire(BLOCK_LIFETIME_MS);
      const lost = waiting.flatMap((one) => one.ids).filter((id) => !heard.has(id)).length;
      assert.equal(blocks.takeLost(), lost);
      assert.equal(blocks.waitingCount, 0);
    }),
    { numRuns: 300 },
  );
});

test("the oldest blocks give way, counted, and no shard is lost to them", () => {
  const kept = new KeptPackets(FIRST_SLOT);
  const blocks = new ParityBlocks(SHARD_SLOT);
  const idsOf = (at: number): number[] => Array.from({ length: 10 }, (_, n) => 1 + at * 13 + n);
  for (let at = 0; at < 10 * BLOCKS_MAX; at++) {
    for (let index = 0; index < 9; index++) {
      const slot = blocks.take(fieldsOf(idsOf(at), { parityMax: 32 }, index), kept, AT);
      assert(slot >= SHARD_SLOT && slot < SHARD_SLOT + SHARDS_MAX);
    }
    assert(blocks.waitingCount <= Math.ceil(SHARDS_MAX / 9));
  }
  const given = 10 * BLOCKS_MAX - blocks.waitingCount;
  assert.equal(blocks.takeLost(), given * 10);
  blocks.clear();
  // Every slot is free again: one block after the other takes all that a block can have.
  for (let index = 0; index < 32; index++) {
    assert(blocks.take(fieldsOf(idsOf(0), { parityMax: 32 }, index), kept, AT) >= 0);
    assert(blocks.take(fieldsOf(idsOf(1), { parityMax: 32 }, index), kept, AT) >= 0);
  }
  assert.equal(blocks.takeLost(), 0);
});

test("parity that contradicts its block is refused", () => {
  const kept = new KeptPackets(FIRST_SLOT);
  const blocks = new ParityBlocks(SHARD_SLOT);
  const shape = { parityMax: 3 };
  assert(blocks.take(fieldsOf([1, 2, 3], shape, 0), kept, AT) >= 0);
  const misfits = [
    fieldsOf([1, 2], shape, 1),
    fieldsOf([1, 2, 4], shape, 1),
    fieldsOf([1, 2, 3], { parityMax: 4 }, 1),
    Object.assign(fieldsOf([1, 2, 3], shape, 1), { shardBytes: 99 }),
    Object.assign(fieldsOf([1, 2, 3], shape, 1), { dataMax: PARITY_DATA_MAX }),
  ];
  for (const fields of misfits) assert.equal(blocks.take(fields, kept, AT), ParityVerdict.misfit);
  assert(blocks.take(fieldsOf([1, 2, 3], shape, 1), kept, AT) >= 0);
  assert.equal(blocks.take(fieldsOf([1, 2, 3], shape, 1), kept, AT), ParityVerdict.unneeded);
});
