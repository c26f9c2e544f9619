/**
 * Delays after failures: doubled each time up to a maximum, then spread at random over the upper
 * half, so that a thousand keys that failed together do not come back together.
 */

/** The shortest and the longest delay. */
export interface DelayRange {
  readonly minMs: number;
  readonly maxMs: number;
}

/** The delay after the failure number `failureCount` (from 1); `random` is from 0 up to 1. */
export function backOffMs(range: DelayRange, failureCount: number, random: number): number {
  const doublings = Math.min(Math.max(failureCount - 1, 0), 30);
  const fullMs = Math.min(range.minMs * 2 ** doublings, range.maxMs);
  return fullMs / 2 + (fullMs / 2) * random;
}
