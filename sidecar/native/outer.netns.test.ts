/**
 * What a datagram looks like outside, read from a tun device that plays the network. Runs as root
 * in a network namespace of its own.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { constants } from "node:os";
import { test } from "node:test";
import { addressBytes, Harness } from "./lane-harness.ts";
import { Verdict } from "./layout.ts";
import { addressAdd, linkSet, links, tapOpen } from "./native.ts";
import { requireOwnNamespace } from "./own-namespace.ts";

requireOwnNamespace();

const EXPEDITED = 0xb8;
const UDP = 17;

interface Outside {
  readonly harness: Harness;
  readonly index: number;
  readonly port: number;
}

/** A tun device that is up, with two addresses of each family. */
function open(name: string): Outside {
  const harness = new Harness();
  const tun = tapOpen({ name, mode: "tun" });
  assert.equal(tun.errno, 0, tun.operation);
  const index = links().links.find((link) => link.name === name)?.index ?? 0;
  assert.equal(linkSet({ index, isUp: true }), 0);
  for (const address of ["192.0.2.1", "192.0.2.7"]) {
    assert.equal(addressAdd({ index, address, prefixBits: 24 }), 0);
  }
  for (const address of ["2001:db8::1", "2001:db8::7"]) {
    assert.equal(addressAdd({ index, address, prefixBits: 64 }), 0);
  }
  const port = harness.lane.attachTap(tun.handle);
  assert.ok(port >= 0);
  return { harness, index, port };
}

/** The first UDP packet that comes out of the device. */
function readUdp({ harness, port }: Outside): Buffer {
  for (let tries = 0; tries < 20; tries++) {
    harness.grant(harness.frames, 0, 1);
    assert.notEqual(harness.lane.wait(1000), 0, "no packet");
    if (harness.lane.tapRead(port, 0, 1) !== 1) continue;
    const packet = Buffer.from(harness.bytes(harness.frames, 0));
    const protocol = (packet[0] ?? 0) >> 4 === 4 ? packet[9] : packet[6];
    if (protocol === UDP) return packet;
  }
  return assert.fail("no UDP packet");
}

const outside = open("flout");

for (const { family, socket } of [
  { family: 4, socket: 4 },
  { family: 4, socket: 6 },
  { family: 6, socket: 6 },
] as const) {
  test(`IPv${family} by an IPv${socket} socket: traffic class and source are the order's`, () => {
    const { harness, index } = outside;
    const isV4 = family === 4;
    const { index: socketIndex } = harness.open({ family: socket });
    const remote = isV4 ? "192.0.2.2" : "2001:db8::2";
    const [first, second] = isV4 ? ["192.0.2.1", "192.0.2.7"] : ["2001:db8::1", "2001:db8::7"];
    for (const { local, interfaceIndex, trafficClass } of [
      { local: first, interfaceIndex: 0, trafficClass: EXPEDITED },
      { local: second, interfaceIndex: index, trafficClass: 0 },
      { local: second, interfaceIndex: 0, trafficClass: -1 },
      { local: isV4 ? "0.0.0.0" : "::", interfaceIndex: index, trafficClass: EXPEDITED },
    ]) {
      harness.setPath(0, { remote, port: 1194, local, interfaceIndex, socket: socketIndex });
      harness.place(harness.orders, 0, Buffer.from("outer"));
      harness.set(harness.orders, 0, { trafficClass });
      assert.equal(harness.lane.send(1), 1, `${harness.word(harness.orders, 0, "verdict")}`);
      const packet = readUdp(outside);
      const seen = isV4 ? packet[1] : (packet.readUInt16BE(0) >> 4) & 255;
      assert.equal(seen, Math.max(0, trafficClass));
      const source = isV4 ? packet.subarray(12, 16) : packet.subarray(8, 24);
      const expected = Buffer.from(addressBytes(local)).subarray(isV4 ? 12 : 0);
      if (!/^[0.:]+$/.test(local)) assert.deepEqual(source, expected);
      assert.equal(packet.subarray(-5).toString(), "outer");
    }
    assert.equal(harness.lane.detachSocket(socketIndex), 0);
  });
}

test("an interface that does not reach the peer's family or a foreign source is that row's error", () => {
  const { harness } = outside;
  const { index } = harness.open({ family: 6 });
  harness.setPath(0, { remote: "192.0.2.2", port: 1, local: "198.51.100.9", socket: index });
  harness.setPath(1, { remote: "192.0.2.2", port: 1, local: "2001:db8::1", socket: index });
  harness.setPath(2, { remote: "192.0.2.2", port: 1, interfaceIndex: 9999, socket: index });
  harness.setPath(3, { remote: "192.0.2.2", port: 1, socket: index });
  for (const row of [0, 1, 2, 3]) {
    harness.place(harness.orders, row, Buffer.from("x"));
    harness.set(harness.orders, row, { path: row });
  }
  assert.equal(harness.lane.send(4), 1);
  for (const row of [0, 1, 2]) assert.ok(harness.word(harness.orders, row, "verdict") < 0);
  assert.equal(harness.word(harness.orders, 3, "verdict"), Verdict.done);
});

test("a full socket says EAGAIN to the rest of its rows and to no other socket's", (context) => {
  const { harness } = outside;
  // A slow queue keeps datagrams, and with them their share of the socket's buffer.
  const queue = ["rate", "8kbit", "burst", "1600", "limit", "10000000"];
  const tc = spawnSync("tc", ["qdisc", "replace", "dev", "flout", "root", "tbf", ...queue]);
  if (tc.status !== 0) return context.skip("no tc or no tbf here");
  const full = harness.open({ family: 4, sendBufferBytes: 20_000 });
  const free = harness.open({ family: 4, address: "192.0.2.1" });
  harness.setPath(0, { remote: "192.0.2.2", port: 9, socket: full.index });
  harness.setPath(1, { remote: "192.0.2.2", port: 9, socket: free.index });
  const rows = Array.from({ length: 60 }, (_, row) => row);
  for (const row of rows) {
    harness.place(harness.orders, row, Buffer.alloc(1000));
    harness.set(harness.orders, row, { path: row % 10 === 9 ? 1 : 0 });
  }
  const sent = harness.lane.send(60);
  const verdicts = rows.map((row) => harness.word(harness.orders, row, "verdict"));
  const ofFull = verdicts.filter((_, row) => row % 10 !== 9);
  const first = ofFull.indexOf(-constants.errno.EAGAIN);
  assert.ok(first > 0);
  assert.ok(ofFull.slice(0, first).every((verdict) => verdict === Verdict.done));
  assert.ok(ofFull.slice(first).every((verdict) => verdict === -constants.errno.EAGAIN));
  assert.equal(sent, first + 6);
});
