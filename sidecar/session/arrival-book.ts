/**
 * By which path each packet of a duplicating peer came first, and whether another path brought it too: what
 * only one path brought would have been lost without it. No I/O, no clock. One invariant: a packet is counted
 * once, when it is settled, a whole look after it came: a copy that is later than that is not waited for.
 *
 * A byte for each packet id: 0, or the path's number and 1, and a bit for those that count for no path.
 */

import { PATHS_MAX } from "./path-set.ts";

/** A book begins with so many places, and has one for each packet of some seconds at most. */
const PLACES_MIN = 4096;
const PLACES_MAX = 131_072;
const NOT_ALONE = 0x80;

/** The arrivals of one session. */
export class ArrivalBook {
  #places: Uint8Array = new Uint8Array(PLACES_MIN);
  #mask = PLACES_MIN - 1;
  /** Of which key and epoch the ids are, and of which they were before. */
  #series = -1;
  #seriesBefore = -1;
  /** Up to here everything is settled. */
  #settled = 0;
  #head = 0;
  #headAtLook = 0;
  #isFull = false;
  #last = 0;

  /** An authentic packet came by a path, for the first time. */
  first(series: number, id: number, path: number): void {
    // HOT PATH
    this.#last = -1;
    if (series !== this.#series) {
      if (series === this.#seriesBefore) return;
      this.#seriesBefore = this.#series;
      this.#begin(series, (id - 1) | 0);
    }
    const place = (id - this.#settled) | 0;
    if (place <= 0) return;
    if (place > this.#mask) {
      this.#isFull = true;
      return;
    }
    if (((id - this.#head) | 0) > 0) this.#head = id | 0;
    this.#last = id & this.#mask;
    this.#places[this.#last] = path + 1;
  }

  /** A copy of a packet that had come before. */
  again(series: number, id: number, path: number): void {
    // HOT PATH
    if (series !== this.#series) return;
    if (((id - this.#settled) | 0) <= 0 || ((this.#head - id) | 0) < 0) return;
    const at = id & this.#mask;
    const place = this.#places[at] as number;
    // By the same path it is a replay.
    if (place !== 0 && (place & ~NOT_ALONE) !== path + 1) this.#places[at] = place | NOT_ALONE;
  }

  /** The packet that came last was sent by one path on purpose. */
  disregardLast(): void {
    // HOT PATH
    const at = this.#last;
    if (at >= 0) this.#places[at] = (this.#places[at] as number) | NOT_ALONE;
  }

  /**
   * Settles what had come before the look before this one; adds to `alone`, by path, what no other path
   * brought.
   */
  look(alone: Float64Array): void {
    for (let id = (this.#settled + 1) | 0; ((this.#headAtLook - id) | 0) >= 0; id = (id + 1) | 0) {
      const at = id & this.#mask;
      const place = this.#places[at] as number;
      this.#places[at] = 0;
      if (place === 0 || (place & NOT_ALONE) !== 0 || place > PATHS_MAX) continue;
      alone[place - 1] = (alone[place - 1] as number) + 1;
    }
    this.#settled = this.#headAtLook;
    this.#headAtLook = this.#head;
    if (this.#isFull) this.#grow();
  }

  #begin(series: number, settled: number): void {
    this.#series = series;
    this.#settled = settled;
    this.#head = settled;
    this.#headAtLook = settled;
    this.#places.fill(0);
  }

  /** More came between two looks than there are places: what they held is not counted. */
  #grow(): void {
    this.#isFull = false;
    const count = Math.min(this.#places.length * 2, PLACES_MAX);
    this.#places = new Uint8Array(count);
    this.#mask = count - 1;
    // Beyond the places nothing was followed: the next packet says where ids are.
    this.#begin(-1, this.#head);
    this.#seriesBefore = -1;
  }
}
