/**
 * What a gateway says of its tunnel and its peers in the cluster, made from what its sidecar shows.
 * Pure. Invariant: what merely trembles (round trips, loss) gives the same report until it differs
 * by enough to matter, so a tunnel at rest is written once.
 */
import type { Condition } from "../operator/status/conditions.ts";
import type {
  PathStatus,
  PeerStatus,
  ProcessStatus,
  TunnelStatus,
} from "../sidecar/control/status.ts";
import { type SegmentHappening, segmentReport } from "./gateway-segment.ts";
import { type UplinksReport, uplinksReport } from "./gateway-uplinks.ts";

/** Which replica forwards, and since when. */
export interface ActiveReplica {
  readonly pod: string;
  readonly node?: string;
  readonly since: string;
}

/** The gateway's part of a VpnTunnel's status. */
export interface TunnelReport extends Partial<UplinksReport> {
  readonly conditions: readonly Omit<Condition, "observedGeneration">[];
  readonly active: ActiveReplica;
  readonly mtuBytes: number;
  readonly peers: { readonly connected: number };
  readonly summary: Readonly<Record<"peers" | "paths" | "rtt" | "loss", string>>;
  readonly paths: readonly PathReport[];
  readonly groups: readonly {
    readonly group: string;
    readonly joinedBy: readonly string[];
    readonly note?: string;
  }[];
  /** Absent: nothing has happened there. */
  readonly segment?: readonly SegmentHappening[];
}

/** One path in a VpnTunnel's status. */
export interface PathReport {
  readonly uplink?: string;
  readonly local?: string;
  readonly remote: string;
  readonly state: "Up" | "Down" | "Unknown";
  readonly rttMs?: number;
  readonly lossPercent?: number;
  readonly mtuBytes?: number;
}

/** The gateway's part of a VpnPeer's status. */
export interface PeerReport {
  readonly connected: boolean;
  readonly since?: string;
  readonly sourceAddress?: string;
  readonly cipher?: string;
  readonly stations: readonly string[];
  readonly groups: readonly string[];
}

/** What was reported before, and the time. */
export interface ReportContext {
  readonly active: ActiveReplica;
  readonly former: TunnelReport | undefined;
  readonly wallMs: number;
}

const PATHS_MAX = 64;
const GROUPS_MAX = 128;
const MEMBERS_MAX = 64;
const STATIONS_MAX = 64;
const MESSAGE_LENGTH_MAX = 2048;
/** A round trip is another one when it differs by half, and by more than this. */
const RTT_MS_STEP = 2;
const LOSS_PERCENT_STEP = 2;

/** A tunnel as its gateway holds it. */
export interface GatewaySides {
  /** The side to the server of a tunnel that dials, else the one that there is. */
  readonly main: TunnelStatus;
  /** The side to the pods of a tunnel that dials. */
  readonly inside?: TunnelStatus;
  /** Why the newest documents were not taken, each with its next step. */
  readonly refused: readonly string[];
}

/** The sides of the one tunnel of a gateway; undefined while it has none. */
export function sidesOf(processes: readonly ProcessStatus[]): GatewaySides | undefined {
  const tunnels = processes.flatMap((one) => one.tunnels);
  const refused = processes.flatMap((one) => one.refused.flatMap(({ problems }) => problems));
  const main = tunnels.find(({ role }) => role === "dial") ?? tunnels[0];
  if (main === undefined) return undefined;
  const inside = tunnels.find((one) => one !== main);
  return { main, refused, ...(inside === undefined ? {} : { inside }) };
}

/** The report about a tunnel. */
export function tunnelReport(
  { inside, main: tunnel, refused }: GatewaySides,
  context: ReportContext,
): TunnelReport {
  const { active, former } = context;
  const ends = peersOf(tunnel);
  const peers = peersOf(inside ?? tunnel);
  const connected = countUp(peers);
  // A tunnel that dials for its gateway alone has one peer: the server.
  const isAlone = tunnel.role === "dial" && inside === undefined;
  const paths = ends
    .flatMap(({ paths: ways = [] }) => ways)
    .slice(0, PATHS_MAX)
    .map((path) => pathReport(path, former?.paths));
  const up = paths.filter(({ state }) => state === "Up");
  const sides = inside === undefined ? [tunnel] : [tunnel, inside];
  const segment = segmentReport(sides, former?.segment, context.wallMs);
  const best = up
    .filter(({ rttMs }) => rttMs !== undefined)
    .sort((a, b) => (a.rttMs ?? 0) - (b.rttMs ?? 0))[0];
  return {
    conditions: [
      stamped("Connected", connectedReason(tunnel, countUp(ends), ends.length), context),
      stamped("Current", currentReason(refused), context),
    ],
    active,
    mtuBytes: Math.min(tunnel.mtuBytes, inside?.mtuBytes ?? tunnel.mtuBytes),
    peers: { connected },
    summary: {
      peers: `${connected}/${isAlone ? 1 : peers.length}`,
      paths: `${up.length}/${paths.length}`,
      rtt: best?.rttMs === undefined ? "-" : `${best.rttMs}ms`,
      loss: best?.lossPercent === undefined ? "-" : `${best.lossPercent}%`,
    },
    paths,
    groups: (inside ?? tunnel).groups.slice(0, GROUPS_MAX).map(({ group, joinedBy, note }) => ({
      group,
      ...(note === undefined ? {} : { note }),
      joinedBy: [...new Set(joinedBy.map(({ behind }) => placeOf(behind, inside !== undefined)))]
        .sort()
        .slice(0, MEMBERS_MAX),
    })),
    ...(segment.length === 0 ? {} : { segment }),
    ...uplinksReport(tunnel, former ?? {}, context.wallMs),
  };
}

