/** The order of segments under test, and a naive model of it that counts bytes without a wrap and keeps lists. */
import assert from "node:assert/strict";
import { Counters } from "../counters.ts";
import { TcpSegment } from "../wire/tcp-segment.ts";
import { FLOW_IDLE_MS, OrderVerdict, REACH_BYTES, SegmentOrder } from "./segment-order.ts";

export const SESSION = 3;
/** The longest that a segment of the model waits. */
export const DELAY_MS = 10;
const FIRST_STAMP = 2 ** 31 - 20;

/** One segment; `at` counts bytes of its flow from 0, for ever. */
export interface Wish {
  readonly flow: number;
  readonly at: number;
  readonly bytes: number;
  /** When it was sent. */
  readonly stamp?: number;
  readonly boundary?: "first" | "last";
}

/** The table under test; a segment is known by its number. */
export class Tested {
  readonly counters: Counters = new Counters();
  readonly order: SegmentOrder;
  readonly #numbers = new Map<number, number>();
  readonly #firsts: readonly number[];
  readonly #segment = new TcpSegment();

  constructor(heldMax: number, heldPerFlowMax: number, firsts: readonly number[]) {
    this.order = new SegmentOrder({ heldMax, heldPerFlowMax, seed: 7, counters: this.counters });
    this.#firsts = firsts;
  }

