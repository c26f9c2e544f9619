/** Any number at every function and in every descriptor word: the process lives, canaries too. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertOrderly, EDGES, FUZZ_ROWS, FuzzHarness } from "./fuzz-harness.ts";
import {
  type Cipher,
  eventOpen,
  handleClose,
  keyInstall,
  keyRemove,
  kick,
  type LaneMemory,
  laneOpen,
  udpOpen,
} from "./native.ts";

const SECONDS_MAX = 3;
const ROUNDS_MAX = 60_000;
const seed = (Math.random() * 2 ** 32) | 0;

function attachSockets(fuzz: FuzzHarness): number {
  const wish = { port: 0, receiveBufferBytes: 1 << 20, sendBufferBytes: 1 << 20 };
  const v4 = udpOpen({ ...wish, address: "127.0.0.1", family: 4 });
  const v6 = udpOpen({ ...wish, address: "", family: 6 });
  for (const socket of [v4, v6]) {
    assert.equal(socket.errno, 0, socket.operation);
    assert.ok(fuzz.lane.attachSocket(socket.handle) >= 0);
  }
  return v4.port;
}

function installKeys(): void {
  const ciphers: Cipher[] = ["AES-256-GCM", "AES-128-GCM", "CHACHA20-POLY1305"];
  for (const [slot, cipher] of ciphers.entries()) {
    const key = new Uint8Array(cipher === "AES-128-GCM" ? 16 : 32).fill(slot);
    const format = slot === 1 ? "epoch" : "short";
    const implicitIv = new Uint8Array(format === "epoch" ? 12 : 8);
    assert.equal(keyInstall({ slot, generation: 1, cipher, key, implicitIv, format }), 0);
  }
}

/** A timeout that does not wait: 0, or what is refused. */
function timeout(fuzz: FuzzHarness): number {
  const value = fuzz.number(1);
  return Number.isInteger(value) && Math.abs(value) <= 2 ** 31 ? 0 : value;
}

/** One call with random arguments; its name and result. */
function oneCall(fuzz: FuzzHarness): readonly [string, number] {
  const { lane } = fuzz;
  const first = fuzz.number(FUZZ_ROWS);
  const count = fuzz.number(FUZZ_ROWS);
  const rows = { first, count };
  switch (fuzz.below(6)) {
    case 0:
      return ["send", fuzz.sealing(count, () => lane.send(count))];
    case 1: {
      const socket = fuzz.number(2);
      const receive = () => lane.udpReceive(socket, first, count);
      return ["udpReceive", fuzz.guarded(fuzz.received, rows, receive)];
    }
    case 2: {
      const open = () => lane.openBatch(first, count);
      return ["openBatch", fuzz.guarded(fuzz.received, rows, open)];
    }
    case 3: {
      const tap = fuzz.number(2);
      return ["tapRead", fuzz.guarded(fuzz.frames, rows, () => lane.tapRead(tap, first, count))];
    }
    case 4:
      return ["tapWrite", fuzz.untouched(() => lane.tapWrite(count))];
    default:
      return ["wait", lane.wait(timeout(fuzz))];
  }
}

test("rows and arguments of any value change only what they grant", (context) => {
  context.diagnostic(`seed ${seed}`);
  const fuzz = new FuzzHarness(seed);
  const port = attachSockets(fuzz);
  installKeys();
  const limit = performance.now() + SECONDS_MAX * 1000;
  const effects: Record<string, number> = {};
  let rounds = 0;
  for (; rounds < ROUNDS_MAX && performance.now() < limit; rounds++) {
    if (rounds % 8 === 0) {
      fuzz.rubbish = [0, 0.01, 0.1, 0.4][fuzz.below(4)] ?? 0;
      for (const table of [fuzz.received, fuzz.frames, fuzz.orders, fuzz.writes]) fuzz.fill(table);
      fuzz.fillPaths(port);
    }
    const [name, result] = oneCall(fuzz);
    assertOrderly(result);
    if (result > 0) effects[name] = (effects[name] ?? 0) + result;
    if (rounds % 16 === 0) fuzz.checkTables();
  }
  fuzz.checkTables();
  context.diagnostic(`${rounds} rounds, done: ${JSON.stringify(effects)}`);
  for (const name of ["send", "udpReceive", "wait"]) assert.ok((effects[name] ?? 0) > 0, name);
  for (const slot of [0, 1, 2]) assert.equal(keyRemove(slot), 0);
});

