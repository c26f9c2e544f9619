/**
 * Numbered places for segments that wait, and what is known of each. One invariant: a place that was
 * given back is taken again only after `recycle`, since its bytes may still be on their way out. No
 * I/O, no clock.
 */

import assert from "node:assert/strict";
import type { TcpSegment } from "../wire/tcp-segment.ts";

/** No place, as in the end of a chain. */
export const NO_PLACE = -1;

/** The places of one data plane. */
export class HeldSegments {
  readonly count: number;
  /** Sequence numbers of the first byte and of the one behind the last. */
  readonly sequences: Int32Array;
  readonly ends: Int32Array;
  /** When each began to wait. */
  readonly sinceMs: Int32Array;
  /** Session that it came by, and bytes of its frame. */
  readonly sessions: Int32Array;
  readonly bytes: Int32Array;
  /** The next one of its flow, or NO_PLACE. */
  readonly next: Int32Array;
  /** When each was sent, by its sender's clock, and 1 where it said so. */
  readonly #timestamps: Int32Array;
  readonly #areStamped: Int32Array;
  /** A ring of the places that nobody has: those at the front are clean. */
  readonly #free: Int32Array;
  #front = 0;
  #freeCount: number;
  #cleanCount: number;

  constructor(count: number) {
    assert(count > 0, "there are places");
    this.count = count;
    const words = (): Int32Array => new Int32Array(count);
    this.sequences = words();
    this.ends = words();
    this.#timestamps = words();
    this.#areStamped = words();
    this.sinceMs = words();
    this.sessions = words();
    this.bytes = words();
    this.next = words().fill(NO_PLACE);
    this.#free = Int32Array.from({ length: count }, (_, place) => place);
    this.#freeCount = count;
    this.#cleanCount = count;
  }

  get freeCount(): number {
    return this.#freeCount;
  }

  /** No place can be taken before the next `recycle`. */
  get isUsedUp(): boolean {
    // HOT PATH
    return this.#cleanCount === 0;
  }

  /** Takes a clean place; there is one. */
  take(): number {
    // HOT PATH
    if (this.#cleanCount === 0) assert.fail("a place is taken only where one is clean");
    const place = this.#free[this.#front] as number;
    this.#front = this.#front + 1 === this.count ? 0 : this.#front + 1;
    this.#freeCount -= 1;
    this.#cleanCount -= 1;
    return place;
  }

  /** Gives a place back; its bytes are used once more. */
  giveBack(place: number): void {
    // HOT PATH
    this.#free[(this.#front + this.#freeCount) % this.count] = place;
    this.#freeCount += 1;
  }

  /** Notes when the segment in a place was sent. */
  stamp(place: number, segment: TcpSegment): void {
    // HOT PATH
    this.#timestamps[place] = segment.timestamp;
    this.#areStamped[place] = segment.hasTimestamp ? 1 : 0;
  }

  /** Whether a segment was sent after the one in a place, by their sender's clock; false: nobody knows. */
  isLater(segment: TcpSegment, place: number): boolean {
    // HOT PATH
    if (place === NO_PLACE || !segment.hasTimestamp || this.#areStamped[place] === 0) return false;
    return ((segment.timestamp - (this.#timestamps[place] as number)) | 0) > 0;
  }

  /** Everything that was given back is out. */
  recycle(): void {
    // HOT PATH
    this.#cleanCount = this.#freeCount;
  }
}
