/**
 * Puts the pieces of packets together again (OpenVPN's --fragment). One invariant: a packet is given
 * out only when each of its pieces came, all of one length and one number of one session, and it
 * lies in the slab; there are so many places and no more, and a session has its share of them.
 */

import assert from "node:assert/strict";
import {
  FRAGMENT_HEADER_BYTES,
  FragmentKind,
  kindOf,
  numberOf,
  PACKET_NUMBERS,
  PIECE_UNIT_BYTES,
  placeOf,
  sizeOf,
} from "../wire/fragment-header.ts";

/** What `take` made of a packet. */
export const PieceVerdict = {
  /** A packet is at `start`, `length` long: it came whole. */
  whole: 0,
  /** The same, from its pieces; its place is free for others with the next call. */
  complete: 1,
  /** Kept: the others have not come yet. */
  waiting: 2,
  malformed: 3,
} as const;
export type PieceVerdict = (typeof PieceVerdict)[keyof typeof PieceVerdict];

/** Pieces of packets this far behind a session's newest one are forgotten, as OpenVPN does. */
const NUMBERS_KEPT = 25;
const NO_SESSION = -1;
const NO_PLACE = -1;
const NO_NUMBER = -1;

export interface ReassemblyOptions {
  readonly view: DataView;
  readonly slab: Uint8Array;
  /** Where the places are: the first one, from one to the next, and what each holds. */
  readonly firstStart: number;
  readonly slotBytes: number;
  readonly packetBytesMax: number;
  readonly slotCount: number;
  readonly sessionSlotsMax: number;
  readonly sessionsMax: number;
  readonly ageMs: number;
}

/** The unfinished packets of all sessions. */
export class Reassembly {
  /** Of the last packet that was whole or complete. */
  start = 0;
  length = 0;
  /** Packets given up with pieces missing, since the reader set it to 0. */
  lostCount = 0;

  readonly #options: ReassemblyOptions;
  readonly #sessions: Int32Array;
  readonly #numbers: Int32Array;
  readonly #sizes: Int32Array;
  /** Bit n: piece n is there. */
  readonly #pieces: Int32Array;
  /** Place and length of the last piece; NO_PLACE until it came. */
  readonly #lastPlaces: Int32Array;
  readonly #lastBytes: Int32Array;
  readonly #bornMs: Int32Array;
  /** The newest number of each session. */
  readonly #newest: Int32Array;

  constructor(options: ReassemblyOptions) {
    const { slotCount, sessionSlotsMax, sessionsMax } = options;
    assert(sessionSlotsMax <= slotCount, "a session's share is of what there is");
    this.#options = options;
    this.#sessions = new Int32Array(slotCount).fill(NO_SESSION);
    this.#numbers = new Int32Array(slotCount);
    this.#sizes = new Int32Array(slotCount);
    this.#pieces = new Int32Array(slotCount);
    this.#lastPlaces = new Int32Array(slotCount);
    this.#lastBytes = new Int32Array(slotCount);
    this.#bornMs = new Int32Array(slotCount);
    this.#newest = new Int32Array(sessionsMax).fill(NO_NUMBER);
  }

