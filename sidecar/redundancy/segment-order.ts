/**
 * Puts the TCP segments of each flow in order again, by their own sequence numbers. One invariant:
 * whatever comes in is passed on or held, once; what is held waits for its own flow only and no longer
 * than its session allows, and is released by sequence. No I/O, no clock, no bytes of packets.
 *
 * As in a receiver that merges segments (GRO): what continues its flow passes, what is ahead of a hole
 * waits for it, what is behind passes at once, and so does everything that is surprising, after all
 * that waits in its flow. A repetition goes behind what was sent before it: a receiver drops what is older by
 * its timestamp than what it has (RFC 7323, 5). How long waiting is worth it follows what filled the flow's holes: twice the
 * time that took, so that what is really lost holds nothing up for long.
 */

import assert from "node:assert/strict";
import { Counter, type Counters } from "../counters.ts";
import type { TcpSegment } from "../wire/tcp-segment.ts";
import { HeldSegments, NO_PLACE } from "./held-segments.ts";
import { FLOWS_MAX, NO_FLOW, OrderFlows } from "./order-flows.ts";

/** What to do with a segment, and with what is in `ready` then. */
export const OrderVerdict = {
  /** It passes first. */
  pass: 0,
  /** What is ready goes before it. */
  passLast: 1,
  /** It waits in `place`; then what is ready goes. */
  hold: 2,
} as const;
export type OrderVerdict = (typeof OrderVerdict)[keyof typeof OrderVerdict];

/** A segment that is further ahead or behind is none of the stream that we know. */
export const REACH_BYTES: number = 4 * 1024 * 1024;
/** After such a silence a flow begins anew. */
export const FLOW_IDLE_MS = 10_000;
/** Added to twice what it took, as turns of ours come late. */
const PATIENCE_MS_MIN = 2;
/** Patience comes down by an eighth of the way with each hole that is filled sooner. */
const PATIENCE_SHIFT = 3;
/** In the table of flows that have something waiting. */
const NOT_WAITING = -1;

export interface SegmentOrderOptions {
  /** Segments that wait in all, and of one flow. */
  readonly heldMax: number;
  readonly heldPerFlowMax: number;
  readonly seed: number;
  readonly counters: Pick<Counters, "add">;
}

/** The order of all flows of one data plane. */
export class SegmentOrder {
  readonly held: HeldSegments;
  /** Places whose segments are to be passed on now, in this order, `readyCount` of them. */
  readonly ready: Int32Array;
  readyCount = 0;
  /** Of the segment that was held last. */
  place: number = NO_PLACE;
  /** The turn's time, set by the caller. */
  nowMs = 0;
  /** When `expire` is to be called; means nothing unless `isDue`. */
  dueMs = 0;
  isDue = false;

  readonly #flows: OrderFlows;
  readonly #heldPerFlowMax: number;
  readonly #counters: Pick<Counters, "add">;
  /** Flows of which something waits, in no order, and where each is among them. */
  readonly #waiting: Int32Array = new Int32Array(FLOWS_MAX);
  readonly #waitingPlaces: Int32Array = new Int32Array(FLOWS_MAX).fill(NOT_WAITING);
  #waitingCount = 0;

  constructor(options: SegmentOrderOptions) {
    const { heldMax, heldPerFlowMax, seed, counters } = options;
    assert(heldPerFlowMax > 0 && heldPerFlowMax <= heldMax, "a flow has a share of the places");
    this.held = new HeldSegments(heldMax);
    this.ready = new Int32Array(heldMax);
    this.#flows = new OrderFlows(seed);
    this.#heldPerFlowMax = heldPerFlowMax;
    this.#counters = counters;
  }

  /** Segments that wait. */
  get heldCount(): number {
    return this.held.count - this.held.freeCount;
  }

