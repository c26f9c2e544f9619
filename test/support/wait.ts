/** Waiting in tests: for a time, or until something holds, never without an end. */
import { setTimeout as sleep } from "node:timers/promises";

const POLL_INTERVAL_MS = 20;

/** Resolves after so many milliseconds. */
export async function pause(durationMs: number): Promise<void> {
  await sleep(durationMs);
}

/**
 * Polls until `probe` gives something other than undefined or false, and returns it; throws with
 * the text of `what` when the time is up. What the probe throws ends the waiting at once.
 */
export async function waitFor<T>(
  what: string | (() => string),
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) {
      const text = typeof what === "string" ? what : what();
      throw new Error(`waited ${timeoutMs} ms in vain for ${text}`);
    }
    await sleep(POLL_INTERVAL_MS);
  }
}
