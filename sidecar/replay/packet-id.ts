/**
 * A packet id is two unsigned 32-bit words, most significant first. Epoch ids have 64 bits; ids
 * of the short format have 32 and a high word of 0. One invariant: ids only grow and never wrap;
 * a key whose ids are used up is replaced. No BigInt: the words are compared one by one.
 */

/** Distances are exact up to this many ids; a longer one is reported as this. */
export const ID_DISTANCE_MAX: number = 2 ** 32;

/**
 * How far id a lies above id b: negative below, 0 equal, clamped to ±ID_DISTANCE_MAX. All four
 * words are unsigned.
 */
export function idDistance(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  // HOT PATH
  if (aHigh === bHigh) return aLow - bLow;
  if (aHigh === bHigh + 1 && aLow < bLow) return aLow - bLow + ID_DISTANCE_MAX;
  if (aHigh === bHigh - 1 && aLow > bLow) return aLow - bLow - ID_DISTANCE_MAX;
  return aHigh > bHigh ? ID_DISTANCE_MAX : -ID_DISTANCE_MAX;
}
