/**
 * The memory and the parts of one tunnel's data plane, made once when its worker starts. One
 * invariant: nothing here grows afterwards; a stage takes rows and slots from what is here.
 *
 * Slots lie one behind the other in the slab: one for constants (the ping), then those for
 * received datagrams, those for frames from the tap, one for frames of the switch itself, those of
 * parity, and those of segments that wait for others.
 */

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import type { SharedRing } from "./buffer/shared-ring.ts";
import type { CaptureTap } from "./capture-tap.ts";
import { ControlTokens } from "./control-tokens.ts";
import type { Counters, TrafficTable } from "./counters.ts";
import { createFragments, type Fragments, fragmentsBytes } from "./fragments.ts";
import {
  FRAMES_PER_TURN_MAX,
  ORDERS_MAX,
  PACKETS_PER_TURN_MAX,
  SESSIONS_MAX,
  WRITES_MAX,
} from "./limits.ts";
import { DESCRIPTOR_WORDS, HEADROOM_BYTES, Word } from "./native/layout.ts";
import type { Lane, LaneMemory, LaneOpen } from "./native/native.ts";
import { createOrderStage, ORDER_SLOTS, type OrderStage } from "./order-memory.ts";
import { createParityStage, type ParityStage, parityRooms, paritySlots } from "./parity-memory.ts";
import type { PathCounts } from "./path-counts.ts";
import type { FlowTable } from "./redundancy/flow-table.ts";
import type { ReplayWindowOptions } from "./replay/replay-window.ts";
import { PATHS_MAX } from "./session/path-set.ts";
import type { ProbingSettings } from "./session/path-settings.ts";
import { SessionTable } from "./session/session-table.ts";
import type { Forwarding } from "./switch/forwarding.ts";
import type { MacTable } from "./switch/mac-table.ts";
import type { OwnStation } from "./switch/own-station.ts";
import type { Router } from "./switch/router.ts";
import type { GroupKeeper, Switching } from "./switch/switching.ts";
import { Flow } from "./wire/flow.ts";
import {
  clampFrameMss,
  clampPacketMss,
  DATA_V2_EPOCH_BYTES,
  type MssMaxima,
} from "./wire/mss-clamp.ts";
import { COUNTED_BYTES } from "./wire/probe.ts";
import { PARITY_AROUND_BYTES, PLAN_BYTES } from "./wire/redundancy.ts";
import { NO_CLASS } from "./wire/traffic-class.ts";

/** Row of the path table that a control packet's path is written to, behind the sessions' rows. */
export const CONTROL_PATH_ROW: number = (SESSIONS_MAX + 1) * PATHS_MAX;
/** The tap is the lane's only one. */
export const TAP_INDEX = 0;

/** This slot holds the frames that the switch sends itself; behind it are those of parity. */
const OWN_FRAME_SLOT: number = 1 + PACKETS_PER_TURN_MAX + FRAMES_PER_TURN_MAX;
const PARITY_SLOT: number = OWN_FRAME_SLOT + 1;

/** In-tunnel magic (openvpn-rfc, ping; OCC exit is magic and 6). */
const PING = Buffer.from("2a187bf3641eb4cb07ed2d0a981fc748", "hex");
const OCC_EXIT = Buffer.from("287f346bd4ef7a812d56b8d3afc5459c06", "hex");
/** Where the constants stand in the first slot. */
export const PING_OFFSET = 16;
export const PING_BYTES: number = PING.length;
export const OCC_OFFSET = 64;
export const OCC_EXIT_BYTES: number = OCC_EXIT.length;
/** Where a probe is written before it is sent. */
export const PROBE_OFFSET = 128;
/** A whole cache line, and what stands around the longest frame in a parity message, sealed. */
const LINE_BYTES = 64;
const AROUND_BYTES: number = PARITY_AROUND_BYTES + 2 * DATA_V2_EPOCH_BYTES;

