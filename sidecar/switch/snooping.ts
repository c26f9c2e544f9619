/**
 * Multicast in the switch: hears IGMP and MLD, and says which ports get a frame to a group. One
 * invariant: a frame is kept from a port only when memberships are known (`Querier.isSettled`);
 * link-local groups, other protocols and whatever cannot be read go everywhere. After RFC 4541.
 */

import { Counter, type Counters } from "../counters.ts";
import {
  ADDRESS_WORDS,
  familyOf,
  GroupKind,
  GroupMessage,
  GroupRefusal,
  RecordKind,
  readAddress,
} from "../wire/group-message.ts";
import { readIgmp } from "../wire/igmp.ts";
import { IpPacket, Protocol } from "../wire/ip-packet.ts";
import { isMldType, readMld } from "../wire/mld.ts";
import { NO_ROW } from "./group-layout.ts";
import { ALL_PORTS, GroupQuestions, type Query } from "./group-questions.ts";
import { JOIN_PORT_FULL } from "./group-rows.ts";
import { Ask, type GroupTable } from "./group-table.ts";
import { Querier, type QuerierMode, ROUTER_MS, STARTUP_RESPONSE_MS } from "./querier.ts";

/** What `decide` returns when the frame goes everywhere. */
export const FLOOD = -1;

/** VLANs with memberships of their own; frames of further ones are flooded. */
const VLANS_MAX = 64;
/** Sources of one record that are looked at; a record with more asks for every source. */
const RECORD_SOURCES_MAX = 64;
/** A port that came up is asked at once and again, while its host gets ready. */
const PORT_QUERIES = 3;
const PORT_QUERY_INTERVAL_MS = 1500;
const NO_VLAN = -1;

/** What can be changed while frames flow. */
export interface SnoopingSettings {
  readonly querier: QuerierMode;
  readonly address4: Int32Array | undefined;
  readonly unknownGroups: "Flood" | "Drop";
}

export interface SnoopingOptions {
  readonly table: GroupTable;
  readonly portsMax: number;
  readonly querier: QuerierMode;
  /** IPv4 address that our queries come from, as words; absent: we ask nobody by IGMP. */
  readonly address4: Int32Array | undefined;
  readonly unknownGroups: "Flood" | "Drop";
  readonly membershipMs: number;
  /** Low word of the switch's own MAC address; between two of us the lower one asks. */
  readonly macLow: number;
  readonly isOurMac: (high: number, low: number) => boolean;
  /** How many stations are behind a port: one means that a leave needs nobody else's word. */
  readonly stationsBehind: (port: number) => number;
  readonly counters: Pick<Counters, "add">;
  readonly nowMs: number;
}

/** The multicast of one switch. */
export class Snooping {
  /** Ports of the last frame that was not flooded, perhaps with repetitions. */
  readonly ports: Int32Array;
  readonly questions: GroupQuestions;
  readonly #options: SnoopingOptions;
  readonly #packet = new IpPacket();
  readonly #message = new GroupMessage();
  readonly #group = new Int32Array(ADDRESS_WORDS);
  readonly #source = new Int32Array(ADDRESS_WORDS);
  readonly #sources = { words: new Int32Array(RECORD_SOURCES_MAX * ADDRESS_WORDS), count: 0 };
  /** Place of each VLAN's pair of queriers, or NO_VLAN. */
  readonly #vlans = new Int8Array(4096).fill(NO_VLAN);
  readonly #queriers: Querier[] = [];
  /** Where the source address of the frame at hand stands. */
  #macAt = 0;
  #settings: SnoopingSettings;
  readonly #portQueriesLeft: Uint8Array;
  readonly #portQueryMs: Int32Array;
  /** A port that a station left for another since the last tick. */
  #movedFrom: number = NO_ROW;

  constructor(options: SnoopingOptions) {
    this.#options = options;
    this.#settings = options;
    this.ports = new Int32Array(2 * options.portsMax);
    this.questions = new GroupQuestions(options.table);
    this.#portQueriesLeft = new Uint8Array(options.portsMax);
    this.#portQueryMs = new Int32Array(options.portsMax);
    this.#addVlan(0, options.nowMs);
  }

  /** The queriers of every VLAN in use, both families. */
  get queriers(): readonly Querier[] {
    return this.#queriers;
  }

