/**
 * Log lines that a flood of packets could repeat: at most one per cause and minute, and the
 * next one says how many were kept back. One invariant: the memory of causes is bounded.
 */

import type { Logger } from "pino";

const MINUTE_MS = 60_000;
/** Causes remembered at once; more are told together under one name. */
const CAUSES_MAX = 1000;
const OTHER_CAUSES = "other causes";

/** A logger that does not let itself be flooded. */
export class LimitedLog {
  readonly #log: Logger;
  readonly #nowMs: () => number;
  readonly #causes = new Map<string, { sinceMs: number; keptBack: number }>();

  constructor(log: Logger, nowMs: () => number) {
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** Warns, unless this cause was told within the last minute. */
  warn(cause: string, fields: Record<string, unknown>, message: string): void {
    const nowMs = this.#nowMs();
    const key = this.#causes.has(cause) || this.#makeRoom(nowMs) ? cause : OTHER_CAUSES;
    const known = this.#causes.get(key);
    if (known !== undefined && nowMs - known.sinceMs < MINUTE_MS) {
      known.keptBack += 1;
      return;
    }
    this.#causes.set(key, { sinceMs: nowMs, keptBack: 0 });
    const repeated = known !== undefined && known.keptBack > 0 ? { repeated: known.keptBack } : {};
    this.#log.warn({ ...fields, ...repeated }, message);
  }

  #makeRoom(nowMs: number): boolean {
    if (this.#causes.size < CAUSES_MAX) return true;
    for (const [cause, { sinceMs }] of this.#causes) {
      if (nowMs - sinceMs >= MINUTE_MS) this.#causes.delete(cause);
    }
    return this.#causes.size < CAUSES_MAX;
  }
}
