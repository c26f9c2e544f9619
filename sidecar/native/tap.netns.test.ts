/** Runs as root in a network namespace of its own, which it changes as it likes. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { test } from "node:test";
import { CANARY, Harness, SLOT_BYTES } from "./lane-harness.ts";
import { Ready, Verdict } from "./layout.ts";
import { handleClose, linkAdd, linkSet, links, tapOpen } from "./native.ts";
import { requireOwnNamespace } from "./own-namespace.ts";

requireOwnNamespace();
// Else the kernel sends frames of its own on each new device, at times of its own.
writeFileSync("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");

const { EAGAIN, EBADF, EBUSY, EINVAL, EIO } = constants.errno;
const BROADCAST = Buffer.from("ffffffffffff", "hex");
/** An EtherType for local experiments (IEEE 802). */
const EXPERIMENT = Buffer.from("88b5", "hex");

interface Tap {
  readonly handle: number;
  readonly name: string;
  readonly index: number;
  /** Index in the lane. */
  readonly port: number;
}

function indexOf(name: string): number {
  return links().links.find((link) => link.name === name)?.index ?? 0;
}

/** A tap that is up and attached, in a bridge if there is one. */
function openTap(harness: Harness, name: string, master?: number): Tap {
  const tap = tapOpen({ name, mode: "tap" });
  assert.equal(tap.errno, 0, tap.operation);
  const index = indexOf(tap.name);
  if (master !== undefined) assert.equal(linkSet({ index, master }), 0);
  assert.equal(linkSet({ index, isUp: true }), 0);
  const port = harness.lane.attachTap(tap.handle);
  assert.ok(port >= 0);
  return { ...tap, index, port };
}

function frame(text: string, source = 1): Buffer {
  const from = Buffer.from([2, 0, 0, 0, 0, source]);
  return Buffer.concat([BROADCAST, from, EXPERIMENT, Buffer.from(text)]);
}

function writeFrame(harness: Harness, port: number, bytes: Uint8Array): number {
  harness.place(harness.writes, 0, bytes);
  harness.set(harness.writes, 0, { port });
  return harness.lane.tapWrite(1);
}

/** Reads frames of ours from a tap until one has this text. */
function readUntil(harness: Harness, port: number, text: string): void {
  for (let tries = 0; tries < 50; tries++) {
    harness.grant(harness.frames, 0, 8);
    const mask = harness.lane.wait(1000);
    assert.notEqual(mask, 0, `no frame with ${text}`);
    const count = harness.lane.tapRead(port, 0, 8);
    for (let row = 0; row < count; row++) {
      assert.equal(harness.word(harness.frames, row, "port"), port);
      const bytes = Buffer.from(harness.bytes(harness.frames, row));
      if (bytes.subarray(14, 14 + text.length).toString() === text) return;
    }
  }
  assert.fail(`no frame with ${text}`);
}

test("the kernel chooses a name, and the queue is as long as we set it", () => {
  const tap = tapOpen({ name: "fl%d", mode: "tap" });
  assert.equal(tap.errno, 0, tap.operation);
  assert.equal(tap.name, "fl0");
  const made = links().links.find((link) => link.name === "fl0");
  assert.equal(made?.kind, "tun");
  // `ip netns exec` mounts the namespace's own /sys.
  assert.equal(readFileSync("/sys/class/net/fl0/tx_queue_len", "utf8").trim(), "1000");
  assert.equal(handleClose(tap.handle), 0);
  assert.equal(indexOf("fl0"), 0, "a tap goes with its handle");
});

test("names that cannot be and names that are taken are refused by TUNSETIFF", () => {
  for (const name of ["sixteen-letters-", "a/b", "nul\0"]) {
    const tap = tapOpen({ name, mode: "tap" });
    assert.deepEqual([tap.errno, tap.operation], [EINVAL, "TUNSETIFF"], name);
  }
  const first = tapOpen({ name: "fltaken", mode: "tap" });
  const second = tapOpen({ name: "fltaken", mode: "tap" });
  assert.deepEqual([second.errno, second.operation], [EBUSY, "TUNSETIFF"]);
  assert.equal(handleClose(first.handle), 0);
});

