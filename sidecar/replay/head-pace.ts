/**
 * How far the head of a replay window came lately: what a window has to hold so that a packet which
 * is late finds its place. One invariant: `moved` is at least the number of ids that the head passed
 * within the last `lateMs`, and at most that of a quarter more time.
 *
 * No I/O, no clock: times are the wrapping int32 milliseconds of `clock.ts`.
 */

import { idDistance } from "./packet-id.ts";

/** Parts of `lateMs` in which the head's progress is remembered. */
const SLICES = 4;
/** Marks lie a slice apart or more: the newest is younger than that, the oldest `lateMs` old. */
const MARKS: number = SLICES + 2;

/** The pace of one window's head. */
export class HeadPace {
  /** How late a packet may be. */
  lateMs: number;
  /** Heads of the past (two words each) and a moment at which each was the head. */
  readonly #heads: Int32Array = new Int32Array(2 * MARKS);
  readonly #times: Int32Array = new Int32Array(MARKS);
  #oldest = 0;
  #count = 0;

  constructor(lateMs: number) {
    this.lateMs = lateMs;
  }

  /** At `nowMs` the head is this one still, and is about to be replaced. */
  mark(high: number, low: number, nowMs: number): void {
    // HOT PATH
    if (this.#count > 0) {
      const newestMs = this.#times[placeOf(this.#oldest + this.#count - 1)] as number;
      if (((nowMs - newestMs) | 0) * SLICES < this.lateMs) return;
    }
    const at = placeOf(this.#oldest + this.#count);
    this.#heads[2 * at] = high;
    this.#heads[2 * at + 1] = low;
    this.#times[at] = nowMs;
    this.#count += 1;
    while (this.#count > 1) {
      const second = placeOf(this.#oldest + 1);
      const isOld = ((nowMs - (this.#times[second] as number)) | 0) >= this.lateMs;
      if (!isOld && this.#count < MARKS) return;
      this.#oldest = second;
      this.#count -= 1;
    }
  }

  /** How far an id is ahead of the head of `lateMs` ago; there was a mark. */
  moved(high: number, low: number): number {
    // HOT PATH
    const at = 2 * this.#oldest;
    return idDistance(high, low, this.#heads[at] as number, this.#heads[at + 1] as number);
  }
}

function placeOf(at: number): number {
  // HOT PATH
  return at >= MARKS ? at - MARKS : at;
}
