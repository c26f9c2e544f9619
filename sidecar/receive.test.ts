import assert from "node:assert/strict";
import { after, test } from "node:test";
import { NoticeRecord, splitControl } from "./control/orders.ts";
import { CONTROL_BURST, CONTROL_DATAGRAM_BYTES_MAX, SOURCE_BURST } from "./limits.ts";
import { PathWord } from "./native/layout.ts";
import { keyRemove } from "./native/native.ts";
import {
  broadcastFrame,
  type Peer,
  PlaneHarness,
  type PlaneWish,
  sealPacket,
} from "./plane-harness.ts";
import { remoteText } from "./uplink/address-words.ts";

const PING = Buffer.from("2a187bf3641eb4cb07ed2d0a981fc748", "hex");
const OCC = Buffer.from("287f346bd4ef7a812d56b8d3afc5459c", "hex");
/** Replay window of the harness. */
const WINDOW = 64;
const SECONDS = 15;

const harnesses: PlaneHarness[] = [];
after(() => {
  for (const harness of harnesses) harness.close();
});

/** A plane with one peer, at a far end of its own. */
function setUp(wish: PlaneWish = {}): {
  harness: PlaneHarness;
  home: { index: number; port: number };
  peer: Peer;
  ping: (id: number) => Buffer;
} {
  const harness = new PlaneHarness(wish);
  harnesses.push(harness);
  const home = harness.farSocket();
  const peer = harness.peer(1, home);
  const ping = (id: number): Buffer => sealPacket(peer, id, PING);
  return { harness, home, peer, ping };
}

/** What an authentic ping adds. */
const heard = { "rx.packets": 1, "rx.bytes": 24 + PING.length, "rx.pings": 1 };

/** Everything that a packet which is not authentic must leave alone. */
function stateOf(harness: PlaneHarness, peer: Peer): unknown {
  const { lastHeardMs, lastSentMs, hasSaidSilent } = peer.session;
  const { lastHeard, orderCount, writeCount } = harness.plane;
  const window = peer.session.windows[0];
  return {
    ...{ lastHeardMs, lastSentMs, hasSaidSilent, orderCount, writeCount },
    path: [...harness.pathRow(1)],
    heardMs: lastHeard[1],
    traffic: harness.plane.traffic.snapshot(1),
    ids: [1, 2, 3, 4, 5].map((id) => window?.mayAccept(0, id, harness.plane.nowMs)),
  };
}

test("each kind of bad datagram adds one to one counter and changes nothing else", () => {
  const { harness, home, peer, ping } = setUp();
  harness.deliver(home, ping(1));
  harness.plane.nowMs += 1000;
  harness.notices();
  const stranger = { ...peer, index: 2 };
  const forged = ping(3);
  forged[40 - 1] = (forged[40 - 1] ?? 0) ^ 1;
  const header = (first: number, length: number): Buffer => {
    const bytes = Buffer.alloc(length, 1);
    bytes[0] = first;
    return bytes;
  };
  const cases: [string, string, Buffer][] = [
    ["nothing", "rx.tooShort", Buffer.alloc(0)],
    ["one byte of data", "rx.tooShort", Buffer.of(0x48)],
    ["a data packet without content", "rx.tooShort", ping(2).subarray(0, 24)],
    ["P_DATA_V1", "rx.badOpcode", header(6 << 3, 60)],
    ["opcode 0", "rx.badOpcode", header(0, 60)],
    ["opcode 1", "rx.badOpcode", header(1 << 3, 60)],
    ["opcode 31", "rx.badOpcode", header(31 << 3, 60)],
    ["a control packet of nine bytes", "rx.tooShort", header(4 << 3, 9)],
    ["another peer-id", "rx.unknownPeer", sealPacket(stranger, 2, PING)],
    ["peer-id 0", "rx.unknownPeer", sealPacket({ ...peer, index: 0 }, 2, PING)],
    ["the last peer-id", "rx.unknownPeer", sealPacket({ ...peer, index: 0xff_ffff }, 2, PING)],
    ["another key id", "rx.unknownKey", sealPacket(peer, 2, PING, 1)],
    ["packet id 0", "rx.replayZeroId", ping(0)],
    ["a replay", "rx.replayDuplicate", ping(1)],
    ["a forgery", "rx.authenticationFailed", forged],
    [
      "another key",
      "rx.authenticationFailed",
      sealPacket({ ...peer, toPlane: peer.fromPlane }, 3, PING),
    ],
    ["more than a slot holds", "rx.malformed", Buffer.concat([ping(2), Buffer.alloc(1700)])],
  ];
  const before = stateOf(harness, peer);
  const other = harness.farSocket();
  for (const at of [home, other]) {
    for (const [name, counter, datagram] of cases) {
      assert.deepEqual(harness.deliver(at, datagram), { [counter]: 1 }, name);
      assert.deepEqual(stateOf(harness, peer), before, name);
    }
  }
  assert.deepEqual(harness.notices(), []);
  assert.deepEqual(harness.deliver(home, ping(3)), heard, "the forged id is still free");
});

