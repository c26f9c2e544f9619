import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { SystemClock } from "./clock.ts";
import { MainTimer, NO_TIMER, TimerTable } from "./timer-table.ts";

test("a timer comes out once, not before it is due", () => {
  const table = new TimerTable(4);
  table.set(2, 100);
  assert.equal(table.takeDue(99), NO_TIMER);
  assert.equal(table.takeDue(100), 2);
  assert.equal(table.takeDue(100), NO_TIMER);
  assert.equal(table.nextDueMs(), undefined);
});

test("a cancelled timer does not come out, setting again moves it", () => {
  const table = new TimerTable(4);
  table.set(0, 10);
  table.set(1, 20);
  table.cancel(0);
  table.cancel(3);
  table.set(1, 30);
  assert.equal(table.isSet(0), false);
  assert.equal(table.nextDueMs(), 30);
  assert.equal(table.takeDue(29), NO_TIMER);
  assert.equal(table.takeDue(31), 1);
});

test("the waiting time ends with the next timer, and is bounded both ways", () => {
  const table = new TimerTable(2);
  assert.equal(table.waitMs(0, 500), 500);
  table.set(0, 200);
  assert.equal(table.waitMs(0, 500), 200);
  assert.equal(table.waitMs(0, 50), 50);
  assert.equal(table.waitMs(900, 500), 0);
});

test("a timer that does not exist is a programmer's error", () => {
  const table = new TimerTable(2);
  assert.throws(() => table.set(2, 0));
  assert.throws(() => table.cancel(-1));
  assert.throws(() => new TimerTable(0));
});

test("any sequence of set, cancel and passing time equals a sorted list, also across the wrap", () => {
  const timer = fc.nat(8);
  const step = fc.oneof(
    fc.record({ kind: fc.constant("set" as const), timer, inMs: fc.integer({ min: -5, max: 60 }) }),
    fc.record({ kind: fc.constant("cancel" as const), timer }),
    fc.record({ kind: fc.constant("pass" as const), byMs: fc.nat(30) }),
  );
  const startMs = fc.constantFrom(0, 2 ** 31 - 50, -(2 ** 31));
  fc.assert(
    fc.property(startMs, fc.array(step, { maxLength: 150 }), (start, steps) => {
      const table = new TimerTable(9);
      const model = new Map<number, number>();
      let elapsed = 0;
      for (const each of steps) {
        if (each.kind === "set") {
          table.set(each.timer, (start + elapsed + each.inMs) | 0);
          model.set(each.timer, elapsed + each.inMs);
        } else if (each.kind === "cancel") {
          table.cancel(each.timer);
          model.delete(each.timer);
        } else {
          elapsed += each.byMs;
          for (;;) {
            const taken = table.takeDue((start + elapsed) | 0);
            const due = [...model].filter(([, atMs]) => atMs <= elapsed);
            if (taken === NO_TIMER) {
              assert.equal(due.length, 0);
              break;
            }
            assert.equal(model.get(taken), Math.min(...due.map(([, atMs]) => atMs)));
            model.delete(taken);
          }
        }
        const nextMs = model.size === 0 ? undefined : (start + Math.min(...model.values())) | 0;
        assert.equal(table.nextDueMs(), nextMs);
      }
    }),
  );
});

test("the event loop serves timers in order, new ones included, and none after stop", async () => {
  const clock = new SystemClock();
  const fired: number[] = [];
  const table = new TimerTable(5);
  const main: MainTimer = new MainTimer(table, clock, (timer) => {
    fired.push(timer);
    if (timer === 1) main.set(3, clock.nowMs() + 5);
    if (timer === 3) main.stop();
  });
  main.set(0, clock.nowMs() + 20);
  main.set(1, clock.nowMs() + 10);
  main.set(2, clock.nowMs() + 1);
  main.cancel(2);
  main.set(0, clock.nowMs() + 3);
  main.set(4, clock.nowMs() + 40);
  await delay(90);
  assert.deepEqual(fired, [0, 1, 3]);
});

test("a timer that sets itself to now does not hold the event loop", async () => {
  const clock = new SystemClock();
  let count = 0;
  const main: MainTimer = new MainTimer(new TimerTable(1), clock, () => {
    count += 1;
    main.set(0, clock.nowMs());
  });
  main.set(0, clock.nowMs());
  await delay(20);
  main.stop();
  const atStop = count;
  await delay(20);
  assert.ok(atStop > 0);
  assert.equal(count, atStop);
});
