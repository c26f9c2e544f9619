import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RttSamples } from "./rtt-samples.ts";

const KEPT = 512;

test("percentiles are those of the last round trips, by nearest rank", () => {
  assert.equal(new RttSamples().percentiles(), undefined);
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 70_000 }), { minLength: 1, maxLength: 2 * KEPT + 3 }),
      (values) => {
        const samples = new RttSamples();
        for (const value of values) samples.add(value);
        const last = values.slice(-KEPT).map((value) => Math.min(value, 65_535));
        const isWithin = (percent: number, limit: number): boolean =>
          last.filter((value) => value <= limit).length * 100 >= last.length * percent;
        const { p50 = -1, p99 = -1 } = samples.percentiles() ?? {};
        for (const [percent, value] of [
          [50, p50],
          [99, p99],
        ] as const) {
          assert(last.includes(value) && isWithin(percent, value));
          assert(!isWithin(percent, value - 1), "the least of these");
        }
      },
    ),
  );
});
