/**
 * The paths of one session and which of them its packets leave by. No I/O, no clock. One
 * invariant: a path is sent on only while it is usable (its uplink says so) and alive (heard
 * within the probes' patience), unless no path is: then those that worked are tried, or the least
 * bad one, never none.
 *
 * The dialling end numbers the paths (one per uplink), probes them and decides; the listening
 * end learns them from authenticated packets and follows what the probes say.
 */

import assert from "node:assert/strict";
import { choosePaths } from "./path-choice.ts";
import {
  ALL_CLASSES,
  type CopiedClasses,
  type PathPolicy,
  type ProbeSettings,
} from "./path-settings.ts";
import {
  type PathMeasures,
  PathState,
  type PathView,
  type ProbeReply,
  type ReplyCheck,
} from "./path-state.ts";

/** Paths of one session: uplinks of the dialling end. */
export const PATHS_MAX = 8;
/** What `find` and `best` return for none. */
export const NO_PATH = -1;

/** What the dialling end does with a path, as its probes and answers say. */
export interface PathUse {
  readonly isWanted: boolean;
  /** No other path is. */
  readonly isOnly: boolean;
}

/** Why the choice changed. */
export type PathChange = "none" | "up" | "lossy" | "clean";

/** Delays are told within 16 bits; clocks that drift that far apart begin anew. */
const DELAY_MS_MAX = 16_000;
/** A path that is to be checked is asked this often at most. */
const CHALLENGE_MS_MIN = 50;

/** The paths of one session. */
export class PathSet {
  /** Paths that packets leave by, `sendCount` of them: every packet by each, unless `isSpread`. */
  readonly sendPaths: Int32Array = new Int32Array(PATHS_MAX);
  sendCount = 0;
  /** Each packet leaves by one of the paths, in turn. */
  isSpread = false;
  /** By which path depends on the frame: `aimed` or `isSingle` is set for each. */
  isChoosy = false;
  /** With `isSpread`: where in `sendPaths` the next packet's path is; -1: any. */
  aimed = -1;
  /** Without: the next packet leaves by the first path alone. */
  isSingle = false;
  /** When flows heard last of each path's load. */
  lookedAtLoadsMs = 0;
  #turn = 0;
  #classes: CopiedClasses = ALL_CLASSES;
  readonly #paths: PathState[] = Array.from({ length: PATHS_MAX }, () => new PathState());
  #policy: PathPolicy = "Failover";
  #delayFromMs = 0;
  #copies = PATHS_MAX;
  #lookedMs = 0;

