/**
 * How many control packets are handed on: token buckets of all strangers together and of each session.
 * Two invariants: copies of one session's packets, which anybody on its path can make, cost the others
 * nothing; and however much one source sends, a source that was quiet finds the strangers' bucket at
 * least half full.
 */

import {
  CONTROL_BURST,
  CONTROL_PER_SECOND,
  SESSIONS_MAX,
  SOURCE_BURST,
  SOURCE_PER_SECOND,
} from "./limits.ts";
import { DESCRIPTOR_WORDS, PathWord } from "./native/layout.ts";

/** Place of all strangers together; a session's place is its number. */
const STRANGERS = 0;
/** A bucket is full again after this long, so nothing is lost by not counting further. */
const TOP_UP_MS_MAX = 10_000;
/** Strangers' sources share so many buckets, by a hash that nobody outside knows. */
const SOURCES = 1024;
const SOURCE_SHIFT = 22;
/** Third word of a v4-mapped address. */
const MAPPED = 0xffff;

/** The buckets of one data plane. */
export class ControlTokens {
  readonly #sessions = new Buckets(SESSIONS_MAX + 1, CONTROL_PER_SECOND, CONTROL_BURST);
  readonly #sources = new Buckets(SOURCES, SOURCE_PER_SECOND, SOURCE_BURST);
  readonly #seed: number;

  /** `seed`: of the sources' hash, 31 bits. */
  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  /** A packet of session `place`: `CONTROL_PER_SECOND` on average, `CONTROL_BURST` at once. */
  take(place: number, nowMs: number): boolean {
    return this.#sessions.take(place, nowMs);
  }

  /** A packet from the remote address in row `arrival`, where no session is. */
  takeStranger(arrivals: Int32Array, arrival: number, nowMs: number): boolean {
    const isHalfEmpty = this.#sessions.tokens(STRANGERS, nowMs) < CONTROL_BURST / 2;
    if (isHalfEmpty && !this.#sources.take(this.#sourceOf(arrivals, arrival), nowMs)) return false;
    return this.#sessions.take(STRANGERS, nowMs);
  }

  /** An IPv4 address, or the network that an IPv6 host has to itself (64 bits). */
  #sourceOf(arrivals: Int32Array, arrival: number): number {
    const at = arrival * DESCRIPTOR_WORDS + PathWord.remoteIp;
    const isMapped = arrivals[at] === 0 && arrivals[at + 1] === 0 && arrivals[at + 2] === MAPPED;
    const one = arrivals[isMapped ? at + 3 : at] as number;
    const other = isMapped ? 0 : (arrivals[at + 1] as number);
    let hash = Math.imul(one ^ this.#seed, 0x9e37_79b1);
    hash = Math.imul((hash ^ (hash >>> 15)) + other, 0x85eb_ca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
    return (hash ^ (hash >>> 16)) >>> SOURCE_SHIFT;
  }
}

/** Buckets of one rate and size. */
class Buckets {
  readonly #perSecond: number;
  readonly #burst: number;
  /** Thousandths of a token. */
  readonly #milliTokens: Int32Array;
  /** When they were last topped up. */
  readonly #toppedUpMs: Int32Array;

  constructor(count: number, perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#milliTokens = new Int32Array(count).fill(burst * 1000);
    this.#toppedUpMs = new Int32Array(count);
  }

  /** Whole and broken tokens in a bucket, now. */
  tokens(place: number, nowMs: number): number {
    return this.#topUp(place, nowMs) / 1000;
  }

  /** Takes one token; false when there is none. */
  take(place: number, nowMs: number): boolean {
    const tokens = this.#topUp(place, nowMs);
    if (tokens < 1000) return false;
    this.#milliTokens[place] = tokens - 1000;
    return true;
  }

  #topUp(place: number, nowMs: number): number {
    const passedMs = Math.max(0, (nowMs - (this.#toppedUpMs[place] as number)) | 0);
    const gained = Math.min(passedMs, TOP_UP_MS_MAX) * this.#perSecond;
    const tokens = Math.min(this.#burst * 1000, (this.#milliTokens[place] as number) + gained);
    this.#toppedUpMs[place] = nowMs;
    this.#milliTokens[place] = tokens;
    return tokens;
  }
}
