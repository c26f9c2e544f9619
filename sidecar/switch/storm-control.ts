/**
 * What each port may send to everybody: a bucket of bytes for each kind of frame and port. One
 * invariant: a port uses up its own buckets only, whatever the others do.
 */

import assert from "node:assert/strict";

/** Kinds of frames that go to many ports. */
export const StormKind = { broadcast: 0, unknownUnicast: 1, multicast: 2 } as const;
export type StormKind = (typeof StormKind)[keyof typeof StormKind];
const KINDS = 3;

/** Bits per second, by kind; undefined: as much as comes. */
export interface StormLimits {
  readonly broadcast: number | undefined;
  readonly unknownUnicast: number | undefined;
  readonly multicast: number | undefined;
}

export interface StormOptions {
  readonly limits: StormLimits;
  readonly portsMax: number;
  readonly burstMs: number;
  readonly burstBytesMin: number;
}

/** The buckets of one switch. */
export class StormControl {
  /** Bytes per millisecond of each kind; negative: no limit. */
  readonly #rates = new Float64Array(KINDS);
  readonly #bursts = new Float64Array(KINDS);
  readonly #bytes: Float64Array;
  readonly #atMs: Int32Array;

  readonly #options: Pick<StormOptions, "burstMs" | "burstBytesMin">;

  constructor(options: StormOptions) {
    const { limits, portsMax, burstMs } = options;
    assert(burstMs > 0, "something may come at once");
    this.#options = options;
    this.#bytes = new Float64Array(KINDS * portsMax);
    this.#atMs = new Int32Array(KINDS * portsMax);
    this.setLimits(limits);
  }

  /** Other limits from now on; every bucket is full again. */
  setLimits(limits: StormLimits): void {
    const { burstMs, burstBytesMin } = this.#options;
    const rows = [limits.broadcast, limits.unknownUnicast, limits.multicast];
    rows.forEach((bitsPerSecond, kind) => {
      const rate = bitsPerSecond === undefined ? -1 : bitsPerSecond / 8000;
      this.#rates[kind] = rate;
      // A limit of nothing lets nothing through, not even a burst.
      this.#bursts[kind] = rate === 0 ? 0 : Math.max(burstBytesMin, rate * burstMs);
    });
    for (let row = 0; row < this.#bytes.length; row++) {
      this.#bytes[row] = this.#bursts[row % KINDS] as number;
    }
  }

  /** Whether a frame of so many bytes may pass; if so, they are taken from the port's bucket. */
  take(kind: StormKind, port: number, bytes: number, nowMs: number): boolean {
    // HOT PATH
    const rate = this.#rates[kind] as number;
    if (rate < 0) return true;
    const row = port * KINDS + kind;
    const passedMs = (nowMs - (this.#atMs[row] as number)) | 0;
    let left = this.#bytes[row] as number;
    if (passedMs !== 0) {
      // A clock that has wrapped in a quiet month counts as a full bucket.
      const refill = passedMs < 0 ? (this.#bursts[kind] as number) : passedMs * rate;
      left = Math.min(this.#bursts[kind] as number, left + refill);
      this.#atMs[row] = nowMs;
    }
    const isWithin = bytes <= left;
    this.#bytes[row] = isWithin ? left - bytes : left;
    return isWithin;
  }
}
