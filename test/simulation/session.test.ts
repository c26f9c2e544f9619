/**
 * Two ends of the control channel in virtual time over a network that loses, doubles and reorders,
 * with key changes started by either end, by both at once, and lost in the middle. A failing seed is
 * named by its test; FAIRLEAD_SEEDS sets how many run.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SessionSimulation } from "./session-simulation.ts";

const SEEDS = Number(process.env["FAIRLEAD_SEEDS"] ?? 1000);
/** Seeds in one test: a failure names its own, a success does not fill a page. */
const SEEDS_PER_TEST = 100;

for (let first = 0; first < SEEDS; first += SEEDS_PER_TEST) {
  const limit = Math.min(first + SEEDS_PER_TEST, SEEDS);
  test(`seeds ${first} to ${limit - 1}: no key is used that the other end lacks`, (context) => {
    let renewals = 0;
    let lost = 0;
    for (let seed = first; seed < limit; seed++) {
      try {
        const outcome = new SessionSimulation(seed).run();
        renewals += outcome.renewals;
        lost += outcome.lost;
      } catch (cause) {
        throw new Error(`seed ${seed} failed`, { cause });
      }
    }
    assert(renewals > limit - first, "keys were renewed");
    context.diagnostic(`${renewals} renewals, ${lost} datagrams lost`);
  });
}
