import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import * as limits from "../limits.ts";
import { createStations } from "../segment.ts";
import { LearnResult, MacTable, NO_PORT, readStations, stationHigh } from "./mac-table.ts";

const L = LearnResult;
const AGE_MS = 1000;

function tableOf(options: Partial<ConstructorParameters<typeof MacTable>[0]> = {}): MacTable {
  const defaults = { portsMax: 5, stationsMax: 12, tapStationsMax: 6, peerStationsMax: 4 };
  return new MacTable({ ...defaults, declaredMax: 3, ageMs: AGE_MS, seed: 7, ...options });
}

test("a station is found behind the port it was last seen behind", () => {
  const table = tableOf();
  assert.equal(table.lookup(0x0200, 1), NO_PORT);
  assert.equal(table.learn(0x0200, 1, 2, 0), L.added);
  assert.equal(table.learn(0x0200, 1, 2, 5), L.known);
  assert.equal(table.lookup(0x0200, 1), 2);
  assert.equal(table.learn(0x0200, 1, 3, 6), L.moved);
  assert.equal(table.lookup(0x0200, 1), 3);
  assert.deepEqual([table.portStationCount(2), table.portStationCount(3)], [0, 1]);
  assert.equal(table.stationCount, 1);
});

test("words above 2^31 are the same station whether signed or unsigned", () => {
  const table = tableOf();
  table.learn(0xfefe, 0xffff_fffe, 1, 0);
  assert.equal(table.lookup(0xfefe, 0xffff_fffe), 1);
  assert.equal(table.lookup(0xfefe, 0xffff_fffe | 0), 1);
});

test("the same address in two VLANs is two stations, VLAN 4095 included", () => {
  const table = tableOf();
  table.learn(stationHigh(1, 0x0200), 1, 1, 0);
  table.learn(stationHigh(4095, 0x0200), 1, 2, 0);
  assert.equal(table.lookup(stationHigh(1, 0x0200), 1), 1);
  assert.equal(table.lookup(stationHigh(4095, 0x0200), 1), 2);
  assert.equal(table.lookup(stationHigh(0, 0x0200), 1), NO_PORT);
});

test("a group, broadcast or zero source is not learnt", () => {
  const table = tableOf();
  assert.equal(table.learn(0x0100, 1, 1, 0), L.refusedAddress);
  assert.equal(table.learn(0xffff, 0xffff_ffff, 1, 0), L.refusedAddress);
  assert.equal(table.learn(stationHigh(9, 0), 0, 1, 0), L.refusedAddress);
  assert.equal(table.learn(0, 1, 1, 0), L.added);
});

test("a full port learns no more, keeps what it has, and takes nothing from others", () => {
  const table = tableOf();
  table.learn(0x0200, 100, 1, 0);
  for (let low = 1; low <= 4; low++) assert.equal(table.learn(0x0200, low, 2, 0), L.added);
  for (let low = 5; low < 500; low++) {
    if (low !== 100) assert.equal(table.learn(0x0200, low, 2, 0), L.refusedPeerFull);
  }
  assert.equal(table.learn(0x0200, 100, 2, 0), L.refusedPeerFull, "nor by moving");
  assert.equal(table.learn(0x0200, 3, 2, 0), L.known);
  assert.equal(table.lookup(0x0200, 100), 1);
});

test("the tap has its own bound, and a full table refuses", () => {
  const table = tableOf();
  for (let low = 1; low <= 6; low++) assert.equal(table.learn(0x0200, low, 0, 0), L.added);
  assert.equal(table.learn(0x0200, 7, 0, 0), L.refusedPeerFull);
  for (let low = 11; low <= 14; low++) assert.equal(table.learn(0x0200, low, 1, 0), L.added);
  for (let low = 21; low <= 22; low++) assert.equal(table.learn(0x0200, low, 2, 0), L.added);
  assert.equal(table.learn(0x0200, 23, 2, 0), L.refusedTableFull);
  assert.equal(table.learn(0x0200, 11, 2, 0), L.moved, "moving needs no room");
});

test("a silent station is forgotten once the sweep has gone round, a heard one is not", () => {
  for (const startMs of [0, 2 ** 31 - 500, -5]) {
    const table = tableOf();
    const at = (ms: number): number => (startMs + ms) | 0;
    table.learn(0x0200, 1, 1, at(0));
    table.learn(0x0200, 2, 1, at(0));
    table.learn(0x0200, 2, 1, at(600));
    assert.equal(table.sweep(at(999), table.rowCount), 0);
    let forgotten = 0;
    for (let round = 0; round < table.rowCount; round++) forgotten += table.sweep(at(1000), 1);
    assert.equal(forgotten, 1);
    assert.equal(table.lookup(0x0200, 1), NO_PORT);
    assert.equal(table.lookup(0x0200, 2), 1);
    assert.equal(table.portStationCount(1), 1);
  }
});

