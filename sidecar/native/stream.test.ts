/** TCP as a carrier of packets: whole or not at all, bounded, and over when the connection is. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { constants } from "node:os";
import { test } from "node:test";
import { Harness } from "./lane-harness.ts";
import { PathWord, UNPROVEN_MAX, Verdict } from "./layout.ts";
import { handleClose, tcpOpen } from "./native.ts";

const { EAGAIN, ECONNREFUSED, EPROTO, ENOTCONN } = constants.errno;
const BUFFER_BYTES = 65_536;
/** Where sockets put what a test does not look at. */
const ROWS_OF_OTHERS = 100;
const listening = { port: 0, family: 6, sendBufferBytes: BUFFER_BYTES } as const;
const dialling = { family: 4, sendBufferBytes: BUFFER_BYTES } as const;

interface Opened {
  readonly index: number;
  readonly port: number;
}

function open(harness: Harness, wish: Parameters<typeof tcpOpen>[0]): Opened {
  const socket = tcpOpen(wish);
  assert.equal(socket.errno, 0, socket.operation);
  const index = harness.lane.attachSocket(socket.handle);
  assert(index >= 0);
  assert.equal(handleClose(socket.handle), 0);
  return { index, port: socket.port };
}

/** Rows of the next receive that gives any; the accepts and connects on the way give none. */
function receiveSome(harness: Harness, socket: number, others: readonly number[] = []): number {
  const count = 8;
  for (let tries = 0; tries < 100; tries++) {
    harness.grant(harness.received, 0, count);
    const got = harness.lane.udpReceive(socket, 0, count);
    if (got !== -EAGAIN) return got;
    assert.notEqual(harness.lane.wait(5000), 0, "nothing comes");
    for (const other of others) harness.lane.udpReceive(other, ROWS_OF_OTHERS, count);
  }
  return assert.fail("only wake-ups");
}

function prefixed(...packets: readonly Buffer[]): Buffer {
  const parts = packets.map((packet) => {
    const prefix = Buffer.alloc(2);
    prefix.writeUInt16BE(packet.length);
    return Buffer.concat([prefix, packet]);
  });
  return Buffer.concat(parts);
}

function verdict(harness: Harness, row = 0): number {
  return harness.word(harness.received, row, "verdict");
}

async function clientOf(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  await once(socket, "connect");
  return socket;
}

test("packets go both ways between a dialling and a listening socket, in their order", () => {
  const harness = new Harness();
  const server = open(harness, listening);
  const client = open(harness, dialling);
  harness.setPath(0, { remote: "127.0.0.1", port: server.port, socket: client.index });
  for (const row of [0, 1, 2]) harness.place(harness.orders, row, Buffer.from(`packet ${row}`));
  assert.equal(harness.lane.send(3), 3, "what is sent before it is connected waits");
  for (let got = 0; got < 3; ) {
    // The dialling end has to hear that it is connected.
    const count = receiveSome(harness, server.index, [client.index]);
    for (let row = 0; row < count; row++, got++) {
      assert.equal(Buffer.from(harness.bytes(harness.received, row)).toString(), `packet ${got}`);
      assert.equal(verdict(harness, row), Verdict.none);
    }
  }
  harness.paths.set(harness.arrivals.subarray(0, 16), 16);
  harness.place(harness.orders, 0, Buffer.from("answer"));
  harness.set(harness.orders, 0, { path: 1 });
  assert.equal(harness.lane.send(1), 1);
  assert.equal(receiveSome(harness, client.index), 1);
  assert.equal(Buffer.from(harness.bytes(harness.received, 0)).toString(), "answer");
  assert.equal(harness.arrival(0, PathWord.remotePort), server.port);
});

test("a connection that ends gives a row, and the next packet dials again", async () => {
  const harness = new Harness();
  const client = open(harness, dialling);
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert(typeof address === "object" && address !== null);
  harness.setPath(0, { remote: "127.0.0.1", port: address.port, socket: client.index });
  for (const _round of [1, 2]) {
    harness.place(harness.orders, 0, Buffer.from("hello"));
    assert.equal(harness.lane.send(1), 1);
    const [socket] = (await once(server, "connection")) as [Socket];
    socket.destroy();
    await once(socket, "close");
    assert.equal(receiveSome(harness, client.index), 1);
    assert.equal(verdict(harness), Verdict.ended);
    assert.equal(harness.arrival(0, PathWord.remotePort), address.port);
    assert.equal(harness.word(harness.received, 0, "idHigh"), 1, "it was dialled");
  }
  server.close();
  await once(server, "close");
  assert.equal(harness.lane.send(1), 1);
  assert.equal(receiveSome(harness, client.index), 1);
  assert.equal(harness.word(harness.received, 0, "idLow"), ECONNREFUSED);
});

