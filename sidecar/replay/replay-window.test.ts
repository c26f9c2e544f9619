import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ReplayVerdict, ReplayWindow } from "./replay-window.ts";

const V = ReplayVerdict;
const high = (id: bigint): number => Number(id >> 32n);
const low = (id: bigint): number => Number(id & 0xffff_ffffn);
const accept = (window: ReplayWindow, id: bigint, nowMs = 0): number =>
  window.accept(high(id), low(id), nowMs);
const mayAccept = (window: ReplayWindow, id: bigint, nowMs = 0): number =>
  window.mayAccept(high(id), low(id), nowMs);

/** The same rules over a set of everything seen and the moment each id was passed. */
class NaiveWindow {
  readonly #packets: bigint;
  readonly #seen = new Set<bigint>();
  readonly #advances: { id: bigint; atMs: number }[] = [];
  #head = 0n;

  constructor(packets: number) {
    this.#packets = BigInt(Math.ceil(packets / 32) * 32);
  }

  /** The verdict without regard to time, and for how long the id has been behind the head. */
  look(id: bigint, nowMs: number): { verdict: number; passedMs: number } {
    const passed = this.#advances.find((advance) => advance.id > id);
    const passedMs = passed === undefined ? 0 : nowMs - passed.atMs;
    return { verdict: this.#verdict(id), passedMs };
  }

  accept(id: bigint, nowMs: number): void {
    this.#seen.add(id);
    if (id <= this.#head) return;
    this.#head = id;
    this.#advances.push({ id, atMs: nowMs });
  }

  #verdict(id: bigint): number {
    if (id === 0n) return V.zero;
    if (id > this.#head) return V.accept;
    if (id <= this.#head - this.#packets) return V.behind;
    return this.#seen.has(id) ? V.duplicate : V.acceptLate;
  }
}

test("id 0 is refused", () => {
  const window = new ReplayWindow({ packets: 64, seconds: 15 });
  assert.equal(mayAccept(window, 0n), V.zero);
  assert.equal(accept(window, 0n), V.zero);
  assert.equal(accept(window, 1n), V.accept);
  assert.equal(accept(window, 0n), V.zero);
});

test("asking changes nothing", () => {
  const window = new ReplayWindow({ packets: 64, seconds: 15 });
  assert.equal(mayAccept(window, 500n), V.accept);
  assert.equal(mayAccept(window, 500n), V.accept);
  assert.equal(accept(window, 1n), V.accept);
});

test("a second copy is refused, also when it passed the first look before the first was accepted", () => {
  const window = new ReplayWindow({ packets: 64, seconds: 15 });
  assert.equal(mayAccept(window, 9n), V.accept);
  assert.equal(mayAccept(window, 9n), V.accept);
  assert.equal(accept(window, 9n), V.accept);
  assert.equal(accept(window, 9n), V.duplicate);
});

test("the window is rounded up to a multiple of 32 and bounded", () => {
  assert.equal(new ReplayWindow({ packets: 65, seconds: 1 }).packets, 96);
  assert.equal(new ReplayWindow({ packets: 131_072, seconds: 1 }).packets, 131_072);
  assert.throws(() => new ReplayWindow({ packets: 63, seconds: 1 }));
  assert.throws(() => new ReplayWindow({ packets: 131_073, seconds: 1 }));
  assert.throws(() => new ReplayWindow({ packets: 64.5, seconds: 1 }));
  assert.throws(() => new ReplayWindow({ packets: 64, seconds: 0 }));
  assert.throws(() => new ReplayWindow({ packets: 64, seconds: 601 }));
});

const WINDOWS = [64, 96, 128, 1024, 131_072];
/** The traps: word and window edges, and where an id's words carry. */
const jumpsOf = (w: number): number[] => [
  ...[0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, w - 33, w - 32, w - 31, w - 1, w, w + 1],
  ...[w + 31, w + 32, w + 33, 2 * w - 1, 2 * w, 2 * w + 1, 4 * w, 8 * w, 2 ** 31, 2 ** 32 - 1],
  ...[2 ** 32, 2 ** 32 + 32, 2 ** 33],
];
const BASES = [
  1n,
  31n,
  32n,
  33n,
  1000n,
  2n ** 31n - 40n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 65n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 32n + 5n,
  3n * 2n ** 48n - 1n,
  2n ** 63n - 17n,
];

test("after any jump forward, exactly the unseen ids of the window are let in", () => {
  for (const packets of WINDOWS) {
    for (const base of BASES) {
      for (const jump of jumpsOf(packets)) {
        const window = new ReplayWindow({ packets, seconds: 15 });
        const naive = new NaiveWindow(packets);
        const head = base + BigInt(jump);
        // Two seen before the jump, so that remains of them would show after it.
        for (const id of [base > 3n ? base - 3n : base, base, head]) {
          assert.equal(accept(window, id), naive.look(id, 0).verdict, `${packets} ${id}`);
          if (naive.look(id, 0).verdict <= V.acceptLate) naive.accept(id, 0);
        }
        for (const back of jumpsOf(packets).flatMap((each) => [each, each + jump])) {
          const id = head - BigInt(back);
          if (id < 0n) continue;
          const expected = naive.look(id, 0).verdict;
          assert.equal(mayAccept(window, id), expected, `w ${packets} head ${head} id ${id}`);
        }
      }
    }
  }
});

test("ids carry from the low word into the high one within one window", () => {
  const window = new ReplayWindow({ packets: 64, seconds: 15 });
  const carry = 2n ** 32n;
  for (let id = carry - 100n; id < carry + 100n; id += 2n)
    assert.equal(accept(window, id), V.accept);
  assert.equal(accept(window, carry + 97n), V.acceptLate);
  assert.equal(accept(window, carry + 98n), V.duplicate);
  assert.equal(accept(window, carry + 35n), V.acceptLate);
  assert.equal(accept(window, carry + 34n), V.behind);
});

test("words may come signed or unsigned", () => {
  const window = new ReplayWindow({ packets: 64, seconds: 15 });
  const word = 0x9000_0000;
  assert.equal(window.accept(word | 0, word | 0, 0), V.accept);
  assert.equal(window.accept(word, word, 0), V.duplicate);
  assert.equal(window.mayAccept(word | 0, (word - 1) | 0, 0), V.acceptLate);
  assert.equal(window.mayAccept(word | 0, 0x7fff_ffff, 0), V.behind);
  assert.equal(window.accept(word, word + 1, 0), V.accept);
  assert.equal(window.mayAccept(word | 0, (word + 1) | 0, 0), V.duplicate);
});

test("the last id of the short format is accepted, and the first one is then behind", () => {
  const window = new ReplayWindow({ packets: 64, seconds: 15 });
  assert.equal(accept(window, 2n ** 32n - 1n), V.accept);
  assert.equal(accept(window, 2n ** 32n - 1n), V.duplicate);
  assert.equal(accept(window, 1n), V.behind);
});

test("a late packet is refused once the head passed it `seconds` ago, and not before", () => {
  const window = new ReplayWindow({ packets: 64, seconds: 16 });
  assert.equal(accept(window, 10n, 0), V.accept);
  assert.equal(accept(window, 20n, 100), V.accept);
  assert.equal(mayAccept(window, 15n, 16_099), V.acceptLate);
  assert.equal(mayAccept(window, 15n, 17_100), V.expired);
  assert.equal(mayAccept(window, 20n, 17_100), V.duplicate);
  assert.equal(accept(window, 21n, 90_000), V.accept);
  assert.equal(accept(window, 19n, 90_000), V.expired, "fresh traffic does not revive old ids");
  assert.equal(accept(window, 22n, 90_000), V.accept);
});

test("under steady traffic a late packet is refused at `seconds`, at most a sixteenth later", () => {
  const sliceMs = Math.ceil(1000 / 16);
  for (const missing of [2, 31, 32, 33, 100, 500, 1000, 1499]) {
    const window = new ReplayWindow({ packets: 8192, seconds: 1 });
    let expiredMs = Number.POSITIVE_INFINITY;
    for (let ms = 1; ms < 4000; ms++) {
      if (ms !== missing) assert.equal(window.accept(0, ms, ms), V.accept);
      const isExpired = ms > missing && window.mayAccept(0, missing, ms) === V.expired;
      if (isExpired && expiredMs > ms) expiredMs = ms;
      assert.equal(isExpired, expiredMs <= ms, "once expired, always expired");
    }
    const passedMs = missing + 1;
    assert.ok(expiredMs >= passedMs + 1000, `${missing} expired at ${expiredMs}`);
    assert.ok(expiredMs <= passedMs + 1000 + sliceMs, `${missing} expired at ${expiredMs}`);
  }
});

const idStep = fc.record({
  from: fc.constantFrom("head", "head", "head", "seen"),
  // Mostly near the head on both sides; now and then one of the traps.
  by: fc.oneof(
    fc.integer({ min: -40, max: 40 }),
    fc.integer({ min: -300, max: 100 }),
    fc.constantFrom(...jumpsOf(64), ...jumpsOf(96)),
    fc.constantFrom(...jumpsOf(64).map((jump) => -jump)),
  ),
  pauseMs: fc.oneof(fc.constant(0), fc.nat(30), fc.nat(3000)),
  isForged: fc.boolean(),
});

test("any sequence of ids and pauses is judged as by a naive set", () => {
  const start = fc.record({
    packets: fc.constantFrom(64, 65, 96, 128),
    base: fc.constantFrom(...BASES),
    nowMs: fc.constantFrom(0, 2 ** 31 - 1500, -5, -(2 ** 31)),
  });
  fc.assert(
    fc.property(start, fc.array(idStep, { maxLength: 120 }), ({ packets, base, nowMs }, steps) => {
      const seconds = 1;
      const sliceMs = Math.ceil(1000 / 16);
      const window = new ReplayWindow({ packets, seconds });
      const naive = new NaiveWindow(packets);
      let elapsedMs = 0;
      let head = base;
      let seen = base;
      for (const step of steps) {
        elapsedMs += step.pauseMs;
        const id = (step.from === "head" ? head : seen) + BigInt(step.by);
        if (id < 0n || id >= 2n ** 64n) continue;
        const wrappedMs = (nowMs + elapsedMs) | 0;
        const actual = mayAccept(window, id, wrappedMs);
        const { verdict, passedMs } = naive.look(id, elapsedMs);
        if (verdict === V.acceptLate && passedMs >= 1000 + sliceMs) {
          assert.equal(actual, V.expired);
        } else if (verdict === V.acceptLate && passedMs >= 1000) {
          assert.ok(actual === V.expired || actual === V.acceptLate);
        } else {
          assert.equal(actual, verdict);
        }
        if (step.isForged) continue;
        assert.equal(accept(window, id, wrappedMs), actual);
        if (actual > V.acceptLate) continue;
        naive.accept(id, elapsedMs);
        seen = id;
        if (id > head) head = id;
      }
    }),
    { numRuns: 600 },
  );
});

const growing = (packetsMax: number, lateMs: number): ReplayWindow =>
  new ReplayWindow({ packets: 64, seconds: 15, growth: { packetsMax, lateMs } });

test("a window of a fixed size refuses what is 100 ms late at a high rate, one that grows takes it", () => {
  for (const isGrowing of [false, true]) {
    const window = new ReplayWindow({
      ...{ packets: 8192, seconds: 15 },
      ...(isGrowing ? { growth: { packetsMax: 131_072, lateMs: 100 } } : {}),
    });
    let late = 0;
    // 250,000 a second, of which every tenth comes 100 ms behind the others.
    for (let ms = 1; ms <= 400; ms++) {
      for (let at = 0; at < 250; at++) {
        if (at % 10 !== 0) window.accept(0, ms * 250 + at, ms);
        else if (ms > 100) late += Number(window.accept(0, (ms - 100) * 250 + at, ms) === V.behind);
      }
    }
    if (isGrowing) assert.deepEqual([late, window.packets], [0, 32_768]);
    else assert.equal(late, 300 * 25, "all of them");
  }
});

test("what was refused when the window grew is refused when it grows again at once", () => {
  const window = growing(1024, 100);
  for (let id = 1; id <= 300; id++) window.accept(0, id, id * 200);
  for (let id = 301; id <= 364; id++) window.accept(0, id, 300 * 200);
  accept(window, 500n, 300 * 200);
  for (let old = 1; old <= 364; old++) {
    assert(window.mayAccept(0, old, 300 * 200) > V.acceptLate, `${old}`);
  }
});

test("what was behind the window when it grew stays behind", () => {
  const window = growing(1024, 100);
  const slowMs = 200 * 300;
  for (let id = 1; id <= 300; id++) window.accept(0, id, id * 200);
  assert.equal(window.packets, 64, "slow ids need no more");
  for (let id = 301; id <= 700; id++) {
    window.accept(0, id, slowMs + 1);
    if (id % 10 !== 0) continue;
    for (let old = 1; old <= id; old++) {
      assert(window.mayAccept(0, old, slowMs + 1) > V.acceptLate, `${old} at ${id}`);
    }
  }
  assert.equal(window.packets, 512);
});

/** Runs of ids, slow or quick, with gaps between them, and ids asked for again behind the head. */
const paceStep = fc.record({
  by: fc.oneof(
    fc.integer({ min: 1, max: 3 }),
    fc.constantFrom(31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 2 ** 31),
  ),
  run: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 200 })),
  stepMs: fc.constantFrom(0, 0, 0, 1, 60),
  pauseMs: fc.oneof(fc.constant(0), fc.nat(12), fc.nat(300)),
  late: fc.array(fc.oneof(fc.nat(300), fc.nat(1100)), { maxLength: 20 }),
});

