/**
 * A packet id is two 32-bit words, most significant first. Epoch ids have 64 bits; ids of the
 * short format have 32 and a high word of 0. One invariant: ids only grow and never wrap; a key
 * whose ids are used up is replaced. No BigInt: the words are compared one by one.
 *
 * Words are unsigned in meaning and may be signed or unsigned in form. Between functions they
 * travel signed (`| 0`): a number above 2^31 is boxed by V8 when a call is not inlined.
 */

/** Distances are exact up to this many ids; a longer one is reported as this. */
export const ID_DISTANCE_MAX: number = 2 ** 30;

/** How far id a lies above id b: negative below, 0 equal, clamped to ±ID_DISTANCE_MAX. */
export function idDistance(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  // HOT PATH
  const carries = (aHigh >>> 0) - (bHigh >>> 0);
  if (carries > 1) return ID_DISTANCE_MAX;
  if (carries < -1) return -ID_DISTANCE_MAX;
  const distance = (aLow >>> 0) - (bLow >>> 0) + carries * 2 ** 32;
  return Math.max(-ID_DISTANCE_MAX, Math.min(distance, ID_DISTANCE_MAX)) | 0;
}
