/**
 * The counters of the data plane: "why was it dropped" is answered by reading this file. One
 * invariant: every verdict but "accept" adds one to exactly one counter, and one thread writes a
 * bank of counters; others only read it. Main thread and worker have a bank each, and what is
 * shown is their sum.
 *
 * A counter is a double in shared memory: exact up to 2^53, read whole on 64-bit machines.
 */

import assert from "node:assert/strict";
import { COUNTER_DETAILS } from "./counter-details.ts";

export type CounterUnit = "packets" | "bytes" | "frames" | "events" | "ms";

/** Index of each counter in a bank. */
export const Counter = {
  rxTooShort: 0,
  rxBadOpcode: 1,
  rxUnknownPeer: 2,
  rxUnknownKey: 3,
  rxStaleKey: 4,
  rxAuthenticationFailed: 5,
  rxMalformed: 6,
  rxReplayDuplicate: 7,
  rxReplayBehind: 8,
  rxReplayExpired: 9,
  rxReplayZeroId: 10,
  rxAcceptedLate: 11,
  rxCompressed: 12,
  rxUnknownInner: 13,
  rxStrangerLimited: 14,
  rxControlTooLong: 15,
  rxControlRingFull: 16,
  rxStrangerRingFull: 17,
  rxSourceRefused: 18,
  rxPings: 19,
  rxPackets: 20,
  rxBytes: 21,
  rxControlPackets: 22,
  rxFloats: 23,
  rxSocketError: 24,

  switchRunt: 25,
  switchSplitHorizon: 26,
  switchNoPort: 27,
  switchReservedGroup: 28,
  switchSourceInvalid: 29,
  switchSpoofedStation: 30,
  switchFlooded: 31,
  switchMacTableFull: 32,
  switchMacPortFull: 33,
  switchStationsMoved: 34,
  switchStationsAged: 35,

  txPackets: 36,
  txBytes: 37,
  txPings: 38,
  txControlPackets: 39,
  txNoSession: 40,
  txNoKey: 41,
  txIdExhausted: 42,
  txNoPath: 43,
  txSocketFull: 44,
  txSocketError: 45,
  txTooBig: 46,
  txSealFailed: 47,
  txControlRingFull: 48,
  txSlotsExhausted: 49,

  tapFramesRead: 50,
  tapFramesWritten: 51,
  tapReadError: 52,
  tapWriteError: 53,
  tapWriteFull: 54,
  tapFrameTooBig: 55,
  tapMssClamped: 56,

  ringNoticeFull: 57,
  ringOrderFull: 58,
  ringOrderUnknown: 59,

  controlUnverified: 60,
  controlReplayed: 61,
  controlMalformed: 62,
  controlOtherSession: 63,
  controlUnexpected: 64,
  controlHalfOpenFull: 65,
  controlSessionsFull: 66,
  controlGreeted: 67,

  switchGroupFrames: 68,
  switchGroupUnknown: 69,
  switchGroupMessages: 70,
  switchGroupMalformed: 71,
  switchGroupForeign: 72,
  switchGroupPortFull: 73,
  switchGroupTableFull: 74,
  switchGroupsAged: 75,
  switchGroupQueries: 76,
  switchStormBroadcast: 77,
  switchStormUnknown: 78,
  switchStormMulticast: 79,
  switchStationProbes: 80,
  switchLoopProbes: 81,
  switchLoopBlocked: 82,
  switchOwnFrames: 83,
  rxProbes: 84,
  txProbes: 85,
  rxOtherAddress: 86,
  rxControlLimited: 87,
  captureMissed: 88,

  routerMalformed: 89,
  routerSourceRefused: 90,
  routerGroup: 91,
  routerLinkLocal: 92,
  routerNoRoute: 93,
  routerPeerAbsent: 94,
  routerBackToSource: 95,
  routerPeerToPeerRefused: 96,
  routerHopLimit: 97,
  routerTooBig: 98,
  routerForwarded: 99,
  routerAnswers: 100,
  routerAnswersLimited: 101,
  switchAddressesFull: 102,
  rxPlans: 103,
  txPlans: 104,
  fecParitySent: 105,
  fecParityReceived: 106,
  fecRecovered: 107,
  fecUnrecoverable: 108,
  fecParityMalformed: 109,
  fecParityMisfit: 110,
  fecRecoveredWrong: 111,
  fecEncodeFailed: 112,
  fecRecoverFailed: 113,
  fecNoRoom: 114,

  rxConnectionsEnded: 115,
  rxConnectionsDropped: 116,
  txNoConnection: 117,
  txUnreachable: 118,
  txNoAddress: 119,

  rxFragments: 120,
  rxFragmentMalformed: 121,
  rxFragmentLost: 122,
  txFragments: 123,

  controlHalfOpenGone: 124,
  txOverMtu: 125,

  reorderHeld: 126,
  reorderHeldMs: 127,
  reorderFilled: 128,
  reorderExpired: 129,
  reorderCrowded: 130,
  reorderSurprised: 131,
  reorderEvicted: 132,
  reorderEnded: 133,

  rxIcmpUnreachable: 134,
  rxIcmpTooBig: 135,
  rxIcmpOther: 136,
} as const;
export type CounterName = keyof typeof Counter;
export type Counter = (typeof Counter)[CounterName];

