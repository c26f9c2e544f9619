/** The switch's parts as its resource asks for them: tables, snooping, storm control. */

import { randomInt } from "node:crypto";
import type { Counters } from "./counters.ts";
import * as limits from "./limits.ts";
import { AddressBook } from "./switch/address-book.ts";
import { AddressWatch } from "./switch/address-watch.ts";
import type { ForwardingOptions } from "./switch/forwarding.ts";
import { GroupTable } from "./switch/group-table.ts";
import { LoopGuard } from "./switch/loop-guard.ts";
import { MacTable } from "./switch/mac-table.ts";
import { isOwnStation, type OwnStation } from "./switch/own-station.ts";
import { Snooping } from "./switch/snooping.ts";
import { StationQuestions } from "./switch/station-questions.ts";
import { StormControl } from "./switch/storm-control.ts";
import { addressWords } from "./uplink/address-words.ts";
import type { WorkerData } from "./worker-data.ts";

/** What a segment is made of; between two peers, nothing. */
export interface SegmentParts {
  readonly stations?: MacTable;
  readonly groups?: GroupTable;
  readonly address4: Int32Array | undefined;
  readonly parts: Partial<
    Pick<ForwardingOptions, "table" | "snooping" | "storm" | "own" | "questions" | "guard">
  >;
}

interface Surroundings {
  readonly own: OwnStation;
  readonly counters: Counters;
  readonly nowMs: number;
}

/** Makes the parts. */
export function createSegment(
  data: Pick<WorkerData, "link" | "segment" | "routing" | "isDialling">,
  around: Surroundings,
): SegmentParts {
  const { routing } = data;
  if (data.link === "TwoPeer" || routing !== undefined) {
    if (routing?.isProxy !== true) return { address4: undefined, parts: {} };
    const address4 = routing.own4 === undefined ? undefined : addressWords(routing.own4);
    return { groups: createGroups(randomInt(2 ** 31)), address4, parts: {} };
  }
  const stations = createStations(randomInt(2 ** 31));
  const { snooping, storm } = data.segment ?? {};
  const common = {
    table: stations,
    own: around.own,
    questions: new StationQuestions(
      new AddressBook(limits.ADDRESS_BOOK_ROWS, randomInt(2 ** 31)),
      new AddressWatch(limits.ADDRESSES_WATCHED_MAX),
    ),
    guard: createGuard(data.isDialling),
    ...(storm === undefined ? {} : { storm: createStorm(storm) }),
  };
  if (snooping === undefined) return { stations, address4: undefined, parts: common };
  const groups = createGroups(randomInt(2 ** 31));
  const address4 = snooping.address4 === undefined ? undefined : addressWords(snooping.address4);
  const part = new Snooping({
    table: groups,
    portsMax: limits.PORTS_MAX,
    querier: snooping.querier,
    unknownGroups: snooping.unknownGroups,
    address4,
    membershipMs: limits.GROUP_MEMBERSHIP_MS,
    macLow: around.own.low,
    isOurMac: isOwnStation,
    stationsBehind: (port) => stations.portStationCount(port),
    counters: around.counters,
    nowMs: around.nowMs,
  });
  return { stations, groups, address4, parts: { ...common, snooping: part } };
}

/** A switch's table of stations. `seed`: of its hash, 31 bits. */
export function createStations(seed: number): MacTable {
  return new MacTable({
    portsMax: limits.PORTS_MAX,
    stationsMax: limits.STATIONS_MAX,
    tapStationsMax: limits.STATIONS_PER_TAP_MAX,
    peerStationsMax: limits.STATIONS_PER_PEER_MAX,
    declaredMax: limits.STATIONS_DECLARED_MAX,
    ageMs: limits.STATION_AGE_MS,
    seed,
  });
}

/** Of two ends that both see a loop, the listening one acts; dialling ones wait differently long. */
function createGuard(isDialling: boolean): LoopGuard {
  const id = { high: randomInt(2 ** 32), low: randomInt(2 ** 32) };
  return new LoopGuard(id, isDialling ? 300 + (id.low & 3) * 100 : 0);
}

/** A switch's table of groups. `seed`: of its hash, 31 bits. */
export function createGroups(seed: number): GroupTable {
  return new GroupTable({
    portsMax: limits.PORTS_MAX,
    groupsMax: limits.GROUPS_MAX,
    membersMax: limits.GROUP_MEMBERS_MAX,
    sourcesMax: limits.GROUP_SOURCES_MAX,
    tapMembersMax: limits.GROUP_MEMBERS_PER_TAP_MAX,
    peerMembersMax: limits.GROUP_MEMBERS_PER_PEER_MAX,
    sourcesPerMemberMax: limits.GROUP_SOURCES_PER_MEMBER_MAX,
    membershipMs: limits.GROUP_MEMBERSHIP_MS,
    seed,
  });
}

function createStorm(storm: NonNullable<WorkerData["segment"]>["storm"]): StormControl {
  return new StormControl({
    limits: storm,
    portsMax: limits.PORTS_MAX,
    burstMs: limits.STORM_BURST_MS,
    burstBytesMin: limits.STORM_BURST_BYTES_MIN,
  });
}
