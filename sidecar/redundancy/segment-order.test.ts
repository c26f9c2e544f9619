/** The order of segments beside a naive model. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { countersSnapshot } from "../counters.ts";
import { HeldSegments, NO_PLACE } from "./held-segments.ts";
import { FLOWS_MAX } from "./order-flows.ts";
import { DELAY_MS, Model, SESSION, Tested } from "./order-harness.ts";
import { FLOW_IDLE_MS } from "./segment-order.ts";

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
    /** Later than its number says. */
    lateMs: fc.constantFrom(0, 0, 0, 1, 20, undefined),
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
      for (const [number, { flow, step, bytes, boundary, waitMs, lateMs }] of wishes.entries()) {
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
        const stamp = lateMs === undefined ? {} : { stamp: Math.floor(at / 300) + lateMs };
        const wish = { flow, at, bytes, ...stamp, ...(boundary === null ? {} : { boundary }) };
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

test("what is sent again goes behind what was sent before it, and its hole is waited for no longer", () => {
  const tested = new Tested(64, 32, [0]);
  const say = (number: number, at: number, stamp: number): number[] =>
    tested.take(number, { flow: 0, at, bytes: 10, stamp }, DELAY_MS);
  assert.deepEqual(say(0, 0, 1), [0]);
  assert.deepEqual(say(2, 20, 1), []);
  assert.deepEqual(say(4, 40, 1), []);
  // The first hole is filled by a repetition: what waited for that alone goes.
  assert.deepEqual(say(1, 10, 5), [2]);
  // The second one by what was late: now nothing older than the repetition is missing.
  assert.deepEqual(say(3, 30, 1), [3, 4, 1]);
  assert.deepEqual(say(5, 10, 6), [5], "nothing waits");
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
