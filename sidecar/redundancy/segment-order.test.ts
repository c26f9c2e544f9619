/** The order of segments beside a naive model that counts bytes without a wrap and keeps lists. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Counters, countersSnapshot } from "../counters.ts";
import { TcpSegment } from "../wire/tcp-segment.ts";
import { HeldSegments, NO_PLACE } from "./held-segments.ts";
import { FLOWS_MAX } from "./order-flows.ts";
import { FLOW_IDLE_MS, OrderVerdict, REACH_BYTES, SegmentOrder } from "./segment-order.ts";

const SESSION = 3;
const DELAY_MS = 10;

/** One segment; `at` counts bytes of its flow from 0, for ever. */
interface Wish {
  readonly flow: number;
  readonly at: number;
  readonly bytes: number;
  readonly boundary?: "first" | "last";
}

/** The table under test; a segment is known by its number. */
class Tested {
  readonly counters = new Counters();
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
  readonly at: number;
  readonly end: number;
  readonly sinceMs: number;
}

interface ModelFlow {
  expected: number;
  usedMs: number;
  patienceMs: number;
  waiting: Waiting[];
}

/** The same with lists, for few flows. */
class Model {
  readonly flows = new Map<number, ModelFlow>();
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
    if (at <= flow.expected) {
      flow.expected = Math.max(flow.expected, end);
      const [first] = flow.waiting;
      const out = next(flow);
      if (first !== undefined && out.length > 0) learn(flow, nowMs - first.sinceMs);
      return [number, ...out];
    }
    if (flow.waiting.length >= this.#heldPerFlowMax) {
      const out = all(flow);
      flow.expected = Math.max(flow.expected, end);
      return [...out, number];
    }
    if (flow.waiting.some((one) => one.at === at)) return [number];
    flow.waiting.push({ number, at, end, sinceMs: nowMs });
    flow.waiting.sort((one, other) => one.at - other.at);
    return this.heldCount === this.#heldMax ? undefined : [];
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

/** Around the wrap of 32 bits, of 31, and elsewhere. */
const firsts = fc.array(
  fc.constantFrom(0, 1, 2 ** 31 - 700, 2 ** 31 - 1, 2 ** 32 - 1500, 2 ** 32 - 1, 12_345_678),
  { minLength: 4, maxLength: 4 },
);
const limits = fc.constantFrom(1, 2, 31, 32, 33, 63, 64, 65);
const steps = fc.array(
  fc.record({
    flow: fc.integer({ min: 0, max: 3 }),
    /** Segments ahead of or behind the newest one so far; 0: just what is missing. */
    step: fc.oneof(
      { weight: 40, arbitrary: fc.constantFrom(1, 1, 1, 2, 3) },
      { weight: 20, arbitrary: fc.constant(0) },
      { weight: 10, arbitrary: fc.integer({ min: -8, max: 8 }) },
      { weight: 1, arbitrary: fc.constantFrom(-42_000, 42_000, 31, 32, 33, 63, 64, 65) },
    ),
    bytes: fc.constantFrom(100, 100, 100, 1, 99, 101, 250),
    boundary: fc.oneof(
      { weight: 60, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constantFrom("first" as const, "last" as const) },
    ),
    waitMs: fc.oneof(
      { weight: 20, arbitrary: fc.constant(0) },
      { weight: 10, arbitrary: fc.integer({ min: 1, max: 12 }) },
      { weight: 1, arbitrary: fc.constant(FLOW_IDLE_MS) },
    ),
  }),
  { maxLength: 250, size: "max" },
);

test("what comes out, and when, is what a naive model says", () => {
  fc.assert(
    fc.property(limits, limits, firsts, steps, (one, other, sequences, wishes) => {
      const [heldPerFlowMax = 1, heldMax = 1] = [one, other].sort((a, b) => a - b);
      const tested = new Tested(heldMax, heldPerFlowMax, sequences);
      const model = new Model(heldMax, heldPerFlowMax);
      const newest = [0, 0, 0, 0];
      // The clock wraps as well.
      let nowMs = 2 ** 31 - 60;
      const out: number[] = [];
      for (const [number, { flow, step, bytes, boundary, waitMs }] of wishes.entries()) {
        nowMs += waitMs;
        if (waitMs > 0) {
          const expired = tested.expire(nowMs | 0);
          const expected = model.expire(nowMs);
          const numbers = new Set([...expected.values()].flat());
          assert.deepEqual(new Set(expired), numbers);
          for (const list of expected.values()) {
            assert.deepEqual(
              expired.filter((each) => list.includes(each)),
              list,
            );
          }
          out.push(...expired);
        }
        tested.order.nowMs = nowMs | 0;
        const missing = model.flows.get(flow)?.expected ?? 0;
        const at = step === 0 ? missing : (newest[flow] ?? 0) + step * 100;
        newest[flow] = Math.max(newest[flow] ?? 0, at);
        const wish = { flow, at, bytes, ...(boundary === null ? {} : { boundary }) };
        const got = tested.take(number, wish, DELAY_MS);
        const expected = model.take(number, wish, nowMs);
        if (expected === undefined) model.giveWay(got);
        else assert.deepEqual(got, expected);
        assert.equal(tested.order.heldCount, model.heldCount);
        assert(tested.order.heldCount < heldMax, "the next one finds room");
        const dues = [...model.flows.values()].flatMap(({ waiting, patienceMs }) =>
          waiting.map(({ sinceMs }) => sinceMs + patienceMs),
        );
        if (dues.length > 0) {
          const dueMs = Math.min(...dues);
          const { order } = tested;
          assert(order.isDue && ((order.dueMs - dueMs) | 0) <= 0, "called in time");
        }
        out.push(...got);
      }
      out.push(...tested.expire((nowMs + DELAY_MS) | 0));
      assert.equal(tested.order.heldCount, 0, "nobody waits for longer");
      assert.deepEqual(
        out.toSorted((a, b) => a - b),
        wishes.map((_, number) => number),
        "each once",
      );
      const counts = countersSnapshot([tested.counters]);
      const reasons = ["Filled", "Expired", "Crowded", "Surprised", "Evicted", "Ended"];
      const released = reasons.reduce(
        (sum, name) => sum + (counts[`reorder.${name[0]?.toLowerCase()}${name.slice(1)}`] ?? 0),
        0,
      );
      assert.equal(released, counts["reorder.held"]);
    }),
    { numRuns: 400 },
  );
});

test("without loss beyond what the table holds, every flow comes out in order", () => {
  const windows = fc.constantFrom(1, 2, 31, 32, 33, 63, 64, 65);
  fc.assert(
    fc.property(
      windows,
      fc.constantFrom(0, 2 ** 32 - 3000, 2 ** 31 - 3000),
      fc.gen(),
      (window, first, gen) => {
        const count = 300;
        const tested = new Tested(window + 1, window, [first]);
        // Each comes at most so far behind its turn.
        const turns = Array.from({ length: count }, (_, at) => ({
          at,
          turn: at + gen(fc.integer, { min: 0, max: window - 1 }) + at / 1000,
        })).sort((a, b) => a.turn - b.turn);
        const out = tested.take(-1, { flow: 0, at: -1, bytes: 0, boundary: "first" }, 10);
        for (const { at } of turns)
          out.push(...tested.take(at, { flow: 0, at: at * 50, bytes: 50 }, 10));
        assert.deepEqual(out, [-1, ...Array.from({ length: count }, (_, at) => at)]);
      },
    ),
  );
});

test("one flow's loss holds no other one up, and sessions do not share flows", () => {
  const tested = new Tested(64, 32, [0, 0]);
  assert.deepEqual(tested.take(0, { flow: 0, at: 0, bytes: 10 }, 10), [0]);
  assert.deepEqual(tested.take(1, { flow: 1, at: 0, bytes: 10 }, 10), [1]);
  assert.deepEqual(tested.take(2, { flow: 0, at: 20, bytes: 10 }, 10), []);
  for (let at = 1; at < 100; at++) {
    assert.deepEqual(tested.take(at + 2, { flow: 1, at: at * 10, bytes: 10 }, 10), [at + 2]);
  }
  assert.deepEqual(tested.take(200, { flow: 0, at: 10, bytes: 10 }, 10, SESSION + 1), [200]);
  assert.deepEqual(tested.take(201, { flow: 0, at: 10, bytes: 10 }, 10), [201, 2]);
});

test("the end of a session lets go what waits of it, and of nobody else", () => {
  const tested = new Tested(64, 32, [0]);
  for (const session of [SESSION, SESSION + 1]) {
    tested.take(0, { flow: 0, at: 0, bytes: 10 }, 10, session);
    tested.take(session, { flow: 0, at: 20, bytes: 10 }, 10, session);
  }
  tested.order.endSession(SESSION);
  assert.deepEqual(tested.ready(), [SESSION]);
  assert.equal(tested.order.heldCount, 1);
  assert.deepEqual(tested.expire(10), [SESSION + 1]);
});

test("however many flows there are, nothing is lost or twice, and a hog's flows give way first", () => {
  const tested = new Tested(4096, 64, []);
  const out: number[] = [];
  let number = 0;
  const say = (flow: number, at: number, session: number): void => {
    out.push(...tested.take(number, { flow, at, bytes: 10 }, 10, session));
    number += 1;
  };
  say(1, 0, SESSION);
  say(1, 20, SESSION);
  const mine = number - 1;
  for (let flow = 0; flow < 4 * FLOWS_MAX; flow++) {
    tested.order.nowMs += 1;
    say(flow, 0, SESSION + 1);
    say(flow, 20, SESSION + 1);
  }
  assert(!out.includes(mine), "the flow of the session with one flow is still there");
  say(1, 10, SESSION);
  assert.equal(out.at(-1), mine);
  out.push(...tested.expire((tested.order.nowMs + 10) | 0));
  assert.deepEqual(
    out.toSorted((a, b) => a - b),
    Array.from({ length: number }, (_, at) => at),
  );
  assert((countersSnapshot([tested.counters])["reorder.evicted"] ?? 0) > 0);
});

test("a place that was given back is taken again only once it is clean", () => {
  const counts = fc.constantFrom(1, 2, 31, 32, 33, 63, 64, 65);
  fc.assert(
    fc.property(counts, fc.array(fc.constantFrom("take", "give", "recycle")), (count, steps) => {
      const held = new HeldSegments(count);
      const clean = new Set(Array.from({ length: count }, (_, place) => place));
      const dirty = new Set<number>();
      const taken: number[] = [];
      for (const step of steps) {
        assert.equal(held.isUsedUp, clean.size === 0);
        assert.equal(held.freeCount, clean.size + dirty.size);
        if (step === "take" && clean.size > 0) {
          const place = held.take();
          assert(clean.delete(place), "it was clean");
          taken.push(place);
        } else if (step === "give") {
          const place = taken.shift() ?? NO_PLACE;
          if (place === NO_PLACE) continue;
          held.giveBack(place);
          dirty.add(place);
        } else if (step === "recycle") {
          held.recycle();
          for (const place of dirty) clean.add(place);
          dirty.clear();
        }
      }
      if (clean.size === 0) assert.throws(() => held.take());
    }),
  );
});
