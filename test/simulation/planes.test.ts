/**
 * Two to eight whole sidecars in virtual time over a network that fails in every way known. A failing
 * seed is named: FAIRLEAD_SEED=<n> runs it alone; FAIRLEAD_SEEDS sets how many run, FAIRLEAD_SEED_FIRST
 * where they begin.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PlanesSimulation } from "./planes-simulation.ts";

const only = process.env["FAIRLEAD_SEED"];
const FIRST = Number(only ?? process.env["FAIRLEAD_SEED_FIRST"] ?? 0);
const SEEDS = only === undefined ? Number(process.env["FAIRLEAD_SEEDS"] ?? 1000) : 1;
/** Seeds in one test: a failure names its own, a success does not fill a page. */
const SEEDS_PER_TEST = 100;

for (let first = FIRST; first < FIRST + SEEDS; first += SEEDS_PER_TEST) {
  const limit = Math.min(first + SEEDS_PER_TEST, FIRST + SEEDS);
  test(`seeds ${first} to ${limit - 1}: frames come out once, as sent, wherever a copy arrived`, async (context) => {
    const sums = { sidecars: 0, frames: 0, delivered: 0, troubles: 0 };
    for (let seed = first; seed < limit; seed++) {
      try {
        const outcome = await new PlanesSimulation(seed).run();
        for (const name of ["sidecars", "frames", "delivered", "troubles"] as const) {
          sums[name] += outcome[name];
        }
      } catch (cause) {
        const replay = `FAIRLEAD_SEED=${seed} node --test test/simulation/planes.test.ts`;
        throw new Error(`seed ${seed} failed; to see it again: ${replay}`, { cause });
      }
    }
    assert(sums.delivered > sums.frames / 2, "frames came out");
    context.diagnostic(JSON.stringify(sums));
  });
}
