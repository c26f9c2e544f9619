import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NO_PATH, PATHS_MAX, PathSet } from "./path-set.ts";
import { ALL_CLASSES, METERED_PRIORITY, type ProbeSettings } from "./path-settings.ts";

const SETTINGS: ProbeSettings = {
  intervalMs: 50,
  downAfter: 4,
  upAfter: 10,
  maxLossPercent: 20,
  lossWindow: 200,
};
const SILENT_MS = SETTINGS.intervalMs * SETTINGS.downAfter;
const sending = (set: PathSet): number[] => Array.from(set.sendPaths.subarray(0, set.sendCount));
const reply = (set: PathSet, path: number, nowMs = 0): string => {
  set.heard(path, nowMs);
  return set.replied(path, { rttMs: 10, receivedThere: 1, nowMs: 0 }, SETTINGS);
};

test("a session sends by the path that it was begun on, until another one is better", () => {
  const set = new PathSet();
  assert.deepEqual(sending(set), []);
  set.open(1, 2, 0);
  assert.deepEqual(sending(set), [1]);
  set.propose(0, 1, true);
  assert.deepEqual(sending(set), [1], "a path that has not answered yet is not used");
  assert.equal(reply(set, 0), "up");
  assert.deepEqual(sending(set), [0], "the least priority wins");
});

test("a silent path is left at the patience's end and not before", () => {
  const set = new PathSet();
  set.open(0, 1, 0);
  set.propose(1, 2, true);
  reply(set, 1);
  assert.equal(set.checkSilence(0, SILENT_MS, SILENT_MS - 1), false);
  assert.equal(set.checkSilence(0, SILENT_MS, SILENT_MS), true);
  assert.equal(set.checkSilence(0, SILENT_MS, SILENT_MS), false, "it is told once");
  assert.deepEqual(sending(set), [1]);
});

test("a path is left for want of replies, whatever else arrives on it", () => {
  const set = new PathSet();
  set.open(0, 1, 0);
  set.propose(1, 2, true);
  reply(set, 1);
  set.heard(0, SILENT_MS);
  const doubtMs = SETTINGS.intervalMs * 1.5;
  assert.equal(set.checkReplies(0, SETTINGS, doubtMs - 1), "fine");
  assert.equal(set.checkReplies(0, SETTINGS, doubtMs), "doubtful");
  assert.equal(set.checkReplies(0, SETTINGS, SILENT_MS - 1), "doubtful");
  assert.deepEqual(sending(set), [0]);
  assert.equal(set.checkReplies(0, SETTINGS, SILENT_MS), "dead");
  assert.equal(set.checkReplies(0, SETTINGS, SILENT_MS), "fine", "it is told once");
  assert.deepEqual(sending(set), [1]);
});

test("a path with a long round trip gets the time that a late question's answer takes", () => {
  const set = new PathSet();
  set.open(0, 1, 0);
  const rttMs = 400;
  set.replied(0, { rttMs, receivedThere: 1, nowMs: 0 }, SETTINGS);
  const patienceMs = SILENT_MS + rttMs - SETTINGS.intervalMs * 1.5;
  assert.equal(set.checkReplies(0, SETTINGS, patienceMs - 1), "doubtful");
  assert.equal(set.checkReplies(0, SETTINGS, patienceMs), "dead");
});

test("when nothing is heard on any path, the policy goes on over those that worked", () => {
  const set = new PathSet();
  set.setPolicy("Duplicate", 3);
  set.open(0, 1, 0);
  for (const path of [1, 2]) set.propose(path, path + 1, true);
  reply(set, 1);
  for (const path of [0, 1]) set.checkReplies(path, SETTINGS, SILENT_MS + path);
  assert.deepEqual(sending(set), [0, 1], "the third one never worked");
  reply(set, 1, SILENT_MS + 10);
  assert.deepEqual(sending(set), [1], "the peer was away: the first reply is enough");
  reply(set, 0, SILENT_MS + 10);
  assert.deepEqual(sending(set), [0, 1]);
});

test("time in which nobody looked is not silence", () => {
  const set = new PathSet();
  const lookMs = 10;
  set.looked(lookMs, 0);
  set.open(0, 1, 0);
  set.looked(lookMs, 1000);
  assert.equal(set.checkReplies(0, SETTINGS, 1000), "fine");
  const deadMs = 1000 + SILENT_MS - lookMs;
  for (let nowMs = 1000 + lookMs; nowMs < deadMs; nowMs += lookMs) {
    set.looked(lookMs, nowMs);
    assert.notEqual(set.checkReplies(0, SETTINGS, nowMs), "dead");
  }
  assert.equal(set.checkReplies(0, SETTINGS, deadMs), "dead");
});

