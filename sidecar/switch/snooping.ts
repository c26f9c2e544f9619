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
  readAddress,
} from "../wire/group-message.ts";
import { readIgmp } from "../wire/igmp.ts";
import { IpPacket, Protocol } from "../wire/ip-packet.ts";
import { isMldType, readMld } from "../wire/mld.ts";
import { NO_ROW } from "./group-layout.ts";
import { ALL_PORTS, GroupQuestions, type Query } from "./group-questions.ts";
import { GroupReports, placeOf } from "./group-reports.ts";
import type { GroupTable } from "./group-table.ts";
import { PortQueries } from "./port-queries.ts";
import { Querier, type QuerierMode, ROUTER_MS, STARTUP_RESPONSE_MS } from "./querier.ts";
import type { GroupKeeper } from "./switching.ts";

/** What `decide` returns when the frame goes everywhere. */
export const FLOOD = -1;

/** VLANs with memberships of their own; frames of further ones are flooded. */
const VLANS_MAX = 64;
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
export class Snooping implements GroupKeeper {
  /** Ports of the last frame that was not flooded, perhaps with repetitions. */
  readonly ports: Int32Array;
  readonly questions: GroupQuestions;
  readonly #options: SnoopingOptions;
  readonly #packet = new IpPacket();
  readonly #message = new GroupMessage();
  readonly #group = new Int32Array(ADDRESS_WORDS);
  readonly #source = new Int32Array(ADDRESS_WORDS);
  /** Place of each VLAN's pair of queriers, or NO_VLAN. */
  readonly #vlans = new Int8Array(4096).fill(NO_VLAN);
  readonly #queriers: Querier[] = [];
  /** Where the source address of the frame at hand stands. */
  #macAt = 0;
  #settings: SnoopingSettings;
  readonly #portQueries: PortQueries;
  readonly #reports: GroupReports;
  /** A port that a station left for another since the last tick. */
  #movedFrom: number = NO_ROW;

  constructor(options: SnoopingOptions) {
    this.#options = options;
    this.#settings = options;
    this.ports = new Int32Array(2 * options.portsMax);
    this.questions = new GroupQuestions(options.table);
    this.#portQueries = new PortQueries(options.portsMax);
    this.#reports = new GroupReports({ ...options, questions: this.questions });
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
    this.#portQueries.ready(port, nowMs);
  }

  /** A port ended, and its memberships with it. */
  portClosed(port: number, nowMs: number): void {
    this.#portQueries.closed(port);
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
    this.#portQueries.tick(nowMs, this.#askPort);
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
    this.#reports.take(view, message, { querier, port }, nowMs);
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

  readonly #askPort = (port: number): void => {
    for (const querier of this.#queriers) {
      this.questions.general(placeOf(querier, port), STARTUP_RESPONSE_MS);
    }
  };

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
      if (querier !== undefined) this.#reports.leave(this.#group, { querier, port }, nowMs);
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