test("a window that grows lets each id in once, all that are late by no more than it expects, and stays bounded", () => {
  const start = fc.record({
    packetsMax: fc.constantFrom(64, 128, 512, 1024),
    lateMs: fc.constantFrom(1, 40, 100),
    base: fc.constantFrom(...BASES),
    nowMs: fc.constantFrom(0, 2 ** 31 - 500),
  });
  fc.assert(
    fc.property(start, fc.array(paceStep, { maxLength: 20 }), (wish, steps) => {
      const { packetsMax, lateMs, base, nowMs } = wish;
      const window = growing(packetsMax, lateMs);
      const seen = new Set<bigint>();
      const heads: { id: bigint; atMs: number }[] = [];
      let [head, elapsedMs] = [0n, 0];
      const take = (id: bigint): void => {
        if (id < 1n) return;
        const verdict = accept(window, id, (nowMs + elapsedMs) | 0);
        const passed = heads.find((each) => each.id > id);
        const isIn = verdict <= V.acceptLate;
        if (seen.has(id)) assert(!isIn, `${id} twice`);
        else if (id > head) assert.equal(verdict, V.accept);
        else if (id <= head - BigInt(packetsMax)) assert.equal(verdict, V.behind);
        else if (passed !== undefined && elapsedMs - passed.atMs <= lateMs) {
          // Enough for all that passed since then, unless that is more than it may hold.
          const before = heads.findLast((each) => elapsedMs - each.atMs > lateMs)?.id ?? 0n;
          if (head - before <= BigInt(packetsMax)) assert.equal(verdict, V.acceptLate, `${id}`);
        }
        if (!isIn) return;
        seen.add(id);
        if (id <= head) return;
        head = id;
        heads.push({ id, atMs: elapsedMs });
      };
      take(base);
      for (const { by, run, stepMs, pauseMs, late } of steps) {
        elapsedMs += pauseMs;
        take(head + BigInt(by));
        for (let at = 1; at < run; at++) {
          elapsedMs += stepMs;
          take(head + (at % 5 === 0 ? 2n : 1n));
        }
        for (const back of late) take(head - BigInt(back));
        assert(window.packets <= packetsMax);
      }
    }),
    { numRuns: 400 },
  );
});

test("the largest window takes the largest jumps in bounded time", (t) => {
  const window = new ReplayWindow({ packets: 131_072, seconds: 15 });
  const rounds = 200;
  const startNs = process.hrtime.bigint();
  for (let round = 1; round <= rounds; round++) window.accept(round, 1, round);
  const perJumpUs = Number(process.hrtime.bigint() - startNs) / rounds / 1000;
  t.diagnostic(`a jump over the whole window of 131072: ${perJumpUs.toFixed(1)} us`);
  assert.ok(perJumpUs < 5000);
});
