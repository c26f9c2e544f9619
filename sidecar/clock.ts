/**
 * The only reader of the clocks. One invariant: `nowMs` of every thread that was given the same
 * origin counts from the same moment and never goes back.
 *
 * `nowMs` is a signed 32-bit count of milliseconds that wraps after 2^31 (24.8 days), so that it
 * stays a small integer in V8 and in an Int32Array. Compare moments by `elapsedMs` or `isDue`,
 * never by `<`; spans up to 24.8 days are exact.
 */

import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";

/** Time as the data plane sees it; tests and simulations bring their own. */
export interface Clock {
  /** Monotonic milliseconds, wrapping int32. */
  nowMs(): number;
  /** Seconds since 1970, unsigned 32 bits: the time in packet ids of the control channel. */
  wallSeconds(): number;
}

/** Milliseconds from `thenMs` to `nowMs`; right across the wrap. */
export function elapsedMs(thenMs: number, nowMs: number): number {
  // HOT PATH
  return (nowMs - thenMs) | 0;
}

/** Whether `nowMs` has reached `dueMs`; right across the wrap. */
export function isDue(dueMs: number, nowMs: number): boolean {
  // HOT PATH
  return ((nowMs - dueMs) | 0) >= 0;
}

/** A moment of the machine's monotonic clock, in milliseconds; the same in all threads. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** Milliseconds since 1970 with their fraction, for the times of captured frames. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Where time starts: the monotonic moment at which `nowMs` says `firstMs`. */
export interface ClockOrigin {
  readonly monotonicMs: number;
  /** 0 as a rule; near 2^31 it makes a long-lived program's wrap happen early. */
  readonly firstMs: number;
}

/** The machine's clocks. The first thread makes one and hands its `origin` to the others. */
export class SystemClock implements Clock {
  readonly origin: ClockOrigin;
  /** Added to performance.now(), whose own origin differs from thread to thread. */
  readonly #offsetMs: number;

  constructor(origin: ClockOrigin = { monotonicMs: monotonicMs(), firstMs: 0 }) {
    assert(Number.isFinite(origin.monotonicMs), "the origin is a moment of monotonicMs");
    this.origin = origin;
    this.#offsetMs = threadOffsetMs() - origin.monotonicMs + origin.firstMs;
  }

  nowMs(): number {
    // HOT PATH: a performance.now() allocates nothing, a process.hrtime() an array.
    return (performance.now() + this.#offsetMs) | 0;
  }

  wallSeconds(): number {
    return Math.floor(Date.now() / 1000) >>> 0;
  }
}

/**
 * Seconds since 1970 that never go back: the wall clock as it was at the call, and what has passed
 * since. Packet ids of control packets carry it, and a peer refuses an earlier one as replayed.
 */
export function steadySeconds(
  clock: Pick<Clock, "wallSeconds">,
  nowMs: () => number,
): () => number {
  const startSeconds = clock.wallSeconds();
  const startMs = nowMs();
  return () => (startSeconds + Math.floor((nowMs() - startMs) / 1000)) >>> 0;
}

/** The monotonic clock less performance.now(), from the tightest of a few readings. */
function threadOffsetMs(): number {
  let offsetMs = 0;
  let spreadMsMin = Number.POSITIVE_INFINITY;
  for (let reading = 0; reading < 5; reading++) {
    const beforeMs = performance.now();
    const middleMs = monotonicMs();
    const afterMs = performance.now();
    if (afterMs - beforeMs >= spreadMsMin) continue;
    spreadMsMin = afterMs - beforeMs;
    offsetMs = middleMs - (beforeMs + afterMs) / 2;
  }
  return offsetMs;
}