  /** A session ended or begins: what is left of an older one is forgotten. */
  forget(session: number): void {
    for (let slot = 0; slot < this.#sessions.length; slot++) {
      if (this.#sessions[slot] === session) this.#sessions[slot] = NO_SESSION;
    }
    this.#newest[session] = NO_NUMBER;
  }

  /** Takes what is behind the cipher of a session's packet. */
  take(session: number, start: number, length: number, nowMs: number): PieceVerdict {
    // HOT PATH
    if (length <= FRAGMENT_HEADER_BYTES) return PieceVerdict.malformed;
    const header = this.#options.view.getUint32(start);
    this.start = start + FRAGMENT_HEADER_BYTES;
    this.length = length - FRAGMENT_HEADER_BYTES;
    const kind = kindOf(header);
    if (kind === FragmentKind.whole) {
      return header === 0 ? PieceVerdict.whole : PieceVerdict.malformed;
    }
    if (kind === FragmentKind.test) return PieceVerdict.malformed;
    const isLast = kind === FragmentKind.lastPiece;
    const size = isLast ? sizeOf(header) : this.length;
    const place = placeOf(header);
    const { packetBytesMax } = this.#options;
    if (size === 0 || size % PIECE_UNIT_BYTES !== 0 || this.length > size) {
      return PieceVerdict.malformed;
    }
    if (place * size + this.length > packetBytesMax) return PieceVerdict.malformed;
    const slot = this.#slotFor(session, numberOf(header), nowMs);
    return this.#keep(slot, { place, size, isLast });
  }

  #keep(slot: number, piece: { place: number; size: number; isLast: boolean }): PieceVerdict {
    const { place, size, isLast } = piece;
    const last = this.#lastPlaces[slot] as number;
    // Pieces of another packet that had this number: it begins anew.
    const isOther =
      this.#sizes[slot] !== size ||
      (last !== NO_PLACE && (isLast ? last !== place : place >= last));
    if (isOther) {
      if (this.#pieces[slot] !== 0) this.lostCount += 1;
      this.#clear(slot, size);
    }
    const { slab } = this.#options;
    const target = this.#startOf(slot);
    slab.copyWithin(target + place * size, this.start, this.start + this.length);
    this.#pieces[slot] = (this.#pieces[slot] as number) | (1 << place);
    if (isLast) {
      // What is there behind the last piece was of another packet.
      this.#pieces[slot] = (this.#pieces[slot] as number) & upTo(place);
      this.#lastPlaces[slot] = place;
      this.#lastBytes[slot] = this.length;
    }
    const lastPlace = this.#lastPlaces[slot] as number;
    if (lastPlace === NO_PLACE) return PieceVerdict.waiting;
    if (this.#pieces[slot] !== upTo(lastPlace)) return PieceVerdict.waiting;
    this.start = target;
    this.length = lastPlace * size + (this.#lastBytes[slot] as number);
    this.#sessions[slot] = NO_SESSION;
    return PieceVerdict.complete;
  }

  /** The place of a packet: its own, a free one, or one that is taken from another. */
  #slotFor(session: number, number: number, nowMs: number): number {
    const { sessionSlotsMax, ageMs } = this.#options;
    this.#follow(session, number);
    let own = NO_PLACE;
    let free = NO_PLACE;
    let count = 0;
    let oldestOwn = NO_PLACE;
    let oldest = NO_PLACE;
    for (let slot = 0; slot < this.#sessions.length; slot++) {
      if (this.#sessions[slot] !== NO_SESSION && this.#isOver(slot, nowMs, ageMs)) this.#lose(slot);
      if (this.#sessions[slot] === NO_SESSION) {
        free = slot;
        continue;
      }
      if (oldest === NO_PLACE || this.#isOlder(slot, oldest)) oldest = slot;
      if (this.#sessions[slot] !== session) continue;
      if (this.#numbers[slot] === number) own = slot;
      if (oldestOwn === NO_PLACE || this.#isOlder(slot, oldestOwn)) oldestOwn = slot;
      count += 1;
    }
    if (own !== NO_PLACE) return own;
    const taken = count >= sessionSlotsMax ? oldestOwn : free === NO_PLACE ? oldest : free;
    if (taken !== free) this.#lose(taken);
    this.#sessions[taken] = session;
    this.#numbers[taken] = number;
    this.#bornMs[taken] = nowMs;
    this.#clear(taken, 0);
    return taken;
  }

  /** A number a little behind is of a late packet; any other one is the newest. */
  #follow(session: number, number: number): void {
    const newest = this.#newest[session] as number;
    const behind = (newest - number) & (PACKET_NUMBERS - 1);
    if (newest === NO_NUMBER || behind >= NUMBERS_KEPT) this.#newest[session] = number;
  }

  /** Too old by time, or by the numbers of its session: those come round. */
  #isOver(slot: number, nowMs: number, ageMs: number): boolean {
    if (((nowMs - (this.#bornMs[slot] as number)) | 0) >= ageMs) return true;
    const newest = this.#newest[this.#sessions[slot] as number] as number;
    return ((newest - (this.#numbers[slot] as number)) & (PACKET_NUMBERS - 1)) >= NUMBERS_KEPT;
  }

  #isOlder(slot: number, other: number): boolean {
    return (((this.#bornMs[slot] as number) - (this.#bornMs[other] as number)) | 0) < 0;
  }

  #lose(slot: number): void {
    this.#sessions[slot] = NO_SESSION;
    this.lostCount += 1;
  }

  #clear(slot: number, size: number): void {
    this.#sizes[slot] = size;
    this.#pieces[slot] = 0;
    this.#lastPlaces[slot] = NO_PLACE;
    this.#lastBytes[slot] = 0;
  }

  #startOf(slot: number): number {
    return this.#options.firstStart + slot * this.#options.slotBytes;
  }
}

/** The bits of all pieces up to this one, 0 to 31. */
function upTo(place: number): number {
  // HOT PATH
  return (-1 >>> (31 - place)) | 0;
}
