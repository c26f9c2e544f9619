/**
 * Multicast in a router: hears IGMP and MLD on each port, and says which ports get a packet to a
 * group. One invariant: a packet goes only where somebody joined its group, and what is link-local
 * goes nowhere. After RFC 4605, with every port downstream: behind each is one kernel's tun, this
 * host's among them, so a leave needs nobody else's word and takes effect at once.
 */

import { Counter, type Counters } from "../counters.ts";
import { TAP_PORT } from "../ports.ts";
import {
  ADDRESS_WORDS,
  GroupKind,
  GroupMessage,
  GroupRefusal,
  readAddress,
} from "../wire/group-message.ts";
import { readIgmp } from "../wire/igmp.ts";
import { IpPacket, Protocol } from "../wire/ip-packet.ts";
import { isMldType, readMld } from "../wire/mld.ts";
import { ALL_PORTS, GroupQuestions, type Query } from "./group-questions.ts";
import { GroupReports, placeOf } from "./group-reports.ts";
import type { GroupTable } from "./group-table.ts";
import { PortQueries } from "./port-queries.ts";
import { Querier, STARTUP_RESPONSE_MS } from "./querier.ts";
import type { GroupKeeper } from "./switching.ts";

/** A router's packets have no tags. */
const NO_TAG = 0;

export interface GroupProxyOptions {
  readonly table: GroupTable;
  readonly portsMax: number;
  readonly membershipMs: number;
  readonly counters: Pick<Counters, "add">;
  readonly nowMs: number;
}

/** The multicast of one router. */
export class GroupProxy implements GroupKeeper {
  /** Ports of the last packet, each once. */
  readonly ports: Int32Array;
  readonly queriers: readonly Querier[];
  readonly questions: GroupQuestions;
  readonly #options: GroupProxyOptions;
  readonly #reports: GroupReports;
  readonly #portQueries: PortQueries;
  readonly #querier4: Querier;
  readonly #querier6: Querier;
  readonly #packet = new IpPacket();
  readonly #message = new GroupMessage();
  readonly #group = new Int32Array(ADDRESS_WORDS);
  readonly #source = new Int32Array(ADDRESS_WORDS);
  /** A port's number of the last packet that it was chosen for: each is named once. */
  readonly #chosen: Int32Array;
  #choice = 0;

  constructor(options: GroupProxyOptions) {
    const { table, portsMax, nowMs } = options;
    this.#options = options;
    this.ports = new Int32Array(2 * portsMax);
    this.#chosen = new Int32Array(portsMax);
    this.questions = new GroupQuestions(table);
    this.#portQueries = new PortQueries(portsMax);
    const common = { ...options, questions: this.questions, stationsBehind: () => 1 };
    this.#reports = new GroupReports({ ...common, leavesAtOnce: true });
    const times = { nowMs, jitterMs: 0 };
    this.#querier4 = new Querier({ vlan: NO_TAG, family: 4 }, "Always", times);
    this.#querier6 = new Querier({ vlan: NO_TAG, family: 6 }, "Always", times);
    this.queriers = [this.#querier4, this.#querier6];
  }

  /** Takes a packet to a group if it is about memberships; such a packet goes nowhere. */
  hear(view: DataView, start: number, limit: number, port: number): boolean {
    const packet = this.#packet;
    const version = packet.readBare(view, start, limit);
    if (version === 0) return false;
    if (version === 4) {
      if (packet.protocol !== Protocol.igmp) return false;
      this.#take(view, port, readIgmp(view, packet, this.#message));
      return true;
    }
    const { payloadAt, payloadLimit } = packet;
    if (packet.protocol !== Protocol.icmp6 || payloadAt >= payloadLimit) return false;
    if (!isMldType(view.getUint8(payloadAt))) return false;
    this.#take(view, port, readMld(view, packet, this.#message));
    return true;
  }

  /** The turn's time, set by the router. */
  nowMs = 0;

  /** The ports whose hosts joined the group of a packet and want its source: how many. */
  members(view: DataView, start: number): number {
    // HOT PATH
    const isIpv4 = view.getUint8(start) >>> 4 === 4;
    const family = isIpv4 ? 4 : 6;
    const querier = isIpv4 ? this.#querier4 : this.#querier6;
    const { table } = this.#options;
    readAddress(view, start + (isIpv4 ? 16 : 24), family, this.#group);
    readAddress(view, start + (isIpv4 ? 12 : 8), family, this.#source);
    const row = table.find(NO_TAG, this.#group);
    let count = row < 0 ? 0 : table.collect(row, this.#source, this.nowMs, this.ports);
    // Ports that found no room for their joins get every group.
    for (let place = 0; place < querier.routerCount; place++) {
      this.ports[count] = querier.routers[place] as number;
      count += 1;
    }
    return this.#distinct(count);
  }

  portReady(port: number, nowMs: number): void {
    this.#portQueries.ready(port, nowMs);
  }

  /** A port ended, and its memberships with it. */
  portClosed(port: number, nowMs: number): void {
    this.#portQueries.closed(port);
    this.#options.table.forgetPort(port, nowMs);
    for (const querier of this.queriers) querier.forgetPort(port, nowMs);
  }

  tick(nowMs: number, rowsMax: number): void {
    for (const querier of this.queriers) {
      const responseMs = querier.tick(nowMs);
      if (responseMs === 0) continue;
      for (const port of [ALL_PORTS, TAP_PORT]) {
        this.questions.general(placeOf(querier, port), responseMs);
      }
    }
    this.#portQueries.tick(nowMs, this.#askPort);
    const ended = this.#options.table.sweep(nowMs, rowsMax);
    if (ended > 0) this.#options.counters.add(Counter.switchGroupsAged, ended);
  }

  takeQuery(): Query | undefined {
    return this.questions.takeQuery();
  }

  #take(view: DataView, port: number, refusal: GroupRefusal): void {
    const message = this.#message;
    const { counters } = this.#options;
    if (refusal !== GroupRefusal.none) {
      const isMalformed = refusal === GroupRefusal.malformed;
      counters.add(isMalformed ? Counter.switchGroupMalformed : Counter.switchGroupForeign, 1);
      return;
    }
    counters.add(Counter.switchGroupMessages, 1);
    // Nobody else asks on a link between two.
    if (message.kind === GroupKind.query) return;
    const querier = message.family === 4 ? this.#querier4 : this.#querier6;
    this.#reports.take(view, message, { querier, port }, this.nowMs);
  }

  #distinct(count: number): number {
    // HOT PATH
    this.#choice = (this.#choice + 1) | 0;
    let kept = 0;
    for (let place = 0; place < count; place++) {
      const port = this.ports[place] as number;
      if (this.#chosen[port] === this.#choice) continue;
      this.#chosen[port] = this.#choice;
      this.ports[kept] = port;
      kept += 1;
    }
    return kept;
  }

  readonly #askPort = (port: number): void => {
    for (const querier of this.queriers) {
      this.questions.general(placeOf(querier, port), STARTUP_RESPONSE_MS);
    }
  };
}
