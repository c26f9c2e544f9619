import assert from "node:assert/strict";
import { constants, networkInterfaces } from "node:os";
import { test } from "node:test";
import { addressBytes, Harness, ROWS, SLOT_BYTES } from "./lane-harness.ts";
import { BATCH_MAX, LANE_SOCKETS_MAX, PathWord, Ready, Verdict } from "./layout.ts";
import { eventOpen, handleClose, kick, udpOpen } from "./native.ts";

const { EAGAIN, EBADF, EINVAL, EADDRINUSE, EAFNOSUPPORT, EMSGSIZE, ENOSPC } = constants.errno;
const LOOPBACK_INDEX = 1;
const hasV6 = networkInterfaces()["lo"]?.some((entry) => entry.family === "IPv6") ?? false;

/** Sends one datagram from row 0 by path 0 and answers it from where it arrived. */
function askAndAnswer(harness: Harness, server: number): void {
  const { lane, orders, received } = harness;
  harness.place(orders, 0, Buffer.from("question"));
  assert.equal(lane.send(1), 1);
  harness.receive(server, 1);
  assert.equal(Buffer.from(harness.bytes(received, 0)).toString(), "question");
  // The arrival's row is a path: remote, local and socket stand at the same words.
  harness.paths.set(harness.arrivals.subarray(0, 16), 16);
  harness.place(orders, 0, Buffer.from("answer"));
  harness.set(orders, 0, { path: 1 });
  assert.equal(lane.send(1), 1, `verdict ${harness.word(orders, 0, "verdict")}`);
}

test("an answer leaves from the address of several that the question came to", () => {
  for (const family of [4, 6] as const) {
    const harness = new Harness();
    const server = harness.open({ family });
    const client = harness.open({ address: "127.0.0.1" });
    for (const target of ["127.0.0.1", "127.0.0.77", "127.1.2.3"]) {
      harness.setPath(0, { remote: target, port: server.port, socket: client.index });
      askAndAnswer(harness, server.index);
      assert.deepEqual(harness.arrivalIp(0, PathWord.localIp), addressBytes(target));
      assert.deepEqual(harness.arrivalIp(0, PathWord.remoteIp), addressBytes("127.0.0.1"));
      assert.equal(harness.arrival(0, PathWord.remotePort), client.port);
      assert.equal(harness.arrival(0, PathWord.interfaceIndex), LOOPBACK_INDEX);
      assert.equal(harness.arrival(0, PathWord.socket), server.index);
      harness.receive(client.index, 1);
      assert.equal(Buffer.from(harness.bytes(harness.received, 0)).toString(), "answer");
      assert.deepEqual(harness.arrivalIp(0, PathWord.remoteIp), addressBytes(target));
      assert.equal(harness.arrival(0, PathWord.remotePort), server.port);
    }
  }
});

test("IPv6 goes over the dual-stack socket as well", { skip: !hasV6 }, () => {
  const harness = new Harness();
  const server = harness.open({ family: 6 });
  const client = harness.open({ address: "::1", family: 6 });
  harness.setPath(0, { remote: "::1", port: server.port, socket: client.index });
  harness.set(harness.orders, 0, { trafficClass: 0xb8 });
  askAndAnswer(harness, server.index);
  assert.deepEqual(harness.arrivalIp(0, PathWord.localIp), addressBytes("::1"));
  assert.equal(harness.arrival(0, PathWord.interfaceIndex), LOOPBACK_INDEX);
  harness.receive(client.index, 1);
  assert.deepEqual(harness.arrivalIp(0, PathWord.remoteIp), addressBytes("::1"));
});

test("source, interface and traffic class are taken from path and order", () => {
  const harness = new Harness();
  for (const family of [4, 6] as const) {
    const server = harness.open({ address: "127.0.0.1" });
    const client = harness.open({ family });
    harness.setPath(0, {
      remote: "127.0.0.1",
      port: server.port,
      local: "127.5.5.5",
      interfaceIndex: LOOPBACK_INDEX,
      socket: client.index,
    });
    harness.place(harness.orders, 0, Buffer.from("x"));
    harness.set(harness.orders, 0, { trafficClass: 0x2e << 2 });
    assert.equal(harness.lane.send(1), 1, `${harness.word(harness.orders, 0, "verdict")}`);
    harness.receive(server.index, 1);
    assert.deepEqual(harness.arrivalIp(0, PathWord.remoteIp), addressBytes("127.5.5.5"));
  }
});

