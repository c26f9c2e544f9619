/**
 * What the main thread tells the data plane, as records of the shared ring. One invariant: no
 * key bytes are in here: keys go into the addon's table, orders name slot and generation.
 */

import type { ProbingSettings } from "../session/path-settings.ts";
import type { PathView } from "../session/path-state.ts";
import type { SegmentConfig, UplinkConfig } from "./tunnel-config.ts";

/** A native key slot and the generation of its content. */
export interface KeySlot {
  readonly slot: number;
  readonly generation: number;
}

/** Which frames a capture takes. */
export interface CaptureFilter {
  /** Frames from and to this port; -1: a peer that is not there now. */
  readonly port?: number;
  readonly station?: { readonly high: number; readonly low: number };
  /** Words of a group's address. */
  readonly group?: readonly number[];
  readonly snapBytes: number;
}

/** Orders that are rare, carried as JSON. */
export type Order =
  | {
      readonly kind: "openSession";
      readonly index: number;
      readonly peerId: number;
      readonly isDialled: boolean;
      /** Its packets go by a TCP connection. */
      readonly isStream: boolean;
      /** A row of the path table. */
      readonly path: readonly number[];
      /** Both ends are ours and understand probes. */
      readonly hasProbes: boolean;
      /** Both ends understand plans and parity. */
      readonly hasParity: boolean;
      /** The uplink that the session was begun on; 0 where there are none. */
      readonly uplink: number;
      readonly pingIntervalMs: number;
      readonly timeoutMs: number;
    }
  | {
      readonly kind: "installKey";
      readonly index: number;
      readonly keyId: number;
      readonly open: KeySlot;
      readonly seal: KeySlot;
    }
  /** A key id whose packets carry epochs: its keys follow one by one. */
  | { readonly kind: "installEpochs"; readonly index: number; readonly keyId: number }
  | {
      readonly kind: "receiveEpoch";
      readonly index: number;
      readonly keyId: number;
      readonly epoch: number;
      readonly open: KeySlot;
    }
  | {
      readonly kind: "sendEpoch";
      readonly index: number;
      readonly keyId: number;
      readonly epoch: number;
      readonly seal: KeySlot;
      /** Go to it at once; else when the current one is used up. */
      readonly isNow: boolean;
    }
  | { readonly kind: "sendWith"; readonly index: number; readonly keyId: number }
  | { readonly kind: "retireKey"; readonly index: number; readonly keyId: number }
  | { readonly kind: "closeSession"; readonly index: number }
  /** Control packets with this session id are a live session's; index 0 withdraws it. */
  | { readonly kind: "knowSession"; readonly sessionId: string; readonly index: number }
  /** Closes the TCP connection that a session had. */
  | { readonly kind: "disconnect"; readonly path: readonly number[] }
  /** Sends OpenVPN's exit notification of old inside the data channel. */
  | { readonly kind: "sendExit"; readonly index: number }
  | {
      readonly kind: "declareStation";
      readonly index: number;
      readonly mac: string;
    }
  | { readonly kind: "forgetStations"; readonly index: number }
  /** A port has this address, or would like to have it: whoever else uses it is told. */
  | {
      readonly kind: "watchAddress";
      readonly index: number;
      readonly address: readonly number[];
      readonly isTentative: boolean;
    }
  | { readonly kind: "forgetAddress"; readonly address: readonly number[] }
  /** Asks everybody on the segment who has an IPv4 address. */
  | { readonly kind: "askAddress"; readonly address: readonly number[] }
  /** What the switch does with groups and storms from now on. */
  | { readonly kind: "changeSegment"; readonly segment: SegmentConfig }
  /** What the uplinks of a dialling end are and how they are used from now on. */
  | {
      readonly kind: "changeUplinks";
      readonly uplinks: readonly UplinkConfig[];
      /** By the order of `uplinks`. */
      readonly probing: ProbingSettings;
    }
  /** Begins a capture, whose memory comes by the worker's port, or changes what it takes. */
  | { readonly kind: "capture"; readonly id: number; readonly filter: CaptureFilter }
  | { readonly kind: "endCapture"; readonly id: number }
  /** Whose addresses a session's are, by the owner's number, and what its peer takes (0: anything). */
  | {
      readonly kind: "ownPort";
      readonly index: number;
      readonly owner: number;
      readonly mtuBytes: number;
    }
  /** Another table of prefixes waits at the worker's message port. */
  | { readonly kind: "takeRoutes" }
  | { readonly kind: "stop" };

/** Kinds of records in the ring towards the worker. */
export const OrderRecord = { json: 1, sendControl: 2 } as const;

/** Kinds of records in the rings towards the main thread. */
export const NoticeRecord = { json: 1, control: 2 } as const;

