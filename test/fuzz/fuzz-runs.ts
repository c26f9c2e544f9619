/**
 * How often a fuzz test tries: a bounded share as part of the unit tests, and as often as
 * FAIRLEAD_FUZZ_RUNS says when somebody has the time. One invariant: a failure prints its seed.
 */

/** Runs of one property; `share` is what it gets by default. */
export function fuzzRuns(share: number): { readonly numRuns: number } {
  const wanted = Number(process.env["FAIRLEAD_FUZZ_RUNS"] ?? "");
  return { numRuns: Number.isInteger(wanted) && wanted > 0 ? wanted : share };
}
