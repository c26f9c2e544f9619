/** The messages' layouts, and the parser of parity under rubbish. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as layout from "../native/layout.ts";
import {
  PARITY_AROUND_BYTES,
  PARITY_DATA_MAX,
  PARITY_HEADER_BYTES,
  PARITY_MAX,
  PARITY_STEP_MAX,
  ParityFields,
  PLAN_BYTES,
  type Plan,
  RedundancyType,
  readParity,
  readPlan,
  redundancyType,
  writeParity,
  writePlan,
} from "./redundancy.ts";

const ROOM = 4096;
const START = 100;

function memory(): DataView {
  return new DataView(new ArrayBuffer(ROOM));
}

const fieldsOf = fc
  .record({
    dataMax: fc.constantFrom(1, 2, 10, 63, 64),
    parityMax: fc.constantFrom(1, 3, 32),
    keyId: fc.integer({ min: 0, max: 7 }),
    firstHigh: fc.constantFrom(0, 1, 0x0001_0000, -1),
    firstLow: fc.constantFrom(0, 1, 2 ** 31 - 1, -(2 ** 31), -64, -1),
    steps: fc.array(fc.constantFrom(1, 2, 254, PARITY_STEP_MAX), { maxLength: 63 }),
  })
  .map((wish) => {
    const fields = new ParityFields();
    const steps = wish.steps.slice(0, wish.dataMax - 1);
    Object.assign(fields, { ...wish, dataCount: steps.length + 1, index: wish.parityMax - 1 });
    for (const [at, step] of steps.entries()) {
      fields.offsets[at + 1] = (fields.offsets[at] ?? 0) + step;
    }
    return fields;
  });

test("the limits are the addon's", () => {
  assert.equal(PARITY_DATA_MAX, layout.PARITY_DATA_MAX);
  assert.equal(PARITY_MAX, layout.PARITY_MAX);
});

test("parity is read as it was written", () => {
  fc.assert(
    fc.property(fieldsOf, fc.integer({ min: 3, max: 1500 }), (fields, shardBytes) => {
      const view = memory();
      const shardStart = writeParity(view, START, fields);
      const length = shardStart - START + shardBytes;
      assert(length - shardBytes <= PARITY_AROUND_BYTES);
      assert.equal(redundancyType(view, START, length), RedundancyType.parity);
      const read = new ParityFields();
      assert(readParity(view, START, length, read));
      const expected = Object.assign(fields, { shardStart, shardBytes });
      for (const name of ["dataCount", "dataMax", "parityMax", "index", "keyId"] as const) {
        assert.equal(read[name], expected[name], name);
      }
      assert.deepEqual([read.firstHigh, read.firstLow], [fields.firstHigh, fields.firstLow]);
      assert.deepEqual([read.shardStart, read.shardBytes], [shardStart, shardBytes]);
      const { dataCount } = fields;
      assert.deepEqual(read.offsets.slice(0, dataCount), fields.offsets.slice(0, dataCount));
      // One byte less than a shard can have.
      assert(!readParity(view, START, shardStart - START + 2, read));
    }),
  );
});

test("whatever stands in a parity message, what is taken from it is within bounds", () => {
  fc.assert(
    fc.property(
      fieldsOf,
      fc.array(fc.tuple(fc.integer({ min: 16, max: 100 }), fc.integer({ min: 0, max: 255 })), {
        maxLength: 8,
      }),
      fc.integer({ min: PARITY_HEADER_BYTES, max: 1600 }),
      (fields, changes, length) => {
        const view = memory();
        writeParity(view, START, fields);
        for (const [at, byte] of changes) view.setUint8(START + at, byte);
        const read = new ParityFields();
        if (!readParity(view, START, length, read)) return;
        assert(read.dataCount >= 1 && read.dataCount <= read.dataMax);
        assert(read.dataMax <= PARITY_DATA_MAX && read.parityMax <= PARITY_MAX);
        assert(read.index < read.parityMax && read.keyId < 8);
        assert(read.shardBytes > 2);
        assert(read.shardStart >= START + PARITY_HEADER_BYTES);
        assert.equal(read.shardStart + read.shardBytes, START + length);
        for (let at = 1; at < read.dataCount; at++) {
          const step = (read.offsets[at] ?? 0) - (read.offsets[at - 1] ?? 0);
          assert(step >= 1 && step <= PARITY_STEP_MAX);
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test("a message of another version or magic is none", () => {
  const view = memory();
  const length =
    writeParity(view, START, Object.assign(new ParityFields(), { dataCount: 1 })) - START + 9;
  assert.equal(redundancyType(view, START, length), RedundancyType.parity);
  for (let at = 0; at <= 16; at++) {
    const before = view.getUint8(START + at);
    view.setUint8(START + at, before ^ 0x40);
    assert.equal(redundancyType(view, START, length), 0, `byte ${at}`);
    view.setUint8(START + at, before);
  }
  assert.equal(redundancyType(view, START, PARITY_HEADER_BYTES - 1), 0);
});

const PLAN: Plan = {
  policy: 2,
  copies: 3,
  dataPackets: 10,
  parityPackets: 3,
  maxDelayMs: 30,
  isAdaptive: true,
  reorderMs: 10,
  classesHigh: -2,
  classesLow: 0x4000_0000,
  weight: 65_535,
  lossPermille: 50,
  capacityKbit: 4_000_000_000,
  isFull: true,
};

test("a plan is read as it was written, and one out of range is refused", () => {
  const view = memory();
  writePlan(view, START, PLAN);
  assert.equal(redundancyType(view, START, PLAN_BYTES), RedundancyType.plan);
  assert.deepEqual(readPlan(view, START, PLAN_BYTES), PLAN);
  assert.equal(readPlan(view, START, 39), undefined);
  const older = readPlan(view, START, 40);
  assert.deepEqual(older, { ...PLAN, capacityKbit: 0 }, "without what it does not send");
  const bad: Partial<Plan>[] = [
    { policy: 4 },
    { copies: 0 },
    { dataPackets: 0 },
    { dataPackets: 65 },
    { parityPackets: 0 },
    { parityPackets: 33 },
    { maxDelayMs: 0 },
    { weight: 0 },
  ];
  for (const change of bad) {
    writePlan(view, START, { ...PLAN, ...change });
    assert.equal(readPlan(view, START, PLAN_BYTES), undefined, JSON.stringify(change));
  }
});