test("a packet is late inside the window, behind it, or too late by the clock", () => {
  const { harness, home, ping } = setUp();
  assert.deepEqual(harness.deliver(home, ping(200)), heard);
  const late = { ...heard, "rx.acceptedLate": 1 };
  assert.deepEqual(harness.deliver(home, ping(200 - WINDOW + 1)), late);
  assert.deepEqual(harness.deliver(home, ping(200 - WINDOW)), { "rx.replayBehind": 1 });
  harness.plane.nowMs += 1000;
  assert.deepEqual(harness.deliver(home, ping(201)), heard);
  harness.plane.nowMs += SECONDS * 1000 + 1000;
  assert.deepEqual(harness.deliver(home, ping(199)), { "rx.replayExpired": 1 });
});

test("of two copies in one turn the first is taken", () => {
  const { harness, home, ping } = setUp();
  const twice = { ...heard, "rx.replayDuplicate": 1 };
  harness.sendFrom(home, ping(7));
  harness.sendFrom(home, ping(7));
  const gained = harness.gained(() => {
    let count = 0;
    while (count < 2) count += harness.turn();
  });
  assert.deepEqual(gained, twice);
});

test("a key that was replaced while its packet was under way is stale", () => {
  const { harness, home, peer, ping } = setUp();
  peer.session.openGenerations[0] = 2;
  assert.deepEqual(harness.deliver(home, ping(1)), { "rx.staleKey": 1 });
  peer.session.openGenerations[0] = 1;
  assert.equal(keyRemove(peer.toPlane.slot), 0);
  assert.deepEqual(harness.deliver(home, ping(1)), { "rx.staleKey": 1 });
});

test("an authentic packet says that the peer is there", () => {
  const { harness, home, peer, ping } = setUp();
  harness.plane.nowMs += 5000;
  peer.session.hasSaidSilent = true;
  harness.deliver(home, ping(1));
  assert.equal(peer.session.lastHeardMs, harness.plane.nowMs);
  assert.equal(harness.plane.lastHeard[1], harness.plane.nowMs);
  assert.equal(peer.session.hasSaidSilent, false);
  const { packetsIn, bytesIn } = harness.plane.traffic.snapshot(1);
  assert.deepEqual([packetsIn, bytesIn], [1, 40]);
});

test("a listening end follows a peer that moves: authentic and newest, else not", () => {
  const { harness, home, peer, ping } = setUp();
  harness.deliver(home, ping(10));
  harness.notices();
  const moved = harness.farSocket();
  const forged = ping(20);
  forged[10] = (forged[10] ?? 0) ^ 1;
  const before = harness.pathRow(1);
  for (const [datagram, gains] of [
    [forged, { "rx.authenticationFailed": 1 }],
    [ping(10), { "rx.replayDuplicate": 1 }],
    [ping(9), { ...heard, "rx.acceptedLate": 1 }],
  ] as const) {
    assert.deepEqual(harness.deliver(moved, datagram), gains);
    assert.deepEqual(harness.pathRow(1), before);
  }
  assert.deepEqual(harness.notices(), []);
  assert.deepEqual(harness.deliver(moved, ping(11)), { ...heard, "rx.floats": 1 });
  assert.equal(remoteText(harness.pathRow(1)), `127.0.0.1:${moved.port}`);
  assert.equal(harness.pathRow(1)[PathWord.interfaceIndex], 0);
  const path = [...harness.pathRow(1)];
  assert.deepEqual(harness.notices(), [{ kind: "floated", index: peer.index, path }]);
  assert.deepEqual(harness.deliver(moved, ping(12)), heard, "and stays there");
});

