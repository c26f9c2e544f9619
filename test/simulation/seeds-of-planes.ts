/** The seeds of the whole sidecars in virtual time, as tests of a hundred each. */
import "../../authority/reflect-shim.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { PlanesSimulation } from "./planes-simulation.ts";

/** The one seed that is to run, if one was named. */
export const SEED_ALONE: string | undefined = process.env["FAIRLEAD_SEED"];
/** Where the seeds begin. */
export const FIRST: number = Number(SEED_ALONE ?? process.env["FAIRLEAD_SEED_FIRST"] ?? 0);
/** How many there are. */
export const SEEDS: number =
  SEED_ALONE === undefined ? Number(process.env["FAIRLEAD_SEEDS"] ?? 1000) : 1;
/** Seeds in one test: a failure names its own, a success does not fill a page. */
const SEEDS_PER_TEST = 100;
const HALVES = 2;

/** Declares the tests of every other hundred seeds, from the first or from the second one. */
export function testSeedsOfPlanes(half: 0 | 1): void {
  for (let first = FIRST; first < FIRST + SEEDS; first += SEEDS_PER_TEST) {
    if (((first - FIRST) / SEEDS_PER_TEST) % HALVES !== half) continue;
    const limit = Math.min(first + SEEDS_PER_TEST, FIRST + SEEDS);
    test(`seeds ${first} to ${limit - 1}: frames come out once, as sent, wherever a copy arrived`, async (context) => {
      const sums = { sidecars: 0, frames: 0, delivered: 0, troubles: 0, inOrder: 0 };
      for (let seed = first; seed < limit; seed++) {
        try {
          const outcome = await new PlanesSimulation(seed).run();
          for (const name of ["sidecars", "frames", "delivered", "troubles", "inOrder"] as const) {
            sums[name] += outcome[name];
          }
        } catch (cause) {
          const replay = `FAIRLEAD_SEED=${seed} node --test test/simulation/planes.test.ts`;
          throw new Error(`seed ${seed} failed; to see it again: ${replay}`, { cause });
        }
      }
      assert(sums.delivered > sums.frames / 2, "frames came out");
      if (SEED_ALONE === undefined)
        assert(sums.inOrder > 0, "segments waited for those before them");
      context.diagnostic(JSON.stringify(sums));
    });
  }
}
