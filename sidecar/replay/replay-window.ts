/**
 * Which packet ids have arrived: a bitmap ring after RFC 6479, one window per receiving key.
 * One invariant: an id for which `accept` returned `accept` or `acceptLate` is never accepted
 * again. `mayAccept` only reads, so a forged packet changes nothing; `accept` is for packets
 * that the cipher has authenticated.
 *
 * Size: fixed, or from `packets` up to `packetsMax`, doubled as the head moves on so that what is late
 * by no more than `lateMs` still lies inside. It never shrinks: its key does not live long.
 *
 * Time: a late packet is refused when the head of the window passed it `seconds` ago or earlier
 * (a greater id had arrived that long before it), measured to a sixteenth of `seconds`: never
 * before `seconds` have gone by, at the latest a sixteenth after it. Times are the wrapping int32
 * milliseconds of `clock.ts`.
 */

import assert from "node:assert/strict";
import { HeadPace } from "./head-pace.ts";
import { idDistance } from "./packet-id.ts";

/** What the window says of one packet id. The first two let the packet in. */
export const ReplayVerdict = {
  /** Newer than everything so far. */
  accept: 0,
  /** Older than the head, within the window and not seen before. */
  acceptLate: 1,
  /** Seen before. */
  duplicate: 2,
  /** Older than the window reaches. */
  behind: 3,
  /** Within the window, but the head passed it too long ago. */
  expired: 4,
  /** Id 0 is never sent. */
  zero: 5,
} as const;
export type ReplayVerdict = (typeof ReplayVerdict)[keyof typeof ReplayVerdict];

/** `packets`: how far behind the head an id may be, rounded up to a multiple of 32. */
export interface ReplayWindowOptions {
  readonly packets: number;
  readonly seconds: number;
  /** Absent: the window keeps its size. */
  readonly growth?: { readonly packetsMax: number; readonly lateMs: number };
}

const REPLAY_PACKETS_MIN = 64;
const REPLAY_PACKETS_MAX = 131_072;
/** OpenVPN's own maximum of `--replay-window t`. */
const REPLAY_SECONDS_MAX = 600;

/** Parts of `seconds` in which the head's progress is remembered. */
const SLICES = 16;
/** One more than SLICES: marks lie a slice apart, so the oldest of a full ring is `seconds` old. */
const MARKS = SLICES + 1;

/** Words of the head, signed as all packet id words between functions. */
const HEAD_HIGH = 0;
const HEAD_LOW = 1;

/** The window of one receiving key. */
export class ReplayWindow {
  /** One bit per id; the word of an id is its number divided by 32, modulo the ring's length. */
  #bitmap: Uint32Array;
  #wordMask: number;
  #packets: number;
  readonly #packetsMax: number;
  readonly #pace: HeadPace | undefined;
  /** Ids up to this one were behind the window when it grew: nobody knows whether they came. */
  readonly #floor: Int32Array = new Int32Array(2);
  readonly #head: Int32Array = new Int32Array(2);
  /** When the head became what it is. */
  #headMs = 0;

  readonly #lifetimeMs: number;
  readonly #sliceMs: number;
  /** Heads of the past (two words each) and the times at which they became the head. */
  readonly #markHeads: Int32Array = new Int32Array(2 * MARKS);
  readonly #markTimes: Int32Array = new Int32Array(MARKS);
  /** Where the next mark goes; the oldest one lies `#markCount` before it. */
  #markNext = 0;
  #markCount = 0;
  #markedMs = 0;

  constructor(options: ReplayWindowOptions) {
    const { packets, seconds } = options;
    assert(Number.isInteger(packets), "the window is a whole number of packets");
    assert(packets >= REPLAY_PACKETS_MIN, "the window is not below the least that OpenVPN keeps");
    assert(packets <= REPLAY_PACKETS_MAX, "the window is bounded");
    assert(seconds > 0 && seconds <= REPLAY_SECONDS_MAX, "a late packet has a limited time");
    this.#packets = (packets + 31) & ~31;
    const { packetsMax = packets, lateMs = 0 } = options.growth ?? {};
    assert(packetsMax >= packets, "a window does not shrink");
    assert(packetsMax <= REPLAY_PACKETS_MAX, "a window that grows is bounded");
    this.#packetsMax = (packetsMax + 31) & ~31;
    this.#pace = this.#packetsMax > this.#packets ? new HeadPace(lateMs) : undefined;
    this.#bitmap = bitmapFor(this.#packets);
    this.#wordMask = this.#bitmap.length - 1;
    this.#lifetimeMs = Math.round(seconds * 1000);
    this.#sliceMs = Math.ceil(this.#lifetimeMs / SLICES);
  }

  /** The window really kept: a multiple of 32. */
  get packets(): number {
    return this.#packets;
  }