/** The compiler finds a counter without a row, or a row without a counter. */
const DETAILS: Readonly<Record<CounterName, readonly [CounterUnit, string]>> = COUNTER_DETAILS;

/** A counter as status and documentation show it. */
export interface CounterDescription {
  /** As in `rx.tooShort`: the part of the data plane, then the cause. */
  readonly name: string;
  readonly unit: CounterUnit;
  readonly description: string;
}

/** Every counter, in order of its index. */
export const COUNTERS: readonly CounterDescription[] = Object.keys(Counter).map((key) => {
  const [unit, description] = DETAILS[key as CounterName];
  return { name: dottedName(key), unit, description };
});

/** Makes the memory of one bank, all zero. */
function counterMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(COUNTERS.length * 8);
}

/** One bank: written by one thread, read by any. */
export class Counters {
  readonly values: Float64Array;

  constructor(memory: SharedArrayBuffer = counterMemory()) {
    assert(memory.byteLength === COUNTERS.length * 8, "the memory comes from counterMemory");
    this.values = new Float64Array(memory);
  }

  add(counter: Counter, amount: number): void {
    // HOT PATH
    this.values[counter] = (this.values[counter] as number) + amount;
  }

  get(counter: Counter): number {
    return this.values[counter] as number;
  }
}

/** The sum of the banks by counter name, zeros included. */
export function countersSnapshot(banks: readonly Counters[]): Record<string, number> {
  const snapshot: Record<string, number> = {};
  COUNTERS.forEach(({ name }, index) => {
    snapshot[name] = banks.reduce((sum, bank) => sum + (bank.values[index] as number), 0);
  });
  return snapshot;
}

/** Words of one row of a traffic table. */
const TrafficWord = { packetsIn: 0, bytesIn: 1, packetsOut: 2, bytesOut: 3 } as const;
const TRAFFIC_WORDS = 4;

/** What went in and out through one tap, uplink or peer. */
export interface Traffic {
  readonly packetsIn: number;
  readonly bytesIn: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
}

/** Packets and bytes in and out of each of a fixed number of taps, uplinks or peers. */
export class TrafficTable {
  readonly memory: SharedArrayBuffer;
  readonly rowCount: number;
  readonly #values: Float64Array;

  /** Over the memory of another thread's table, or over its own for so many rows. */
  constructor(source: number | SharedArrayBuffer) {
    const bytesPerRow = TRAFFIC_WORDS * 8;
    this.memory = typeof source === "number" ? new SharedArrayBuffer(source * bytesPerRow) : source;
    assert(this.memory.byteLength % bytesPerRow === 0, "the memory holds whole rows");
    this.#values = new Float64Array(this.memory);
    this.rowCount = this.memory.byteLength / bytesPerRow;
  }

  addIn(row: number, packets: number, bytes: number): void {
    // HOT PATH
    const at = row * TRAFFIC_WORDS;
    const values = this.#values;
    values[at + TrafficWord.packetsIn] = (values[at + TrafficWord.packetsIn] as number) + packets;
    values[at + TrafficWord.bytesIn] = (values[at + TrafficWord.bytesIn] as number) + bytes;
  }

  addOut(row: number, packets: number, bytes: number): void {
    // HOT PATH
    const at = row * TRAFFIC_WORDS;
    const values = this.#values;
    values[at + TrafficWord.packetsOut] = (values[at + TrafficWord.packetsOut] as number) + packets;
    values[at + TrafficWord.bytesOut] = (values[at + TrafficWord.bytesOut] as number) + bytes;
  }

  /** Sets a row to zero: its tap, uplink or peer is another one from now on. Writer only. */
  clear(row: number): void {
    this.#values.fill(0, row * TRAFFIC_WORDS, (row + 1) * TRAFFIC_WORDS);
  }

  snapshot(row: number): Traffic {
    assert(row >= 0 && row < this.rowCount, "no such row");
    const word = (index: number): number => this.#values[row * TRAFFIC_WORDS + index] as number;
    return {
      packetsIn: word(TrafficWord.packetsIn),
      bytesIn: word(TrafficWord.bytesIn),
      packetsOut: word(TrafficWord.packetsOut),
      bytesOut: word(TrafficWord.bytesOut),
    };
  }
}

/** `rxTooShort` becomes `rx.tooShort`. */
function dottedName(key: string): string {
  return key.replace(/[A-Z]/, (letter) => `.${letter.toLowerCase()}`);
}
