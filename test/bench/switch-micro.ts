/**
 * What one frame costs in the switch, by the number of stations: decide (learn the source, look
 * the target up) for known stations in a fixed shuffled order, with stations coming and going
 * beside it, under a flood of invented sources, and to groups. Prints a table. One table per process, as in
 * the data plane: a second instance in one isolate would measure V8's polymorphic code.
 *
 *     node test/bench/switch-micro.ts [stations]
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Counters } from "../../sidecar/counters.ts";
import * as limits from "../../sidecar/limits.ts";
import { createGroups, createStations } from "../../sidecar/segment.ts";
import { Forwarding } from "../../sidecar/switch/forwarding.ts";
import type { GroupTable } from "../../sidecar/switch/group-table.ts";
import { type MacTable, stationHigh } from "../../sidecar/switch/mac-table.ts";
import { Snooping } from "../../sidecar/switch/snooping.ts";
import { addressWords } from "../../sidecar/uplink/address-words.ts";
import { RecordKind } from "../../sidecar/wire/group-message.ts";

const STATION_COUNTS = [10, 1000, 16_384];
const PORTS = 64;
const FRAMES = 2_000_000;
const ROUNDS = 5;
const FRAME_BYTES = 64;
const MEMBERS = 2;
const UDP = 17;
const SEED = 0x2545_f491;

interface Figures {
  readonly stations: number;
  readonly decideNs: number;
  readonly churnNs: number;
  readonly floodNs: number;
  /** A frame to a group with two members, of as many groups as stations, at most the table's. */
  readonly groupNs: number;
}

function measure(stations: number): Figures {
  const table = createStations(SEED);
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
  const best = { decideNs: Infinity, churnNs: Infinity, floodNs: Infinity, groupNs: Infinity };
  const groups = joinGroups(Math.min(stations, limits.GROUPS_MAX));
  for (let round = 0; round < ROUNDS; round++) {
    best.decideNs = Math.min(best.decideNs, runKnown(forwarding, view, stations));
  }
  for (let round = 0; round < ROUNDS; round++) {
    best.churnNs = Math.min(best.churnNs, runChurn(table, stations));
  }
  for (let round = 0; round < ROUNDS; round++) {
    best.floodNs = Math.min(best.floodNs, runFlood(table, round));
  }
  for (let round = 0; round < ROUNDS; round++) {
    best.groupNs = Math.min(best.groupNs, runGroups(groups, view));
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

interface Groups {
  readonly table: GroupTable;
  readonly snooping: Snooping;
  readonly count: number;
}

/** So many groups, each joined behind two ports, and a querier that has settled. */
function joinGroups(count: number): Groups {
  const table = createGroups(SEED);
  const snooping = new Snooping({
    table,
    portsMax: limits.PORTS_MAX,
    querier: "Always",
    address4: addressWords("10.20.0.1"),
    unknownGroups: "Drop",
    membershipMs: limits.GROUP_MEMBERSHIP_MS,
    macLow: 1,
    isOurMac: () => false,
    stationsBehind: () => 2,
    counters: new Counters(),
    nowMs: 0,
  });
  snooping.tick(0, 1);
  for (let group = 0; group < count; group++) {
    const words = Int32Array.of(0, 0, 0xffff, groupOf(group));
    for (let place = 0; place < MEMBERS; place++) {
      const member = table.member(0, words, 1 + ((group + place) % (PORTS - 1)), 0);
      if (member < 0) throw new Error("no room for a member");
      table.report(member, RecordKind.isExclude, { words, count: 0 }, 0);
    }
  }
  return { table, snooping, count };
}

/** Data to every group in a shuffled order; minus the cost of the loop. */
function runGroups({ snooping, count }: Groups, view: DataView): number {
  const pass = (isCounted: boolean): number => {
    let targets = 0;
    let group = 1 % count;
    const startNs = process.hrtime.bigint();
    for (let frame = 0; frame < FRAMES; frame++) {
      group = (group + 7919) % count;
      const start = (frame & 255) * FRAME_BYTES;
      view.setUint16(start + 12, 0x0800);
      view.setUint32(start + 14, 0x4500_0000 | (FRAME_BYTES - 14));
      view.setUint32(start + 22, (64 << 24) | (UDP << 16));
      view.setUint32(start + 26, 0x0a14_0007);
      view.setInt32(start + 30, groupOf(group));
      const where = { start, limit: start + FRAME_BYTES, vlan: 0 };
      targets += isCounted ? snooping.decide(view, where, 63, 5000) : where.vlan;
    }
    const spentNs = Number(process.hrtime.bigint() - startNs) / FRAMES;
    if (isCounted && targets !== FRAMES * MEMBERS) throw new Error(`${targets} targets`);
    return spentNs;
  };
  const loopNs = pass(false);
  return pass(true) - loopNs;
}

/** 239.x.y.z. */
function groupOf(group: number): number {
  return (0xef01_0000 + group * 3) | 0;
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
  console.log(
    "stations  decide ns/frame  lookup after churn ns  refused source ns  group ns/frame",
  );
  for (const stations of STATION_COUNTS) {
    const file = fileURLToPath(import.meta.url);
    const child = spawnSync(process.execPath, [file, String(stations)], { encoding: "utf8" });
    if (child.status !== 0) throw new Error(child.stderr);
    const { decideNs, churnNs, floodNs, groupNs } = JSON.parse(child.stdout) as Figures;
    const cells = [decideNs, churnNs, floodNs, groupNs].map((ns) => ns.toFixed(1));
    console.log(
      `${String(stations).padStart(8)}  ${cells[0]?.padStart(15)}  ${cells[1]?.padStart(21)}  ${cells[2]?.padStart(17)}  ${cells[3]?.padStart(14)}`,
    );
  }
}

main();