test("frames cross a bridge between two taps", () => {
  const harness = new Harness();
  const bridge = linkAdd({ name: "fltbr0", kind: "bridge" });
  assert.equal(linkSet({ index: bridge.index, isUp: true }), 0);
  const left = openTap(harness, "flleft", bridge.index);
  const right = openTap(harness, "flright", bridge.index);
  assert.equal(writeFrame(harness, left.port, frame("over the bridge")), 1);
  assert.equal(harness.word(harness.writes, 0, "verdict"), Verdict.done);
  readUntil(harness, right.port, "over the bridge");
  assert.equal(writeFrame(harness, right.port, frame("and back", 2)), 1);
  readUntil(harness, left.port, "and back");
  assert.equal(links().links.find((link) => link.name === "flleft")?.master, bridge.index);
  assert.equal(linkSet({ index: left.index, master: 0 }), 0);
  assert.equal(links().links.find((link) => link.name === "flleft")?.master, 0);
  assert.equal(handleClose(left.handle), 0);
  assert.notEqual(indexOf("flleft"), 0, "attached, it stays");
  assert.equal(harness.lane.detachTap(left.port), 0);
  assert.equal(indexOf("flleft"), 0);
  assert.equal(harness.lane.tapRead(left.port, 0, 1), -EBADF);
});

test("a frame longer than its room is malformed and stays inside it", () => {
  const harness = new Harness();
  const bridge = linkAdd({ name: "fltbr1", kind: "bridge" });
  assert.equal(linkSet({ index: bridge.index, isUp: true }), 0);
  const left = openTap(harness, "flc", bridge.index);
  const right = openTap(harness, "fld", bridge.index);
  for (const [length, verdict] of [
    [100, Verdict.none],
    [101, Verdict.malformed],
  ] as const) {
    // Whatever the kernel itself sent goes first.
    while (harness.lane.tapRead(right.port, 8, 8) > 0) harness.grant(harness.frames, 8, 8);
    assert.equal(writeFrame(harness, left.port, frame("x".repeat(length - 14))), 1);
    harness.slab.fill(CANARY);
    harness.set(harness.frames, 0, { start: SLOT_BYTES, length: 100, verdict: 9 });
    assert.notEqual(harness.lane.wait(1000), 0);
    assert.equal(harness.lane.tapRead(right.port, 0, 1), 1);
    assert.equal(harness.word(harness.frames, 0, "verdict"), verdict);
    assert.equal(harness.word(harness.frames, 0, "length"), 100);
    assert.equal(harness.slab[SLOT_BYTES + 100], CANARY);
    assert.equal(harness.slab[SLOT_BYTES - 1], CANARY);
  }
  assert.equal(handleClose(left.handle), 0);
  assert.equal(handleClose(right.handle), 0);
});

test("each frame has its own verdict", () => {
  const harness = new Harness();
  const tap = openTap(harness, "fle");
  harness.grant(harness.frames, 0, 1);
  while (harness.lane.tapRead(tap.port, 0, 1) > 0) harness.grant(harness.frames, 0, 1);
  assert.equal(harness.lane.tapRead(tap.port, 0, 1), -EAGAIN);
  for (const row of [0, 1, 2, 3]) {
    harness.place(harness.writes, row, frame("x"));
    harness.set(harness.writes, row, { port: tap.port });
  }
  harness.set(harness.writes, 1, { port: 7 });
  harness.set(harness.writes, 2, { length: 3 });
  assert.equal(harness.lane.tapWrite(4), 2);
  const verdicts = [0, 1, 2, 3].map((row) => harness.word(harness.writes, row, "verdict"));
  assert.deepEqual(verdicts, [Verdict.done, -EBADF, -EINVAL, Verdict.done]);
  assert.equal(linkSet({ index: tap.index, isUp: false }), 0);
  assert.equal(writeFrame(harness, tap.port, frame("x")), 0);
  assert.equal(harness.word(harness.writes, 0, "verdict"), -EIO);
  assert.equal(handleClose(tap.handle), 0);
});

test("a tun device carries packets without Ethernet", () => {
  const harness = new Harness();
  const tun = tapOpen({ name: "flt%d", mode: "tun" });
  assert.equal(tun.errno, 0, tun.operation);
  assert.equal(linkSet({ index: indexOf(tun.name), isUp: true }), 0);
  const port = harness.lane.attachTap(tun.handle);
  const packet = Buffer.from("450000150000000040112af0c0000201c0000202" + "00", "hex");
  assert.equal(writeFrame(harness, port, packet), 1);
  assert.equal(harness.lane.wait(0) & ~(1 << (Ready.tapShift + port)), 0);
  assert.equal(harness.lane.detachTap(port), 0);
  assert.equal(handleClose(tun.handle), 0);
});