  /** Sets how paths are used; `copies` bounds duplication. */
  setPolicy(policy: PathPolicy, copies: number): void {
    const copiesMax = Math.max(1, Math.min(copies, PATHS_MAX));
    if (policy === this.#policy && copiesMax === this.#copies) return;
    this.#policy = policy;
    this.#copies = copiesMax;
    this.#choose();
  }

  /** Which classes are copied. */
  setClasses(classes: CopiedClasses): void {
    this.#classes = classes;
    this.#choose();
  }

  /** Only some classes are. */
  get hasClasses(): boolean {
    return (this.#classes.high & this.#classes.low) !== -1;
  }

  /** Whether a frame of this class is copied; without one it is not, unless everything is. */
  isCopied(dscp: number): boolean {
    // HOT PATH
    const { high, low } = this.#classes;
    if (dscp < 0) return false;
    return (((dscp < 32 ? low : high) >>> (dscp & 31)) & 1) !== 0;
  }

  /** What a path takes beside others. */
  setWeight(path: number, weight: number): void {
    this.#at(path).weight = Math.max(1, weight);
  }

  weightOf(path: number): number {
    // HOT PATH
    return this.#paths[path]?.weight ?? 1;
  }

  /** Bytes a second that the path carried at least; 0: unknown. */
  capacityOf(path: number): number {
    return this.#paths[path]?.out.bytesPerSecond ?? 0;
  }

  /** It was full then. */
  isFull(path: number): boolean {
    return this.#paths[path]?.out.isFull ?? false;
  }

  get policy(): PathPolicy {
    return this.#policy;
  }

  /** With `isSpread`: which of `sendPaths` the next packet leaves by. */
  takeTurn(): number {
    // HOT PATH
    const { aimed } = this;
    this.aimed = -1;
    if (aimed >= 0 && aimed < this.sendCount) return aimed;
    this.#turn = this.#turn + 1 < this.sendCount ? this.#turn + 1 : 0;
    return this.#turn;
  }

  /** Adds a path that may be sent on at once: the one that the session was begun on. */
  open(path: number, priority: number, nowMs: number): void {
    const state = this.#at(path);
    state.isKnown = true;
    state.isUsable = true;
    state.isWanted = true;
    state.priority = priority;
    state.heardMs = nowMs;
    state.repliedMs = nowMs;
    state.rise();
    this.#choose();
  }

  /** Adds a path that has yet to show that it works. */
  propose(path: number, priority: number, isUsable: boolean): void {
    const state = this.#at(path);
    state.isKnown = true;
    state.isUsable = isUsable;
    state.isAlive = false;
    state.isWanted = true;
    state.priority = priority;
    this.#choose();
  }

  /** Its uplink is no longer declared: it stays only until another path works. */
  leave(path: number): void {
    this.#at(path).isLeaving = true;
    this.#choose();
  }

  /** Its uplink is declared, with this priority. */
  stay(path: number, priority: number): void {
    const state = this.#at(path);
    state.isLeaving = false;
    state.priority = priority;
    this.#choose();
  }

  /** Takes every usable path for alive: all that can be done towards a peer without probes. */
  hope(nowMs: number): void {
    for (const state of this.#paths) {
      if (!state.isKnown || !state.isUsable) continue;
      state.heardMs = nowMs;
      state.repliedMs = nowMs;
      state.rise();
    }
    this.#choose();
  }

  /** The uplink of a path came or went; true when the choice changed by it. */
  setUsable(path: number, isUsable: boolean): boolean {
    const state = this.#at(path);
    if (!state.isKnown || state.isUsable === isUsable) return false;
    state.isUsable = isUsable;
    if (isUsable) state.repliesInRow = 0;
    else state.fall();
    return this.#choose();
  }

  isKnown(path: number): boolean {
    return this.#at(path).isKnown;
  }

  isUsable(path: number): boolean {
    return this.#at(path).isUsable;
  }

  isAlive(path: number): boolean {
    return this.#at(path).isAlive;
  }

  /** Whether packets leave by this path now. */
  isActive(path: number): boolean {
    for (let at = 0; at < this.sendCount; at++) if (this.sendPaths[at] === path) return true;
    return false;
  }

  /** A free number for a path that a peer opened, or the longest silent one's that is not in use. */
  takePlace(nowMs: number): number {
    let place = NO_PATH;
    let silentMs = -1;
    for (let path = 0; path < PATHS_MAX; path++) {
      const state = this.#at(path);
      if (!state.isKnown) return path;
      const pathSilentMs = (nowMs - state.heardMs) | 0;
      if (!this.isActive(path) && pathSilentMs > silentMs) {
        place = path;
        silentMs = pathSilentMs;
      }
    }
    return place;
  }

  forget(path: number): void {
    this.#at(path);
    this.#paths[path] = new PathState();
    this.#choose();
  }

  /** An authenticated packet came by this path. */
  heard(path: number, nowMs: number): void {
    // HOT PATH
    const state = this.#paths[path];
    if (state !== undefined) state.heardMs = nowMs;
  }

  /** The next probe's number on a path. */
  takeSequence(path: number): number {
    const state = this.#at(path);
    state.sequence = (state.sequence + 1) >>> 0;
    return state.sequence;
  }

  /**
   * A probe or its reply took so long by a path, counted from any moment that is the same for all of
   * them, 16 bits of it.
   */
  arrivedAfter(path: number, delayMs: number): void {
    const distanceMs = ((delayMs - this.#delayFromMs) << 16) >> 16;
    if (Math.abs(distanceMs) > DELAY_MS_MAX) {
      this.#delayFromMs = delayMs;
      for (const state of this.#paths) state.delayMs = undefined;
      this.#at(path).delayed(0);
    } else this.#at(path).delayed(distanceMs);
  }

  /** An authentic packet came by a path: counts those behind a later one of their key. */
  arrived(path: number, keyId: number, id: number): void {
    // HOT PATH
    this.#paths[path]?.arrived(keyId, id);
  }

  /** What is known of how much the path takes. */
  measuresOf(path: number): PathMeasures {
    return this.#at(path);
  }

  received(path: number): number {
    return this.#at(path).received;
  }

  /** A reply came back (dialling end). */
  replied(path: number, reply: ProbeReply, settings: ProbeSettings): PathChange {
    const state = this.#at(path);
    if (!state.isKnown) return "none";
    const wasLossy = state.isLossy;
    state.measure(reply, settings);
    state.repliesInRow += 1;
    const change = wasLossy === state.isLossy ? "none" : state.isLossy ? "lossy" : "clean";
    if (change !== "none") this.#choose();
    if (state.isAlive || !state.isUsable || !state.isSteady(settings)) return change;
    state.rise();
    this.#choose();
    return "up";
  }

  /** A probe arrived (listening end), and the dialling end says what the path is for. */
  probed(path: number, use: PathUse): void {
    const state = this.#at(path);
    state.received = (state.received + 1) >>> 0;
    if (state.isAlive) this.#use(state, use);
  }

  /** Asks for an answer on a path that is not alive, unless it was asked lately; 0: do not ask. */
  challenge(path: number, token: number, nowMs: number): number {
    const state = this.#at(path);
    if (!state.isKnown || state.isAlive) return 0;
    const isRecent = ((nowMs - state.challengedMs) | 0) < CHALLENGE_MS_MIN;
    if (state.challenge !== 0 && isRecent) return 0;
    // The same question again: an answer that is on its way counts.
    if (state.challenge === 0) state.challenge = token;
    state.challengedMs = nowMs;
    return state.challenge;
  }

  /** The peer answered: it really is at that address, so packets may go there. */
  answered(path: number, token: number, use: PathUse): boolean {
    const state = this.#at(path);
    if (!state.isKnown || state.challenge === 0 || state.challenge !== token) return false;
    state.challenge = 0;
    state.isUsable = true;
    state.rise();
    this.#use(state, use);
    return true;
  }

  #use(state: PathState, use: PathUse): void {
    state.isWanted = use.isWanted;
    if (use.isWanted && use.isOnly) {
      for (const other of this.#paths) if (other !== state) other.isWanted = false;
    }
    this.#choose();
  }

  /** Declares a path dead after so much silence; true when it lived until now. */
  checkSilence(path: number, silentMsMax: number, nowMs: number): boolean {
    const state = this.#at(path);
    if (!state.isKnown || !state.isAlive) return false;
    return ((nowMs - state.heardMs) | 0) >= silentMsMax && this.#leave(state, nowMs);
  }

  /** The same for want of replies to probes (dialling end). */
  checkReplies(path: number, settings: ProbeSettings, nowMs: number): ReplyCheck {
    const state = this.#at(path);
    if (!state.isKnown || !state.isAlive) return "fine";
    const check = state.checkReplies(settings, nowMs);
    if (check === "dead") this.#leave(state, nowMs);
    return check;
  }

  /** This end looks for silence, every `lookMs`; time that passed without a look is nobody's silence. */
  looked(lookMs: number, nowMs: number): void {
    const missedMs = ((nowMs - this.#lookedMs) | 0) - lookMs;
    this.#lookedMs = nowMs;
    if (missedMs <= lookMs) return;
    for (const state of this.#paths) if (state.isKnown) state.forgive(missedMs, nowMs);
  }

  #leave(state: PathState, nowMs: number): true {
    state.fall(nowMs);
    if (!this.#paths.some(({ isAlive }) => isAlive)) {
      for (const other of this.#paths) other.excuse(nowMs);
    }
    this.#choose();
    return true;
  }

  /** How much later than by the quickest path something arrives by the slowest; 0: unknown. */
  get skewMs(): number {
    const delays = this.#paths.flatMap(({ delayMs, isAlive }) => (isAlive ? (delayMs ?? []) : []));
    return delays.length === 0 ? 0 : Math.max(...delays) - Math.min(...delays);
  }

  views(): PathView[] {
    const delays = this.#paths.flatMap(({ delayMs = [] }) => delayMs);
    const leastMs = Math.min(...delays);
    return this.#paths.flatMap((state, path) =>
      state.isKnown ? [state.view(path, this.isActive(path), leastMs)] : [],
    );
  }

  /** Fills `sendPaths`; true when it changed. */
  #choose(): boolean {
    const before = this.sendPaths.slice(0, this.sendCount);
    const chosen = choosePaths(this.#paths, {
      policy: this.#policy,
      copies: this.#copies,
      isActive: (path) => this.isActive(path),
    });
    const isEach = this.#policy === "Failover" || this.#policy === "Duplicate";
    this.isSpread = !isEach && chosen.length > 1;
    this.isChoosy =
      chosen.length > 1 &&
      (this.#policy === "Balance" || (this.#policy === "Duplicate" && this.hasClasses));
    this.sendCount = chosen.length;
    this.sendPaths.set(chosen);
    assert(this.sendCount <= PATHS_MAX, "no path is chosen twice");
    return before.length !== chosen.length || before.some((path, at) => path !== chosen[at]);
  }

  #at(path: number): PathState {
    const state = this.#paths[path];
    assert(state !== undefined, "a path has a number below PATHS_MAX");
    return state;
  }
}