test("one order that fails does not stop those behind it", () => {
  const harness = new Harness();
  const server = harness.open({ address: "127.0.0.1" });
  const remote = "127.0.0.1";
  harness.setPath(0, { remote, port: server.port, socket: server.index });
  harness.setPath(1, { remote, port: server.port, socket: server.index, local: "192.0.2.99" });
  harness.setPath(2, { remote: "2001:db8::1", port: 9, socket: server.index });
  harness.setPath(3, { remote, port: 65536, socket: server.index });
  harness.setPath(4, { remote, port: server.port, socket: 5 });
  for (let row = 0; row < 10; row++) {
    harness.place(harness.orders, row, Uint8Array.of(row));
    harness.set(harness.orders, row, { path: row % 2 === 0 ? 0 : (row + 1) / 2 });
  }
  harness.set(harness.orders, 9, { path: ROWS });
  harness.set(harness.orders, 8, { length: 65_508 });
  assert.equal(harness.lane.send(10), 4);
  const verdicts = Array.from({ length: 10 }, (_, row) =>
    harness.word(harness.orders, row, "verdict"),
  );
  const unreachable = verdicts[1] ?? 0;
  assert.ok(unreachable < 0 && unreachable !== -EAGAIN, `${unreachable}`);
  const { done } = Verdict;
  assert.deepEqual(verdicts, [
    done,
    unreachable,
    done,
    -EAFNOSUPPORT,
    done,
    -EINVAL,
    done,
    -EBADF,
    -EMSGSIZE,
    -EINVAL,
  ]);
  harness.receive(server.index, 4);
  const got = [0, 1, 2, 3].map((row) => harness.bytes(harness.received, row)[0]);
  assert.deepEqual(got, [0, 2, 4, 6]);
});

test("a batch is at most what one system call carries, and order is kept", () => {
  const harness = new Harness();
  const server = harness.open({ address: "127.0.0.1" });
  harness.setPath(0, { remote: "127.0.0.1", port: server.port, socket: server.index });
  for (let row = 0; row < ROWS; row++) {
    harness.place(harness.orders, row, Buffer.from(`datagram ${row}`));
  }
  assert.equal(harness.lane.send(ROWS), ROWS);
  harness.grant(harness.received, 0, ROWS);
  assert.equal(harness.lane.wait(0), 1 << (Ready.socketShift + server.index));
  assert.equal(harness.lane.udpReceive(server.index, 0, ROWS), BATCH_MAX);
  assert.equal(harness.lane.udpReceive(server.index, BATCH_MAX, 10), 10);
  assert.equal(harness.lane.udpReceive(server.index, 266, ROWS - 266), ROWS - 266);
  assert.equal(harness.lane.udpReceive(server.index, 0, ROWS), -EAGAIN);
  for (let row = 0; row < ROWS; row++) {
    const text = Buffer.from(harness.bytes(harness.received, row)).toString();
    assert.equal(text, `datagram ${row}`);
  }
});

test("a datagram that does not fit is malformed and touches nothing behind its room", () => {
  const harness = new Harness();
  const server = harness.open({ address: "127.0.0.1" });
  harness.setPath(0, { remote: "127.0.0.1", port: server.port, socket: server.index });
  for (const [row, length] of [100, 101, 0].entries()) {
    harness.place(harness.orders, row, Buffer.alloc(length, 1));
  }
  assert.equal(harness.lane.send(3), 3);
  harness.slab.fill(0xa5);
  for (const row of [0, 1, 2]) {
    harness.set(harness.received, row, { start: row * SLOT_BYTES, length: 100, verdict: 77 });
  }
  assert.equal(harness.lane.udpReceive(server.index, 0, 3), 3);
  const { none, malformed } = Verdict;
  assert.deepEqual(
    [0, 1, 2].map((row) => harness.word(harness.received, row, "verdict")),
    [none, malformed, none],
  );
  assert.deepEqual(
    [0, 1, 2].map((row) => harness.word(harness.received, row, "length")),
    [100, 100, 0],
  );
  for (const row of [0, 1]) assert.equal(harness.slab[row * SLOT_BYTES + 100], 0xa5);
});