test("a slow reader costs whole packets and no memory, and what arrives is whole", async () => {
  const harness = new Harness();
  const server = open(harness, listening);
  const socket = await clientOf(server.port);
  socket.pause();
  socket.write(prefixed(Buffer.from("hello")));
  assert.equal(receiveSome(harness, server.index), 1);
  harness.paths.set(harness.arrivals.subarray(0, 16), 0);
  const packet = Buffer.alloc(1400, 7);
  let sent = 0;
  for (let turn = 0; turn < 200; turn++) {
    for (let row = 0; row < 64; row++) harness.place(harness.orders, row, packet);
    const left = harness.lane.send(64);
    sent += left;
    if (left < 64) assert.equal(harness.word(harness.orders, 63, "verdict"), -EAGAIN);
  }
  assert(sent > 0 && sent < 6400, `${sent} of 12800 packets left`);
  const wanted = sent * (packet.length + 2);
  let bytes = 0;
  socket.resume();
  socket.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  while (bytes < wanted) {
    harness.lane.udpReceive(server.index, 0, 8);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(bytes, wanted, "every packet that left came whole");
  socket.destroy();
});

test("bytes that are no packets end the connection; one too large is malformed alone", async () => {
  const harness = new Harness();
  const server = open(harness, listening);
  const good = await clientOf(server.port);
  good.write(prefixed(Buffer.alloc(3000), Buffer.from("behind it")));
  let rows = 0;
  const seen: number[] = [];
  while (rows < 2) {
    const count = receiveSome(harness, server.index);
    for (let row = 0; row < count; row++) seen.push(verdict(harness, row));
    rows += count;
  }
  assert.deepEqual(seen, [Verdict.malformed, Verdict.none]);
  const bad = await clientOf(server.port);
  bad.write(Buffer.of(0, 0, 1, 2));
  assert.equal(receiveSome(harness, server.index), 1);
  assert.equal(verdict(harness), Verdict.ended);
  assert.equal(harness.word(harness.received, 0, "idLow"), EPROTO);
  assert.equal(harness.word(harness.received, 0, "idHigh"), 0, "it was nobody's");
  good.destroy();
  bad.destroy();
});

test("connections that nothing comes of make room, and end with their time", async () => {
  const harness = new Harness();
  const server = open(harness, listening);
  const kept = await clientOf(server.port);
  kept.write(prefixed(Buffer.from("mine")));
  assert.equal(receiveSome(harness, server.index), 1);
  harness.paths.set(harness.arrivals.subarray(0, 16), 0);
  assert.equal(harness.lane.streamKeep(0), 0);
  const idle: Socket[] = [];
  while (idle.length < UNPROVEN_MAX + 20) {
    idle.push(await clientOf(server.port));
    harness.lane.udpReceive(server.index, ROWS_OF_OTHERS, 8);
  }
  assert.equal(harness.lane.streamSweep(3_600_000), 20, "the oldest made room");
  assert.equal(harness.lane.streamSweep(0), UNPROVEN_MAX, "the others end when their time is up");
  const count = receiveSome(harness, server.index);
  assert.equal(harness.word(harness.received, count - 1, "idLow") !== 0, true);
  harness.place(harness.orders, 0, Buffer.from("still there"));
  assert.equal(harness.lane.send(1), 1);
  const [chunk] = (await once(kept, "data")) as [Buffer];
  assert.deepEqual(chunk, prefixed(Buffer.from("still there")));
  assert.equal(harness.lane.streamClose(0), 0);
  assert.equal(harness.lane.streamClose(0), ENOTCONN);
  assert.equal(harness.lane.send(1), 0);
  assert.equal(harness.word(harness.orders, 0, "verdict"), -ENOTCONN);
  for (const socket of [kept, ...idle]) socket.destroy();
});

test("more packets than rows come with the next calls, without another wake-up", async () => {
  const harness = new Harness();
  const server = open(harness, listening);
  const socket = await clientOf(server.port);
  const packets = Array.from({ length: 1000 }, (_, index) => Buffer.from(`packet ${index}`));
  socket.write(prefixed(...packets));
  let got = 0;
  while (got < packets.length) {
    const count = receiveSome(harness, server.index);
    for (let row = 0; row < count; row++, got++) {
      assert.equal(Buffer.from(harness.bytes(harness.received, row)).toString(), `packet ${got}`);
    }
  }
  socket.destroy();
});
