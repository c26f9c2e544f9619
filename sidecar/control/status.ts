/**
 * What `fairlead status` shows, as plain data: one document per process. No keys, no secrets.
 */

import type { Traffic } from "../counters.ts";
import type { PathFigures } from "../path-counts.ts";
import type { KeyUse } from "../session/key-usage.ts";
import type { PathView } from "../session/path-state.ts";
import type { GroupRow } from "../switch/group-layout.ts";
import { NO_PORT, type Station } from "../switch/mac-table.ts";
import { QUERIER_OURS } from "../switch/querier.ts";
import { addressText } from "../uplink/address-words.ts";
import { formatMac } from "../wire/ethernet.ts";
import type { Notice } from "./orders.ts";

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
  /** The key that we send with, and how much of it is used. */
  readonly key?: KeyUse;
  readonly version?: string;
  readonly paths?: readonly PathStatus[];
  /** Lost for good, though some parity of their block came. */
  readonly unrecoverablePackets?: number;
  /** What of the uplinks' policy it does not go along with, or needs for it. */
  readonly note?: string;
}

/** What changed last, when, and why. */
export interface ChangeStatus {
  /** ISO 8601. */
  readonly at: string;
  readonly cause: string;
}

/** One path of a peer: by which uplink, from where to where, how it is, and what crossed it. */
export interface PathStatus extends Omit<PathView, "path">, Partial<PathFigures> {
  readonly uplink?: string;
  readonly local?: string;
  readonly remote: string;
  /** At a dialling end. */
  readonly lastChange?: ChangeStatus;
}

/** One way out of a dialling end. */
export interface UplinkStatus {
  readonly name: string;
  readonly isUsable: boolean;
  readonly cause: string;
  readonly address: string;
  readonly lastChange?: ChangeStatus;
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

/** One port's membership in a group. */
export interface GroupMemberStatus {
  /** Name of the peer, or "tap". */
  readonly behind: string;
  /** Milliseconds since it joined. */
  readonly sinceMs: number;
  /** "any", "only" these sources, or any "except" these. */
  readonly filter: "any" | "only" | "except";
  readonly sources: readonly string[];
}

/** One multicast group that somebody has joined, or that is remembered. */
export interface GroupStatus {
  readonly group: string;
  readonly vlan: number;
  readonly joinedBy: readonly GroupMemberStatus[];
  /** Data frames since the first join. */
  readonly frames: number;
  /** Milliseconds since the last one; absent when nobody has sent any. */
  readonly silentMs?: number;
  /** What is wrong, if anything: "nobody sends", "nobody has joined". */
  readonly note?: string;
}

/** Who asks for memberships in a VLAN: without anybody, groups are flooded. */
export interface QuerierStatus {
  readonly family: 4 | 6;
  readonly vlan: number;
  /** "us", the peer or "tap" that the querier is behind, or "nobody". */
  readonly where: string;
  /** Of the other querier. */
  readonly address?: string;
}

/** A network and where it is, in a routed tunnel. */
export interface RouteStatus {
  readonly network: string;
  /** Name of the peer, "here", or "server". */
  readonly behind: string;
  /** Whether the peer is connected; absent: of no peer. */
  readonly isUp?: boolean;
  /** Why it is not used, if it is not. */
  readonly note?: string;
}

/** Somebody else uses an address that was given. */
export interface ConflictStatus {
  readonly address: string;
  /** Name of the peer that it was given to, or "tap". */
  readonly owner: string;
  /** Of the other one, and what that is behind. */
  readonly mac: string;
  readonly behind: string;
  /** Milliseconds since it was last heard. */
  readonly silentMs: number;
}

/** Something that happened on the segment, once or often. */
export interface EventStatus {
  readonly kind: "moved" | "refused" | "loop" | "storm" | "peer" | "cipher";
  /** `station 02:00:00:00:00:07 moved from box to tap`. */
  readonly what: string;
  /** How often, since the process started. */
  readonly count: number;
  /** Milliseconds since the last time. */
  readonly silentMs: number;
}

/** An address by the segment's own DHCP server. */
export interface LeaseStatus {
  readonly address: string;
  readonly server: string;
  readonly leaseSeconds: number;
  /** When it was last given, ISO 8601. */
  readonly since: string;
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
  readonly uplinks?: readonly UplinkStatus[];
  readonly peers: readonly PeerStatus[];
  readonly stations: readonly StationStatus[];
  /** Of a routed tunnel. */
  readonly routes?: readonly RouteStatus[];
  readonly groups: readonly GroupStatus[];
  readonly queriers: readonly QuerierStatus[];
  /** What is shut because it closes a loop: names of peers. */
  readonly shut?: readonly string[];
  /** Addresses in use twice, for five minutes after they were last heard. */
  readonly conflicts?: readonly ConflictStatus[];
  /** Moves, refused stations, loops, storms, refused peers: the latest first, a few. */
  readonly events?: readonly EventStatus[];
  readonly lease?: LeaseStatus;
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

/** Frames that were dropped because they were longer than the tunnel's MTU. */
export function tooBigCount(counters: TunnelStatus["counters"]): number {
  return (counters["tap.frameTooBig"] ?? 0) + (counters["tx.tooBig"] ?? 0);
}

/** Name of what is behind a port. */
export function portName(port: number, names: ReadonlyMap<number, string>): string {
  if (port === 0) return "tap";
  return port === NO_PORT ? "(absent)" : (names.get(port) ?? `port ${port}`);
}

/** A group by the names of the peers on each port. */
export function groupStatus(
  row: GroupRow,
  names: ReadonlyMap<number, string>,
  nowMs: number,
): GroupStatus {
  const { members, frames } = row;
  const joinedBy = members.map(({ port, sinceMs, isExclude, sources }) => ({
    behind: portName(port, names),
    sinceMs: Math.max(0, (nowMs - sinceMs) | 0),
    filter: !isExclude
      ? ("only" as const)
      : sources.length > 0
        ? ("except" as const)
        : ("any" as const),
    sources: sources.map(addressText),
  }));
  const note =
    joinedBy.length === 0 ? "nobody has joined" : frames === 0 ? "nobody sends" : undefined;
  return {
    group: addressText(row.address),
    vlan: row.vlan,
    joinedBy,
    frames,
    ...(frames === 0 ? {} : { silentMs: Math.max(0, (nowMs - row.dataMs) | 0) }),
    ...(note === undefined ? {} : { note }),
  };
}

/** Who asks, by the names of the peers on each port. */
export function querierStatus(
  told: Extract<Notice, { kind: "querier" }>,
  names: ReadonlyMap<number, string>,
): QuerierStatus {
  const { family, vlan, port } = told;
  const where = port === QUERIER_OURS ? "us" : port === NO_PORT ? "nobody" : portName(port, names);
  const address = port >= 0 ? { address: addressText(Int32Array.from(told.address)) } : {};
  return { family, vlan, where, ...address };
}

/** A station by the names of the peers on each port. */
export function stationStatus(
  station: Station,
  names: ReadonlyMap<number, string>,
  nowMs: number,
): StationStatus {
  const { port, isDeclared } = station;
  return {
    mac: formatMac(station.macHigh, station.macLow),
    vlan: station.vlan,
    behind: portName(port, names),
    silentMs: isDeclared ? 0 : Math.max(0, (nowMs - station.seenMs) | 0),
    isDeclared,
  };
}