test("handles, indices, slots and ports of any value are taken or refused, never fatal", () => {
  const fuzz = new FuzzHarness(seed);
  const { lane } = fuzz;
  const calls: ((value: number) => number)[] = [
    kick,
    handleClose,
    keyRemove,
    (value) => lane.attachControl(value),
    (value) => lane.attachSocket(value),
    (value) => lane.attachTap(value),
    (value) => lane.detachSocket(value),
    (value) => lane.detachTap(value),
    (value) => lane.dontFragment(value, true),
  ];
  for (const value of [...EDGES, ...Array.from({ length: 500 }, () => fuzz.number(5000))]) {
    for (const call of calls) assertOrderly(call(value));
    const key = new Uint8Array(fuzz.below(40));
    const implicitIv = new Uint8Array(fuzz.below(16));
    const format = fuzz.below(2) === 0 ? "short" : "epoch";
    const cipher = "AES-128-GCM";
    const wish = { slot: value, generation: value, cipher, key, implicitIv, format } as const;
    assertOrderly(keyInstall(wish));
    assertOrderly(keyRemove(value));
    const family = value as 4;
    const size = { receiveBufferBytes: value, sendBufferBytes: value };
    const opened = udpOpen({ address: "127.0.0.1", port: value, family, ...size });
    assertOrderly(opened.errno);
    if (opened.errno === 0) handleClose(opened.handle);
    const other = udpOpen({ address: "127.0.0.1", port: value, family: 4, ...size });
    assertOrderly(other.errno);
    if (other.errno === 0) assert.equal(handleClose(other.handle), 0);
  }
});

test("the table of handles has an end, and closing makes room", () => {
  const handles: number[] = [];
  for (let tries = 0; tries < 1100; tries++) {
    const event = eventOpen();
    if (event.errno !== 0) break;
    handles.push(event.handle);
  }
  assert.ok(handles.length > 0 && handles.length <= 1024, `${handles.length}`);
  assert.notEqual(eventOpen().errno, 0);
  for (const handle of handles) assert.equal(handleClose(handle), 0);
  const event = eventOpen();
  assert.equal(event.errno, 0);
  assert.equal(handleClose(event.handle), 0);
});

/** One table in the place of each. */
function allOf(table: Int32Array): Omit<LaneMemory, "slab"> {
  return {
    received: table,
    arrivals: table,
    frames: table,
    orders: table,
    writes: table,
    paths: table,
  };
}

test("a lane takes tables of any size and refuses memory that is not shared", () => {
  const words = (count: number) => new Int32Array(new SharedArrayBuffer(count * 4));
  const slab = new Uint8Array(new SharedArrayBuffer(100));
  for (const count of [0, 1, 15, 16, 17, 31]) {
    const table = words(count);
    const lane = laneOpen({ slab, ...allOf(table) });
    for (const call of [lane.send, lane.tapWrite]) {
      assert.equal(call.call(lane, 0), 0);
      assertOrderly(call.call(lane, 1));
      assert.equal(call.call(lane, 2), -22);
    }
    assertOrderly(lane.openBatch(0, 1));
    assert.equal(lane.openBatch(1, 1), -22);
  }
  const table = words(16);
  const refused = { message: /EINVAL/ };
  const plain = new Int32Array(16);
  const empty = new Uint8Array(new SharedArrayBuffer(0));
  assert.throws(() => laneOpen({ slab: new Uint8Array(9), ...allOf(table) }), refused);
  assert.throws(() => laneOpen({ slab, ...allOf(table), frames: plain }), refused);
  assert.throws(() => laneOpen({ slab: empty, ...allOf(table) }), refused);
  for (const wrong of [undefined, null, 7, {}, "text", new ArrayBuffer(8)]) {
    const value = wrong as unknown as Int32Array;
    assert.throws(() => laneOpen({ slab, ...allOf(table), received: value }));
  }
});

test("a lane keeps its memory when JavaScript lets go of it", () => {
  const make = () => {
    const table = () => new Int32Array(new SharedArrayBuffer(64 * 256));
    const slab = new Uint8Array(new SharedArrayBuffer(1 << 20));
    const [received, arrivals, frames] = [table(), table(), table()];
    const [orders, writes, paths] = [table(), table(), table()];
    return laneOpen({ slab, received, arrivals, frames, orders, writes, paths });
  };
  const lanes = Array.from({ length: 20 }, make);
  for (let round = 0; round < 50; round++) new Uint8Array(new SharedArrayBuffer(1 << 22)).fill(1);
  for (const lane of lanes) {
    assert.equal(lane.send(256), 0);
    assert.equal(lane.openBatch(0, 256), 0);
  }
});