/** The report about each declared peer of the listening side. */
export function peerReports({ inside, main }: GatewaySides): ReadonlyMap<string, PeerReport> {
  const tunnel = inside ?? main;
  if (tunnel.role !== "listen") return new Map();
  return new Map(peersOf(tunnel).map((peer) => [peer.name, peerReport(peer, tunnel)]));
}

function peersOf(tunnel: TunnelStatus): readonly PeerStatus[] {
  return tunnel.peers.filter(({ name }) => name !== "(handshake)");
}

function countUp(peers: readonly PeerStatus[]): number {
  return peers.filter(({ state }) => state === "Up").length;
}

function peerReport(peer: PeerStatus, tunnel: TunnelStatus): PeerReport {
  const { cipher, name, remote, since, state } = peer;
  if (state !== "Up") return { connected: false, stations: [], groups: [] };
  const stations = tunnel.stations.filter((one) => one.behind === name && !one.isDeclared);
  const groups = tunnel.groups.filter((one) => one.joinedBy.some(({ behind }) => behind === name));
  return {
    connected: true,
    ...(since === undefined ? {} : { since: `${since.slice(0, 19)}Z` }),
    ...(remote === undefined ? {} : { sourceAddress: remote }),
    ...(cipher === undefined ? {} : { cipher }),
    stations: [...new Set(stations.map(({ mac }) => mac))].sort().slice(0, STATIONS_MAX),
    groups: [...new Set(groups.map(({ group }) => group))].sort().slice(0, GROUPS_MAX),
  };
}

interface Reason {
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

/** The time is that of the status' last change. */
function stamped(
  type: string,
  said: Reason,
  { former, wallMs }: ReportContext,
): Omit<Condition, "observedGeneration"> {
  const known = former?.conditions.find((one) => one.type === type);
  const isSame = known?.status === said.status;
  const now = `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
  return { type, lastTransitionTime: isSame ? known.lastTransitionTime : now, ...said };
}

function connectedReason(
  { problem, role }: TunnelStatus,
  connected: number,
  total: number,
): Reason {
  const status = connected > 0 ? "True" : "False";
  if (role === "dial") {
    if (connected > 0) return { status, reason: "Connected", message: "The server is connected." };
    const why =
      problem ??
      "No server answers yet: check dial.remotes, that UDP is let through, and that the profile's keys are the server's.";
    return { status, reason: "NoAnswer", message: why };
  }
  if (connected > 0) {
    const message = `${connected} of ${total} peers are connected.`;
    return { status, reason: "PeersConnected", message };
  }
  if (total === 0) {
    const message = "No peer is declared yet: create a VpnPeer.";
    return { status, reason: "NoPeer", message };
  }
  const message = `None of ${total} peers is connected: do they dial the addresses in their profiles, and is UDP let through to them?`;
  return { status, reason: "NoPeerConnected", message };
}

/** What the gateway refused of its newest documents: what ran before goes on. */
function currentReason(refused: readonly string[]): Reason {
  if (refused.length === 0) {
    const message = "The gateway does what its resources say.";
    return { status: "True", reason: "Current", message };
  }
  const message = `What ran before goes on: ${refused.join("; ")}`.slice(0, MESSAGE_LENGTH_MAX);
  return { status: "False", reason: "Refused", message };
}

function pathReport(path: PathStatus, former: readonly PathReport[] | undefined): PathReport {
  const { isAlive, isUsable, local, remote, uplink } = path;
  const known = former?.find(
    (one) => one.remote === remote && one.local === local && one.uplink === uplink,
  );
  const loss =
    path.lossOutPercent === undefined
      ? undefined
      : Math.max(path.lossOutPercent, path.lossBackPercent ?? 0);
  const rttMs = steady(path.rttMs, known?.rttMs, RTT_MS_STEP);
  const lossPercent = steady(loss, known?.lossPercent, LOSS_PERCENT_STEP);
  return {
    ...(uplink === undefined ? {} : { uplink }),
    ...(local === undefined ? {} : { local }),
    remote,
    state: isUsable && isAlive ? "Up" : "Down",
    ...(rttMs === undefined ? {} : { rttMs }),
    ...(lossPercent === undefined ? {} : { lossPercent }),
    ...(path.mtuBytes === undefined ? {} : { mtuBytes: path.mtuBytes }),
  };
}

/** The former figure, unless the new one differs by half of it and by more than a step. */
function steady(
  value: number | undefined,
  former: number | undefined,
  step: number,
): number | undefined {
  if (value === undefined) return undefined;
  if (former !== undefined && Math.abs(value - former) <= Math.max(step, former / 2)) return former;
  return Math.round(value * 10) / 10;
}

/** Behind the tap is the gateway itself, or the far end of a tunnel with two sides. */
function placeOf(behind: string, hasSides: boolean): string {
  if (behind !== "tap") return behind;
  return hasSides ? "segment" : "gateway";
}
