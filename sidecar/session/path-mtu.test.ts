import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PathMtu } from "./path-mtu.ts";

const MAX = 1600;
const ROUND_MS = 50;
const RTT_MS = 40;

/** A path that takes so many bytes, and what is known of it after a while. */
class Run {
  readonly search: PathMtu = new PathMtu();
  nowMs = 1;
  asked = 0;
  takes: number;
  /** Refused by the own kernel above this. */
  device = 65_535;
  isDead = false;
  readonly #isLost: () => boolean;
  readonly #answers: { readonly atMs: number; readonly bytes: number }[] = [];

  constructor(takes: number, isLost: () => boolean = () => false) {
    this.takes = takes;
    this.#isLost = isLost;
  }

  run(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; this.nowMs += ROUND_MS) {
      while ((this.#answers[0]?.atMs ?? Infinity) <= this.nowMs) {
        this.search.crossed(this.#answers.shift()?.bytes ?? 0, this.nowMs);
      }
      const bytes = this.search.next(MAX, RTT_MS, this.nowMs);
      if (bytes === 0) continue;
      this.asked += 1;
      assert(bytes >= 500 && bytes <= MAX, `${bytes}`);
      if (bytes > this.device) this.search.refused(bytes, this.nowMs);
      else if (bytes <= this.takes && !this.isDead && !this.#isLost()) {
        this.#answers.push({ atMs: this.nowMs + RTT_MS, bytes });
      }
    }
  }
}

test("what a path takes is found to the byte, and never more than that is said", () => {
  fc.assert(
    fc.property(fc.integer({ min: 501, max: MAX + 50 }), (takes) => {
      const run = new Run(takes);
      for (let step = 0; step < 100; step++) {
        run.run(200);
        assert(run.search.bytes <= takes);
        // What is told to others is never a size on the way there.
        const { settledBytes } = run.search;
        assert(settledBytes === 0 || settledBytes === Math.min(takes, MAX), `${settledBytes}`);
      }
      assert.equal(run.search.bytes, Math.min(takes, MAX));
      assert.equal(run.search.settledBytes, run.search.bytes);
      assert(run.search.isExact);
    }),
  );
});

test("with a fifth of the probes lost it is found as well, and stays", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const dice = diceOf(seed);
    const takes = 600 + seed * 33;
    const run = new Run(takes, () => dice() < 0.2);
    let right = 0;
    for (let step = 0; step < 60; step++) {
      run.run(10_000);
      if (run.search.bytes === takes) right += 1;
      assert(run.search.bytes <= takes);
    }
    assert(right >= 45, `seed ${seed}: right in ${right} of 60 looks`);
  }
});

test("a path that takes less from now on is found out by unanswered probes, one that takes more later", () => {
  const run = new Run(1472);
  run.run(20_000);
  assert.equal(run.search.bytes, 1472);
  run.takes = 1400;
  const settled = new Set<number>();
  for (let step = 0; step < 400; step++) {
    run.run(100);
    settled.add(run.search.settledBytes);
  }
  assert.equal(run.search.bytes, 1400);
  assert.deepEqual([...settled], [1472, 0, 1400]);
  run.takes = 1500;
  run.run(60_000);
  assert.equal(run.search.bytes, 1400, "nobody asked for more yet");
  run.run(600_000);
  assert.equal(run.search.bytes, 1500);
  assert.equal(run.search.settledBytes, 1500);
});

test("the own kernel's word spares the waiting, and a settled path is asked once in ten seconds", () => {
  const run = new Run(MAX);
  run.device = 1472;
  run.run(3000);
  assert.equal(run.search.bytes, 1472);
  const before = run.asked;
  run.run(100_000);
  assert(run.asked - before <= 10, `${run.asked - before} probes`);
});

test("an answer to nothing that was asked says nothing", () => {
  const search = new PathMtu();
  search.next(MAX, RTT_MS, 1);
  search.crossed(9000, 2);
  search.crossed(20, 2);
  assert.equal(search.bytes, 0);
  search.refused(700, 2);
  assert.equal(search.next(MAX, RTT_MS, 1000), MAX, "the kernel spoke of another size");
});

/** Numbers from 0 to 1 that are the same in every run (Numerical Recipes' generator). */
function diceOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