test("a dialling end hears the server from elsewhere, and goes on sending to where it dialled", () => {
  const { harness, home, ping } = setUp({ isDialling: true });
  const before = harness.pathRow(1);
  assert.deepEqual(harness.deliver(home, ping(1)), heard);
  assert.deepEqual(harness.deliver(harness.farSocket(), ping(2)), {
    ...heard,
    "rx.otherAddress": 1,
  });
  assert.deepEqual(harness.pathRow(1), before);
  assert.deepEqual(harness.notices(), []);
});

test("in-tunnel messages stay in: ping, exit, and those that mean nothing here", () => {
  const { harness, home, peer } = setUp();
  const counted = (text: Buffer) => ({ "rx.packets": 1, "rx.bytes": 24 + text.length });
  const exit = Buffer.concat([OCC, Buffer.of(6)]);
  assert.deepEqual(harness.deliver(home, sealPacket(peer, 1, exit)), counted(exit));
  const exited = harness.notices().filter((notice) => notice.kind === "exited");
  assert.deepEqual(exited, [{ kind: "exited", index: 1 }]);
  for (const [id, text] of [OCC, Buffer.concat([OCC, Buffer.of(0)])].entries()) {
    const gains = { ...counted(text), "rx.unknownInner": 1 };
    assert.deepEqual(harness.deliver(home, sealPacket(peer, 2 + id, text)), gains);
  }
});

test("a frame longer than the segment takes is dropped, one byte less is not", () => {
  const { harness, home, peer } = setUp({ frameBytesMax: 100 });
  const drop = harness.deliver(home, sealPacket(peer, 1, broadcastFrame(1, 100 - 14 + 1)));
  assert.deepEqual(drop, { "rx.packets": 1, "rx.bytes": 125, "tap.frameTooBig": 1 });
  const pass = harness.deliver(home, sealPacket(peer, 2, broadcastFrame(1, 100 - 14)));
  // There is no tap here: the frame got as far as that.
  assert.equal(pass["tap.frameTooBig"], undefined);
  assert.equal(pass["tap.writeError"], 1);
});

test("a control packet of a known session and one of a stranger take a ring each", () => {
  const { harness, home } = setUp();
  const { plane } = harness;
  const packet = Buffer.concat([Buffer.of(4 << 3), Buffer.alloc(8, 5), Buffer.alloc(20)]);
  assert.deepEqual(harness.deliver(home, packet), { "rx.controlPackets": 1 });
  plane.known.set("05".repeat(8), 1);
  assert.deepEqual(harness.deliver(home, packet), { "rx.controlPackets": 1 });
  for (const ring of [plane.strangers, plane.toMain]) {
    const record = ring.take();
    assert.equal(record?.kind, NoticeRecord.control);
    const parts = splitControl(record?.payload ?? Buffer.alloc(0));
    assert.deepEqual(parts?.datagram, packet);
    assert.equal(remoteText(parts?.row ?? new Int32Array(16)), `127.0.0.1:${home.port}`);
    assert.equal(parts?.row[PathWord.interfaceIndex], 0, "answered by routing's interface");
    assert.equal(ring.take(), undefined);
  }
});

test("a dialling end has no strangers", () => {
  const { harness, home } = setUp({ isDialling: true });
  const packet = Buffer.concat([Buffer.of(8 << 3), Buffer.alloc(30)]);
  harness.deliver(home, packet);
  assert.equal(harness.plane.strangers.take(), undefined);
  assert.equal(harness.plane.toMain.take()?.kind, NoticeRecord.control);
});

