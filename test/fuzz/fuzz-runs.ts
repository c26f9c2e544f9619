/**
 * How often a fuzz test tries: a bounded share as part of the unit tests; in the long run so often
 * that all of them together try more than ten million inputs; or as often as FAIRLEAD_FUZZ_RUNS
 * says. One invariant: a failure prints its seed.
 */
import { IS_FULL } from "../support/full.ts";

/** The shares of all fuzz tests add up to 18,500: times this, 11 million. */
const FULL_FACTOR = 600;

/** Runs of one property; `share` is what it gets by default. */
export function fuzzRuns(share: number): { readonly numRuns: number } {
  const wanted = Number(process.env["FAIRLEAD_FUZZ_RUNS"] ?? "");
  if (Number.isInteger(wanted) && wanted > 0) return { numRuns: wanted };
  return { numRuns: IS_FULL ? share * FULL_FACTOR : share };
}
