/**
 * What the main thread hands to the data path's thread at its start: shared memory, handles of
 * the addon's table, and settings that never change while it runs. No keys.
 */

import type { ClockOrigin } from "./clock.ts";
import type { SegmentConfig, UplinkConfig } from "./control/tunnel-config.ts";
import type { ReplayWindowOptions } from "./replay/replay-window.ts";
import type { KeyLimits } from "./session/key-usage.ts";
import type { ProbingSettings } from "./session/path-settings.ts";
import type { MssMaxima } from "./wire/mss-clamp.ts";

/** What the worker says before it enters its loop: where the tables that status shows are. */
export interface WorkerTables {
  readonly stations: SharedArrayBuffer | undefined;
  readonly groups: SharedArrayBuffer | undefined;
}

/** What a router is made of. */
export interface RoutingSettings {
  /** Two peers: straight across, no table. */
  readonly isStraight: boolean;
  readonly isPeerToPeer: boolean;
  /** Groups are forwarded to those who joined them. */
  readonly isProxy: boolean;
  /** Packets are held to what the paths in use take. */
  readonly followsPaths: boolean;
  /** Our own addresses, which answer for the router; absent: that family is not answered. */
  readonly own4: string | undefined;
  readonly own6: string | undefined;
}

/** `workerData` of the data path's thread. */
export interface WorkerData {
  /** The tunnel's name, by which what it leaves in the kernel is recognised. */
  readonly owner: string;
  readonly isDialling: boolean;
  /** A listening end by TCP. */
  readonly isStream: boolean;
  readonly link: "Segment" | "TwoPeer";
  readonly segment: SegmentConfig | undefined;
  /** IP packets are routed; undefined: frames are switched. */
  readonly routing: RoutingSettings | undefined;
  readonly clockOrigin: ClockOrigin;
  readonly orders: SharedArrayBuffer;
  readonly notices: SharedArrayBuffer;
  readonly strangers: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly traffic: SharedArrayBuffer;
  readonly pathCounts: SharedArrayBuffer;
  /** Row n: when session n was last heard, wrapping milliseconds. */
  readonly lastHeard: Int32Array;
  /** Row n: how much session n's sending key was used. */
  readonly usage: SharedArrayBuffer;
  readonly keyLimits: KeyLimits;
  readonly controlHandle: number;
  readonly tapHandle: number;
  readonly socketHandles: readonly number[];
  readonly replay: ReplayWindowOptions;
  readonly mss: MssMaxima | undefined;
  /** The UDP payload that it is for. */
  readonly mssFixBytes: number;
  /** What DSCP is copied from. */
  readonly dscpFrom: "nothing" | "frame" | "packet";
  readonly probing: ProbingSettings;
  /** Ways out of a dialling end, each with a socket that the worker opens; empty: `socketHandles`. */
  readonly uplinks: readonly UplinkConfig[];
  readonly frameBytesMax: number;
  /** Largest UDP payload, as OpenVPN's --fragment; undefined: packets are not cut. */
  readonly fragmentBytes: number | undefined;
}
