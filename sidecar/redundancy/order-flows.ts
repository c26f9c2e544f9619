/**
 * The flows whose segments are put in order: a bounded table, eight places for each hash. One invariant:
 * a flow is in one place at most; where all eight are taken, a flow of the session that has most of them
 * gives way, the one that was silent for longest. No I/O, no clock.
 */

import { FLOW_WORDS, type TcpSegment } from "../wire/tcp-segment.ts";
import { NO_PLACE } from "./held-segments.ts";

/** No such flow. */
export const NO_FLOW = -1;

const WAYS = 8;
const SETS = 64;
/** Flows of one data plane: 64 sets of eight. Full: see above; that flow is passed on as it comes. */
export const FLOWS_MAX: number = SETS * WAYS;
/** Who has a place that nobody has. */
const NOBODY = 0;
const MULTIPLIER = 0x9e3779b1 | 0;

/** The table. */
export class OrderFlows {
  /** Session of each flow; 0: the place is free. */
  readonly sessions: Int32Array = new Int32Array(FLOWS_MAX);
  /** The sequence number that comes next. */
  readonly expected: Int32Array = new Int32Array(FLOWS_MAX);
  /** When a segment came last. */
  readonly usedMs: Int32Array = new Int32Array(FLOWS_MAX);
  /** Its segments that wait, by sequence: the first, the last, how many, until when. */
  readonly heads: Int32Array = new Int32Array(FLOWS_MAX).fill(NO_PLACE);
  readonly tails: Int32Array = new Int32Array(FLOWS_MAX).fill(NO_PLACE);
  readonly counts: Int32Array = new Int32Array(FLOWS_MAX);
  readonly duesMs: Int32Array = new Int32Array(FLOWS_MAX);
  /** The longest that one may wait, and how long it is worth waiting; 0: nothing has waited yet. */
  readonly delaysMs: Int32Array = new Int32Array(FLOWS_MAX);
  readonly patiencesMs: Int32Array = new Int32Array(FLOWS_MAX);
  readonly #names: Int32Array = new Int32Array(FLOWS_MAX * FLOW_WORDS);
  /** Peers do not know which flows share a set. */
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Where the flow of a segment is, or NO_FLOW. */
  find(segment: TcpSegment, session: number): number {
    // HOT PATH
    const first = this.#firstOf(segment, session);
    for (let flow = first; flow < first + WAYS; flow++) {
      if (this.sessions[flow] === session && this.#isNamed(flow, segment.flow)) return flow;
    }
    return NO_FLOW;
  }

  /** Where a flow that is not here may go: a free place, or one whose flow has to give way first. */
  roomFor(segment: TcpSegment, session: number, nowMs: number): number {
    // HOT PATH
    const { sessions, usedMs } = this;
    const first = this.#firstOf(segment, session);
    let worst = first;
    let worstShare = 0;
    for (let flow = first; flow < first + WAYS; flow++) {
      if (sessions[flow] === NOBODY) return flow;
      let share = 0;
      for (let other = first; other < first + WAYS; other++) {
        if (sessions[other] === sessions[flow]) share += 1;
      }
      const silentMs = (nowMs - (usedMs[flow] as number)) | 0;
      const worstSilentMs = (nowMs - (usedMs[worst] as number)) | 0;
      if (share < worstShare || (share === worstShare && silentMs <= worstSilentMs)) continue;
      worst = flow;
      worstShare = share;
    }
    return worst;
  }

  /** Puts a flow into a place that nobody has; nothing of it waits. */
  put(flow: number, segment: TcpSegment, session: number): void {
    // HOT PATH
    const at = flow * FLOW_WORDS;
    for (let word = 0; word < FLOW_WORDS; word++) {
      this.#names[at + word] = segment.flow[word] as number;
    }
    this.sessions[flow] = session;
    this.patiencesMs[flow] = 0;
  }

  /** Frees a place; nothing of its flow waits. */
  free(flow: number): void {
    // HOT PATH
    this.sessions[flow] = NOBODY;
  }

  #firstOf(segment: TcpSegment, session: number): number {
    // HOT PATH
    const product = Math.imul(segment.hash ^ this.#seed ^ session, MULTIPLIER);
    return ((product ^ (product >>> 15)) & (SETS - 1)) * WAYS;
  }

  #isNamed(flow: number, name: Int32Array): boolean {
    // HOT PATH
    const at = flow * FLOW_WORDS;
    for (let word = 0; word < FLOW_WORDS; word++) {
      if (this.#names[at + word] !== name[word]) return false;
    }
    return true;
  }
}