  /**
   * A segment came by `session`, whose segments wait for `delayMs` at most, in a frame of so many bytes.
   * Call it only while `held` is not used up.
   */
  take(segment: TcpSegment, session: number, bytes: number, delayMs: number): OrderVerdict {
    // HOT PATH
    const flows = this.#flows;
    this.readyCount = 0;
    const flow = flows.find(segment, session);
    if (segment.isBoundary) return this.#takeBoundary(segment, session, flow);
    const end = (segment.sequence + segment.payloadBytes) | 0;
    if (flow === NO_FLOW) return this.#begin(segment, session, end);
    const isIdle = ((this.nowMs - (flows.usedMs[flow] as number)) | 0) >= FLOW_IDLE_MS;
    flows.usedMs[flow] = this.nowMs;
    const ahead = (segment.sequence - (flows.expected[flow] as number)) | 0;
    if (ahead !== 0 && (isIdle || ahead > REACH_BYTES || ahead < -REACH_BYTES)) {
      this.#releaseAll(flow, Counter.reorderSurprised);
      flows.expected[flow] = end;
      return this.#passBehind();
    }
    const isAhead = ahead > 0;
    if (!isAhead && !this.held.isLater(segment, flows.heads[flow] as number)) {
      const isNew = ((end - (flows.expected[flow] as number)) | 0) > 0;
      return isNew ? this.#advance(flow, end) : OrderVerdict.pass;
    }
    if ((flows.counts[flow] as number) >= this.#heldPerFlowMax) {
      this.#releaseAll(flow, Counter.reorderCrowded);
      const isNew = ((end - (flows.expected[flow] as number)) | 0) > 0;
      if (isNew) flows.expected[flow] = end;
      return OrderVerdict.passLast;
    }
    flows.delaysMs[flow] = delayMs;
    const patienceMs = flows.patiencesMs[flow] as number;
    if (patienceMs === 0 || patienceMs > delayMs) flows.patiencesMs[flow] = delayMs;
    const isHeld = isAhead
      ? this.#hold(flow, segment, bytes)
      : this.#holdBack(flow, segment, bytes);
    if (!isHeld) return OrderVerdict.pass;
    this.#counters.add(Counter.reorderHeld, 1);
    // The next one is to find room: who has most gives way.
    if (this.held.freeCount === 0) this.#releaseAll(this.#largest(), Counter.reorderCrowded);
    return OrderVerdict.hold;
  }

  /** Makes ready what has waited for long enough; sets when to be called again. */
  expire(): void {
    this.readyCount = 0;
    this.isDue = false;
    // From the last one on: whoever is done makes room for it.
    for (let at = this.#waitingCount - 1; at >= 0; at--) {
      const flow = this.#waiting[at] as number;
      if (((this.nowMs - (this.#flows.duesMs[flow] as number)) | 0) >= 0) this.#expireFlow(flow);
      else this.#arm(this.#flows.duesMs[flow] as number);
    }
  }

  /** The session is over, or its order does not matter any more: makes ready what waits. */
  endSession(session: number): void {
    this.readyCount = 0;
    for (let flow = 0; flow < FLOWS_MAX; flow++) {
      if (this.#flows.sessions[flow] !== session) continue;
      this.#releaseAll(flow, Counter.reorderEnded);
      this.#flows.free(flow);
    }
  }

  /** A stream begins, and then we know what comes first; or it ends. */
  #takeBoundary(segment: TcpSegment, session: number, flow: number): OrderVerdict {
    // HOT PATH
    if (flow !== NO_FLOW) {
      this.#releaseAll(flow, Counter.reorderSurprised);
      this.#flows.free(flow);
    }
    const verdict = this.#passBehind();
    if (!segment.isFirst) return verdict;
    this.#begin(segment, session, (segment.sequence + 1 + segment.payloadBytes) | 0);
    return verdict;
  }

  #begin(segment: TcpSegment, session: number, end: number): OrderVerdict {
    // HOT PATH
    const flows = this.#flows;
    const flow = flows.roomFor(segment, session, this.nowMs);
    if (flows.sessions[flow] !== 0) {
      this.#releaseAll(flow, Counter.reorderEvicted);
      flows.free(flow);
    }
    flows.put(flow, segment, session);
    flows.expected[flow] = end;
    flows.usedMs[flow] = this.nowMs;
    return OrderVerdict.pass;
  }

  /** The flow goes on up to `end`, and with what waited for that. */
  #advance(flow: number, end: number): OrderVerdict {
    // HOT PATH
    const flows = this.#flows;
    flows.expected[flow] = end;
    const head = flows.heads[flow] as number;
    if (head === NO_PLACE) return OrderVerdict.pass;
    this.#releaseInOrder(flow, Counter.reorderFilled);
    if (this.readyCount !== 0) {
      this.#learn(flow, (this.nowMs - (this.held.sinceMs[head] as number)) | 0);
      this.#settle(flow);
    }
    return OrderVerdict.pass;
  }

  /** It passes, behind what is ready. */
  #passBehind(): OrderVerdict {
    // HOT PATH
    return this.readyCount === 0 ? OrderVerdict.pass : OrderVerdict.passLast;
  }

  /** Ahead of a hole: it waits among the others by its number, unless it is here already. */
  #hold(flow: number, segment: TcpSegment, bytes: number): boolean {
    // HOT PATH
    const flows = this.#flows;
    const { held } = this;
    const { sequence } = segment;
    const tail = flows.tails[flow] as number;
    let before = tail;
    let after: number = NO_PLACE;
    if (tail !== NO_PLACE && ((sequence - (held.sequences[tail] as number)) | 0) <= 0) {
      before = NO_PLACE;
      after = flows.heads[flow] as number;
      while (((sequence - (held.sequences[after] as number)) | 0) > 0) {
        before = after;
        after = held.next[after] as number;
      }
      // It waits here already.
      if (held.sequences[after] === sequence) return false;
      if (this.held.isLater(segment, after)) {
        const end = (sequence + segment.payloadBytes) | 0;
        // Nobody else will fill that hole.
        if (((end - (held.sequences[after] as number)) | 0) >= 0) held.sequences[after] = sequence;
        return this.#holdBack(flow, segment, bytes);
      }
    }
    const place = this.#put(flow, segment, bytes);
    held.sequences[place] = sequence;
    held.ends[place] = (sequence + segment.payloadBytes) | 0;
    held.next[place] = after;
    if (before === NO_PLACE) flows.heads[flow] = place;
    else held.next[before] = place;
    if (after === NO_PLACE) flows.tails[flow] = place;
    if (flows.counts[flow] !== 1) return true;
    this.#wait(flow, (this.nowMs + (flows.patiencesMs[flow] as number)) | 0);
    return true;
  }

