import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedRing, sharedRingMemory } from "./buffer/shared-ring.ts";
import { CaptureTap, captureFrame } from "./capture-tap.ts";
import { type CapturedFrame, readFrame } from "./control/capture-messages.ts";
import type { CaptureFilter } from "./control/orders.ts";
import { Counter, Counters } from "./counters.ts";

const FRAME_BYTES = 100;
const RING_BYTES = 1024;

/** A plane as a capture sees it, with one frame in its slab that goes to ports 2 and 5. */
function watched(filter: Partial<CaptureFilter>): {
  show: (port: number, targets?: number) => void;
  taken: () => CapturedFrame[];
  missed: () => number;
  counted: () => number;
} {
  const slab = new Uint8Array(new SharedArrayBuffer(256));
  for (let at = 0; at < FRAME_BYTES; at++) slab[16 + at] = at;
  const ring = sharedRingMemory(RING_BYTES);
  const missed = new SharedArrayBuffer(4);
  const counters = new Counters();
  const tap = new CaptureTap({ id: 1, ring, missed }, { snapBytes: 9000, ...filter }, 1518);
  const source = {
    view: new DataView(slab.buffer),
    slab,
    switching: { targets: Int32Array.of(2, 5) },
    counters,
    captures: [tap],
  };
  const reader = new SharedRing(ring);
  return {
    show: (port, targets = 2) =>
      captureFrame(source, port, { start: 16, length: FRAME_BYTES, targets }),
    taken: () => {
      const frames: CapturedFrame[] = [];
      for (let next = reader.take(); next !== undefined; next = reader.take()) {
        frames.push(readFrame(next.payload) ?? assert.fail("a whole record"));
      }
      return frames;
    },
    missed: () => new Int32Array(missed)[0] ?? 0,
    counted: () => counters.get(Counter.captureMissed),
  };
}

test("a frame is noted once, with where it came in, how many ports it went to and its bytes", () => {
  const { show, taken } = watched({});
  show(3);
  show(3, -7);
  const [sent, dropped, ...others] = taken();
  assert.deepEqual(others, []);
  assert.deepEqual([sent?.port, sent?.targets, sent?.target, sent?.bytes], [3, 2, 2, FRAME_BYTES]);
  assert.deepEqual([...(sent?.frame ?? [])], [...Array(FRAME_BYTES).keys()]);
  assert.deepEqual([dropped?.targets, dropped?.target], [-7, -1]);
});

test("with a port, what comes from it and what goes to it, and nothing else", () => {
  const { show, taken } = watched({ port: 5 });
  show(3);
  show(5, 1);
  show(3, 1);
  assert.deepEqual(
    taken().map(({ port, targets }) => [port, targets]),
    [
      [5, 0],
      [5, 1],
    ],
  );
});

test("a peer that is not there has no frames", () => {
  const { show, taken } = watched({ port: -1 });
  show(0);
  assert.deepEqual(taken(), []);
});

test("a full ring misses frames and counts each; what was in it stays whole", () => {
  const { show, taken, missed, counted } = watched({});
  for (let count = 0; count < 50; count++) show(3);
  const kept = taken();
  assert(kept.length > 0 && kept.length < 50);
  assert.equal(missed(), 50 - kept.length);
  assert.equal(counted(), 50 - kept.length);
  assert(kept.every(({ frame }) => frame.length === FRAME_BYTES && frame[99] === 99));
  show(4);
  assert.deepEqual(
    taken().map(({ port }) => port),
    [4],
  );
});

test("frames are cut to what is kept, and say how long they were", () => {
  const { show, taken } = watched({ snapBytes: 14 });
  show(3);
  assert.deepEqual(
    taken().map(({ frame, bytes }) => [frame.length, bytes]),
    [[14, FRAME_BYTES]],
  );
});