test("a path that died is not used again before enough replies in a row", () => {
  const set = new PathSet();
  set.open(0, 1, 0);
  set.propose(1, 2, true);
  reply(set, 0);
  reply(set, 1);
  set.checkSilence(0, SILENT_MS, SILENT_MS);
  for (let count = 1; count < SETTINGS.upAfter; count++) {
    assert.equal(reply(set, 0, SILENT_MS), "none");
    assert.deepEqual(sending(set), [1]);
  }
  assert.equal(reply(set, 0, SILENT_MS), "up");
  assert.deepEqual(sending(set), [0]);
});

test("duplicates leave by every path that lives, at most as many as asked for", () => {
  const set = new PathSet();
  set.setPolicy("Duplicate", 2);
  set.open(0, 1, 0);
  for (const path of [1, 2]) {
    set.propose(path, path + 1, true);
    reply(set, path);
  }
  assert.deepEqual(sending(set), [0, 1]);
  set.setUsable(0, false);
  assert.deepEqual(sending(set), [1, 2]);
  set.setPolicy("Duplicate", 8);
  set.setUsable(0, true);
  assert.deepEqual(sending(set), [1, 2], "an uplink that came back has to answer first");
});

test("with no path alive a usable one is tried, and with none usable the last resort is", () => {
  const set = new PathSet();
  set.open(0, 1, 0);
  set.propose(1, 2, true);
  set.setUsable(0, false);
  assert.deepEqual(sending(set), [1]);
  set.setUsable(1, false);
  assert.equal(set.sendCount, 1);
});

test("a listening end follows the dialling end's choice, once the path was checked", () => {
  const set = new PathSet();
  set.open(0, 0, 0);
  const place = set.takePlace(0);
  assert.equal(place, 1);
  set.propose(place, 0, true);
  const use = { isWanted: true, isOnly: true };
  set.probed(place, use);
  assert.deepEqual(sending(set), [0], "nobody showed yet that the peer receives there");
  assert.equal(set.challenge(place, 77, 0), 77);
  assert.equal(set.challenge(place, 78, 49), 0, "asked lately");
  assert.equal(set.challenge(place, 78, 50), 77, "the same question again");
  assert.equal(set.answered(place, 78, use), false);
  assert.deepEqual(sending(set), [0]);
  assert.equal(set.answered(place, 77, use), true);
  assert.deepEqual(sending(set), [1]);
  assert.equal(set.answered(place, 77, use), false, "an answer counts once");
  set.probed(0, use);
  assert.deepEqual(sending(set), [0]);
  assert.equal(set.challenge(0, 1, 0), 0, "a path that lives is not asked");
});

test("a new path takes a free place, else that of the longest silent path not in use", () => {
  const set = new PathSet();
  for (let path = 0; path < PATHS_MAX; path++) {
    assert.equal(set.takePlace(0), path);
    set.open(path, 0, path * 10);
  }
  assert.deepEqual(sending(set), [0]);
  assert.equal(set.takePlace(1000), 1);
  set.heard(1, 1000);
  assert.equal(set.takePlace(1001), 2);
  set.setPolicy("Duplicate", PATHS_MAX);
  assert.equal(set.takePlace(1001), NO_PATH, "a path in use is nobody's place");
});

test("loss is told each way after 200 probes", () => {
  const set = new PathSet();
  set.open(0, 0, 0);
  let there = 0;
  for (let probe = 1; probe <= 203; probe++) {
    set.takeSequence(0);
    // Every tenth probe is lost on its way there, every twentieth reply on its way back.
    if (probe % 10 !== 0) there += 1;
    if (probe % 10 !== 0 && probe % 20 !== 1) {
      set.replied(0, { rttMs: 8, receivedThere: there, nowMs: 0 }, SETTINGS);
    }
  }
  const [view] = set.views();
  assert.ok(Math.abs((view?.lossOutPercent ?? -1) - 10) < 1.5, String(view?.lossOutPercent));
  assert.ok(Math.abs((view?.lossBackPercent ?? -1) - 5.5) < 1.5, String(view?.lossBackPercent));
  assert.equal(view?.rttMs, 8);
});

test("a path that begins to lose too much, and one that stops, say so once", () => {
  const set = new PathSet();
  set.open(0, 0, 0);
  let there = 0;
  const changes: string[] = [];
  const window = (lost: number): void => {
    for (let probe = 0; probe < SETTINGS.lossWindow; probe++) {
      set.takeSequence(0);
      if (probe < lost) continue;
      there += 1;
      const change = set.replied(0, { rttMs: 8, receivedThere: there, nowMs: 0 }, SETTINGS);
      if (change !== "none") changes.push(change);
    }
  };
  window(0);
  window(60);
  window(60);
  assert.deepEqual(changes, ["lossy"]);
  window(0);
  window(0);
  assert.deepEqual(changes, ["lossy", "clean"]);
});

