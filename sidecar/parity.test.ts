/** Parity through two whole planes that share a key: what one sends, less what is lost, to the other. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import fc from "fast-check";
import { parityUsable } from "./native/native.ts";
import { expireBlocks } from "./parity-receive.ts";
import { TAP_INDEX } from "./plane.ts";
import { broadcastFrame, type Peer, PlaneHarness, type PlaneWish } from "./plane-harness.ts";
import { beginPlan, takePlan } from "./planning.ts";
import { recoverLost } from "./receive.ts";
import { BLOCK_LIFETIME_MS } from "./redundancy/parity-blocks.ts";
import { ReplayWindow } from "./replay/replay-window.ts";
import { closeDueBlocks, deliverFrame, flushOrders, sendPlan } from "./send.ts";
import { PLAN_BYTES, type Plan, writePlan } from "./wire/redundancy.ts";

const SHAPE = { dataPackets: 10, parityPackets: 3, maxDelayMs: 30, isAdaptive: false };
const PLAN: Plan = {
  ...SHAPE,
  policy: 2,
  copies: 1,
  reorderMs: 0,
  classesHigh: -1,
  classesLow: -1,
  weight: 1,
  lossPermille: 0,
  capacityKbit: 0,
  isFull: false,
};
/** Where a test writes frames and plans: a slot that no packet of this test is in. */
const FRAME_OFFSET = 512;
const skip = !parityUsable();

/** A sender with its peer, and a receiver that has the same keys the other way round. */
class Pair {
  readonly sender: PlaneHarness;
  readonly receiver: PlaneHarness;
  readonly from: Peer;
  readonly to: Peer;
  readonly #far: ReturnType<PlaneHarness["farSocket"]>;
  readonly #near: ReturnType<PlaneHarness["farSocket"]>;

  constructor(hasPlan = true) {
    const wish: PlaneWish = { isDialling: true, parity: SHAPE };
    this.sender = new PlaneHarness(wish);
    this.receiver = new PlaneHarness({ hasParity: true });
    this.#far = this.sender.farSocket();
    this.#near = this.receiver.farSocket();
    this.from = this.sender.peer(1, this.#far);
    this.to = this.receiver.peer(1, this.#near);
    const open = { slot: this.from.fromPlane.slot, generation: 1 };
    const seal = { slot: this.from.toPlane.slot, generation: 1 };
    const window = new ReplayWindow({ packets: 512, seconds: 15 });
    this.to.session.installKey(0, { open, seal, window });
    beginPlan(this.sender.plane, this.from.session);
    const { plane } = this.receiver;
    if (!hasPlan) return;
    writePlan(plane.view, FRAME_OFFSET, PLAN);
    takePlan(plane, this.to.session, FRAME_OFFSET, PLAN_BYTES);
  }

  /** The datagram that tells the plan. */
  plan(): Buffer[] {
    return this.#leaving(() => sendPlan(this.sender.plane, this.from.session, 0, PLAN));
  }

  /** Datagrams that a frame of so many bytes makes leave. */
  send(mark: number, payloadBytes: number): Buffer[] {
    const { plane } = this.sender;
    const frame = broadcastFrame(mark & 0xff, payloadBytes);
    plane.slab.set(frame, FRAME_OFFSET);
    return this.#leaving(() => {
      deliverFrame(plane, TAP_INDEX, FRAME_OFFSET, frame.length);
      flushOrders(plane);
    });
  }

  /** Lets the open block's time pass; the parity that leaves. */
  pass(): Buffer[] {
    this.sender.plane.nowMs += SHAPE.maxDelayMs;
    return this.#leaving(() => closeDueBlocks(this.sender.plane));
  }