/** Everything that the stages of one data plane share. */
export interface Plane extends LaneMemory {
  readonly lane: Lane;
  readonly isDialling: boolean;
  /** A listening end by TCP: a session's connection is its only path. */
  readonly isStream: boolean;
  readonly view: DataView;
  readonly slotBytes: number;
  /** Bytes that a read may fill in one slot. */
  readonly roomBytes: number;
  /** Longest frame that goes through, bytes with its Ethernet header and one VLAN tag; of a tun, none. */
  readonly frameBytesMax: number;
  readonly sessions: SessionTable;
  readonly parity: ParityStage;
  readonly order: OrderStage;
  /** The frame's flow, and the flows of each session with policy Balance. */
  readonly flow: Flow;
  readonly flowTables: (FlowTable | undefined)[];
  /** The switch or the router: what the packet path asks. */
  readonly switching: Switching;
  /** The switch; undefined where IP packets are routed. */
  readonly forwarding: Forwarding | undefined;
  /** The router; undefined where frames are switched. */
  readonly router: Router | undefined;
  /** Who keeps memberships in groups; undefined: nobody, they are flooded, or routed nowhere. */
  readonly groups: GroupKeeper | undefined;
  /** Stations of the segment; undefined between two peers. */
  readonly stations: MacTable | undefined;
  /** Whom the switch's own frames come from. */
  readonly own: OwnStation;
  /** Where our IGMP queries come from, as words. */
  address4: Int32Array | undefined;
  readonly counters: Counters;
  /** Row 0: the tap; row n: session n. */
  readonly traffic: TrafficTable;
  /** By rows of the path table. */
  readonly pathCounts: PathCounts;
  readonly lastHeard: Int32Array;
  readonly toMain: SharedRing;
  readonly strangers: SharedRing;
  /** Sessions whose control packets are the main thread's, by their session id in hex. */
  readonly known: Map<string, number>;
  readonly controlTokens: ControlTokens;
  readonly replay: ReplayWindowOptions;
  /** MSS to clamp to; undefined: off. */
  mss: MssMaxima | undefined;
  /** What it is at most, and the UDP payload that this is for. */
  readonly mssBase: { readonly payloadBytes: number; readonly maxima: MssMaxima } | undefined;
  /** The longest UDP payload that each row of the path table takes; 0: unknown. */
  readonly mtus: Int32Array;
  /** Bytes of data packets by each row of the path table, wrapping: asked to leave, and arrived. */
  readonly sentBytes: Uint32Array;
  readonly arrivedBytes: Uint32Array;
  /** Packets are cut as by --fragment; undefined: they are not. */
  readonly fragments: Fragments | undefined;
  readonly clampMss: typeof clampFrameMss;
  /** What DSCP is copied from to the packets around; "packet" without frames. */
  readonly dscpFrom: "nothing" | "frame" | "packet";
  /** How a dialling end probes its paths. */
  probing: ProbingSettings;
  /** Who watches; nobody as a rule. */
  readonly captures: CaptureTap[];
  /** The turn's time, set once before its first packet. */
  nowMs: number;
  /** Of the packets being sealed; -1 leaves the socket's default. */
  trafficClass: number;
  orderCount: number;
  writeCount: number;
  /** The kernel would not send for want of a route, an interface or an address. */
  isRefused: boolean;
  /** Whether this turn has written a frame to the tap. */
  hasWritten: boolean;
  /** Receive rows that the last turn used: they are to be given their room back. */
  receivedCount: number;
  frameCount: number;
}