  /** Packets may come so late from now on; nothing to a window that keeps its size. */
  expectLate(lateMs: number): void {
    if (this.#pace !== undefined) this.#pace.lateMs = lateMs;
  }

  /**
   * Whether the id could be let in. Reads only; ask before the cipher. Words may be signed or
   * unsigned, see `packet-id.ts`.
   */
  mayAccept(high: number, low: number, nowMs: number): ReplayVerdict {
    // HOT PATH
    if (high === 0 && low === 0) return ReplayVerdict.zero;
    const headHigh = this.#head[HEAD_HIGH] as number;
    const headLow = this.#head[HEAD_LOW] as number;
    const ahead = idDistance(high, low, headHigh, headLow);
    if (ahead > 0) return ReplayVerdict.accept;
    if (ahead <= -this.#packets) return ReplayVerdict.behind;
    if (this.#pace !== undefined && this.#isBelowFloor(high, low)) return ReplayVerdict.behind;

    const word = this.#bitmap[(low >>> 5) & this.#wordMask] as number;
    if (((word >>> (low & 31)) & 1) !== 0) return ReplayVerdict.duplicate;
    if (this.#isExpired(high | 0, low | 0, nowMs)) return ReplayVerdict.expired;
    return ReplayVerdict.acceptLate;
  }

  /** Takes the id of an authenticated packet in, if `mayAccept` still says so. */
  accept(high: number, low: number, nowMs: number): ReplayVerdict {
    // HOT PATH
    const verdict = this.mayAccept(high, low, nowMs);
    if (verdict > ReplayVerdict.acceptLate) return verdict;
    if (verdict === ReplayVerdict.accept) this.#advance(high | 0, low | 0, nowMs);
    const index = (low >>> 5) & this.#wordMask;
    this.#bitmap[index] = (this.#bitmap[index] as number) | (1 << (low & 31));
    return verdict;
  }

  /** Moves the head up to a greater id and clears the words that it enters. */
  #advance(high: number, low: number, nowMs: number): void {
    // HOT PATH
    if (((nowMs - this.#markedMs) | 0) >= this.#sliceMs || this.#markCount === 0) {
      this.#mark(nowMs);
    }
    const headHigh = this.#head[HEAD_HIGH] as number;
    const headLow = this.#head[HEAD_LOW] as number;
    const pace = this.#pace;
    if (pace !== undefined) {
      pace.mark(headHigh, headLow, nowMs);
      const needed = pace.moved(high, low);
      if (needed > this.#packets && this.#packets < this.#packetsMax) this.#grow(needed);
    }
    // From the start of the head's word, so that the quotient is the number of words entered.
    const distance = idDistance(high, low, headHigh, headLow & ~31);
    const wordsEntered = Math.min(distance >> 5, this.#bitmap.length);
    const headWord = headLow >>> 5;
    for (let step = 1; step <= wordsEntered; step++) {
      this.#bitmap[(headWord + step) & this.#wordMask] = 0;
    }
    this.#head[HEAD_HIGH] = high;
    this.#head[HEAD_LOW] = low;
    this.#headMs = nowMs;
  }

  /** Takes a larger bitmap, with the ids that the window holds; those behind it stay refused. */
  #grow(needed: number): void {
    const headHigh = this.#head[HEAD_HIGH] as number;
    const headLow = this.#head[HEAD_LOW] as number;
    const before = this.#bitmap;
    const maskBefore = this.#wordMask;
    const wordsKept = this.#packets / 32 + 1;
    if (idDistance(headHigh, headLow, 0, 0) > this.#packets) {
      const floorHigh = headHigh - (headLow >>> 0 < this.#packets ? 1 : 0);
      const floorLow = headLow - this.#packets;
      // It may have grown a moment ago: what was refused then still is.
      if (!this.#isBelowFloor(floorHigh, floorLow)) {
        this.#floor[HEAD_HIGH] = floorHigh;
        this.#floor[HEAD_LOW] = floorLow;
      }
    }
    while (this.#packets < needed && this.#packets < this.#packetsMax) {
      this.#packets = Math.min(this.#packets * 2, this.#packetsMax);
    }
    this.#bitmap = bitmapFor(this.#packets);
    this.#wordMask = this.#bitmap.length - 1;
    const headWord = headLow >>> 5;
    for (let back = 0; back < wordsKept; back++) {
      const word = headWord - back;
      this.#bitmap[word & this.#wordMask] = before[word & maskBefore] as number;
    }
  }

  #isBelowFloor(high: number, low: number): boolean {
    // HOT PATH
    const floorHigh = this.#floor[HEAD_HIGH] as number;
    return idDistance(high, low, floorHigh, this.#floor[HEAD_LOW] as number) <= 0;
  }

  /** Remembers the head that is about to be replaced, and since when it was the head. */
  #mark(nowMs: number): void {
    // HOT PATH
    const at = this.#markNext;
    this.#markHeads[2 * at] = this.#head[HEAD_HIGH] as number;
    this.#markHeads[2 * at + 1] = this.#head[HEAD_LOW] as number;
    this.#markTimes[at] = this.#markCount === 0 ? nowMs : this.#headMs;
    this.#markNext = at + 1 === MARKS ? 0 : at + 1;
    if (this.#markCount < MARKS) this.#markCount += 1;
    this.#markedMs = nowMs;
  }

  /** Whether a head that is older than the lifetime lies above the id. */
  #isExpired(high: number, low: number, nowMs: number): boolean {
    // HOT PATH
    if (((nowMs - this.#headMs) | 0) >= this.#lifetimeMs) return true;
    // Oldest first: under traffic at most two marks are old enough, after a pause all of them.
    let at = this.#markNext - this.#markCount;
    if (at < 0) at += MARKS;
    for (let count = 0; count < this.#markCount; count++) {
      const ageMs = (nowMs - (this.#markTimes[at] as number)) | 0;
      if (ageMs < this.#lifetimeMs) return false;
      const markHigh = this.#markHeads[2 * at] as number;
      const markLow = this.#markHeads[2 * at + 1] as number;
      if (idDistance(high, low, markHigh, markLow) < 0) return true;
      at = at + 1 === MARKS ? 0 : at + 1;
    }
    return false;
  }
}

/** The head's word is only partly filled, so one word more than the window (RFC 6479, 2). */
function bitmapFor(packets: number): Uint32Array {
  return new Uint32Array(2 ** Math.ceil(Math.log2(packets / 32 + 1)));
}
