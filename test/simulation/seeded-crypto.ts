/**
 * Seeded numbers in place of node:crypto's random ones, for everything in the process: a run can only
 * be replayed when the code under test draws from its seed as well.
 */
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import type { Chance } from "./timeline.ts";

/** Lets the whole process draw from a seed until the returned function is called. */
export function seedCrypto(chance: Chance): () => void {
  const { randomBytes, randomInt } = crypto;
  const draw = {
    randomBytes: (count: number): Buffer => chance.bytes(count),
    randomInt: (first: number, limit?: number): number =>
      limit === undefined
        ? Math.floor(chance.next() * first)
        : first + Math.floor(chance.next() * (limit - first)),
  };
  Object.assign(crypto, draw);
  syncBuiltinESMExports();
  return () => {
    Object.assign(crypto, { randomBytes, randomInt });
    syncBuiltinESMExports();
  };
}
