/**
 * How many control packets are handed on: token buckets of all strangers together and of each session.
 * One invariant: copies of one session's packets, which anybody on its path can make, cost the others
 * nothing.
 */

import { CONTROL_BURST, CONTROL_PER_SECOND, SESSIONS_MAX } from "./limits.ts";

/** Place of all strangers together; a session's place is its number. */
export const STRANGERS = 0;
/** A bucket is full again after this long, so nothing is lost by not counting further. */
const TOP_UP_MS_MAX = 10_000;

/** The buckets of one data plane. */
export class ControlTokens {
  /** Thousandths of a token. */
  readonly #milliTokens = new Int32Array(SESSIONS_MAX + 1).fill(CONTROL_BURST * 1000);
  /** When they were last topped up. */
  readonly #toppedUpMs = new Int32Array(SESSIONS_MAX + 1);

  /** `CONTROL_PER_SECOND` packets on average, `CONTROL_BURST` at once. */
  take(place: number, nowMs: number): boolean {
    const passedMs = Math.max(0, (nowMs - (this.#toppedUpMs[place] as number)) | 0);
    this.#toppedUpMs[place] = nowMs;
    const gained = Math.min(passedMs, TOP_UP_MS_MAX) * CONTROL_PER_SECOND;
    const tokens = Math.min(CONTROL_BURST * 1000, (this.#milliTokens[place] as number) + gained);
    this.#milliTokens[place] = tokens < 1000 ? tokens : tokens - 1000;
    return tokens >= 1000;
  }
}