/** Makes the memory and the lane. Throws only when the addon refuses the memory. */
export function createPlane(
  laneOpen: LaneOpen,
  options: Pick<
    Plane,
    | "isDialling"
    | "isStream"
    | "forwarding"
    | "router"
    | "stations"
    | "own"
    | "address4"
    | "counters"
    | "traffic"
    | "pathCounts"
    | "lastHeard"
    | "toMain"
    | "strangers"
    | "replay"
    | "mss"
    | "probing"
    | "dscpFrom"
    | "frameBytesMax"
  > & {
    readonly fragmentBytes: number | undefined;
    readonly mssFixBytes: number;
    /** Uplinks of a dialling end; 0: wherever routing says. */
    readonly uplinkCount: number;
  },
): Plane {
  const { forwarding, router } = options;
  const switching = router ?? forwarding;
  assert(switching !== undefined, "frames are switched or packets routed");
  const roomBytes = roundUp(options.frameBytesMax + AROUND_BYTES, LINE_BYTES);
  const slotBytes = HEADROOM_BYTES + roomBytes;
  const rooms = parityRooms({ ...options, pathCount: options.uplinkCount });
  const orderSlot = PARITY_SLOT + paritySlots(rooms);
  const slots = orderSlot + ORDER_SLOTS;
  const { fragmentBytes, frameBytesMax } = options;
  const start = slots * slotBytes;
  const slabBytes = start + fragmentsBytes(fragmentBytes, slotBytes);
  const slab = new Uint8Array(new SharedArrayBuffer(slabBytes));
  const view = new DataView(slab.buffer);
  const memory = { view, slab, start, slotBytes, frameBytesMax };
  slab.set(PING, PING_OFFSET);
  slab.set(OCC_EXIT, OCC_OFFSET);
  const tables = {
    received: rows(PACKETS_PER_TURN_MAX),
    arrivals: rows(PACKETS_PER_TURN_MAX),
    frames: rows(FRAMES_PER_TURN_MAX),
    orders: rows(ORDERS_MAX),
    writes: rows(WRITES_MAX),
    paths: rows(CONTROL_PATH_ROW + 1),
  };
  const lane = laneOpen({ slab, ...tables });
  assert(
    PROBE_OFFSET + Math.max(COUNTED_BYTES, PLAN_BYTES) <= slotBytes,
    "the constants fit the first slot",
  );
  return {
    ...options,
    ...tables,
    switching,
    groups: router?.groups ?? forwarding?.snooping,
    clampMss: router === undefined ? clampFrameMss : clampPacketMss,
    lane,
    slab,
    view,
    fragments: fragmentBytes === undefined ? undefined : createFragments(fragmentBytes, memory),
    slotBytes,
    roomBytes,
    mssBase:
      options.mss === undefined
        ? undefined
        : { payloadBytes: options.mssFixBytes, maxima: options.mss },
    mtus: new Int32Array(CONTROL_PATH_ROW + 1),
    sentBytes: new Uint32Array(CONTROL_PATH_ROW + 1),
    arrivedBytes: new Uint32Array(CONTROL_PATH_ROW + 1),
    sessions: new SessionTable(SESSIONS_MAX),
    parity: createParityStage(slab, PARITY_SLOT, rooms),
    order: createOrderStage(orderSlot, { seed: randomInt(2 ** 31), counters: options.counters }),
    flow: new Flow(),
    flowTables: new Array<FlowTable | undefined>(SESSIONS_MAX + 1).fill(undefined),
    known: new Map(),
    captures: [],
    controlTokens: new ControlTokens(randomInt(2 ** 31)),
    nowMs: 0,
    trafficClass: NO_CLASS,
    orderCount: 0,
    writeCount: 0,
    isRefused: false,
    hasWritten: false,
    receivedCount: PACKETS_PER_TURN_MAX,
    frameCount: FRAMES_PER_TURN_MAX,
  };
}

/** Gives the receive rows of the last turn their slots and room back. */
export function refillReceived(plane: Plane): void {
  // HOT PATH
  refill(plane, plane.received, plane.receivedCount, 1);
  plane.receivedCount = 0;
}

/** The same for rows of frames from the tap. */
export function refillFrames(plane: Plane): void {
  // HOT PATH
  refill(plane, plane.frames, plane.frameCount, 1 + PACKETS_PER_TURN_MAX);
  plane.frameCount = 0;
}

/** Where a frame of our own is built before it is sent. */
export function ownFrameStart(plane: Plane): number {
  return OWN_FRAME_SLOT * plane.slotBytes + HEADROOM_BYTES;
}

function refill(plane: Plane, table: Int32Array, count: number, firstSlot: number): void {
  // HOT PATH
  for (let index = 0; index < count; index++) {
    const row = index * DESCRIPTOR_WORDS;
    table[row + Word.start] = (firstSlot + index) * plane.slotBytes + HEADROOM_BYTES;
    table[row + Word.length] = plane.roomBytes;
    table[row + Word.verdict] = 0;
  }
}

function rows(count: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(count * DESCRIPTOR_WORDS * 4));
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
