/**
 * Which ports a frame goes to. One invariant: a frame never leaves by the port it came from, and
 * only frames of authenticated packets (or of our own tap) are shown to it, since it learns from
 * them. It moves no bytes and reads no clock. Port 0 is this end's tap, port n is session n.
 *
 * After IEEE 802.1Q, 8.6 to 8.8: learn the source, keep reserved groups, one port for a known
 * station, all other ports for the rest. Between two peers it is a wire: nothing is learnt and
 * only runts are refused.
 */

import assert from "node:assert/strict";
import { Counter, type Counters } from "../counters.ts";
import * as ethernet from "../wire/ethernet.ts";
import { LearnResult, type MacTable, NO_PORT, stationHigh } from "./mac-table.ts";

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
} as const;
export type ForwardVerdict = (typeof ForwardVerdict)[keyof typeof ForwardVerdict];

export interface ForwardingOptions {
  /** Absent between two peers. */
  readonly table?: MacTable;
  readonly portsMax: number;
  readonly counters: Pick<Counters, "add">;
}

/** The decisions of one switch. */
export class Forwarding {
  /** The ports that the last frame goes to, as many as `decide` returned. */
  readonly targets: Int32Array;
  /** Absent between two peers. */
  readonly table: MacTable | undefined;
  /** The turn's time, set by the caller before its first frame. */
  nowMs = 0;

  readonly #counters: Pick<Counters, "add">;
  /** Live ports in no order, and the place of each in that list, or NO_PORT. */
  readonly #live: Int32Array;
  readonly #place: Int32Array;
  #liveCount = 0;

  constructor(options: ForwardingOptions) {
    assert(options.portsMax >= 2, "a switch has two ports");
    this.table = options.table;
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
    this.table?.forgetPort(port);
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

    const vlan = ethernet.vlanId(view, start, limit);
    const sourceHigh = stationHigh(vlan, ethernet.sourceHigh(view, start));
    const learnt = table.learn(sourceHigh, ethernet.sourceLow(view, start), source, this.nowMs);
    if (learnt !== LearnResult.known) {
      const verdict = this.#countLearning(learnt);
      if (verdict < 0) return this.#refuse(verdict);
    }

    const macHigh = ethernet.destinationHigh(view, start);
    const macLow = ethernet.destinationLow(view, start);
    if (ethernet.isGroup(macHigh)) {
      const isReserved = ethernet.isReservedGroup(macHigh, macLow);
      return isReserved ? this.#refuse(ForwardVerdict.reservedGroup) : this.#flood(source);
    }
    const target = table.lookup(stationHigh(vlan, macHigh), macLow);
    if (target === NO_PORT) return this.#flood(source);
    if (target === source) return this.#refuse(ForwardVerdict.splitHorizon);
    if (this.#place[target] === NO_PORT) return this.#refuse(ForwardVerdict.noPort);
    this.targets[0] = target;
    return 1;
  }

  /** Forgets old stations among the next `rowsMax` rows of the table. */
  sweep(rowsMax: number): void {
    // HOT PATH
    if (this.table === undefined) return;
    const forgotten = this.table.sweep(this.nowMs, rowsMax);
    if (forgotten > 0) this.#counters.add(Counter.switchStationsAged, forgotten);
  }

  #flood(source: number): number {
    // HOT PATH
    let count = 0;
    for (let place = 0; place < this.#liveCount; place++) {
      const port = this.#live[place] as number;
      if (port === source) continue;
      this.targets[count] = port;
      count += 1;
    }
    if (count === 0) return this.#refuse(ForwardVerdict.noPort);
    if (this.table !== undefined) this.#counters.add(Counter.switchFlooded, 1);
    return count;
  }

  /** Counts a learning other than `known`; returns 0 or the verdict that drops the frame. */
  #countLearning(learnt: LearnResult): number {
    // HOT PATH
    switch (learnt) {
      case LearnResult.moved:
        this.#counters.add(Counter.switchStationsMoved, 1);
        return 0;
      case LearnResult.refusedPeerFull:
        this.#counters.add(Counter.switchMacPortFull, 1);
        return 0;
      case LearnResult.refusedTableFull:
        this.#counters.add(Counter.switchMacTableFull, 1);
        return 0;
      case LearnResult.refusedDeclared:
        return ForwardVerdict.spoofedStation;
      case LearnResult.refusedAddress:
        return ForwardVerdict.sourceInvalid;
      default:
        return 0;
    }
  }

  #refuse(verdict: number): number {
    // HOT PATH
    this.#counters.add(counterOf(verdict), 1);
    return verdict;
  }
}

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
    default:
      return Counter.switchNoPort;
  }
}
