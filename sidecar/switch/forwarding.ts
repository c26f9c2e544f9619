/**
 * Which ports a frame goes to. One invariant: a frame never leaves by the port it came from, and
 * only frames of authenticated packets (or of our own tap) are shown to it, since it learns from
 * them. It moves no bytes and reads no clock. Port 0 is this end's tap, port n is session n.
 *
 * After IEEE 802.1Q, 8.6 to 8.8: learn the source, keep reserved groups, one port for a known
 * station, a group's members for multicast, all other ports for the rest, within storm limits. Between two peers it is a wire: nothing is learnt and
 * only runts are refused.
 */

import assert from "node:assert/strict";
import { Counter, type Counters } from "../counters.ts";
import * as ethernet from "../wire/ethernet.ts";
import { readAddress } from "../wire/group-message.ts";
import { IpPacket } from "../wire/ip-packet.ts";
import { readLoopProbe } from "../wire/loop-probe.ts";
import { mayBeNeighbour } from "../wire/neighbour.ts";
import { createEvents, type SegmentEvents } from "./events.ts";
import type { LoopGuard } from "./loop-guard.ts";
import { LearnResult, type MacTable, NO_PORT, stationHigh } from "./mac-table.ts";
import { FLOOD, type Snooping } from "./snooping.ts";
import type { StationQuestions } from "./station-questions.ts";
import { type StormControl, StormKind } from "./storm-control.ts";
import type { Switching } from "./switching.ts";

/** What `decide` returns in place of a number of targets. Each has been counted. */
export const ForwardVerdict = {
  runt: -1,
  /** The source address is a group or zero. */
  sourceInvalid: -2,
  /** The source address is declared for another port. */
  spoofedStation: -3,
  /** To 01:80:c2:00:00:0x: spanning tree, pause, LLDP and their like stay on their link. */
  reservedGroup: -4,
  /** The target is behind the port that the frame came from. */
  splitHorizon: -5,
  /** No other port is live. */
  noPort: -6,
  /** Nobody else has joined the group. */
  noMember: -7,
  /** More of its kind than the port may send. */
  storm: -8,
  /** The port is shut: it closes a loop. */
  blocked: -9,
  /** An answer to a question of the switch itself. */
  own: -10,
} as const;
export type ForwardVerdict = (typeof ForwardVerdict)[keyof typeof ForwardVerdict];

export interface ForwardingOptions {
  /** Absent between two peers. */
  readonly table?: MacTable;
  /** Absent: every group is flooded. */
  readonly snooping?: Snooping;
  /** Absent: no limits. */
  readonly storm?: StormControl;
  /** Absent: stations are not asked for. */
  readonly questions?: StationQuestions;
  /** Absent: loops are not looked for. */
  readonly guard?: LoopGuard;
  /** The switch's own MAC address: answers to it are for nobody else. */
  readonly own?: { readonly high: number; readonly low: number };
  readonly portsMax: number;
  readonly counters: Pick<Counters, "add">;
}

/** The decisions of one switch. */
export class Forwarding implements Switching {
  /** The ports that the last frame goes to, as many as `decide` returned. */
  readonly targets: Int32Array;
  readonly answers: undefined;
  /** Absent between two peers. */
  readonly table: MacTable | undefined;
  readonly snooping: Snooping | undefined;
  readonly questions: StationQuestions | undefined;
  readonly guard: LoopGuard | undefined;
  readonly storm: StormControl | undefined;
  /** What happened last and how often since its teller set the count to 0. */
  readonly events: SegmentEvents = createEvents();
  /** The turn's time, set by the caller before its first frame. */
  nowMs = 0;

  readonly #counters: Pick<Counters, "add">;
  /** Live ports in no order, and the place of each in that list, or NO_PORT. */
  readonly #live: Int32Array;
  readonly #place: Int32Array;
  #liveCount = 0;
  readonly #packet = new IpPacket();
  readonly #address = new Int32Array(4);
  readonly #ownHigh: number;
  readonly #ownLow: number;
  /** Where the frame at hand stands, for the snooping. */
  readonly #frame = { start: 0, limit: 0, vlan: 0 };
  /** Ports already among the targets carry the frame's number. */
  readonly #stamps: Int32Array;
  #stamp = 0;
  /** 1: shut because it closes a loop. */
  readonly #blocked: Uint8Array;

