/**
 * Stations that the switch asks: those about to age out, so that one that only receives stays
 * known, those that somebody sends to and nobody knows, and all of them once a loop is shut: the
 * bridges of the segment believe what went round in it until each station is heard again. One invariant: questions are bounded
 * in number and rate, and a station that does not answer ages as it always did.
 */

import type { IpPacket } from "../wire/ip-packet.ts";
import { readArpProbe, readNeighbour } from "../wire/neighbour.ts";
import type { AddressBook } from "./address-book.ts";
import type { AddressWatch } from "./address-watch.ts";
import { ALL_PORTS } from "./group-questions.ts";
import { isOwnStation } from "./own-station.ts";

/** Unknown stations are asked for no more often than this. */
const UNKNOWN_INTERVAL_MS = 50;
const QUESTIONS_MAX = 64;
/** After a loop: when everybody is asked, since frames are still under way, and how many at a tick. */
const AFTER_LOOP_MS: readonly number[] = [300, 2000];
const AFTER_LOOP_PER_TICK = 16;

/** One question to be sent. */
export interface StationAsked {
  port: number;
  vlan: number;
  family: 4 | 6;
  macHigh: number;
  macLow: number;
  readonly address: Int32Array;
}

/** The questions of one switch. */
export class StationQuestions {
  /** Addresses that were given; absent: nobody is told of conflicts. */
  readonly watch: AddressWatch | undefined;
  readonly #book: AddressBook;
  readonly #address = new Int32Array(4);
  readonly #rows: readonly StationAsked[] = Array.from({ length: QUESTIONS_MAX }, () => ({
    port: 0,
    vlan: 0,
    family: 4 as 4 | 6,
    macHigh: 0,
    macLow: 0,
    address: new Int32Array(4),
  }));
  #count = 0;
  #unknownMs = 0;
  /** Rounds of questions still to come, and the row of the book that the one under way has reached. */
  #rounds: number[] = [];
  #row = -1;

  constructor(book: AddressBook, watch?: AddressWatch) {
    this.#book = book;
    this.watch = watch;
  }

  get count(): number {
    return this.#count;
  }

  /** The next question to be sent; valid until the next one is put. */
  take(): StationAsked | undefined {
    if (this.#count === 0) return undefined;
    this.#count -= 1;
    return this.#rows[this.#count];
  }

  /** Learns the address of a frame's sender, if the frame says one. */
  hear(
    view: DataView,
    packet: IpPacket,
    limit: number,
    station: { high: number; low: number; port: number; nowMs: number },
  ): void {
    // HOT PATH
    const { watch } = this;
    const family = readNeighbour(view, packet, limit, this.#address);
    if (family === 0) {
      if (watch === undefined || watch.tentativeCount === 0) return;
      if (isOwnStation(station.high & 0xffff, station.low)) return;
      if (readArpProbe(view, packet, limit, this.#address))
        watch.heard(this.#address, station, true);
      return;
    }
    watch?.heard(this.#address, station, false);
    const { high, low, nowMs } = station;
    this.#book.note(high, low, this.#address, { family, nowMs });
  }

  /** A station is about to age out. */
  askAgeing(high: number, low: number, port: number): void {
    const family = this.#book.find(high, low);
    if (family !== 0) this.#put({ high, low, port, family }, this.#book.found);
  }

  /** Somebody sent an IP packet to a station that is not known: is it that address's? */
  askUnknown(
    target: { high: number; low: number; family: 4 | 6 },
    address: Int32Array,
    nowMs: number,
  ): void {
    if (((nowMs - this.#unknownMs) | 0) < UNKNOWN_INTERVAL_MS) return;
    this.#unknownMs = nowMs;
    this.#put({ ...target, port: ALL_PORTS }, address);
  }

  /** A loop was shut: every station with an IPv4 address is asked for, twice. */
  loopShut(nowMs: number): void {
    this.#rounds = AFTER_LOOP_MS.map((afterMs) => (nowMs + afterMs) | 0);
  }

  /** Goes on asking; call every 100 ms. */
  tick(nowMs: number): void {
    const [dueMs] = this.#rounds;
    if (dueMs !== undefined && ((nowMs - dueMs) | 0) >= 0) {
      this.#rounds.shift();
      this.#row = 0;
    }
    for (let count = 0; this.#row >= 0 && count < AFTER_LOOP_PER_TICK; count++) {
      const row = this.#book.next4(this.#row);
      if (row >= 0) this.askEverybody(this.#book.found);
      this.#row = row < 0 ? -1 : row + 1;
    }
  }

  /** Asks everybody who has an IPv4 address (RFC 5227, 2.1). */
  askEverybody(address: Int32Array): void {
    this.#put({ high: 0xffff, low: -1, port: ALL_PORTS, family: 4 }, address);
  }

  #put(to: { high: number; low: number; port: number; family: 4 | 6 }, address: Int32Array): void {
    if (this.#count === QUESTIONS_MAX) return;
    const row = this.#rows[this.#count] as StationAsked;
    this.#count += 1;
    row.port = to.port;
    row.family = to.family;
    // See `stationHigh`.
    row.vlan = to.high >>> 16;
    row.macHigh = to.high & 0xffff;
    row.macLow = to.low;
    row.address.set(address);
  }
}
