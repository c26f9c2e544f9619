import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Counter } from "./counters.ts";
import { ORDERS_MAX } from "./limits.ts";
import { DESCRIPTOR_WORDS, HEADROOM_BYTES, PathWord } from "./native/layout.ts";
import { keyRemove } from "./native/native.ts";
import { CONTROL_PATH_ROW } from "./plane.ts";
import {
  broadcastFrame,
  openPacket,
  type Peer,
  PlaneHarness,
  sealPacket,
} from "./plane-harness.ts";
import { TAP_PORT } from "./ports.ts";
import { deliverFrame, flushOrders, sendExit, sendPing } from "./send.ts";
import { sendPlain } from "./send-plain.ts";
import { sendingCounter } from "./sending-verdicts.ts";
import { PATHS_MAX } from "./session/path-set.ts";

const PING = "2a187bf3641eb4cb07ed2d0a981fc748";
const OCC_EXIT = "287f346bd4ef7a812d56b8d3afc5459c06";

const harnesses: PlaneHarness[] = [];
after(() => {
  for (const harness of harnesses) harness.close();
});

type Far = { readonly index: number; readonly port: number };

function setUp(count: number): { harness: PlaneHarness; peers: Peer[]; ends: Far[] } {
  const harness = new PlaneHarness();
  harnesses.push(harness);
  const ends = Array.from({ length: count }, () => harness.farSocket());
  const peers = ends.map((end, at) => harness.peer(at + 1, end));
  return { harness, peers, ends };
}

/** Lets a frame in by a port as the tap or a peer would have; what the counters gained. */
function frameIn(harness: PlaneHarness, port: number, frame: Buffer): Record<string, number> {
  const { plane } = harness;
  return harness.gained(() => {
    plane.slab.set(frame, HEADROOM_BYTES);
    deliverFrame(plane, port, HEADROOM_BYTES, frame.length);
    flushOrders(plane);
  });
}

test("a frame to all is sealed for each peer with its own key, id and peer-id", () => {
  const { harness, peers, ends } = setUp(3);
  for (const mark of [1, 2]) {
    const frame = broadcastFrame(mark);
    const gains = frameIn(harness, TAP_PORT, frame);
    const bytes = 3 * (24 + frame.length);
    assert.deepEqual(gains, { "tx.packets": 3, "tx.bytes": bytes });
    for (const [at, peer] of peers.entries()) {
      const [packet] = harness.farReceive(ends[at] as Far, 1);
      assert.deepEqual(openPacket(peer, packet as Buffer), { id: mark, text: frame });
      const { packetsOut, bytesOut } = harness.plane.traffic.snapshot(peer.index);
      assert.deepEqual([packetsOut, bytesOut], [mark, mark * (24 + frame.length)]);
    }
  }
});

test("a frame of one peer goes to the others and to the tap, never back", () => {
  const { harness, peers, ends } = setUp(2);
  const [one, other] = peers as [Peer, Peer];
  const frame = broadcastFrame(7);
  const gains = harness.deliver(ends[0] as Far, sealPacket(one, 1, frame));
  assert.equal(gains["tx.packets"], 1);
  // There is no tap here: its copy got as far as that.
  assert.equal(gains["tap.writeError"], 1);
  const [packet] = harness.farReceive(ends[1] as Far, 1);
  assert.deepEqual(openPacket(other, packet as Buffer), { id: 1, text: frame });
});

test("more frames than one flush takes are all sent, in order", () => {
  const { harness, peers, ends } = setUp(1);
  const [peer] = peers as [Peer];
  const count = ORDERS_MAX + 44;
  const frame = broadcastFrame(1);
  const gains = harness.gained(() => {
    harness.plane.slab.set(frame, HEADROOM_BYTES);
    for (let index = 0; index < count; index++) {
      deliverFrame(harness.plane, TAP_PORT, HEADROOM_BYTES, frame.length);
    }
    assert.equal(harness.plane.orderCount, count - ORDERS_MAX);
    flushOrders(harness.plane);
  });
  assert.equal(gains["tx.packets"], count);
  const ids = harness
    .farReceive(ends[0] as Far, count)
    .map((packet) => openPacket(peer, packet).id);
  assert.deepEqual(
    ids,
    Array.from({ length: count }, (_, index) => index + 1),
  );
});