/** What the data plane tells the main thread. */
export type Notice =
  /** An authenticated packet came by another path: answer there. */
  | { readonly kind: "floated"; readonly index: number; readonly path: readonly number[] }
  | { readonly kind: "silent"; readonly index: number }
  /** A session's TCP connection is over; errno 0: the other end closed it. */
  | { readonly kind: "disconnected"; readonly path: readonly number[]; readonly errno: number }
  | { readonly kind: "exited"; readonly index: number }
  | { readonly kind: "needsKey"; readonly index: number }
  /** The other end sends in this epoch now, or we do. */
  | {
      readonly kind: "epoch";
      readonly index: number;
      readonly keyId: number;
      readonly epoch: number;
      readonly isOurs: boolean;
    }
  /** A port was shut because it closes a loop, or opened again to see whether it still does. */
  | { readonly kind: "loop"; readonly port: number; readonly isShut: boolean }
  /** Stations moved, the last of them this one. */
  | {
      readonly kind: "moved";
      readonly count: number;
      readonly mac: string;
      readonly from: number;
      readonly to: number;
    }
  /** Frames under another's declared address were refused, the last of them this one's. */
  | {
      readonly kind: "conflict";
      readonly count: number;
      readonly mac: string;
      readonly port: number;
    }
  /** Somebody else uses an address that was given, the last of them this one. */
  | {
      readonly kind: "addressConflict";
      readonly count: number;
      readonly address: readonly number[];
      readonly mac: string;
      /** What it is behind, and what the address was given to. */
      readonly port: number;
      readonly owner: number;
    }
  /** A port sent more than its storm limits let through. */
  | {
      readonly kind: "storm";
      readonly count: number;
      readonly port: number;
      readonly of: "broadcast" | "unknownUnicast" | "multicast";
    }
  /** Another end asks for memberships from now on; `port` as in `QuerierStatus`. */
  | {
      readonly kind: "querier";
      readonly vlan: number;
      readonly family: 4 | 6;
      readonly port: number;
      readonly address: readonly number[];
    }
  /** The longest packet that a dialling end's paths take from now on, where it routes; 0: not known. */
  | { readonly kind: "way"; readonly mtuBytes: number }
  | { readonly kind: "failed"; readonly operation: string; readonly errno: number }
  /** How every uplink is, and why it is told now. */
  | {
      readonly kind: "uplinks";
      readonly cause: string;
      readonly uplinks: readonly UplinkNotice[];
      /** Paths that packets leave by; none without a session. */
      readonly active: readonly number[];
    }
  | {
      readonly kind: "pathChanged";
      readonly path: number;
      readonly cause: string;
      readonly active: readonly number[];
    }
  | { readonly kind: "paths"; readonly index: number; readonly paths: readonly PathReport[] };

/** One uplink of a dialling end. */
export interface UplinkNotice {
  /** Its number, which is its path's. */
  readonly uplink: number;
  readonly name: string;
  readonly priority: number;
  readonly isUsable: boolean;
  /** It is not declared any more. */
  readonly isLeaving: boolean;
  readonly cause: string;
  readonly address: string;
  /** Number of its socket in the lane; -1 while it has none. */
  readonly socket: number;
}

/** One path of a session with its row of the path table. */
export interface PathReport extends PathView {
  readonly row: readonly number[];
}

/** Bytes of the path row in front of a control datagram, in either direction. */
export const CONTROL_ROW_BYTES = 64;

/** A control datagram with its path row in front, as it travels in the rings. */
export function joinControl(row: Int32Array, datagram: Uint8Array): Uint8Array {
  const record = new Uint8Array(CONTROL_ROW_BYTES + datagram.length);
  record.set(new Uint8Array(row.buffer, row.byteOffset, CONTROL_ROW_BYTES), 0);
  record.set(datagram, CONTROL_ROW_BYTES);
  return record;
}

/** The two parts again; undefined for a record that is too short. */
export function splitControl(
  record: Uint8Array,
): { row: Int32Array; datagram: Buffer } | undefined {
  if (record.length <= CONTROL_ROW_BYTES) return undefined;
  const bytes = Uint8Array.from(record.subarray(0, CONTROL_ROW_BYTES));
  const row = new Int32Array(bytes.buffer);
  return { row, datagram: Buffer.from(record.subarray(CONTROL_ROW_BYTES)) };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** JSON of an order or a notice. */
export function encodeJson(message: Order | Notice): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** An order back from the ring; only our own threads write there. */
export function decodeOrder(payload: Uint8Array): Order {
  return JSON.parse(decoder.decode(payload)) as Order;
}

/** A notice back from the ring; only our own threads write there. */
export function decodeNotice(payload: Uint8Array): Notice {
  return JSON.parse(decoder.decode(payload)) as Notice;
}