test("a declared address belongs to its port alone, in any VLAN, and does not age", () => {
  const table = tableOf();
  table.learn(0x0200, 7, 1, 0);
  table.learn(stationHigh(5, 0x0200), 7, 1, 0);
  assert.equal(table.declare(0x0200, 7, 2), true);
  assert.equal(table.lookup(0x0200, 7), NO_PORT, "what others had claimed is gone");
  assert.equal(table.learn(0x0200, 7, 1, 0), L.refusedDeclared);
  assert.equal(table.learn(stationHigh(5, 0x0200), 7, 1, 0), L.refusedDeclared);
  assert.equal(table.learn(0x0200, 7, 2, 0), L.added);
  assert.equal(table.learn(0x0200, 7, 1, 0), L.refusedDeclared);
  table.sweep(10 * AGE_MS, table.rowCount);
  assert.equal(table.learn(0x0200, 7, 1, 10 * AGE_MS), L.refusedDeclared);
  table.undeclare(0x0200, 7);
  table.undeclare(0x0200, 7);
  assert.equal(table.learn(0x0200, 7, 1, 10 * AGE_MS), L.added);
});

test("a declaration outlives its port's end and waits for the next one", () => {
  const table = tableOf();
  assert.equal(table.declare(0x0200, 7, NO_PORT), true);
  assert.equal(table.learn(0x0200, 7, 1, 0), L.refusedDeclared);
  table.declare(0x0200, 7, 1);
  assert.equal(table.learn(0x0200, 7, 1, 0), L.added);
  table.forgetPort(1);
  assert.equal(table.lookup(0x0200, 7), NO_PORT);
  assert.equal(table.learn(0x0200, 7, 1, 0), L.refusedDeclared);
  assert.equal(table.declare(0x0100, 1, 1), false);
  assert.equal(table.declare(0, 0, 1), false);
  assert.deepEqual(
    [8, 9, 10].map((low) => table.declare(0x0200, low, 1)),
    [true, true, false],
  );
});

interface ModelEntry {
  port: number;
  seenMs: number;
}

/** The same rules over a Map. */
class Model {
  readonly stations = new Map<string, ModelEntry>();
  readonly declared = new Map<number, number>();

  countOf(port: number): number {
    return [...this.stations.values()].filter((entry) => entry.port === port).length;
  }

  learn(vlan: number, low: number, port: number, nowMs: number): LearnResult {
    const key = `${vlan}/${low}`;
    const entry = this.stations.get(key);
    if (entry?.port === port) {
      entry.seenMs = nowMs;
      return L.known;
    }
    if (low === 0) return L.refusedAddress;
    if ((this.declared.get(low) ?? port) !== port) return L.refusedDeclared;
    if (this.countOf(port) >= (port === 0 ? 6 : 4)) return L.refusedPeerFull;
    if (entry === undefined && this.stations.size >= 12) return L.refusedTableFull;
    this.stations.set(key, { port, seenMs: nowMs });
    return entry === undefined ? L.added : L.moved;
  }

  dropWhere(isGone: (entry: ModelEntry, key: string) => boolean): void {
    for (const [key, entry] of this.stations) if (isGone(entry, key)) this.stations.delete(key);
  }
}

test("any sequence of learning, ageing, ports ending and declarations equals a Map", () => {
  const low = fc.nat(19);
  const vlan = fc.constantFrom(0, 0, 1, 4095);
  const port = fc.nat(4);
  const step = fc.oneof(
    { weight: 12, arbitrary: fc.record({ kind: fc.constant("learn" as const), vlan, low, port }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("pass" as const), byMs: fc.nat(600) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("forget" as const), port }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("declare" as const), low, port }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("undeclare" as const), low }) },
  );
  const run = fc.record({ seed: fc.integer(), steps: fc.array(step, { maxLength: 150 }) });
  fc.assert(
    fc.property(run, ({ seed, steps }) => {
      const table = tableOf({ seed });
      const model = new Model();
      let nowMs = 0;
      for (const each of steps) {
        if (each.kind === "learn") {
          const actual = table.learn(stationHigh(each.vlan, 0), each.low, each.port, nowMs);
          assert.equal(actual, model.learn(each.vlan, each.low, each.port, nowMs));
        } else if (each.kind === "pass") {
          nowMs += each.byMs;
          // Twice round: a shift over the end of the table may bring a row behind the sweep.
          table.sweep(nowMs, 2 * table.rowCount);
          model.dropWhere((entry) => nowMs - entry.seenMs >= AGE_MS);
        } else if (each.kind === "forget") {
          table.forgetPort(each.port);
          model.dropWhere((entry) => entry.port === each.port);
          for (const [mac, at] of model.declared)
            if (at === each.port) model.declared.set(mac, NO_PORT);
        } else if (each.kind === "declare") {
          const hasRoom = model.declared.has(each.low) || model.declared.size < 3;
          assert.equal(table.declare(0, each.low, each.port), each.low !== 0 && hasRoom);
          if (each.low === 0 || !hasRoom) continue;
          model.declared.set(each.low, each.port);
          model.dropWhere((entry, key) => key.endsWith(`/${each.low}`) && entry.port !== each.port);
        } else {
          table.undeclare(0, each.low);
          model.declared.delete(each.low);
        }
        compare(table, model);
      }
    }),
    { numRuns: 300 },
  );
});