  /** Numbers that come out, in their order. */
  take(number: number, wish: Wish, delayMs: number, session: number = SESSION): number[] {
    const { order } = this;
    const segment = this.#segment;
    if (order.held.isUsedUp) order.held.recycle();
    segment.flow.fill(0);
    segment.flow[1] = wish.flow;
    segment.hash = Math.imul(wish.flow, 0x01000193);
    segment.sequence = ((this.#firsts[wish.flow] ?? 0) + wish.at) | 0;
    segment.payloadBytes = wish.bytes;
    segment.hasTimestamp = wish.stamp !== undefined;
    segment.timestamp = (FIRST_STAMP + (wish.stamp ?? 0)) | 0;
    segment.isBoundary = wish.boundary !== undefined;
    segment.isFirst = wish.boundary === "first";
    const verdict = order.take(segment, session, 100, delayMs);
    if (verdict === OrderVerdict.hold) {
      assert(!this.#numbers.has(order.place), "a place belongs to one segment");
      this.#numbers.set(order.place, number);
      return this.ready();
    }
    return verdict === OrderVerdict.pass ? [number, ...this.ready()] : [...this.ready(), number];
  }

  ready(): number[] {
    const places = [...this.order.ready.subarray(0, this.order.readyCount)];
    return places.map((place) => {
      const number = this.#numbers.get(place);
      assert(number !== undefined, "what is ready was held");
      this.#numbers.delete(place);
      return number;
    });
  }

  /** What `expire` makes ready. */
  expire(nowMs: number): number[] {
    this.order.nowMs = nowMs;
    this.order.expire();
    return this.ready();
  }
}

interface Waiting {
  readonly number: number;
  at: number;
  readonly end: number;
  readonly stamp: number;
  readonly sinceMs: number;
}

interface ModelFlow {
  expected: number;
  usedMs: number;
  patienceMs: number;
  waiting: Waiting[];
}

/** The same with lists, for few flows. */
export class Model {
  readonly flows: Map<number, ModelFlow> = new Map();
  readonly #heldMax: number;
  readonly #heldPerFlowMax: number;

  constructor(heldMax: number, heldPerFlowMax: number) {
    this.#heldMax = heldMax;
    this.#heldPerFlowMax = heldPerFlowMax;
  }

  get heldCount(): number {
    return [...this.flows.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  /** What comes out; undefined: all that waits of one of the flows of which most does. */
  take(number: number, wish: Wish, nowMs: number): number[] | undefined {
    const { at, bytes } = wish;
    const end = at + bytes;
    const flow = this.flows.get(wish.flow);
    if (wish.boundary !== undefined) {
      const out = flow === undefined ? [] : all(flow);
      this.flows.delete(wish.flow);
      if (wish.boundary === "first") {
        this.flows.set(wish.flow, { ...fresh(end + 1), usedMs: nowMs });
      }
      return [...out, number];
    }
    if (flow === undefined) {
      this.flows.set(wish.flow, { ...fresh(end), usedMs: nowMs });
      return [number];
    }
    const isIdle = nowMs - flow.usedMs >= FLOW_IDLE_MS;
    flow.usedMs = nowMs;
    const isFar = Math.abs(at - flow.expected) > REACH_BYTES;
    if (at !== flow.expected && (isIdle || isFar)) {
      const out = all(flow);
      flow.expected = end;
      return [...out, number];
    }
    const stamp = wish.stamp ?? Number.NaN;
    const [head] = flow.waiting;
    const isAgain = at <= flow.expected && head !== undefined && stamp > head.stamp;
    if (at <= flow.expected && !isAgain) {
      flow.expected = Math.max(flow.expected, end);
      const [first] = flow.waiting;
      const out = next(flow);
      if (first !== undefined && out.length > 0) learn(flow, nowMs - first.sinceMs);
      return [number, ...out];
    }
    const before = flow.expected;
    if (flow.waiting.length >= this.#heldPerFlowMax) {
      const out = all(flow);
      flow.expected = Math.max(flow.expected, end);
      return [...out, number];
    }
    const after = flow.waiting.findIndex((one) => one.at >= at);
    const follower = isAgain ? undefined : flow.waiting[after];
    if (follower?.at === at) return [number];
    const since = { number, stamp, sinceMs: nowMs };
    if (isAgain || (follower !== undefined && stamp > follower.stamp)) {
      if (follower !== undefined && end >= follower.at) follower.at = at;
      const last = flow.waiting.at(-1)?.at ?? 0;
      flow.waiting.push({ ...since, at: last, end: last });
      if (isAgain) flow.expected = Math.max(flow.expected, end);
    } else flow.waiting.splice(after < 0 ? flow.waiting.length : after, 0, { ...since, at, end });
    const out = isAgain && end > before ? next(flow) : [];
    return this.heldCount === this.#heldMax ? undefined : out;
  }

  /** The flow that the numbers are all of has as many waiting as any. */
  giveWay(numbers: readonly number[]): void {
    const largest = Math.max(...[...this.flows.values()].map(({ waiting }) => waiting.length));
    const flow = [...this.flows.values()].find(({ waiting }) =>
      waiting.some((one) => one.number === numbers[0]),
    );
    assert(flow !== undefined && flow.waiting.length === largest);
    assert.deepEqual(all(flow), numbers);
  }

  expire(nowMs: number): Map<number, number[]> {
    const out = new Map<number, number[]>();
    for (const [name, flow] of this.flows) {
      const last = flow.waiting.findLastIndex(({ sinceMs }) => nowMs - sinceMs >= flow.patienceMs);
      if (last < 0) continue;
      flow.patienceMs = Math.min(DELAY_MS, 2 * flow.patienceMs);
      const due = flow.waiting.splice(0, last + 1);
      for (const { end } of due) flow.expected = Math.max(flow.expected, end);
      out.set(name, [...due.map(({ number }) => number), ...next(flow)]);
    }
    return out;
  }
}

function fresh(expected: number): ModelFlow {
  return { expected, usedMs: 0, patienceMs: DELAY_MS, waiting: [] };
}

/** Twice what it took and two more; down by an eighth of the way at a time, at least by one. */
function learn(flow: ModelFlow, tookMs: number): void {
  const worthMs = Math.min(DELAY_MS, 2 * tookMs + 2);
  const downMs = Math.ceil((flow.patienceMs - worthMs) / 8);
  flow.patienceMs = Math.max(worthMs, flow.patienceMs - Math.max(0, downMs));
}

function all(flow: ModelFlow): number[] {
  for (const { end } of flow.waiting) flow.expected = Math.max(flow.expected, end);
  return flow.waiting.splice(0).map(({ number }) => number);
}

function next(flow: ModelFlow): number[] {
  const out: number[] = [];
  for (;;) {
    const [first] = flow.waiting;
    if (first === undefined || first.at > flow.expected) return out;
    flow.waiting.shift();
    flow.expected = Math.max(flow.expected, first.end);
    out.push(first.number);
  }
}
