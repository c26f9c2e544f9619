/**
 * The counters of the data plane: "why was it dropped" is answered by reading this file. One
 * invariant: every verdict but "accept" adds one to exactly one counter, and one thread writes a
 * bank of counters; others only read it. Main thread and worker have a bank each, and what is
 * shown is their sum.
 *
 * A counter is a double in shared memory: exact up to 2^53, read whole on 64-bit machines.
 */

import assert from "node:assert/strict";

export type CounterUnit = "packets" | "bytes" | "frames" | "events";

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
} as const;
export type CounterName = keyof typeof Counter;
export type Counter = (typeof Counter)[CounterName];

/** Unit and meaning of each counter. */
const DETAILS: Record<CounterName, readonly [CounterUnit, string]> = {
  rxTooShort: ["packets", "Datagrams dropped: shorter than the header of their kind."],
  rxBadOpcode: ["packets", "Datagrams dropped: the opcode is none that OpenVPN sends here."],
  rxUnknownPeer: ["packets", "Data dropped: no session has this peer id."],
  rxUnknownKey: ["packets", "Data dropped: the session has no key with this key id."],
  rxStaleKey: ["packets", "Data dropped: its key was replaced while the packet was on its way."],
  rxAuthenticationFailed: ["packets", "Data dropped: the authentication tag is wrong."],
  rxMalformed: ["packets", "Datagrams dropped: truncated, or lengths that contradict each other."],
  rxReplayDuplicate: ["packets", "Data dropped: this packet id was seen before."],
  rxReplayBehind: ["packets", "Data dropped: the packet id is older than the replay window."],
  rxReplayExpired: [
    "packets",
    "Data dropped: newer packets came longer ago than the window lasts.",
  ],
  rxReplayZeroId: ["packets", "Data dropped: packet id 0 is never sent."],
  rxAcceptedLate: ["packets", "Data accepted though newer packets came first (not a drop)."],
  rxCompressed: ["packets", "Data dropped: compressed, which is not supported."],
  rxUnknownInner: ["packets", "Data dropped: authentic, but its content is of no known kind."],
  rxStrangerLimited: [
    "packets",
    "First packets of strangers dropped: over the rate for strangers.",
  ],
  rxControlTooLong: ["packets", "Control packets dropped: longer than a ring record."],
  rxControlRingFull: ["packets", "Control packets dropped: the ring to the main thread is full."],
  rxStrangerRingFull: ["packets", "First packets of strangers dropped: their ring is full."],
  rxSourceRefused: [
    "packets",
    "Data dropped: it came from an address that may not be this peer's.",
  ],
  rxPings: ["packets", "Pings received."],
  rxPackets: ["packets", "Authentic data packets received."],
  rxBytes: ["bytes", "UDP payload of the authentic data packets received."],
  rxControlPackets: ["packets", "Control packets handed to the main thread."],
  rxFloats: ["events", "Peers that moved to another address."],
  rxSocketError: ["events", "Receives that failed."],

  switchRunt: ["frames", "Frames dropped: shorter than an Ethernet header."],
  switchSplitHorizon: ["frames", "Frames dropped: the target is behind the port they came from."],
  switchNoPort: ["frames", "Frames dropped: no other port is up to take them."],
  switchReservedGroup: [
    "frames",
    "Frames dropped: to 01:80:c2:00:00:0x, which no bridge forwards.",
  ],
  switchSourceInvalid: ["frames", "Frames dropped: the source address is a group or zero."],
  switchSpoofedStation: [
    "frames",
    "Frames dropped: the source address is declared for another peer.",
  ],
  switchFlooded: ["frames", "Frames sent to all other ports (not a drop)."],
  switchMacTableFull: ["frames", "Source addresses not learnt: the table is full (not a drop)."],
  switchMacPortFull: [
    "frames",
    "Source addresses not learnt: the port has its share (not a drop).",
  ],
  switchStationsMoved: ["events", "Stations that moved to another port."],
  switchStationsAged: ["events", "Stations forgotten after being silent for long."],

  txPackets: ["packets", "Data packets sent."],
  txBytes: ["bytes", "UDP payload of the data packets sent."],
  txPings: ["packets", "Pings sent."],
  txControlPackets: ["packets", "Control packets sent."],
  txNoSession: ["packets", "Packets dropped: the session ended before they were sealed."],
  txNoKey: ["packets", "Packets dropped: the session has no key to send with yet."],
  txIdExhausted: ["packets", "Packets dropped: the key's packet ids are used up."],
  txNoPath: ["packets", "Packets dropped: the peer has no address yet."],
  txSocketFull: ["packets", "Packets dropped: the socket's buffer is full (EAGAIN, ENOBUFS)."],
  txSocketError: ["packets", "Packets dropped: the kernel refused to send them."],
  txTooBig: ["packets", "Packets dropped: longer than the path takes (EMSGSIZE)."],
  txSealFailed: ["packets", "Packets dropped: they could not be sealed."],
  txControlRingFull: ["packets", "Control packets dropped: the ring to the worker is full."],
  txSlotsExhausted: ["packets", "Packets dropped: no free slot or order in this turn."],

  tapFramesRead: ["frames", "Frames read from the tap."],
  tapFramesWritten: ["frames", "Frames written to the tap."],
  tapReadError: ["events", "Reads from the tap that failed."],
  tapWriteError: ["frames", "Frames dropped: the tap refused them."],
  tapWriteFull: ["frames", "Frames dropped: the tap's queue is full (EAGAIN, ENOBUFS)."],
  tapFrameTooBig: ["frames", "Frames dropped: longer than a slot, or than the other end takes."],
  tapMssClamped: ["frames", "TCP SYN segments whose MSS was lowered (not a drop)."],

  ringNoticeFull: ["events", "Notices to the main thread dropped: their ring is full."],
  ringOrderFull: ["events", "Orders to the worker dropped: their ring is full."],
  ringOrderUnknown: ["events", "Orders to the worker ignored: of no known kind."],

  controlUnverified: [
    "packets",
    "Control packets dropped: not wrapped with our tls-crypt or tls-auth key.",
  ],
  controlReplayed: ["packets", "Control packets dropped: seen before."],
  controlMalformed: ["packets", "Control packets dropped: lengths that contradict each other."],
  controlOtherSession: ["packets", "Control packets dropped: of no session that we know."],
  controlUnexpected: ["packets", "Control packets dropped: nothing waits for them."],
  controlHalfOpenFull: [
    "packets",
    "New sessions refused: too many have not authenticated themselves yet.",
  ],
  controlSessionsFull: ["packets", "New sessions refused: every session number is taken."],
  rxControlLimited: [
    "packets",
    "Control packets of live sessions dropped: more than a session sends in any handshake.",
  ],
  rxProbes: ["packets", "Probes and replies to probes received."],
  txProbes: ["packets", "Probes and replies to probes sent."],
  rxOtherAddress: [
    "packets",
    "Authentic data from another address than the one dialled (accepted, not a drop).",
  ],
  controlGreeted: ["packets", "First packets of strangers answered, without keeping anything."],
  switchGroupFrames: ["frames", "Frames to a group sent to its members only (not a drop)."],
  switchGroupUnknown: ["frames", "Frames dropped: nobody has joined their group."],
  switchGroupMessages: ["frames", "IGMP and MLD messages heard."],
  switchGroupMalformed: [
    "frames",
    "IGMP and MLD messages not taken: truncated, or a wrong checksum (not a drop).",
  ],
  switchGroupForeign: [
    "frames",
    "IGMP and MLD messages not taken: not sent as on this link (not a drop).",
  ],
  switchGroupPortFull: [
    "events",
    "Joins that their port has no share left for: it gets every group (not a drop).",
  ],
  switchGroupTableFull: [
    "events",
    "Joins that found the table full: their port gets every group (not a drop).",
  ],
  switchGroupsAged: ["events", "Memberships that ended: left, or not reported any more."],
  switchGroupQueries: ["frames", "IGMP and MLD queries sent."],
  switchStormBroadcast: [
    "frames",
    "Frames dropped: more broadcast than stormLimits.broadcast lets through.",
  ],
  switchStormUnknown: [
    "frames",
    "Frames dropped: more to unknown stations than stormLimits.unknownUnicast lets through.",
  ],
  switchStormMulticast: [
    "frames",
    "Frames dropped: more multicast than stormLimits.multicast lets through.",
  ],
  switchStationProbes: ["frames", "Stations asked whether they are still there."],
  switchLoopProbes: ["frames", "Probes for loops sent."],
  switchLoopBlocked: ["frames", "Frames dropped: their port is shut because it closes a loop."],
  switchOwnFrames: ["frames", "Answers to questions of the switch itself (not a drop)."],
};

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
