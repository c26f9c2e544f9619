/**
 * What a gateway says of its tunnel and its peers in the cluster, made from what its sidecar shows.
 * Pure. Invariant: what merely trembles (round trips, loss) gives the same report until it differs
 * by enough to matter, so a tunnel at rest is written once.
 */
import type { Condition } from "../operator/status/conditions.ts";
import type { PathStatus, PeerStatus, TunnelStatus } from "../sidecar/control/status.ts";

/** Which replica forwards, and since when. */
export interface ActiveReplica {
  readonly pod: string;
  readonly node?: string;
  readonly since: string;
}

/** The gateway's part of a VpnTunnel's status. */
export interface TunnelReport {
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
}

/** One path in a VpnTunnel's status. */
export interface PathReport {
  readonly uplink?: string;
  readonly local?: string;
  readonly remote: string;
  readonly state: "Up" | "Down" | "Unknown";
  readonly rttMs?: number;
  readonly lossPercent?: number;
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
/** A round trip is another one when it differs by half, and by more than this. */
const RTT_MS_STEP = 2;
const LOSS_PERCENT_STEP = 2;

/** The report about a tunnel. */
export function tunnelReport(tunnel: TunnelStatus, context: ReportContext): TunnelReport {
  const { active, former } = context;
  const peers = tunnel.peers.filter(({ name }) => name !== "(handshake)");
  const connected = peers.filter(({ state }) => state === "Up").length;
  const paths = peers
    .flatMap(({ paths: ways = [] }) => ways)
    .slice(0, PATHS_MAX)
    .map((path) => pathReport(path, former?.paths));
  const up = paths.filter(({ state }) => state === "Up");
  const best = up
    .filter(({ rttMs }) => rttMs !== undefined)
    .sort((a, b) => (a.rttMs ?? 0) - (b.rttMs ?? 0))[0];
  return {
    conditions: [connectedCondition(tunnel, { connected, total: peers.length }, context)],
    active,
    mtuBytes: tunnel.mtuBytes,
    peers: { connected },
    summary: {
      peers: tunnel.role === "listen" ? `${connected}/${peers.length}` : `${connected}/1`,
      paths: `${up.length}/${paths.length}`,
      rtt: best?.rttMs === undefined ? "-" : `${best.rttMs}ms`,
      loss: best?.lossPercent === undefined ? "-" : `${best.lossPercent}%`,
    },
    paths,
    groups: tunnel.groups.slice(0, GROUPS_MAX).map(({ group, joinedBy, note }) => ({
      group,
      ...(note === undefined ? {} : { note }),
      joinedBy: [...new Set(joinedBy.map(({ behind }) => placeOf(behind)))]
        .sort()
        .slice(0, MEMBERS_MAX),
    })),
  };
}

/** The report about each declared peer of a listening tunnel. */
export function peerReports(tunnel: TunnelStatus): ReadonlyMap<string, PeerReport> {
  if (tunnel.role !== "listen") return new Map();
  const peers = tunnel.peers.filter(({ name }) => name !== "(handshake)");
  return new Map(peers.map((peer) => [peer.name, peerReport(peer, tunnel)]));
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

function connectedCondition(
  tunnel: TunnelStatus,
  { connected, total }: { readonly connected: number; readonly total: number },
  { former, wallMs }: ReportContext,
): Omit<Condition, "observedGeneration"> {
  const status = connected > 0 ? "True" : "False";
  const known = former?.conditions[0];
  const isSame = known?.status === status;
  const now = `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
  return {
    type: "Connected",
    status,
    lastTransitionTime: isSame ? known.lastTransitionTime : now,
    ...reasonOf(tunnel, connected, total),
  };
}

function reasonOf(
  { problem, role }: TunnelStatus,
  connected: number,
  total: number,
): { readonly reason: string; readonly message: string } {
  if (role === "dial") {
    if (connected > 0) return { reason: "Connected", message: "The server is connected." };
    const why =
      problem ??
      "No server answers yet: check dial.remotes, that UDP is let through, and that the profile's keys are the server's.";
    return { reason: "NoAnswer", message: why };
  }
  if (connected > 0) {
    return { reason: "PeersConnected", message: `${connected} of ${total} peers are connected.` };
  }
  if (total === 0) {
    return { reason: "NoPeer", message: "No peer is declared yet: create a VpnPeer." };
  }
  const message = `None of ${total} peers is connected: do they dial the addresses in their profiles, and is UDP let through to them?`;
  return { reason: "NoPeerConnected", message };
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

function placeOf(behind: string): string {
  return behind === "tap" ? "gateway" : behind;
}
