/** Which path is preferred over minutes and hours, in virtual time: lossy ones, flapping ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PathSet } from "./path-set.ts";
import type { ProbeSettings } from "./path-settings.ts";

const SETTINGS: ProbeSettings = {
  intervalMs: 50,
  downAfter: 4,
  upAfter: 10,
  maxLossPercent: 20,
  lossWindow: 200,
};
const MINUTE_MS = 60_000;
const RTT_MS = 10;

/** The dialling end of two paths; `arrives` says whether a probe or its reply does. */
class Run {
  readonly set: PathSet = new PathSet();
  nowMs = 0;
  changes = 0;
  #used = -1;
  readonly #there = [0, 0];
  readonly #arrives: (path: number, nowMs: number, isReply: boolean) => boolean;

  constructor(arrives: (path: number, nowMs: number, isReply: boolean) => boolean) {
    this.#arrives = arrives;
    this.set.open(0, 1, 0);
    this.set.propose(1, 2, true);
  }

  get used(): number {
    return this.set.sendPaths[0] as number;
  }

  until(endMs: number): void {
    for (; this.nowMs < endMs; this.nowMs += SETTINGS.intervalMs) this.#round();
  }

  #round(): void {
    const { set, nowMs } = this;
    for (const path of [0, 1]) {
      set.checkReplies(path, SETTINGS, nowMs);
      set.takeSequence(path);
      if (!this.#arrives(path, nowMs, false)) continue;
      this.#there[path] = (this.#there[path] as number) + 1;
      if (!this.#arrives(path, nowMs, true)) continue;
      set.heard(path, nowMs);
      const receivedThere = this.#there[path] as number;
      set.replied(path, { rttMs: RTT_MS, receivedThere, nowMs }, SETTINGS);
    }
    if (this.used !== this.#used) this.changes += 1;
    this.#used = this.used;
  }
}

test("a path that flaps is left alone for longer each time, and comes back once it is steady", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 600, max: 5000 }),
      fc.integer({ min: 300, max: 3000 }),
      (upMs, downMs) => {
        const flapsUntil = 10 * MINUTE_MS;
        const run = new Run((path, nowMs) => {
          if (path === 1 || nowMs >= flapsUntil) return true;
          return nowMs % (upMs + downMs) < upMs;
        });
        run.until(flapsUntil);
        // Without damping it is used once in every turn: more than 75 times in ten minutes.
        assert(run.changes <= 20, `${run.changes} changes`);
        // At most 32 times upAfter replies from then on, and two windows without loss.
        const replies = 32 * SETTINGS.upAfter + 2 * SETTINGS.lossWindow;
        const backMs = replies * SETTINGS.intervalMs;
        run.until(flapsUntil + backMs);
        assert.equal(run.used, 0, "it is back");
        const { changes } = run;
        run.until(flapsUntil + backMs + 10 * MINUTE_MS);
        assert.equal(run.changes, changes);
      },
    ),
    { numRuns: 30 },
  );
});

test("an uplink that dies once an hour comes back after upAfter replies each time", () => {
  const deadMs = 1000;
  const run = new Run((path, nowMs) => path === 1 || nowMs % (60 * MINUTE_MS) >= deadMs);
  run.until(6 * 60 * MINUTE_MS);
  const last = 6 * 60 * MINUTE_MS;
  run.until(last + deadMs + (SETTINGS.upAfter - 1) * SETTINGS.intervalMs);
  assert.equal(run.used, 1);
  run.until(last + deadMs + SETTINGS.upAfter * SETTINGS.intervalMs);
  assert.equal(run.used, 0);
});

test("a path that loses more than it may is not preferred, and is again once it loses clearly less", () => {
  // Every third reply, then every sixth (16.7 %, between 15 and 20), then every tenth.
  const phaseMs = MINUTE_MS;
  let count = 0;
  const run = new Run((path, nowMs, isReply) => {
    if (path === 1 || !isReply) return true;
    count += 1;
    const each = nowMs < phaseMs ? 50 : nowMs < 2 * phaseMs ? 3 : nowMs < 3 * phaseMs ? 6 : 10;
    return count % each !== 0;
  });
  run.until(phaseMs);
  assert.equal(run.used, 0, "2 % are no reason");
  run.until(phaseMs + 25_000);
  assert.equal(run.used, 1, "33 % are, within two windows");
  run.until(3 * phaseMs);
  assert.equal(run.used, 1, "16.7 % do not bring it back");
  run.until(3 * phaseMs + 25_000);
  assert.equal(run.used, 0, "10 % do");
  assert.equal(run.changes, 3);
});

test("with every path lossy the most wanted one is used, and with Balance all of them", () => {
  let count = 0;
  const run = new Run((_, __, isReply) => {
    count += isReply ? 1 : 0;
    return !isReply || count % 3 !== 0;
  });
  run.until(MINUTE_MS);
  assert(run.set.views().every((view) => view.isLossy === true));
  assert.equal(run.used, 0);
  run.set.setPolicy("Balance", 8);
  assert.equal(run.set.sendCount, 2);
});
