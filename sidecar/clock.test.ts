import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { elapsedMs, isDue, monotonicMs, SystemClock, steadySeconds } from "./clock.ts";

test("time starts at 0 and is a 32-bit integer that never goes back", () => {
  const clock = new SystemClock();
  let lastMs = clock.nowMs();
  assert.ok(lastMs >= 0 && lastMs < 50);
  for (let round = 0; round < 10_000; round++) {
    const nowMs = clock.nowMs();
    assert.equal(nowMs, nowMs | 0);
    assert.ok(elapsedMs(lastMs, nowMs) >= 0);
    lastMs = nowMs;
  }
});

test("spans and due moments are right across the wrap", () => {
  const lastMs = 2 ** 31 - 10;
  const nextMs = (lastMs + 30) | 0;
  assert.ok(nextMs < 0);
  assert.equal(elapsedMs(lastMs, nextMs), 30);
  assert.equal(elapsedMs(nextMs, lastMs), -30);
  assert.equal(isDue(nextMs, lastMs), false);
  assert.equal(isDue(lastMs, nextMs), true);
  assert.equal(isDue(5, 5), true);
});

test("steady seconds begin at the wall clock's and follow no step of it", () => {
  let [wallSeconds, nowMs] = [1_700_000_000, 500];
  const seconds = steadySeconds({ wallSeconds: () => wallSeconds }, () => nowMs);
  assert.equal(seconds(), 1_700_000_000);
  nowMs += 2999;
  wallSeconds -= 3600;
  assert.equal(seconds(), 1_700_000_002);
  nowMs += 1;
  wallSeconds += 86_400;
  assert.equal(seconds(), 1_700_000_003);
});

test("the time can be made to wrap early", () => {
  const clock = new SystemClock({ monotonicMs: monotonicMs(), firstMs: 2 ** 31 - 1 });
  const limit = Date.now() + 2000;
  while (clock.nowMs() > 0) assert.ok(Date.now() < limit, "it wraps in a millisecond");
  assert.ok(clock.nowMs() < -(2 ** 31) + 2000);
});

test("two threads with one origin see the same time", { timeout: 20_000 }, async () => {
  const clock = new SystemClock({ monotonicMs: monotonicMs(), firstMs: 1000 });
  const source = `
    const { workerData, parentPort } = await import("node:worker_threads");
    const { SystemClock } = await import(${JSON.stringify(new URL("./clock.ts", import.meta.url).href)});
    const clock = new SystemClock(workerData.origin);
    const shared = new Int32Array(workerData.memory);
    Atomics.store(shared, 0, 1);
    Atomics.notify(shared, 0);
    Atomics.wait(shared, 1, 0, 5000);
    Atomics.store(shared, 2, clock.nowMs());
    Atomics.store(shared, 3, 1);`;
  const memory = new SharedArrayBuffer(16);
  const shared = new Int32Array(memory);
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
    workerData: { memory, origin: clock.origin },
  });
  await Atomics.waitAsync(shared, 0, 0).value;
  const beforeMs = clock.nowMs();
  Atomics.store(shared, 1, 1);
  Atomics.notify(shared, 1);
  while (Atomics.load(shared, 3) === 0) await new Promise(setImmediate);
  const afterMs = clock.nowMs();
  const theirsMs = shared[2] as number;
  assert.ok(
    theirsMs >= beforeMs - 2 && theirsMs <= afterMs + 2,
    `${beforeMs} ${theirsMs} ${afterMs}`,
  );
  await worker.terminate();
});

test("wall time is whole seconds since 1970", () => {
  const seconds = new SystemClock().wallSeconds();
  assert.ok(Math.abs(seconds - Date.now() / 1000) < 2);
  assert.equal(seconds, seconds >>> 0);
});