function compare(table: MacTable, model: Model): void {
  assert.equal(table.stationCount, model.stations.size);
  for (let port = 0; port < 5; port++)
    assert.equal(table.portStationCount(port), model.countOf(port));
  for (const vlan of [0, 1, 4095]) {
    for (let low = 0; low < 20; low++) {
      const expected = model.stations.get(`${vlan}/${low}`)?.port ?? NO_PORT;
      assert.equal(table.lookup(stationHigh(vlan, 0), low), expected);
    }
  }
  const stations = readStations(table.memory) ?? assert.fail("nobody is writing");
  const learnt = stations.filter((station) => !station.isDeclared);
  assert.deepEqual(
    new Map(
      learnt.map(({ vlan, macLow, port, seenMs }) => [`${vlan}/${macLow}`, { port, seenMs }]),
    ),
    new Map([...model.stations].sort()),
  );
  const declared = stations.filter((station) => station.isDeclared);
  assert.deepEqual(new Map(declared.map(({ macLow, port }) => [macLow, port])), model.declared);
}

test("the declared sizes hold: a table of the real limits fills to the last station", () => {
  const table = tableOf({
    portsMax: limits.PORTS_MAX,
    stationsMax: limits.STATIONS_MAX,
    tapStationsMax: limits.STATIONS_PER_TAP_MAX,
    peerStationsMax: limits.STATIONS_PER_PEER_MAX,
    declaredMax: limits.STATIONS_DECLARED_MAX,
  });
  for (let low = 0; low < limits.STATIONS_MAX; low++) {
    assert.equal(table.learn(0x0200, low, 1 + (low & 127), 0), L.added);
  }
  assert.equal(table.learn(0x0200, 0x7fff_ffff, 500, 0), L.refusedTableFull);
  for (let low = 0; low < limits.STATIONS_MAX; low++) {
    if (table.lookup(0x0200, low) !== 1 + (low & 127)) assert.fail(`station ${low} is lost`);
  }
  assert.equal(table.rowCount, 65_536);
});

test("another thread reads only whole pictures while stations come and go", {
  timeout: 20_000,
}, async () => {
  const reader = `
    const { workerData, parentPort } = await import("node:worker_threads");
    const { readStations } = await import(${JSON.stringify(new URL("./mac-table.ts", import.meta.url).href)});
    const stop = new Int32Array(workerData.stop);
    Atomics.store(stop, 1, 1);
    let pictures = 0, torn = 0, refused = 0;
    while (Atomics.load(stop, 0) === 0 || pictures === 0) {
      const stations = readStations(workerData.memory);
      if (stations === undefined) { refused++; continue; }
      pictures++;
      const lows = new Set(stations.map((station) => station.macLow));
      // Station n is always behind port n % 4; no station twice.
      if (lows.size !== stations.length) torn++;
      for (const station of stations) if (station.port !== station.macLow % 4) torn++;
    }
    parentPort.postMessage({ pictures, torn, refused });`;
  const table = tableOf({ stationsMax: 64, tapStationsMax: 64, peerStationsMax: 64 });
  const stop = new SharedArrayBuffer(8);
  const words = new Int32Array(stop);
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(reader)}`), {
    workerData: { memory: table.memory, stop },
  });
  const isDone = new Promise<{ pictures: number; torn: number }>((resolve) => {
    worker.once("message", resolve);
  });
  while (Atomics.load(words, 1) === 0) await new Promise(setImmediate);
  const limit = Date.now() + 400;
  for (let round = 0; Date.now() < limit; round++) {
    for (let index = 0; index < 60; index++) {
      const low = (index * 31 + round * 17) % 400;
      table.learn(0x0200, low, low % 4, round);
    }
    table.forgetPort(round % 4);
  }
  Atomics.store(words, 0, 1);
  const { pictures, torn } = await isDone;
  assert.equal(torn, 0);
  assert.ok(pictures > 0);
});

test("100,000 stations that one peer offers push out nobody else's, and leave room for more", () => {
  const table = createStations(7);
  const others = 1000;
  for (let station = 0; station < others; station++) table.learn(0x0200, station, 2, 0);
  for (let station = 0; station < 100_000; station++) table.learn(0x0600, station * 257, 1, 1);
  assert.equal(table.portStationCount(1), limits.STATIONS_PER_PEER_MAX);
  for (let station = 0; station < others; station++) {
    assert.equal(table.lookup(0x0200, station), 2);
  }
  for (let station = 0; station < others; station++) table.learn(0x0a00, station, 3, 2);
  assert.equal(table.portStationCount(3), others, "a peer that comes later is learnt as well");
});
