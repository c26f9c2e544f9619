import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { inLanes } from "./lanes.ts";
import { ROOT } from "./parts.ts";
import { PATIENT_FILES } from "./patient.ts";

for (const [count, lanes] of [
  [0, 3],
  [1, 3],
  [2, 3],
  [3, 3],
  [10, 3],
  [4, 1],
] as const) {
  test(`${count} items in ${lanes} lanes: each once, in order, as many at a time as there are lanes`, async () => {
    const begun: number[] = [];
    let running = 0;
    let most = 0;
    const items = Array.from({ length: count }, (_, place) => ({ place }));
    await inLanes(items, lanes, async ({ place }) => {
      begun.push(place);
      running += 1;
      most = Math.max(most, running);
      // The even ones take longer: a lane that is done takes the next item, whoever's turn it was.
      for (let left = place % 2 === 0 ? 5 : 1; left > 0; left--) await turn();
      running -= 1;
    });
    assert.deepEqual(
      begun,
      items.map(({ place }) => place),
    );
    assert.equal(running, 0);
    assert.equal(most, Math.min(count, lanes));
  });
}

test("every file that runs beside others is there, once", () => {
  assert.deepEqual(
    PATIENT_FILES.filter((file) => !existsSync(join(ROOT, file))),
    [],
  );
  assert.equal(new Set(PATIENT_FILES).size, PATIENT_FILES.length);
});