  constructor(options: ForwardingOptions) {
    assert(options.portsMax >= 2, "a switch has two ports");
    this.table = options.table;
    this.snooping = options.snooping;
    this.questions = options.questions;
    this.guard = options.guard;
    this.storm = options.storm;
    this.#ownHigh = options.own?.high ?? NO_PORT;
    this.#ownLow = (options.own?.low ?? 0) | 0;
    this.#stamps = new Int32Array(options.portsMax);
    this.#blocked = new Uint8Array(options.portsMax);
    this.#counters = options.counters;
    this.targets = new Int32Array(options.portsMax);
    this.#live = new Int32Array(options.portsMax);
    this.#place = new Int32Array(options.portsMax).fill(NO_PORT);
  }

  get liveCount(): number {
    return this.#liveCount;
  }

  isLive(port: number): boolean {
    return (this.#place[port] ?? NO_PORT) !== NO_PORT;
  }

  /** Frames may go to this port from now on. */
  openPort(port: number): void {
    assert(port >= 0 && port < this.#place.length, "such a port can exist");
    if (this.isLive(port)) return;
    this.#place[port] = this.#liveCount;
    this.#live[this.#liveCount] = port;
    this.#liveCount += 1;
  }

  /** No frame goes there any more, and what was learnt behind it is forgotten. */
  closePort(port: number): void {
    if (!this.isLive(port)) return;
    const place = this.#place[port] as number;
    this.#liveCount -= 1;
    const last = this.#live[this.#liveCount] as number;
    this.#live[place] = last;
    this.#place[last] = place;
    this.#place[port] = NO_PORT;
    this.#blocked[port] = 0;
    this.table?.forgetPort(port);
    this.snooping?.portClosed(port, this.nowMs);
    this.guard?.forgetPort(port);
  }

  /** Shuts a port that closes a loop, or opens it again; its stations are forgotten. */
  blockPort(port: number, isBlocked: boolean): void {
    this.#blocked[port] = isBlocked ? 1 : 0;
    if (isBlocked) this.table?.forgetPort(port);
  }

  isBlocked(port: number): boolean {
    return this.#blocked[port] === 1;
  }

  /**
   * Learns the source of the frame in `view` and writes its targets into `targets`. Returns how
   * many there are, at least one, or a ForwardVerdict (negative): the frame is to be dropped.
   * Everything is counted here.
   */
  decide(view: DataView, start: number, limit: number, source: number): number {
    // HOT PATH
    if (!ethernet.isFrame(start, limit)) return this.#refuse(ForwardVerdict.runt);
    const table = this.table;
    if (table === undefined) return this.#flood(source);
    if (this.#blocked[source] === 1) return this.#refuse(ForwardVerdict.blocked);

    const vlan = ethernet.vlanId(view, start, limit);
    const sourceHigh = stationHigh(vlan, ethernet.sourceHigh(view, start));
    const sourceLow = ethernet.sourceLow(view, start);
    if (sourceLow === this.#ownLow && (sourceHigh & 0xffff) === this.#ownHigh) {
      return this.#echo(view, start, limit, source);
    }
    const learnt = table.learn(sourceHigh, sourceLow, source, this.nowMs);
    if (learnt !== LearnResult.known) {
      const verdict = this.#countLearning(learnt, sourceHigh, sourceLow, source);
      if (verdict < 0) return this.#refuse(verdict);
    }
    if (this.questions !== undefined && mayBeNeighbour(view, start, limit)) {
      const station = { high: sourceHigh, low: sourceLow, port: source, nowMs: this.nowMs };
      this.#hear(view, start, limit, station);
    }

    const macHigh = ethernet.destinationHigh(view, start);
    const macLow = ethernet.destinationLow(view, start);
    if (ethernet.isGroup(macHigh)) {
      if (ethernet.isReservedGroup(macHigh, macLow)) {
        return this.#refuse(ForwardVerdict.reservedGroup);
      }
      const isBroadcast = macHigh === 0xffff && macLow === -1;
      const kind = isBroadcast ? StormKind.broadcast : StormKind.multicast;
      if (!this.#isWithin(kind, source, limit - start)) return ForwardVerdict.storm;
      if (isBroadcast || this.snooping === undefined) return this.#flood(source);
      return this.#toGroup(view, start, limit, source);
    }
    if (macLow === this.#ownLow && macHigh === this.#ownHigh) {
      return this.#refuse(ForwardVerdict.own);
    }
    const target = table.lookup(stationHigh(vlan, macHigh), macLow);
    if (target === NO_PORT) {
      const isWithin = this.#isWithin(StormKind.unknownUnicast, source, limit - start);
      if (!isWithin) return ForwardVerdict.storm;
      if (this.questions !== undefined) this.#ask(view, start, limit);
      return this.#flood(source);
    }
    if (target === source) return this.#refuse(ForwardVerdict.splitHorizon);
    if (this.#place[target] === NO_PORT) return this.#refuse(ForwardVerdict.noPort);
    if (this.#blocked[target] === 1) return this.#refuse(ForwardVerdict.blocked);
    this.targets[0] = target;
    return 1;
  }

  /** Writes every port that may take a frame of the switch itself into `targets`. */
  everyPort(): number {
    let count = 0;
    for (let place = 0; place < this.#liveCount; place++) {
      const port = this.#live[place] as number;
      if (this.#blocked[port] === 1) continue;
      this.targets[count] = port;
      count += 1;
    }
    return count;
  }

  /** Forgets old stations among the next `rowsMax` rows of the table. */
  sweep(rowsMax: number): void {
    // HOT PATH
    if (this.table === undefined) return;
    this.questions?.tick(this.nowMs);
    const forgotten = this.table.sweep(this.nowMs, rowsMax);
    if (forgotten > 0) this.#counters.add(Counter.switchStationsAged, forgotten);
    const { ageing, ageingCount } = this.table;
    for (let place = 0; place < ageingCount * 3; place += 3) {
      const [high = 0, low = 0, port = 0] = ageing.subarray(place, place + 3);
      this.questions?.askAgeing(high, low, port);
    }
  }

  /** A frame of the switch itself came back: that is a loop, if it is a probe with our id. */
  #echo(view: DataView, start: number, limit: number, source: number): number {
    const { guard } = this;
    const sentPort = guard === undefined ? NO_PORT : readLoopProbe(view, start, limit, guard);
    if (sentPort !== NO_PORT) guard?.returned(sentPort, source, this.nowMs);
    return this.#refuse(ForwardVerdict.own);
  }

  #hear(
    view: DataView,
    start: number,
    limit: number,
    station: { high: number; low: number; port: number; nowMs: number },
  ): void {
    // HOT PATH
    this.#packet.read(view, start, limit);
    this.questions?.hear(view, this.#packet, limit, station);
  }

  /** Asks for a station that a frame is for and that is not known. */
  #ask(view: DataView, start: number, limit: number): void {
    // HOT PATH
    const family = this.#packet.read(view, start, limit);
    if (family === 0) return;
    readAddress(view, this.#packet.targetAt, family, this.#address);
    const vlan = ethernet.vlanId(view, start, limit);
    const high = stationHigh(vlan, ethernet.destinationHigh(view, start));
    const target = { high, low: ethernet.destinationLow(view, start), family };
    this.questions?.askUnknown(target, this.#address, this.nowMs);
  }

  /** Members of the group and routers, each once, never the source. */
  #toGroup(view: DataView, start: number, limit: number, source: number): number {
    // HOT PATH
    const snooping = this.snooping as Snooping;
    this.#frame.start = start;
    this.#frame.limit = limit;
    this.#frame.vlan = ethernet.vlanId(view, start, limit);
    const candidates = snooping.decide(view, this.#frame, source, this.nowMs);
    if (candidates === FLOOD) return this.#flood(source);
    this.#stamp = (this.#stamp + 1) | 0;
    let count = 0;
    for (let index = 0; index < candidates; index++) {
      const port = snooping.ports[index] as number;
      if (port === source || this.#stamps[port] === this.#stamp) continue;
      if (this.#place[port] === NO_PORT || this.#blocked[port] === 1) continue;
      this.#stamps[port] = this.#stamp;
      this.targets[count] = port;
      count += 1;
    }
    return count === 0 ? this.#refuse(ForwardVerdict.noMember) : count;
  }

  #isWithin(kind: StormKind, source: number, bytes: number): boolean {
    // HOT PATH
    if (this.storm === undefined || this.storm.take(kind, source, bytes, this.nowMs)) return true;
    this.#counters.add(STORM_COUNTERS[kind] as Counter, 1);
    const { storm } = this.events;
    storm.count += 1;
    storm.kind = kind;
    storm.port = source;
    return false;
  }

  #flood(source: number): number {
    // HOT PATH
    let count = 0;
    for (let place = 0; place < this.#liveCount; place++) {
      const port = this.#live[place] as number;
      if (port === source || this.#blocked[port] === 1) continue;
      this.targets[count] = port;
      count += 1;
    }
    if (count === 0) return this.#refuse(ForwardVerdict.noPort);
    if (this.table !== undefined) this.#counters.add(Counter.switchFlooded, 1);
    return count;
  }

  /** Counts a learning other than `known`; returns 0 or the verdict that drops the frame. */
  #countLearning(learnt: LearnResult, high: number, low: number, port: number): number {
    // HOT PATH
    switch (learnt) {
      case LearnResult.moved:
        this.#counters.add(Counter.switchStationsMoved, 1);
        this.#noteMove(high, low, port);
        return 0;
      case LearnResult.refusedPeerFull:
        this.#counters.add(Counter.switchMacPortFull, 1);
        return 0;
      case LearnResult.refusedTableFull:
        this.#counters.add(Counter.switchMacTableFull, 1);
        return 0;
      case LearnResult.refusedDeclared: {
        const { conflict } = this.events;
        conflict.count += 1;
        conflict.high = high & 0xffff;
        conflict.low = low;
        conflict.port = port;
        return ForwardVerdict.spoofedStation;
      }
      case LearnResult.refusedAddress:
        return ForwardVerdict.sourceInvalid;
      default:
        return 0;
    }
  }

  #noteMove(high: number, low: number, port: number): void {
    // HOT PATH
    const from = this.table?.movedFrom ?? NO_PORT;
    this.guard?.moved(from, port);
    this.snooping?.stationMoved(from);
    const { move } = this.events;
    move.count += 1;
    move.high = high & 0xffff;
    move.low = low;
    move.from = from;
    move.to = port;
  }

  #refuse(verdict: number): number {
    // HOT PATH
    this.#counters.add(counterOf(verdict), 1);
    return verdict;
  }
}

/** By kind of storm. */
const STORM_COUNTERS: readonly Counter[] = [
  Counter.switchStormBroadcast,
  Counter.switchStormUnknown,
  Counter.switchStormMulticast,
];

function counterOf(verdict: number): Counter {
  // HOT PATH
  switch (verdict) {
    case ForwardVerdict.runt:
      return Counter.switchRunt;
    case ForwardVerdict.sourceInvalid:
      return Counter.switchSourceInvalid;
    case ForwardVerdict.spoofedStation:
      return Counter.switchSpoofedStation;
    case ForwardVerdict.reservedGroup:
      return Counter.switchReservedGroup;
    case ForwardVerdict.splitHorizon:
      return Counter.switchSplitHorizon;
    case ForwardVerdict.noMember:
      return Counter.switchGroupUnknown;
    case ForwardVerdict.own:
      return Counter.switchOwnFrames;
    case ForwardVerdict.blocked:
      return Counter.switchLoopBlocked;
    default:
      return Counter.switchNoPort;
  }
}