test("a control packet longer than any is dropped, the longest is not", () => {
  const { harness, home } = setUp({ frameBytesMax: 4000 });
  const packet = (length: number) => Buffer.alloc(length, 4 << 3);
  const max = CONTROL_DATAGRAM_BYTES_MAX;
  // Slots of the far end hold 2048 bytes: what is longer comes from two of them.
  assert.deepEqual(harness.deliver(home, packet(max)), { "rx.controlPackets": 1 });
  const row = harness.far.orders;
  harness.far.setPath(0, { remote: "127.0.0.1", port: harness.port, socket: home.index });
  harness.far.place(row, 0, packet(max));
  harness.far.place(row, 1, packet(1));
  harness.far.set(row, 0, { length: max + 1 });
  assert.equal(harness.far.lane.send(1), 1);
  assert.deepEqual(
    harness.gained(() => harness.turn()),
    { "rx.controlTooLong": 1 },
  );
});

test("strangers and each live session are let through at a rate of their own", () => {
  const { harness, home } = setUp({ ringBytes: 1 << 20 });
  const packet = Buffer.concat([Buffer.of(7 << 3), Buffer.alloc(30)]);
  const flood = (count: number, from = home) =>
    harness.deliver(from, ...Array<Buffer>(count).fill(packet));
  // One source has half of the strangers' bucket and its own share of the rest.
  const passed = CONTROL_BURST / 2 + 1 + SOURCE_BURST;
  assert.deepEqual(flood(passed + 9), { "rx.controlPackets": passed, "rx.strangerLimited": 9 });
  assert.deepEqual(
    flood(3, harness.farSocket("127.0.0.77")),
    { "rx.controlPackets": 3 },
    "a source that was quiet is let through",
  );
  harness.plane.known.set("00".repeat(8), 1);
  assert.deepEqual(flood(CONTROL_BURST + 7), {
    "rx.controlPackets": CONTROL_BURST,
    "rx.controlLimited": 7,
  });
  harness.plane.known.set("00".repeat(8), 2);
  assert.deepEqual(
    flood(1),
    { "rx.controlPackets": 1 },
    "another session's copies cost it nothing",
  );
});

test("copies of a live session's control packets from elsewhere cost it nothing", () => {
  const { harness, home } = setUp({ ringBytes: 1 << 20 });
  const packet = Buffer.concat([Buffer.of(7 << 3), Buffer.alloc(30)]);
  harness.plane.known.set("00".repeat(8), 1);
  const copies = Array<Buffer>(CONTROL_BURST * 2).fill(packet);
  const gains = harness.deliver(harness.farSocket(), ...copies);
  assert.equal(gains["rx.controlLimited"], undefined);
  assert((gains["rx.strangerLimited"] ?? 0) >= CONTROL_BURST, JSON.stringify(gains));
  const own = harness.deliver(home, ...copies.slice(0, CONTROL_BURST));
  assert.deepEqual(own, { "rx.controlPackets": CONTROL_BURST }, "all of its own get through");
});

test("a full ring drops and counts, strangers' packets and live ones each in their own", () => {
  const { harness, home } = setUp({ ringBytes: 256 });
  const packet = Buffer.concat([Buffer.of(4 << 3), Buffer.alloc(20)]);
  // A record has 8 + 64 + 21 bytes, rounded up to 96: two fit.
  const gains = harness.deliver(home, packet, packet, packet);
  assert.deepEqual(gains, { "rx.controlPackets": 2, "rx.strangerRingFull": 1 });
  harness.plane.known.set("00".repeat(8), 1);
  const live = harness.deliver(home, packet, packet, packet);
  assert.deepEqual(live, { "rx.controlPackets": 2, "rx.controlRingFull": 1 });
});

test("a notice that finds its ring full is counted", () => {
  const { harness, peer, ping } = setUp({ ringBytes: 64 });
  const gains = harness.deliver(harness.farSocket(), ping(1));
  assert.deepEqual(gains, { ...heard, "rx.floats": 1, "ring.noticeFull": 1 });
  assert.equal(peer.session.lastHeardMs, harness.plane.nowMs);
});
