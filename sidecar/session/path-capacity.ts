/**
 * What one direction of a path carries, told by what arrived of what was sent. No I/O, no clock, no
 * packet of its own: as long as nobody sent much, nothing is known. One invariant: `bytesPerSecond` is never
 * more than what arrived within some quarter of a second or more, so "at least so much" is true.
 *
 * A sample spans several probes. Its rate is the lesser of what was sent and what arrived, each by the clock
 * of its end, as a burst that had waited arrives quicker than it was sent (BBR, delivery rate
 * estimation). A path is full in a sample when every probe waited in a queue, or when far more was lost than
 * probes lose: only then is its rate more than a lower bound, and only then may the figure fall.
 */

/** A sample spans so much time and so many probes at least; one that spans more than that says nothing. */
const SAMPLE_MS_MIN = 250;
const SAMPLE_MS_MAX = 10_000;
const SAMPLE_PROBES = 3;
/** 128 kbit/s: less than that is no load, and probes alone stay below it. */
const LOAD_BYTES_PER_SECOND = 16_000;
/** What is lost tells something from this many bytes in a sample on: some thirty packets. */
const LOSS_BYTES_MIN = 32_768;
/** So much beyond twice what probes lose is lost by a path that is full. */
const LOSS_SHARE = 0.1;
/** A queue that no probe of a sample found shorter than this is a standing one: 5 ms (RFC 8289, 4.3) by clocks of 1 ms. */
const QUEUE_MS = 7;
const JITTERS = 3;
/** The least delay is that of the last one or two of these spans: clocks drift apart. */
const DELAY_SPAN_MS = 30_000;
/** A limit that was not met for so long may be gone. */
const LIMIT_MS = 30_000;
/** By how much a full path's figure follows one that carried less. */
const FALL_SHARE = 1 / 4;
/** A path that carries so much more than its limit, and has no queue, has another one. */
const BEYOND = 1.25;

/** What was sent and what of it arrived when a probe did; bytes wrap at 32 bits, milliseconds at 16. */
export interface PathCounts {
  readonly sentBytes: number;
  /** Of the sending end's clock. */
  readonly sentMs: number;
  readonly arrivedBytes: number;
  /** Of the receiving end's. */
  readonly arrivedMs: number;
}

/** One direction of one path. */
export class PathCapacity {
  /** It carried at least so much; 0: unknown. */
  bytesPerSecond = 0;
  /** It was full not long ago: it hardly carries more than it did then. */
  isFull = false;
  #fullMs = 0;
  /** The first probe of the sample. */
  #from: PathCounts | undefined;
  #fromMs = 0;
  #probes = 0;
  #waitMs = 0;
  /** The least delay of this span and of the one before, from `#delayFromMs`. */
  #delayFromMs = 0;
  #leastMs = Infinity;
  #leastBeforeMs = Infinity;
  #spanMs = 0;
  #delayMs = 0;
  /** How much the delay changes from one probe to the next, smoothed (RFC 3550, 6.4.1). */
  #jitterMs = 0;

  /** What the other end found out. */
  tell(bytesPerSecond: number, isFull: boolean): void {
    this.bytesPerSecond = bytesPerSecond;
    this.isFull = isFull && bytesPerSecond > 0;
  }

  /** The path died, or its counts begin anew: what it will carry nobody knows. */
  forget(): void {
    this.bytesPerSecond = 0;
    this.isFull = false;
    this.#from = undefined;
    this.#leastMs = Infinity;
    this.#leastBeforeMs = Infinity;
  }

  /** A probe arrived; `lossShare` is what probes lose in this direction. */
  look(counts: PathCounts, lossShare: number, nowMs: number): void {
    const waitMs = this.#waited(counts, nowMs);
    if (((nowMs - this.#fullMs) | 0) >= LIMIT_MS) this.isFull = false;
    const from = this.#from;
    if (from === undefined) {
      this.#begin(counts, nowMs);
      return;
    }
    this.#probes += 1;
    this.#waitMs = Math.min(this.#waitMs, waitMs);
    const elapsedMs = (nowMs - this.#fromMs) | 0;
    const sentMs = ((counts.sentMs - from.sentMs) << 16) >> 16;
    const arrivedMs = ((counts.arrivedMs - from.arrivedMs) << 16) >> 16;
    const isOrdered = sentMs >= 0 && arrivedMs >= 0;
    if (elapsedMs > SAMPLE_MS_MAX || !isOrdered) this.#begin(counts, nowMs);
    else if (Math.min(sentMs, arrivedMs) >= SAMPLE_MS_MIN && this.#probes >= SAMPLE_PROBES) {
      const sentBytes = (counts.sentBytes - from.sentBytes) >>> 0;
      const arrivedBytes = (counts.arrivedBytes - from.arrivedBytes) >>> 0;
      // More arrives than was sent when counts began anew.
      if (arrivedBytes <= sentBytes) {
        const rate = Math.min(sentBytes / sentMs, arrivedBytes / arrivedMs) * 1000;
        const lost = 1 - arrivedBytes / Math.max(1, sentBytes);
        const isLosing = sentBytes >= LOSS_BYTES_MIN && lost > LOSS_SHARE + 2 * lossShare;
        const isWaiting = this.#waitMs >= QUEUE_MS + JITTERS * this.#jitterMs;
        this.#take(rate, isWaiting || isLosing, nowMs);
      }
      this.#begin(counts, nowMs);
    }
  }

  #take(rate: number, isFull: boolean, nowMs: number): void {
    if (rate < LOAD_BYTES_PER_SECOND) return;
    if (isFull) {
      this.isFull = true;
      this.#fullMs = nowMs;
    } else if (rate > this.bytesPerSecond * BEYOND) this.isFull = false;
    if (rate > this.bytesPerSecond) this.bytesPerSecond = rate;
    else if (isFull) this.bytesPerSecond += (rate - this.bytesPerSecond) * FALL_SHARE;
  }

  #begin(counts: PathCounts, nowMs: number): void {
    this.#from = counts;
    this.#fromMs = nowMs;
    this.#probes = 0;
    this.#waitMs = Infinity;
  }

  /** How much longer a probe took than the quickest one lately. */
  #waited({ sentMs, arrivedMs }: PathCounts, nowMs: number): number {
    if (this.#leastMs === Infinity && this.#leastBeforeMs === Infinity) {
      this.#delayFromMs = arrivedMs - sentMs;
      this.#delayMs = 0;
      this.#spanMs = nowMs;
    }
    const delayMs = ((arrivedMs - sentMs - this.#delayFromMs) << 16) >> 16;
    if (((nowMs - this.#spanMs) | 0) >= DELAY_SPAN_MS) {
      this.#spanMs = nowMs;
      this.#leastBeforeMs = this.#leastMs;
      this.#leastMs = Infinity;
    }
    this.#leastMs = Math.min(this.#leastMs, delayMs);
    this.#jitterMs += (Math.abs(delayMs - this.#delayMs) - this.#jitterMs) / 16;
    this.#delayMs = delayMs;
    return delayMs - Math.min(this.#leastMs, this.#leastBeforeMs);
  }
}