  /** Takes datagrams in; what the counters gained. */
  receive(...datagrams: Uint8Array[]): Record<string, number> {
    return this.receiver.gained(() => {
      this.receiver.deliver(this.#near, ...datagrams);
      recoverLost(this.receiver.plane);
    });
  }

  close(): void {
    this.sender.close();
    this.receiver.close();
  }

  #leaving(action: () => void): Buffer[] {
    const { "tx.packets": count = 0 } = this.sender.gained(action);
    return this.sender.farReceive(this.#far, count);
  }
}

const pairs: Pair[] = [];
after(() => {
  for (const pair of pairs) pair.close();
});

function newPair(hasPlan = true): Pair {
  const pair = new Pair(hasPlan);
  pairs.push(pair);
  return pair;
}

test("a packet leaves at once and grows by nothing; parity follows the tenth", { skip }, () => {
  const pair = newPair();
  for (let at = 1; at <= 10; at++) {
    const datagrams = pair.send(at, 100 + at);
    assert.equal(datagrams.length, at < 10 ? 1 : 4);
    assert.equal(datagrams[0]?.length, 14 + 100 + at + 24);
  }
  assert.deepEqual(pair.pass(), []);
  assert.equal(pair.send(11, 50).length, 1);
  assert.equal(pair.pass().length, 1, "a short block gets its share");
});

test("what parity made again is counted for its path, what it could not for the peer", {
  skip,
}, () => {
  const pair = newPair();
  const { pathCounts } = pair.receiver.plane;
  const block = (): Buffer[] => Array.from({ length: 10 }, (_, at) => pair.send(at, 100)).flat();
  pair.receive(...block().slice(2));
  assert.equal(pathCounts.figures(1, 0).recoveredPackets, 2);
  assert.equal(pathCounts.figures(1, 0).packetsIn, 8 + 3, "by no path came what was made again");
  pair.receive(...block().slice(4));
  pair.receiver.plane.nowMs += BLOCK_LIFETIME_MS;
  expireBlocks(pair.receiver.plane);
  assert.equal(pathCounts.figures(1, 0).recoveredPackets, 2);
  assert.equal(pathCounts.lost(1), 4);
  assert.equal(pair.sender.plane.pathCounts.figures(1, 0).packetsOut, 2 * 13);
  pathCounts.clearSession(1);
  assert.equal(pathCounts.lost(1) + pathCounts.figures(1, 0).packetsIn, 0);
});

test("as many lost packets as parity come back, each once; of more, none", { skip }, () => {
  const pair = newPair();
  fc.assert(
    fc.property(fc.gen(), (gen) => {
      const count = gen(fc.integer, { min: 1, max: 10 });
      const sent: Buffer[] = [];
      for (let at = 0; at < count; at++)
        sent.push(...pair.send(at, gen(fc.integer, { min: 46, max: 1500 })));
      sent.push(...pair.pass());
      const data = sent.slice(0, count);
      const parity = sent.slice(count);
      assert.equal(parity.length, Math.ceil((3 * count) / 10));
      const lostData = gen(fc.subarray, data);
      const heard = gen(fc.subarray, parity);
      const arriving = [...data.filter((one) => !lostData.includes(one)), ...heard];
      // Parity may overtake data.
      const order = gen(fc.shuffledSubarray, arriving, { minLength: arriving.length });
      const gained: Record<string, number> = {};
      for (const datagram of order) {
        for (const [name, gain] of Object.entries(pair.receive(datagram))) {
          gained[name] = (gained[name] ?? 0) + gain;
        }
      }
      const frames = (gained["rx.packets"] ?? 0) - heard.length;
      const isEnough = lostData.length <= heard.length;
      assert.equal(frames, isEnough ? count : count - lostData.length);
      assert.equal(gained["rx.authenticationFailed"], undefined);
      assert.equal(gained["fec.recoveredWrong"], undefined);
      const early = (gained["fec.recovered"] ?? 0) - (isEnough ? lostData.length : 0);
      assert.equal(gained["rx.replayDuplicate"] ?? 0, early, "what came after its recovery");
    }),
    { numRuns: 150 },
  );
});

test("a forged packet takes the place of none that parity may need", { skip }, () => {
  const pair = newPair();
  const sent = Array.from({ length: 10 }, (_, at) => pair.send(at, 200)).flat();
  assert.equal(sent.length, 13);
  pair.receive(...sent.slice(1, 10));
  for (const datagram of sent.slice(1, 10)) {
    const forged = Buffer.from(datagram);
    // The same place of the ring, under an id that the window would let in.
    forged.writeUInt32BE(datagram.readUInt32BE(4) + 512, 4);
    assert.deepEqual(pair.receive(forged), { "rx.authenticationFailed": 1 });
  }
  const gained = pair.receive(sent[10] as Buffer);
  assert.equal(gained["fec.recovered"], 1);
});

test("forged, cut and repeated parity changes nothing", { skip }, () => {
  const pair = newPair();
  const sent = Array.from({ length: 10 }, (_, at) => pair.send(at, 200)).flat();
  pair.receive(...sent.slice(1, 10));
  const parity = sent[10] as Buffer;
  const forged = Buffer.from(parity);
  forged.writeUInt8(forged.readUInt8(60) ^ 1, 60);
  assert.deepEqual(pair.receive(forged), { "rx.authenticationFailed": 1 });
  assert.deepEqual(pair.receive(parity.subarray(0, 80)), { "rx.authenticationFailed": 1 });
  assert.equal(pair.receive(parity)["fec.recovered"], 1);
  assert.deepEqual(pair.receive(parity), { "rx.replayDuplicate": 1 });
  const later = pair.receive(sent[11] as Buffer);
  assert.equal(later["fec.recovered"], undefined);
});

test("what came in one turn with the plan, before anything was put aside, stands in for nothing", {
  skip,
}, () => {
  const pair = newPair(false);
  const plan = pair.plan();
  const sent = Array.from({ length: 10 }, (_, at) => pair.send(at, 200)).flat();
  const gained = pair.receive(...plan, ...sent.slice(1));
  assert.equal(gained["rx.plans"], 1);
  assert.equal(gained["rx.packets"], 13, "the plan, nine packets and three of parity");
  assert.equal(gained["fec.recoveredWrong"], undefined);
  assert.equal(gained["rx.authenticationFailed"], undefined);
  const next = Array.from({ length: 10 }, (_, at) => pair.send(at, 200)).flat();
  assert.equal(pair.receive(...next.slice(1))["fec.recovered"], 1, "from the next turn on");
});

test("a plan says how long segments wait, within bounds", { skip }, () => {
  const { receiver, to } = newPair();
  const { plane } = receiver;
  for (const [asked, taken] of [
    [10, 10],
    [65_535, 1000],
    [0, 0],
  ] as const) {
    writePlan(plane.view, FRAME_OFFSET, { ...PLAN, reorderMs: asked });
    takePlan(plane, to.session, FRAME_OFFSET, PLAN_BYTES);
    assert.equal(to.session.reorderMs, taken);
  }
});
