/** Frames by their flow and by their class, through a whole plane with two paths. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { DESCRIPTOR_WORDS, PathWord, Word } from "./native/layout.ts";
import { type Peer, PlaneHarness } from "./plane-harness.ts";
import { TAP_PORT } from "./ports.ts";
import { deliverFrame, flushOrders } from "./send.ts";
import { PATHS_MAX } from "./session/path-set.ts";
import type { PathPolicy } from "./session/path-settings.ts";

/** Where a test writes frames: a slot that no packet of this test is in. */
const FRAME_OFFSET = 512;
const EF = 46;

/** A peer that is reached by two paths, each at a socket of its own. */
class TwoPaths {
  readonly harness: PlaneHarness = new PlaneHarness();
  readonly peer: Peer;
  readonly fars: readonly ReturnType<PlaneHarness["farSocket"]>[];

  constructor(policy: PathPolicy) {
    const { plane } = this.harness;
    this.fars = [this.harness.farSocket(), this.harness.farSocket()];
    this.peer = this.harness.peer(1, this.fars[0] as { port: number });
    const first = PATHS_MAX * DESCRIPTOR_WORDS;
    plane.paths.copyWithin(first + DESCRIPTOR_WORDS, first, first + DESCRIPTOR_WORDS);
    plane.paths[first + DESCRIPTOR_WORDS + PathWord.remotePort] = this.fars[1]?.port ?? 0;
    const { paths } = this.peer.session;
    paths.setPolicy(policy, 2);
    paths.open(1, 1, plane.nowMs);
  }

  /** How many copies of a UDP packet leave by each path. */
  send(options: { readonly dscp: number; readonly port: number }): number[] {
    const { plane } = this.harness;
    const frame = Buffer.alloc(64);
    frame.fill(0xff, 0, 6);
    frame.set([2, 0, 0, 0, 0, 9], 6);
    frame.writeUInt16BE(0x0800, 12);
    frame.set([0x45, options.dscp << 2, 0, 50, 0, 0, 0, 0, 64, 17], 14);
    frame.writeUInt16BE(options.port, 34);
    plane.slab.set(frame, FRAME_OFFSET);
    const before = plane.traffic.snapshot(1).packetsOut;
    deliverFrame(plane, TAP_PORT, FRAME_OFFSET, frame.length);
    const rows = Array.from({ length: plane.orderCount }, (_, row) => row);
    const paths = rows.map((row) => plane.orders[row * DESCRIPTOR_WORDS + Word.path] ?? 0);
    flushOrders(plane);
    assert.equal(plane.traffic.snapshot(1).packetsOut - before, rows.length);
    return [0, 1].map((path) => paths.filter((one) => one === PATHS_MAX + path).length);
  }
}

const all: TwoPaths[] = [];
after(() => {
  for (const one of all) one.harness.close();
});

function twoPaths(policy: PathPolicy): TwoPaths {
  const made = new TwoPaths(policy);
  all.push(made);
  return made;
}

test("a flow keeps its path and leaves it only when it fails; flows use both", () => {
  const two = twoPaths("Balance");
  const ports = Array.from({ length: 40 }, (_, at) => 1000 + at);
  const sendAll = (): string[] => ports.map((port) => two.send({ dscp: 0, port }).join());
  const first = sendAll();
  assert.deepEqual(sendAll(), first);
  const loads = ["1,0", "0,1"].map((way) => first.filter((one) => one === way).length);
  // Flows that share a place of the table share a path.
  assert(
    loads.every((load) => load >= 15),
    String(loads),
  );
  assert.equal((loads[0] ?? 0) + (loads[1] ?? 0), ports.length);
  two.peer.session.paths.setUsable(0, false);
  assert.deepEqual(new Set(sendAll()), new Set(["0,1"]));
});

test("only named classes are copied", () => {
  const two = twoPaths("Duplicate");
  assert.deepEqual(two.send({ dscp: 0, port: 1 }), [1, 1], "everything, as long as none is named");
  two.peer.session.paths.setClasses({ high: 1 << (EF - 32), low: 0 });
  assert.deepEqual(two.send({ dscp: EF, port: 1 }), [1, 1]);
  assert.deepEqual(two.send({ dscp: 0, port: 1 }), [1, 0]);
  assert.deepEqual(two.send({ dscp: EF, port: 1 }), [1, 1]);
});