test("packets to a port where nobody listens all leave, and what ICMP says of them is told once", async () => {
  const harness = new Harness();
  const client = harness.open({ address: "127.0.0.1" });
  const gone = udpOpen({
    address: "127.0.0.1",
    port: 0,
    family: 4,
    receiveBufferBytes: 0,
    sendBufferBytes: 0,
  });
  handleClose(gone.handle);
  harness.setPath(0, { remote: "127.0.0.1", port: gone.port, socket: client.index });
  for (let round = 0; round < 3; round++) {
    harness.place(harness.orders, 0, Buffer.from("x"));
    assert.equal(harness.lane.send(1), 1);
    harness.grant(harness.received, 0, 1);
    assert.equal(harness.lane.wait(2000), 1 << (Ready.errorsShift + client.index));
    // The next packet is not the one that it is about.
    assert.equal(harness.lane.send(1), 1);
    assert.equal(harness.lane.udpReceive(client.index, 0, 1), -EAGAIN);
    assert.equal(harness.lane.udpErrors(client.index), 2, "both, as unreachable");
    assert.equal(harness.lane.udpErrors(client.index), 0);
    assert.equal(harness.lane.wait(0), 0);
  }
  assert(harness.lane.udpErrors(7) < 0, "no such socket");
});

test("a kick wakes the lane once", () => {
  const harness = new Harness();
  const event = eventOpen();
  assert.equal(harness.lane.attachControl(event.handle), 0);
  assert.equal(harness.lane.wait(0), 0);
  assert.equal(kick(event.handle), 0);
  assert.equal(kick(event.handle), 0);
  assert.equal(harness.lane.wait(-1), Ready.control);
  assert.equal(harness.lane.wait(0), 0);
  assert.equal(handleClose(event.handle), 0);
  assert.equal(kick(event.handle), EBADF);
});

test("wrong handles, indices and kinds are refused", () => {
  const harness = new Harness();
  const event = eventOpen().handle;
  const socket = harness.open({});
  assert.equal(harness.lane.attachSocket(event), -EBADF);
  assert.equal(harness.lane.attachTap(socket.handle), -EBADF);
  assert.equal(harness.lane.attachControl(socket.handle), EBADF);
  assert.equal(harness.lane.attachSocket(0), -EBADF);
  assert.equal(harness.lane.udpReceive(1, 0, 1), -EBADF);
  assert.equal(harness.lane.udpReceive(0, 0, ROWS + 1), -EINVAL);
  assert.equal(harness.lane.udpReceive(0, ROWS, 1), -EINVAL);
  assert.equal(harness.lane.detachSocket(0), 0);
  assert.equal(harness.lane.detachSocket(0), EBADF);
  assert.equal(handleClose(socket.handle), 0);
  assert.equal(handleClose(socket.handle), EBADF);
  assert.equal(handleClose(event), 0);
});

test("a lane holds its maximum of sockets and one too many is refused", () => {
  const harness = new Harness();
  for (let index = 0; index < LANE_SOCKETS_MAX; index++) {
    assert.equal(harness.open({}).index, index);
  }
  const one = udpOpen({
    address: "",
    port: 0,
    family: 4,
    receiveBufferBytes: 0,
    sendBufferBytes: 0,
  });
  assert.equal(harness.lane.attachSocket(one.handle), -ENOSPC);
  assert.equal(harness.lane.detachSocket(3), 0);
  assert.equal(harness.lane.attachSocket(one.handle), 3);
});

test("a port in use is told with the call that failed", () => {
  const harness = new Harness();
  const { port } = harness.open({ address: "127.0.0.1" });
  const again = udpOpen({
    address: "127.0.0.1",
    port,
    family: 4,
    receiveBufferBytes: 0,
    sendBufferBytes: 0,
  });
  assert.deepEqual([again.errno, again.operation], [EADDRINUSE, "bind"]);
});