test("each frame that is not sent adds one to one counter", () => {
  const frame = broadcastFrame(1);
  const cases: [string, (harness: PlaneHarness, peer: Peer) => void][] = [
    ["tx.noSession", (harness, peer) => harness.plane.sessions.remove(peer.index)],
    ["tx.noKey", (_, peer) => peer.session.retireKey(0)],
    ["tx.idExhausted", (_, peer) => peer.session.sendWith(0, 2 ** 32)],
    ["tx.sealFailed", (_, peer) => keyRemove(peer.fromPlane.slot)],
    ["tx.sealFailed", (_, peer) => peer.session.sealGeneration++],
    [
      "tx.noPath",
      (harness, peer) => {
        const row = peer.index * PATHS_MAX * DESCRIPTOR_WORDS;
        harness.plane.paths[row + PathWord.socket] = 7;
      },
    ],
  ];
  for (const [counter, spoil] of cases) {
    const { harness, peers } = setUp(1);
    spoil(harness, peers[0] as Peer);
    assert.deepEqual(frameIn(harness, TAP_PORT, frame), { [counter]: 1 });
    assert.deepEqual(harness.plane.traffic.snapshot(1).packetsOut, 0);
  }
});

test("one peer that cannot be sent to does not keep the others from it", () => {
  const { harness, peers, ends } = setUp(3);
  keyRemove((peers[1] as Peer).fromPlane.slot);
  const frame = broadcastFrame(1);
  const gains = frameIn(harness, TAP_PORT, frame);
  assert.deepEqual([gains["tx.packets"], gains["tx.sealFailed"]], [2, 1]);
  for (const at of [0, 2]) assert.equal(harness.farReceive(ends[at] as Far, 1).length, 1);
});

test("a new key is asked for once, near the end of the ids", () => {
  const { harness, peers } = setUp(1);
  (peers[0] as Peer).session.sendWith(0, 0xf000_0000 - 1);
  for (let count = 0; count < 3; count++) frameIn(harness, TAP_PORT, broadcastFrame(1));
  assert.deepEqual(harness.notices(), [{ kind: "needsKey", index: 1 }]);
});

test("a ping and an exit are the magic strings, sealed like any packet", () => {
  const { harness, peers, ends } = setUp(1);
  const [peer] = peers as [Peer];
  const pinged = harness.gained(() => sendPing(harness.plane, peer.session));
  assert.deepEqual(pinged, { "tx.pings": 1, "tx.packets": 1, "tx.bytes": 40 });
  const left = harness.gained(() => sendExit(harness.plane, peer.session));
  assert.deepEqual(left, { "tx.packets": 1, "tx.bytes": 41 });
  const texts = harness
    .farReceive(ends[0] as Far, 2)
    .map((packet) => openPacket(peer, packet).text.toString("hex"));
  assert.deepEqual(texts, [PING, OCC_EXIT]);
});

test("a ping that cannot be sealed counts as a missing key, not as a ping", () => {
  const { harness, peers } = setUp(1);
  const [peer] = peers as [Peer];
  peer.session.retireKey(0);
  const pinged = harness.gained(() => sendPing(harness.plane, peer.session));
  assert.deepEqual(pinged, { "tx.noKey": 1 });
});

test("what is sealed notes the time, for the next ping", () => {
  const { harness, peers } = setUp(1);
  const [peer] = peers as [Peer];
  harness.plane.nowMs += 777;
  frameIn(harness, TAP_PORT, broadcastFrame(1));
  assert.equal(peer.session.lastSentMs, harness.plane.nowMs);
});

test("a control packet leaves as it is, by its own path", () => {
  const { harness, ends } = setUp(2);
  const { plane } = harness;
  const [, other] = ends as [Far, Far];
  plane.paths.set(harness.pathRow(2), CONTROL_PATH_ROW * DESCRIPTOR_WORDS);
  const text = Buffer.from("a control packet");
  plane.slab.set(text, HEADROOM_BYTES);
  assert.equal(sendPlain(plane, CONTROL_PATH_ROW, HEADROOM_BYTES, text.length), 6);
  assert.deepEqual(harness.farReceive(other, 1), [text]);
});

test("an errno has its counter", () => {
  const counters = [-11, -105, -90, -126, -9, -101, -113, -100, -99, -22, -19, -1].map(
    sendingCounter,
  );
  const { txSocketFull, txTooBig, txSealFailed, txNoPath, txSocketError } = Counter;
  const { txUnreachable, txNoAddress } = Counter;
  assert.deepEqual(counters, [
    ...[txSocketFull, txSocketFull, txTooBig, txSealFailed],
    ...[txNoPath, txUnreachable, txUnreachable, txUnreachable],
    ...[txNoAddress, txNoAddress, txNoAddress, txSocketError],
  ]);
});
