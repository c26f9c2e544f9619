import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parityForLoss, parityOfShort } from "./parity-count.ts";

test("parity is never more than asked, never none, and grows with the loss", () => {
  const counts = fc.tuple(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 32 }));
  fc.assert(
    fc.property(counts, fc.array(fc.integer({ min: -1, max: 1001 })), ([data, parity], losses) => {
      let before = 0;
      for (const loss of losses.sort((a, b) => a - b)) {
        const count = parityForLoss(loss, data, parity);
        assert(count >= 1 && count <= parity, `${count}`);
        assert(count >= before);
        before = count;
      }
    }),
  );
});

test("the figures of 10+3: one without loss, two at 1 %, all three from 2 % on", () => {
  assert.deepEqual(
    [0, 1, 10, 20, 50, 1000].map((loss) => parityForLoss(loss, 10, 3)),
    [1, 1, 2, 3, 3, 3],
  );
});

test("a short block gets its share, rounded up", () => {
  assert.deepEqual(
    [1, 3, 4, 6, 7, 10].map((count) => parityOfShort(3, count, 10)),
    [1, 1, 2, 2, 3, 3],
  );
});
