/**
 * What one frame costs in the switch, by the number of stations: decide (learn the source, look
 * the target up) for known stations in a fixed shuffled order, with stations coming and going
 * beside it, and under a flood of invented sources. Prints a table. One table per process, as in
 * the data plane: a second instance in one isolate would measure V8's polymorphic code.
 *
 *     node test/bench/switch-micro.ts [stations]
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Counters } from "../../sidecar/counters.ts";
import * as limits from "../../sidecar/limits.ts";
import { Forwarding } from "../../sidecar/switch/forwarding.ts";
import { MacTable, stationHigh } from "../../sidecar/switch/mac-table.ts";

const STATION_COUNTS = [10, 1000, 16_384];
const PORTS = 64;
const FRAMES = 2_000_000;
const ROUNDS = 5;
const FRAME_BYTES = 64;

interface Figures {
  readonly stations: number;
  readonly decideNs: number;
  readonly churnNs: number;
  readonly floodNs: number;
}

function measure(stations: number): Figures {
  const table = new MacTable({
    portsMax: limits.PORTS_MAX,
    stationsMax: limits.STATIONS_MAX,
    tapStationsMax: limits.STATIONS_PER_TAP_MAX,
    peerStationsMax: limits.STATIONS_PER_PEER_MAX,
    declaredMax: limits.STATIONS_DECLARED_MAX,
    ageMs: limits.STATION_AGE_MS,
    seed: 0x2545_f491,
  });
  const forwarding = new Forwarding({
    table,
    portsMax: limits.PORTS_MAX,
    counters: new Counters(),
  });
  for (let port = 0; port < PORTS; port++) forwarding.openPort(port);
  for (let station = 0; station < stations; station++) {
    table.learn(0x0200, lowOf(station), portOf(station), 0);
  }
  // As many frames as a slab of slots holds: the frames themselves stay in the cache.
  const slots = 256;
  const view = new DataView(new SharedArrayBuffer(slots * FRAME_BYTES));
  const best = { decideNs: Infinity, churnNs: Infinity, floodNs: Infinity };
  for (let round = 0; round < ROUNDS; round++) {
    best.decideNs = Math.min(best.decideNs, runKnown(forwarding, view, stations));
  }
  for (let round = 0; round < ROUNDS; round++) {
    best.churnNs = Math.min(best.churnNs, runChurn(table, stations));
  }
  for (let round = 0; round < ROUNDS; round++) {
    best.floodNs = Math.min(best.floodNs, runFlood(table, round));
  }
  return { stations, ...best };
}

/** Known source and target, both spread over the whole table; minus the cost of the loop. */
function runKnown(forwarding: Forwarding, view: DataView, stations: number): number {
  const pass = (isCounted: boolean): number => {
    let delivered = 0;
    let source = 1;
    const startNs = process.hrtime.bigint();
    for (let frame = 0; frame < FRAMES; frame++) {
      source = (source + 7919) % stations;
      const target = stations - 1 - source;
      const start = (frame & 255) * FRAME_BYTES;
      view.setUint16(start, 0x0200);
      view.setUint32(start + 2, lowOf(target));
      view.setUint16(start + 6, 0x0200);
      view.setUint32(start + 8, lowOf(source));
      const port = portOf(source);
      if (isCounted) delivered += forwarding.decide(view, start, start + FRAME_BYTES, port);
      else delivered += port;
    }
    const spentNs = Number(process.hrtime.bigint() - startNs) / FRAMES;
    if (isCounted && delivered === 0) throw new Error("nothing was forwarded");
    return spentNs;
  };
  const loopNs = pass(false);
  return pass(true) - loopNs;
}

/** One station leaves (by age) and another comes, again and again: deletions leave no trace. */
function runChurn(table: MacTable, stations: number): number {
  const turns = 50_000;
  for (let turn = 0; turn < turns; turn++) {
    table.learn(stationHigh(1, 0x0200), turn, 63, 0);
    if (table.portStationCount(63) >= limits.STATIONS_PER_PEER_MAX - 1) table.forgetPort(63);
  }
  table.forgetPort(63);
  let found = 0;
  let source = 1;
  const startNs = process.hrtime.bigint();
  for (let frame = 0; frame < FRAMES; frame++) {
    source = (source + 7919) % stations;
    if (table.lookup(0x0200, lowOf(source)) >= 0) found++;
  }
  const spentNs = Number(process.hrtime.bigint() - startNs) / FRAMES;
  if (found === 0) throw new Error("nothing was found");
  return spentNs;
}

/** A port that has its share invents a new source with every frame. */
function runFlood(table: MacTable, round: number): number {
  let refused = 0;
  const startNs = process.hrtime.bigint();
  for (let frame = 0; frame < FRAMES; frame++) {
    if (table.learn(0x0600, frame * 2 + round, 62, 0) < 0) refused++;
  }
  const spentNs = Number(process.hrtime.bigint() - startNs) / FRAMES;
  if (refused === 0) throw new Error("nothing was refused");
  return spentNs;
}

/** Addresses of several makers, as on a real segment. */
function lowOf(station: number): number {
  return (((station % 11) << 24) | (station * 257)) >>> 0;
}

/** Ports 0 to 61; 62 floods, 63 comes and goes. */
function portOf(station: number): number {
  return station % 62;
}

function main(): void {
  const only = process.argv[2];
  if (only !== undefined) {
    console.log(JSON.stringify(measure(Number(only))));
    return;
  }
  console.log("stations  decide ns/frame  lookup after churn ns  refused source ns");
  for (const stations of STATION_COUNTS) {
    const file = fileURLToPath(import.meta.url);
    const child = spawnSync(process.execPath, [file, String(stations)], { encoding: "utf8" });
    if (child.status !== 0) throw new Error(child.stderr);
    const { decideNs, churnNs, floodNs } = JSON.parse(child.stdout) as Figures;
    const cells = [decideNs, churnNs, floodNs].map((ns) => ns.toFixed(1));
    console.log(
      `${String(stations).padStart(8)}  ${cells[0]?.padStart(15)}  ${cells[1]?.padStart(21)}  ${cells[2]?.padStart(17)}`,
    );
  }
}

main();
