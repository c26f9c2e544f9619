/**
 * The only file of the operator that reads a clock or sets a timer. Invariant: `nowMs` never goes
 * backwards (back-off, deadlines, election); `wallMs` is for what people and certificates read.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** Time as the operator's parts take it; tests have one of their own. */
export interface Clock {
  /** Milliseconds of a clock that only goes forward. */
  nowMs(): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** Calls `work` later; returns what cancels it. */
  after(delayMs: number, work: () => void): () => void;
  /** Resolves later, or at once when the signal aborts. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>;
  /** From 0 up to 1. */
  random(): number;
}

/** The machine's clock. */
export const SYSTEM_CLOCK: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, work) => {
    const timer = setTimeout(work, delayMs);
    return () => clearTimeout(timer);
  },
  sleep: async (delayMs, signal) => {
    try {
      await sleep(delayMs, undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  },
  random: () => Math.random(),
};
