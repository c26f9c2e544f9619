/**
 * When each of a fixed number of timers is due. One invariant: a timer that is set comes out of
 * `takeDue` once, at or after its due moment, the earliest due one first; nothing here reads a
 * clock. `MainTimer` runs such a table on an event loop and is the only caller of setTimeout.
 *
 * An indexed binary heap over typed arrays: the next due moment at once, `set` and `cancel` in
 * log(count) steps, no allocation. Moments are the wrapping int32 milliseconds of `clock.ts`.
 */

import assert from "node:assert/strict";
import { type Clock, elapsedMs, isDue } from "./clock.ts";

/** What `takeDue` returns when no timer is due. */
export const NO_TIMER = -1;

const UNSET = -1;

/** Timers are numbers below `count`; what each one means is its user's matter. */
export class TimerTable {
  readonly count: number;
  readonly #dueMs: Int32Array;
  /** Timers in heap order, the next due one first. */
  readonly #heap: Int32Array;
  /** Place of each timer in the heap, or UNSET. */
  readonly #place: Int32Array;
  #setCount = 0;

  constructor(count: number) {
    assert(Number.isInteger(count) && count > 0, "a table has timers");
    this.count = count;
    this.#dueMs = new Int32Array(count);
    this.#heap = new Int32Array(count);
    this.#place = new Int32Array(count).fill(UNSET);
  }

  /** Sets or moves a timer. */
  set(timer: number, dueMs: number): void {
    // HOT PATH
    if (timer < 0 || timer >= this.count) assert.fail("no such timer");
    this.#dueMs[timer] = dueMs;
    let place = this.#place[timer] as number;
    if (place === UNSET) {
      place = this.#setCount;
      this.#setCount += 1;
      this.#put(place, timer);
    }
    this.#sink(this.#rise(place));
  }

  /** Unsets a timer; nothing happens when it is not set. */
  cancel(timer: number): void {
    // HOT PATH
    if (timer < 0 || timer >= this.count) assert.fail("no such timer");
    const place = this.#place[timer] as number;
    if (place === UNSET) return;
    this.#place[timer] = UNSET;
    this.#setCount -= 1;
    if (place === this.#setCount) return;
    this.#put(place, this.#heap[this.#setCount] as number);
    this.#sink(this.#rise(place));
  }

  isSet(timer: number): boolean {
    return this.#place[timer] !== UNSET;
  }

  /** The moment at which the next timer is due; undefined when none is set. */
  nextDueMs(): number | undefined {
    if (this.#setCount === 0) return undefined;
    return this.#dueMs[this.#heap[0] as number];
  }

  /** How long nothing is due, from 0 to `waitMsMax`: the time to block in epoll. */
  waitMs(nowMs: number, waitMsMax: number): number {
    // HOT PATH
    if (this.#setCount === 0) return waitMsMax;
    const leftMs = elapsedMs(nowMs, this.#dueMs[this.#heap[0] as number] as number);
    return Math.max(0, Math.min(leftMs, waitMsMax));
  }

  /** Takes the earliest timer that is due out of the table, or returns NO_TIMER. */
  takeDue(nowMs: number): number {
    // HOT PATH
    if (this.#setCount === 0) return NO_TIMER;
    const timer = this.#heap[0] as number;
    if (!isDue(this.#dueMs[timer] as number, nowMs)) return NO_TIMER;
    this.cancel(timer);
    return timer;
  }

  #put(place: number, timer: number): void {
    this.#heap[place] = timer;
    this.#place[timer] = place;
  }

  /** Whether the timer at one place is due before the one at the other. */
  #isBefore(onePlace: number, otherPlace: number): boolean {
    const oneMs = this.#dueMs[this.#heap[onePlace] as number] as number;
    const otherMs = this.#dueMs[this.#heap[otherPlace] as number] as number;
    return elapsedMs(oneMs, otherMs) > 0;
  }

  #swap(onePlace: number, otherPlace: number): void {
    const one = this.#heap[onePlace] as number;
    this.#put(onePlace, this.#heap[otherPlace] as number);
    this.#put(otherPlace, one);
  }

  #rise(from: number): number {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.#isBefore(place, parent)) break;
      this.#swap(place, parent);
      place = parent;
    }
    return place;
  }

  #sink(from: number): void {
    let place = from;
    for (;;) {
      let first = 2 * place + 1;
      if (first >= this.#setCount) return;
      if (first + 1 < this.#setCount && this.#isBefore(first + 1, first)) first += 1;
      if (!this.#isBefore(first, place)) return;
      this.#swap(place, first);
      place = first;
    }
  }
}

/** A timer table that the event loop serves: `onDue` is called for each timer that is due. */
export class MainTimer {
  readonly #table: TimerTable;
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #onDue: (timer: number) => void;
  #timeout: NodeJS.Timeout | undefined;
  #armedMs = 0;
  #isStopped = false;

  constructor(table: TimerTable, clock: Pick<Clock, "nowMs">, onDue: (timer: number) => void) {
    this.#table = table;
    this.#clock = clock;
    this.#onDue = onDue;
    this.rearm();
  }

  set(timer: number, dueMs: number): void {
    this.#table.set(timer, dueMs);
    this.rearm();
  }

  cancel(timer: number): void {
    this.#table.cancel(timer);
    this.rearm();
  }

  /** Call after the table was changed directly. */
  rearm(): void {
    const dueMs = this.#isStopped ? undefined : this.#table.nextDueMs();
    if (this.#timeout !== undefined && dueMs === this.#armedMs) return;
    clearTimeout(this.#timeout);
    this.#timeout = undefined;
    if (dueMs === undefined) return;
    this.#armedMs = dueMs;
    const leftMs = Math.max(0, elapsedMs(this.#clock.nowMs(), dueMs));
    this.#timeout = setTimeout(() => this.#run(), leftMs);
  }

  /** No timer fires any more. */
  stop(): void {
    this.#isStopped = true;
    this.rearm();
  }

  #run(): void {
    this.#timeout = undefined;
    const nowMs = this.#clock.nowMs();
    // At most one turn's worth: a timer that sets itself to now waits for the next turn.
    for (let taken = 0; taken < this.#table.count && !this.#isStopped; taken++) {
      const timer = this.#table.takeDue(nowMs);
      if (timer === NO_TIMER) break;
      this.#onDue(timer);
    }
    this.rearm();
  }
}
