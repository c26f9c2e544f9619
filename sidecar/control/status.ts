/**
 * What `fairlead status` shows, as plain data: one document per process. No keys, no secrets.
 */

import type { Traffic } from "../counters.ts";
import { NO_PORT, type Station } from "../switch/mac-table.ts";
import { formatMac } from "../wire/ethernet.ts";

/** One peer, connected or not. */
export interface PeerStatus {
  readonly name: string;
  /** Its session's number and switch port; 0 for none. */
  readonly port: number;
  readonly state: "Up" | "Handshake" | "Absent";
  readonly remote?: string;
  readonly local?: string;
  /** Address on the segment, where we know it. */
  readonly address?: string;
  readonly cipher?: string;
  readonly tls?: string;
  /** ISO 8601. */
  readonly since?: string;
  /** Milliseconds since it was last heard. */
  readonly silentMs?: number;
  readonly traffic?: Traffic;
  readonly version?: string;
}

/** One MAC address on the segment. */
export interface StationStatus {
  readonly mac: string;
  /** 0: untagged. */
  readonly vlan: number;
  /** Name of the peer that it is behind, or "tap". */
  readonly behind: string;
  /** Milliseconds since its last frame. */
  readonly silentMs: number;
  readonly isDeclared: boolean;
}

/** One tunnel. */
export interface TunnelStatus {
  readonly namespace: string;
  readonly name: string;
  readonly role: "listen" | "dial";
  readonly state: "Listening" | "Connecting" | "Up" | "Failed";
  readonly problem?: string;
  readonly interface: string;
  readonly segmentInterface: string;
  readonly mtuBytes: number;
  readonly peers: readonly PeerStatus[];
  readonly stations: readonly StationStatus[];
  readonly tap: Traffic;
  readonly counters: Readonly<Record<string, number>>;
}

/** The whole process. */
export interface ProcessStatus {
  readonly pid: number;
  readonly version: string;
  /** ISO 8601. */
  readonly since: string;
  readonly tunnels: readonly TunnelStatus[];
  /** Tunnels that never started, and why. */
  readonly refused: readonly { readonly name: string; readonly problems: readonly string[] }[];
}

/** A station by the names of the peers on each port. */
export function stationStatus(
  station: Station,
  names: ReadonlyMap<number, string>,
  nowMs: number,
): StationStatus {
  const { port, isDeclared } = station;
  const behind =
    port === 0 ? "tap" : port === NO_PORT ? "(absent)" : (names.get(port) ?? `port ${port}`);
  return {
    mac: formatMac(station.macHigh, station.macLow),
    vlan: station.vlan,
    behind,
    silentMs: isDeclared ? 0 : Math.max(0, (nowMs - station.seenMs) | 0),
    isDeclared,
  };
}