test("whatever happens, no path is chosen twice and there is one to send by while any is known", () => {
  const path = fc.nat(PATHS_MAX - 1);
  const step = fc.oneof(
    fc.record({ kind: fc.constant("open"), path, value: fc.nat(3) }),
    fc.record({ kind: fc.constant("propose"), path, value: fc.nat(3) }),
    fc.record({ kind: fc.constant("usable"), path, value: fc.nat(1) }),
    fc.record({ kind: fc.constant("reply"), path, value: fc.nat(1) }),
    fc.record({ kind: fc.constant("silence"), path, value: fc.nat(400) }),
    fc.record({ kind: fc.constant("policy"), path, value: fc.nat(1) }),
    fc.record({ kind: fc.constant("hope"), path, value: fc.nat(1) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const set = new PathSet();
      const known = new Set<number>();
      let nowMs = 0;
      for (const { kind, path: at, value } of steps) {
        nowMs += 20;
        if (kind === "open") set.open(at, value, nowMs);
        if (kind === "propose") set.propose(at, value, value > 0);
        if (kind === "open" || kind === "propose") known.add(at);
        if (kind === "usable") set.setUsable(at, value === 1);
        if (kind === "reply") reply(set, at, nowMs);
        if (kind === "silence") set.checkSilence(at, SILENT_MS, nowMs + value);
        if (kind === "policy") set.setPolicy(value === 1 ? "Duplicate" : "Failover", at + 1);
        if (kind === "hope") set.hope(nowMs);
        const chosen = sending(set);
        assert.equal(new Set(chosen).size, chosen.length);
        assert.equal(chosen.length > 0, known.size > 0);
        for (const one of chosen) assert.ok(known.has(one));
      }
    }),
    { numRuns: 1000 },
  );
});

test("Fec and Balance use every path that works by turns, a metered one only when no other does", () => {
  for (const policy of ["Fec", "Balance"] as const) {
    const set = new PathSet();
    set.setPolicy(policy, 2);
    set.open(0, 1, 0);
    assert.equal(set.isSpread, false, "there is only one");
    set.propose(1, 2, true);
    set.propose(2, METERED_PRIORITY, true);
    reply(set, 1);
    reply(set, 2);
    assert.deepEqual(sending(set), [0, 1]);
    assert.equal(set.isSpread, true);
    assert.equal(set.isChoosy, policy === "Balance");
    const turns = [set.takeTurn(), set.takeTurn(), set.takeTurn()];
    assert.deepEqual(turns.sort(), [0, ...turns.slice(1, 2), 1].sort());
    set.aimed = 1;
    assert.deepEqual([set.takeTurn(), set.aimed], [1, -1]);
    for (const path of [0, 1]) set.checkSilence(path, SILENT_MS, SILENT_MS);
    assert.deepEqual(sending(set), [2], "the metered one is left");
  }
});

test("with classes, only what is named is copied, and what has no class is not", () => {
  const set = new PathSet();
  set.setPolicy("Duplicate", 2);
  set.open(0, 1, 0);
  set.setClasses({ high: 1 << (46 - 32), low: 1 << 1 });
  assert.equal(set.isChoosy, false, "there is only one path");
  set.propose(1, 2, true);
  reply(set, 1);
  assert.equal(set.isChoosy, true);
  const copied = Array.from({ length: 65 }, (_, at) => at - 1).filter((dscp) => set.isCopied(dscp));
  assert.deepEqual(copied, [1, 46]);
  set.setClasses(ALL_CLASSES);
  assert.equal(set.isChoosy, false);
});

test("skew is how much later a path brings what another one brought, whatever the clocks say", () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(200), fc.nat(200), (clocks, first, second) => {
      const set = new PathSet();
      set.open(0, 1, 0);
      set.propose(1, 2, true);
      assert.equal(set.views()[0]?.skewMs, undefined);
      for (let round = 0; round < 200; round++) {
        // The clocks drift apart, by a second in a thousand.
        const drift = Math.floor(round / 20);
        set.arrivedAfter(0, (clocks + drift + first) | 0);
        set.arrivedAfter(1, (clocks + drift + second) | 0);
      }
      const [one, two] = set.views();
      assert(Math.abs((two?.skewMs ?? -1) - (one?.skewMs ?? -1) - (second - first)) <= 1);
      assert.equal(Math.min(one?.skewMs ?? -1, two?.skewMs ?? -1), 0);
    }),
  );
});

test("reordered is what comes behind a later packet of its key by the same path", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(1), fc.nat(1), fc.integer({ min: 1, max: 100 }))),
      (all) => {
        const set = new PathSet();
        set.open(0, 1, 0);
        set.propose(1, 2, true);
        const counts = [0, 0];
        const newest: (readonly [number, number] | undefined)[] = [undefined, undefined];
        for (const [path, key, id] of all) {
          set.arrived(path, key, id);
          const last = newest[path];
          if (last === undefined || last[0] !== key || id > last[1]) newest[path] = [key, id];
          else if (id < last[1]) counts[path] = (counts[path] ?? 0) + 1;
        }
        assert.deepEqual(
          set.views().map((view) => view.reorderedPackets),
          counts,
        );
      },
    ),
  );
});
