/**
 * How a dialling gateway's uplinks do, as its tunnel's status tells it; the operator shows it in the UplinkSet.
 * Pure. Invariant: an uplink that came or went is told at once, figures that only grow or tremble once a minute.
 */
import type { VpnTunnel } from "../crds/types.ts";
import type { PathStatus, TunnelStatus, UplinkStatus } from "../sidecar/control/status.ts";

/** One uplink, as the resource has it. */
export type UplinkReport = NonNullable<NonNullable<VpnTunnel["status"]>["uplinks"]>[number];

/** All uplinks of a tunnel. */
export interface UplinksReport {
  /** ISO 8601 by the second: when the figures were taken. */
  readonly uplinksMeasured: string;
  readonly uplinks: readonly UplinkReport[];
  readonly fecUnrecoverable?: number;
}

const FIGURES_MS = 60_000;

/** The report; absent: the tunnel names no uplinks. */
export function uplinksReport(
  tunnel: Pick<TunnelStatus, "peers" | "uplinks">,
  former: Partial<UplinksReport>,
  wallMs: number,
): UplinksReport | undefined {
  const { peers, uplinks = [] } = tunnel;
  if (uplinks.length === 0) return undefined;
  const [server] = peers;
  const lost = server?.unrecoverablePackets;
  const report = {
    uplinksMeasured: seconds(new Date(wallMs).toISOString()),
    uplinks: uplinks.map((uplink) => {
      return uplinkReport(
        uplink,
        server?.paths?.find((path) => path.uplink === uplink.name),
      );
    }),
    ...(lost === undefined ? {} : { fecUnrecoverable: lost }),
  };
  const { fecUnrecoverable, uplinksMeasured, uplinks: known } = former;
  if (uplinksMeasured === undefined || known === undefined) return report;
  const isFresh = wallMs - Date.parse(uplinksMeasured) < FIGURES_MS;
  if (!isFresh || newsOf(known) !== newsOf(report.uplinks)) return report;
  const told = { uplinksMeasured, uplinks: known };
  return fecUnrecoverable === undefined ? told : { ...told, fecUnrecoverable };
}

function uplinkReport(uplink: UplinkStatus, path: PathStatus | undefined): UplinkReport {
  const { name, isUsable, address, lastChange } = uplink;
  const isKnown = path !== undefined && isUsable;
  const state = !isUsable ? "Down" : !isKnown ? "Unknown" : path.isAlive ? "Up" : "Down";
  const base = {
    name,
    state,
    ...(address === "" ? {} : { sourceAddress: address }),
    ...(lastChange === undefined
      ? {}
      : { lastChange: seconds(lastChange.at), lastChangeCause: lastChange.cause }),
  } as const;
  return path === undefined ? base : { ...base, ...figuresOf(path) };
}

function figuresOf(path: PathStatus): Partial<UplinkReport> {
  const { rttMsP50, rttMsP99, lossOutPercent, lossBackPercent = 0 } = path;
  return {
    ...(rttMsP50 === undefined || rttMsP99 === undefined ? {} : { rttMsP50, rttMsP99 }),
    ...(lossOutPercent === undefined
      ? {}
      : { lossPercent: Math.max(lossOutPercent, lossBackPercent) }),
    reorderedPackets: path.reorderedPackets,
    latePackets: path.latePackets ?? 0,
    receivedBytes: path.bytesIn ?? 0,
    sentBytes: path.bytesOut ?? 0,
    duplicatePackets: path.duplicatePackets ?? 0,
    duplicatesSaved: path.savedPackets ?? 0,
    fecRecovered: path.recoveredPackets ?? 0,
  };
}

/** What is told at once. */
function newsOf(uplinks: readonly UplinkReport[]): string {
  return JSON.stringify(
    uplinks.map(({ name, state, sourceAddress, lastChange, lastChangeCause }) => {
      return [name, state, sourceAddress, lastChange, lastChangeCause];
    }),
  );
}

function seconds(iso: string): string {
  return `${iso.slice(0, 19)}Z`;
}