  /** Sent again after what waits: it goes behind that, and the hole that it fills is none any more. */
  #holdBack(flow: number, segment: TcpSegment, bytes: number): boolean {
    // HOT PATH
    const flows = this.#flows;
    const { held } = this;
    const tail = flows.tails[flow] as number;
    const place = this.#put(flow, segment, bytes);
    held.sequences[place] = held.sequences[tail] as number;
    held.ends[place] = held.sequences[tail] as number;
    held.next[place] = NO_PLACE;
    held.next[tail] = place;
    flows.tails[flow] = place;
    const expected = flows.expected[flow] as number;
    const end = (segment.sequence + segment.payloadBytes) | 0;
    const isNext = ((segment.sequence - expected) | 0) <= 0 && ((end - expected) | 0) > 0;
    if (!isNext) return true;
    flows.expected[flow] = end;
    this.#releaseInOrder(flow, Counter.reorderFilled);
    if (this.readyCount !== 0) this.#settle(flow);
    return true;
  }

  /** A place for a segment, whose links and numbers the caller sets. */
  #put(flow: number, segment: TcpSegment, bytes: number): number {
    // HOT PATH
    const flows = this.#flows;
    const { held } = this;
    const place = held.take();
    held.sinceMs[place] = this.nowMs;
    held.stamp(place, segment);
    held.sessions[place] = flows.sessions[flow] as number;
    held.bytes[place] = bytes;
    flows.counts[flow] = (flows.counts[flow] as number) + 1;
    this.place = place;
    return place;
  }

  /** Releases up to the last one that is due, and what follows it without a hole. */
  #expireFlow(flow: number): void {
    const flows = this.#flows;
    const { held, nowMs } = this;
    const patienceMs = flows.patiencesMs[flow] as number;
    let last: number = NO_PLACE;
    for (let at = flows.heads[flow] as number; at !== NO_PLACE; at = held.next[at] as number) {
      if (((nowMs - (held.sinceMs[at] as number) - patienceMs) | 0) >= 0) last = at;
    }
    // What is missing comes later than that, or not at all.
    if (last !== NO_PLACE) {
      flows.patiencesMs[flow] = Math.min(flows.delaysMs[flow] as number, 2 * patienceMs);
    }
    while (last !== NO_PLACE) {
      if (this.#releaseHead(flow, Counter.reorderExpired) === last) break;
    }
    this.#releaseInOrder(flow, Counter.reorderExpired);
    this.#settle(flow);
  }

  #releaseInOrder(flow: number, reason: Counter): void {
    // HOT PATH
    const flows = this.#flows;
    const { held } = this;
    while (flows.counts[flow] !== 0) {
      const head = flows.heads[flow] as number;
      const ahead = ((held.sequences[head] as number) - (flows.expected[flow] as number)) | 0;
      if (ahead > 0) return;
      this.#releaseHead(flow, reason);
    }
  }

  #releaseAll(flow: number, reason: Counter): void {
    // HOT PATH
    if (this.#flows.counts[flow] === 0) return;
    while (this.#flows.counts[flow] !== 0) this.#releaseHead(flow, reason);
    this.#settle(flow);
  }

  /** Makes the first of a flow's segments ready; its place. */
  #releaseHead(flow: number, reason: Counter): number {
    // HOT PATH
    const flows = this.#flows;
    const { held } = this;
    const place = flows.heads[flow] as number;
    const end = held.ends[place] as number;
    flows.heads[flow] = held.next[place] as number;
    flows.counts[flow] = (flows.counts[flow] as number) - 1;
    if (flows.counts[flow] === 0) flows.tails[flow] = NO_PLACE;
    if (((end - (flows.expected[flow] as number)) | 0) > 0) flows.expected[flow] = end;
    this.ready[this.readyCount] = place;
    this.readyCount += 1;
    held.giveBack(place);
    this.#counters.add(reason, 1);
    this.#counters.add(Counter.reorderHeldMs, (this.nowMs - (held.sinceMs[place] as number)) | 0);
    return place;
  }

  /** A hole was filled after so long. */
  #learn(flow: number, tookMs: number): void {
    // HOT PATH
    const { patiencesMs, delaysMs } = this.#flows;
    const before = patiencesMs[flow] as number;
    const worthMs = Math.min(delaysMs[flow] as number, 2 * tookMs + PATIENCE_MS_MIN);
    const down = (before - worthMs + (1 << PATIENCE_SHIFT) - 1) >> PATIENCE_SHIFT;
    patiencesMs[flow] = before > worthMs ? before - down : worthMs;
  }

  /** Something of the flow was released: until when the rest may wait. */
  #settle(flow: number): void {
    // HOT PATH
    const flows = this.#flows;
    const { held } = this;
    let at = flows.heads[flow] as number;
    if (at === NO_PLACE) {
      this.#stopWaiting(flow);
      return;
    }
    let sinceMs = held.sinceMs[at] as number;
    for (at = held.next[at] as number; at !== NO_PLACE; at = held.next[at] as number) {
      if ((((held.sinceMs[at] as number) - sinceMs) | 0) < 0) sinceMs = held.sinceMs[at] as number;
    }
    this.#wait(flow, (sinceMs + (flows.patiencesMs[flow] as number)) | 0);
  }

  #wait(flow: number, dueMs: number): void {
    // HOT PATH
    this.#flows.duesMs[flow] = dueMs;
    this.#arm(dueMs);
    if (this.#waitingPlaces[flow] !== NOT_WAITING) return;
    this.#waiting[this.#waitingCount] = flow;
    this.#waitingPlaces[flow] = this.#waitingCount;
    this.#waitingCount += 1;
  }

  #stopWaiting(flow: number): void {
    // HOT PATH
    const place = this.#waitingPlaces[flow] as number;
    if (place === NOT_WAITING) return;
    this.#waitingCount -= 1;
    const last = this.#waiting[this.#waitingCount] as number;
    this.#waiting[place] = last;
    this.#waitingPlaces[last] = place;
    this.#waitingPlaces[flow] = NOT_WAITING;
  }

  #arm(dueMs: number): void {
    // HOT PATH
    if (this.isDue && ((dueMs - this.dueMs) | 0) >= 0) return;
    this.isDue = true;
    this.dueMs = dueMs;
  }

  /** The flow of which most waits; there is one. */
  #largest(): number {
    const { counts } = this.#flows;
    let largest = this.#waiting[0] as number;
    for (let at = 1; at < this.#waitingCount; at++) {
      const flow = this.#waiting[at] as number;
      if ((counts[flow] as number) > (counts[largest] as number)) largest = flow;
    }
    return largest;
  }
}