  /** Takes other settings; memberships stay. */
  change(settings: SnoopingSettings, nowMs: number): void {
    this.#settings = settings;
    for (const querier of this.#queriers) querier.setMode(modeOf(settings, querier.family), nowMs);
  }

  /** The ports for a frame to a group address: how many are in `ports`, or FLOOD. */
  decide(
    view: DataView,
    frame: { readonly start: number; readonly limit: number; readonly vlan: number },
    port: number,
    nowMs: number,
  ): number {
    // HOT PATH
    const packet = this.#packet;
    const version = packet.read(view, frame.start, frame.limit);
    if (version === 0) return FLOOD;
    this.#macAt = frame.start + 6;
    if (version === 4) {
      if (packet.protocol === Protocol.igmp) return this.#hear(view, frame.vlan, port, nowMs);
      const top = view.getUint8(packet.targetAt);
      if (top < 224 || top > 239) return FLOOD;
      if ((view.getInt32(packet.targetAt) & 0xffff_ff00) === (0xe000_0000 | 0)) {
        if (packet.protocol === Protocol.pim) this.#hearRouter(frame.vlan, 4, port, nowMs);
        return FLOOD;
      }
      return this.#toMembers(view, frame.vlan, nowMs);
    }
    if (packet.protocol === Protocol.icmp6 && packet.payloadAt < packet.payloadLimit) {
      if (isMldType(view.getUint8(packet.payloadAt))) {
        return this.#hear(view, frame.vlan, port, nowMs);
      }
    }
    const scope = view.getUint16(packet.targetAt);
    if (scope >>> 8 !== 0xff) return FLOOD;
    if ((scope & 15) <= 2) {
      if (packet.protocol === Protocol.pim) this.#hearRouter(frame.vlan, 6, port, nowMs);
      return FLOOD;
    }
    return this.#toMembers(view, frame.vlan, nowMs);
  }

  /** A peer can be reached from now on: what it has joined is asked for. */
  portReady(port: number, nowMs: number): void {
    this.#portQueriesLeft[port] = PORT_QUERIES;
    this.#portQueryMs[port] = nowMs;
  }

  /** A port ended, and its memberships with it. */
  portClosed(port: number, nowMs: number): void {
    this.#portQueriesLeft[port] = 0;
    this.#options.table.forgetPort(port, nowMs);
    for (const querier of this.#queriers) querier.forgetPort(port, nowMs);
  }

  /** A station was seen elsewhere: what it had joined here is asked about, at the next tick. */
  stationMoved(from: number): void {
    // HOT PATH
    if (from > 0) this.#movedFrom = from;
  }

  /** Lets times run out: call every 100 ms. Queries to be sent are in `questions`. */
  tick(nowMs: number, rowsMax: number): void {
    for (const querier of this.#queriers) {
      const responseMs = querier.tick(nowMs);
      if (responseMs > 0) this.questions.general(placeOf(querier, ALL_PORTS), responseMs);
    }
    for (let port = 0; port < this.#portQueriesLeft.length; port++) {
      const left = this.#portQueriesLeft[port] as number;
      if (left === 0 || ((nowMs - (this.#portQueryMs[port] as number)) | 0) < 0) continue;
      this.#portQueriesLeft[port] = left - 1;
      this.#portQueryMs[port] = (nowMs + PORT_QUERY_INTERVAL_MS) | 0;
      this.#askPort(port);
    }
    if (this.#movedFrom !== NO_ROW) this.#askLeft(this.#movedFrom, nowMs);
    this.questions.tick(nowMs);
    const ended = this.#options.table.sweep(nowMs, rowsMax);
    if (ended > 0) this.#options.counters.add(Counter.switchGroupsAged, ended);
  }

  takeQuery(): Query | undefined {
    return this.questions.takeQuery();
  }

  #toMembers(view: DataView, vlan: number, nowMs: number): number {
    // HOT PATH
    const packet = this.#packet;
    const family = packet.version === 4 ? 4 : 6;
    const querier = this.#querier(vlan, family);
    if (querier === undefined || !querier.isSettled(nowMs)) return FLOOD;
    readAddress(view, packet.targetAt, family, this.#group);
    const { table, counters } = this.#options;
    const { unknownGroups } = this.#settings;
    const row = table.find(vlan, this.#group);
    if (row < 0 && unknownGroups === "Flood") return FLOOD;
    let count = 0;
    if (row >= 0) {
      readAddress(view, packet.sourceAt, family, this.#source);
      count = table.collect(row, this.#source, nowMs, this.ports);
    }
    counters.add(Counter.switchGroupFrames, 1);
    return this.#addRouters(querier, count);
  }

  #addRouters(querier: Querier, from: number): number {
    // HOT PATH
    let count = from;
    for (let place = 0; place < querier.routerCount; place++) {
      this.ports[count] = querier.routers[place] as number;
      count += 1;
    }
    return count;
  }

  #querier(vlan: number, family: 4 | 6): Querier | undefined {
    // HOT PATH
    const place = this.#vlans[vlan] as number;
    if (place < 0) return undefined;
    return this.#queriers[place * 2 + (family === 4 ? 0 : 1)];
  }

  #hearRouter(vlan: number, family: 4 | 6, port: number, nowMs: number): void {
    this.#querier(vlan, family)?.addRouter(port, nowMs, ROUTER_MS);
  }

  /** A message of IGMP or MLD; what cannot be taken is an ordinary frame. */
  #hear(view: DataView, vlan: number, port: number, nowMs: number): number {
    const message = this.#message;
    const { counters } = this.#options;
    const refusal =
      this.#packet.version === 4
        ? readIgmp(view, this.#packet, message)
        : readMld(view, this.#packet, message);
    if (refusal !== GroupRefusal.none) {
      if (refusal === GroupRefusal.malformed) counters.add(Counter.switchGroupMalformed, 1);
      if (refusal === GroupRefusal.notLocal) counters.add(Counter.switchGroupForeign, 1);
      return FLOOD;
    }
    counters.add(Counter.switchGroupMessages, 1);
    const querier =
      this.#querier(vlan, message.family) ?? this.#addVlan(vlan, nowMs, message.family);
    if (querier === undefined) return FLOOD;
    if (message.kind === GroupKind.query) {
      this.#hearQuery(view, querier, port, nowMs);
      return FLOOD;
    }
    if (message.kind === GroupKind.records) this.#hearRecords(view, querier, port, nowMs);
    else this.#hearOld(view, querier, port, nowMs);
    // Other hosts must not hear it: the old versions would keep theirs back (RFC 4541, 2.1.1).
    return querier.isSettled(nowMs) ? this.#addRouters(querier, 0) : FLOOD;
  }

  #hearQuery(view: DataView, querier: Querier, port: number, nowMs: number): void {
    const message = this.#message;
    const { table, isOurMac, macLow } = this.#options;
    readAddress(view, this.#packet.sourceAt, message.family, this.#source);
    // Nobody asks from 0.0.0.0: switches do on their own behalf (RFC 4541, 2.1.1).
    if (this.#source[3] === 0 && message.family === 4) return;
    const isPeer = isOurMac(view.getUint16(this.#macAt), view.getInt32(this.#macAt + 2));
    const yields = !isPeer || view.getInt32(this.#macAt + 2) >>> 0 < macLow >>> 0;
    querier.heard(
      port,
      { responseMs: message.responseMs, version: message.version, yields },
      nowMs,
    );
    if (yields) querier.otherAddress.set(this.#source);
    if (!message.hasGroup || message.isSuppressed || message.listCount > 0) return;
    readAddress(view, message.groupAt, message.family, this.#group);
    // Two of its questions, and the way to us and back (RFC 3376, 6.6.1).
    table.expireBy(querier.vlan, this.#group, (nowMs + 2 * message.responseMs + 500) | 0);
  }

  #hearOld(view: DataView, querier: Querier, port: number, nowMs: number): void {
    const message = this.#message;
    readAddress(view, message.groupAt, message.family, this.#group);
    this.#sources.count = 0;
    const kind = message.kind === GroupKind.join ? RecordKind.isExclude : RecordKind.toInclude;
    this.#apply(kind, querier, port, nowMs);
  }

  #hearRecords(view: DataView, querier: Querier, port: number, nowMs: number): void {
    const message = this.#message;
    let at = message.listAt;
    for (let count = 0; count < message.listCount; count++) {
      const kind = this.#readRecord(view, at);
      readAddress(view, at + 4, message.family, this.#group);
      if (kind !== 0) this.#apply(kind, querier, port, nowMs);
      at += message.recordBytes(view, at);
    }
  }

  /** Takes a record's sources over; returns its kind, or 0 for one that is not known. */
  #readRecord(view: DataView, at: number): number {
    const { family, addressBytes } = this.#message;
    const kind = view.getUint8(at);
    const count = view.getUint16(at + 2);
    const isExclude = kind === RecordKind.isExclude || kind === RecordKind.toExclude;
    this.#sources.count = 0;
    if (kind < RecordKind.isInclude || kind > RecordKind.block) return 0;
    if (count > RECORD_SOURCES_MAX) {
      if (isExclude) return kind;
      return kind === RecordKind.block ? 0 : RecordKind.isExclude;
    }
    for (let index = 0; index < count; index++) {
      const words = this.#sources.words.subarray(index * ADDRESS_WORDS);
      readAddress(view, at + 4 + addressBytes * (1 + index), family, words);
    }
    this.#sources.count = count;
    return kind;
  }

  #apply(kind: number, querier: Querier, port: number, nowMs: number): void {
    const { table, stationsBehind, counters, membershipMs } = this.#options;
    if (!isTracked(this.#group, querier.family)) return;
    const isJoin =
      kind === RecordKind.isExclude ||
      kind === RecordKind.toExclude ||
      (this.#sources.count > 0 && kind !== RecordKind.block);
    let member: number;
    if (isJoin) member = table.member(querier.vlan, this.#group, port, nowMs);
    else {
      const group = table.find(querier.vlan, this.#group);
      member = group < 0 ? NO_ROW : table.findMember(group, port);
      if (member < 0) return;
    }
    if (member < 0) {
      const isPort = member === JOIN_PORT_FULL;
      counters.add(isPort ? Counter.switchGroupPortFull : Counter.switchGroupTableFull, 1);
      // Rather too much than nothing: the port gets every group, and only that port.
      querier.addRouter(port, nowMs, membershipMs);
      return;
    }
    const asks = table.report(member, kind, this.#sources, nowMs);
    if (asks === Ask.nothing) return;
    // Where others ask, they ask about this leave too, unless the port is a single host's.
    if (!querier.isAsking && stationsBehind(port) > 1) return;
    const place = { ...placeOf(querier, port), version: 3 } as const;
    this.questions.ask(member, asks, place, { group: this.#group, nowMs });
  }

  #askPort(port: number): void {
    for (const querier of this.#queriers) {
      this.questions.general(placeOf(querier, port), STARTUP_RESPONSE_MS);
    }
  }

  /** As if every group of the port had been left: who is still there answers the questions. */
  #askLeft(port: number, nowMs: number): void {
    this.#movedFrom = NO_ROW;
    const { table } = this.#options;
    if (table.portMemberCount(port) === 0) return;
    for (let member = 0; member < table.options.membersMax; member++) {
      const group = table.groupOf(member, port);
      if (group === NO_ROW) continue;
      const vlan = table.readGroup(group, this.#group);
      const querier = this.#querier(vlan, familyOf(this.#group));
      this.#sources.count = 0;
      if (querier !== undefined) this.#apply(RecordKind.toInclude, querier, port, nowMs);
    }
  }

  #addVlan(vlan: number, nowMs: number, family: 4 | 6 = 4): Querier | undefined {
    const place = this.#queriers.length / 2;
    if (place === VLANS_MAX) return undefined;
    const times = { nowMs, jitterMs: (this.#options.macLow & 0xff) * 20 };
    this.#queriers.push(new Querier({ vlan, family: 4 }, modeOf(this.#settings, 4), times));
    this.#queriers.push(new Querier({ vlan, family: 6 }, modeOf(this.#settings, 6), times));
    this.#vlans[vlan] = place;
    return this.#querier(vlan, family);
  }
}

/** Without an address to ask from, nobody is asked by IGMP. */
function modeOf({ querier, address4 }: SnoopingSettings, family: 4 | 6): QuerierMode {
  return family === 4 && address4 === undefined ? "Never" : querier;
}

function placeOf(
  querier: Querier,
  port: number,
): {
  readonly port: number;
  readonly vlan: number;
  readonly family: 4 | 6;
  readonly version: 2 | 3;
} {
  const { vlan, family, version } = querier;
  return { port, vlan, family, version };
}

/** Link-local groups are flooded and never kept; others must be groups at all. */
function isTracked(group: Int32Array, family: 4 | 6): boolean {
  if (family === 4) {
    const address = group[3] as number;
    return address >>> 28 === 14 && (address & 0xffff_ff00) !== (0xe000_0000 | 0);
  }
  const top = (group[0] as number) >>> 16;
  return top >>> 8 === 0xff && (top & 15) > 2;
}
