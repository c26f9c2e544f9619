import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { backOffMs } from "./back-off.ts";
import { WorkQueue, type WorkResult } from "./work-queue.ts";

const RETRY = { minMs: 100, maxMs: 1_000 };

interface Bench {
  readonly clock: ManualClock;
  readonly queue: WorkQueue;
  readonly begun: string[];
  readonly delays: number[];
  /** Ends the oldest work on this key. */
  finish(key: string, result?: WorkResult | Error): Promise<void>;
}

function bench(workersMax = 2): Bench {
  const clock = new ManualClock();
  const [begun, delays]: [string[], number[]] = [[], []];
  const open = new Map<string, PromiseWithResolvers<WorkResult>>();
  const queue = new WorkQueue({
    clock,
    retry: RETRY,
    workersMax,
    work: (key) => {
      begun.push(key);
      const work = Promise.withResolvers<WorkResult>();
      assert(!open.has(key), `${key} is worked on twice at a time`);
      open.set(key, work);
      return work.promise;
    },
    failed: (_, __, delayMs) => delays.push(delayMs),
  });
  queue.start();
  const finish = async (key: string, result: WorkResult | Error = {}): Promise<void> => {
    const work = open.get(key);
    assert(work !== undefined, `${key} is worked on`);
    open.delete(key);
    if (result instanceof Error) work.reject(result);
    else work.resolve(result);
    await clock.advance(0);
  };
  return { clock, queue, begun, delays, finish };
}

test("a key that waits is there once, and no more keys are worked on than there are workers", async () => {
  const { begun, finish, queue } = bench(1);
  for (const key of ["a", "b", "b", "b"]) queue.add(key);
  assert.deepEqual(begun, ["a"]);
  await finish("a");
  await finish("b");
  assert.deepEqual(begun, ["a", "b"]);
});

test("a key added while it is worked on comes again, once", async () => {
  const { begun, finish, queue } = bench();
  queue.add("a");
  queue.add("a");
  queue.add("a");
  assert.deepEqual(begun, ["a"]);
  await finish("a");
  assert.deepEqual(begun, ["a", "a"]);
  await finish("a");
  assert.deepEqual(begun, ["a", "a"]);
});

test("failures of a key come back later and later, up to the maximum; success forgets them", async () => {
  const { begun, clock, delays, finish, queue } = bench();
  clock.randomValue = 1;
  queue.add("a");
  for (let index = 0; index < 6; index++) {
    await finish("a", new Error("not yet"));
    await clock.advance(delays.at(-1) ?? 0);
  }
  assert.deepEqual(delays, [100, 200, 400, 800, 1_000, 1_000]);
  await finish("a");
  queue.add("a");
  await finish("a", new Error("again"));
  assert.equal(delays.at(-1), 100);
  assert.equal(begun.length, 8);
});

test("another key is not delayed by one that fails", async () => {
  const { begun, finish, queue } = bench();
  queue.add("bad");
  await finish("bad", new Error("no"));
  queue.add("good");
  assert.deepEqual(begun, ["bad", "good"]);
});

test("of two later times the earlier stands, and adding at once needs neither", async () => {
  const { begun, clock, finish, queue } = bench();
  queue.addAfter("a", 500);
  queue.addAfter("a", 200);
  queue.addAfter("a", 900);
  await clock.advance(200);
  assert.deepEqual(begun, ["a"]);
  await finish("a");
  queue.addAfter("a", 100);
  queue.add("a");
  await finish("a");
  await clock.advance(1_000);
  assert.deepEqual(begun, ["a", "a"]);
});

test("stop waits for the work under way and takes nothing more", async () => {
  const { begun, clock, finish, queue } = bench();
  queue.add("a");
  queue.addAfter("b", 100);
  let isStopped = false;
  const stopped = queue.stop().then(() => {
    isStopped = true;
  });
  queue.add("c");
  await clock.advance(1_000);
  assert(!isStopped);
  await finish("a");
  await stopped;
  assert.deepEqual(begun, ["a"]);
  assert.deepEqual(queue.figures, { waiting: 0, working: 0, delayed: 0 });
});

test("every key added is worked on after its last addition, whatever the order", async () => {
  const steps = fc.array(
    fc.record({ key: fc.constantFrom("a", "b", "c"), act: fc.constantFrom("add", "end", "fail") }),
    { maxLength: 60 },
  );
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      const { begun, clock, finish, queue } = bench();
      const owed = new Set<string>();
      const open = new Set<string>();
      const sync = (from: number): void => {
        for (const key of begun.slice(from)) {
          owed.delete(key);
          open.add(key);
        }
      };
      for (const { act, key } of sequence) {
        const from = begun.length;
        if (act === "add") {
          owed.add(key);
          queue.add(key);
        } else if (open.delete(key)) {
          if (act === "fail") owed.add(key);
          await finish(key, act === "fail" ? new Error("no") : {});
        }
        sync(from);
      }
      for (let round = 0; round < 40 && (open.size > 0 || owed.size > 0); round++) {
        for (const key of [...open]) {
          const from = begun.length;
          open.delete(key);
          await finish(key);
          sync(from);
        }
        const from = begun.length;
        await clock.advance(RETRY.maxMs);
        sync(from);
      }
      assert.deepEqual([...owed], []);
    }),
    { numRuns: 100 },
  );
});

test("a delay is between half of its full length and all of it", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (count, random) => {
        const delayMs = backOffMs(RETRY, count, random);
        const fullMs = Math.min(RETRY.maxMs, RETRY.minMs * 2 ** (count - 1));
        return delayMs >= fullMs / 2 && delayMs <= fullMs;
      },
    ),
  );
});
