import assert from "node:assert/strict";
import { test } from "node:test";
import { readLoopProbe, writeLoopProbe } from "../wire/loop-probe.ts";
import { LoopGuard } from "./loop-guard.ts";

const ID = { high: 0x1234_5678, low: -1 };

test("stations that move back and forth lead to probes for a second, quiet ones to none", () => {
  const guard = new LoopGuard(ID, 0);
  assert.equal(guard.isProbing(0), false);
  guard.moved(0, 2);
  assert.equal(guard.isProbing(100), false, "one move is a station that moved");
  guard.moved(0, 2);
  guard.moved(2, 0);
  assert.equal(guard.isProbing(200), true);
  assert.deepEqual([...guard.probePorts].sort(), [0, 2]);
  assert.equal(guard.isProbing(1100), true);
  assert.equal(guard.isProbing(1200), false);
});

test("a probe that comes back shuts the peer's port, never the tap, and opens it later", () => {
  const guard = new LoopGuard(ID, 0);
  assert.equal(guard.tick(0), undefined);
  guard.returned(2, 0, 10);
  assert.deepEqual(guard.tick(100), { port: 2, isShut: true });
  assert.equal(guard.tick(200), undefined);
  assert.deepEqual(guard.tick(30_100), { port: 2, isShut: false });
  assert.equal(guard.tick(30_200), undefined);
  guard.returned(0, 2, 30_300);
  assert.deepEqual(guard.tick(30_300), { port: 2, isShut: true });
  assert.equal(guard.tick(80_000), undefined, "longer each time");
  assert.deepEqual(guard.tick(90_400), { port: 2, isShut: false });
  guard.returned(1, 1, 99_000);
  assert.equal(guard.tick(99_000), undefined, "a loop elsewhere is not ours to break");
});

test("an end that has to wait shuts only what is still there after its time", () => {
  const guard = new LoopGuard(ID, 400);
  guard.returned(0, 1, 0);
  assert.equal(guard.tick(100), undefined);
  guard.returned(0, 1, 1000);
  for (let nowMs = 1100; nowMs < 1400; nowMs += 100) {
    guard.returned(0, 1, nowMs);
    assert.equal(guard.tick(nowMs), undefined);
  }
  guard.returned(0, 1, 1400);
  assert.deepEqual(guard.tick(1400), { port: 1, isShut: true });
});

test("a probe is read back by its own id only, whole or not at all", () => {
  const view = new DataView(new ArrayBuffer(100));
  const id = { idHigh: 5, idLow: -7 };
  const bytes = writeLoopProbe(view, 4, 3, { ...id, own: { high: 0x0246, low: 1 } });
  assert.equal(readLoopProbe(view, 4, 4 + bytes, id), 3);
  assert.equal(readLoopProbe(view, 4, 4 + bytes, { ...id, idLow: 8 }), -1);
  for (let cut = 14; cut < bytes; cut++) assert.equal(readLoopProbe(view, 4, 4 + cut, id), -1);
});
