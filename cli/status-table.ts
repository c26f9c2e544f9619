/** The tables of `fairlead status`, as text. Pure: the same status gives the same lines. */
import {
  type GroupStatus,
  type LeaseStatus,
  type PathStatus,
  type PeerStatus,
  type ProcessStatus,
  type TunnelStatus,
  tooBigCount,
} from "../sidecar/control/status.ts";

/** All processes; with every counter that is not zero when `withCounters`, else the drops only. */
export function renderStatus(processes: readonly ProcessStatus[], withCounters: boolean): string {
  const lines: string[] = [];
  const tunnels = processes.flatMap((one) => one.tunnels);
  if (tunnels.length > 0) {
    lines.push(
      ...table(
        ["TUNNEL", "ROLE", "STATE", "PEERS", "STATIONS", "INTERFACE", "MTU"],
        tunnels.map(tunnelRow),
      ),
    );
  }
  for (const tunnel of tunnels) {
    lines.push("", `${tunnel.namespace}/${tunnel.name}`);
    if (tunnel.problem !== undefined) lines.push(`  ${tunnel.problem}`);
    lines.push(...indent(uplinkTable(tunnel)), ...indent(peerTable(tunnel)), "");
    lines.push(...indent(pathTable(tunnel)), ...indent(crossingTable(tunnel)));
    lines.push(
      ...indent(tunnel.routes === undefined ? stationTable(tunnel) : routeTable(tunnel)),
      "",
    );
    for (const { address, owner, mac, behind } of tunnel.conflicts ?? []) {
      lines.push(`  ${address} of ${owner} is in use by ${mac} behind ${behind} too`);
    }
    if (tunnel.lease !== undefined) lines.push(`  ${leaseLine(tunnel.lease)}`);
    lines.push(...indent(sizeLines(tunnel)), ...indent(orderLines(tunnel)));
    for (const name of tunnel.shut ?? []) lines.push(`  ${name} is shut: it closes a loop`);
    if (tunnel.groups.length > 0 || tunnel.queriers.length > 0) {
      lines.push(...indent(groupTable(tunnel)), ...indent(querierLines(tunnel)), "");
    }
    lines.push(...indent(eventTable(tunnel)));
    lines.push(...indent(counterLines(tunnel, withCounters)));
  }
  for (const { name, problems } of processes.flatMap((one) => one.refused)) {
    lines.push("", `${name}  Refused`, ...problems.map((problem) => `  ${problem}`));
  }
  return `${lines.join("\n")}\n`;
}

function leaseLine({ address, server, leaseSeconds, since }: LeaseStatus): string {
  return `${address} by DHCP from ${server}, for ${leaseSeconds} s since ${since}`;
}

/** Who has to send shorter frames hears it here, and not from a counter's name. */
function sizeLines({ counters, mtuBytes }: TunnelStatus): string[] {
  const dropped = tooBigCount(counters);
  const lines: string[] = [];
  if (dropped > 0) lines.push(`${dropped} frames were longer than the MTU of ${mtuBytes}: dropped`);
  const told = counters["router.tooBig"] ?? 0;
  if (told > 0)
    lines.push(`${told} packets were longer than their peer takes: dropped, senders told`);
  const over = counters["tx.overMtu"] ?? 0;
  if (over > 0) {
    lines.push(
      `${over} packets were longer than their path takes, which cuts or swallows them: set transport.fragmentBytes at both ends, or a smaller MTU on the hosts`,
    );
  }
  return lines;
}

/** What putting TCP in order held, and for how long: nothing of it was dropped. */
function orderLines({ counters }: TunnelStatus): string[] {
  const held = counters["reorder.held"] ?? 0;
  if (held === 0) return [];
  const meanMs = ((counters["reorder.heldMs"] ?? 0) / held).toFixed(1);
  const filled = counters["reorder.filled"] ?? 0;
  return [
    `${held} TCP segments waited for earlier ones, ${meanMs} ms on average; for ${filled} of them these came`,
  ];
}

function eventTable({ events = [] }: TunnelStatus): string[] {
  if (events.length === 0) return [];
  const rows = events.map(({ what, count, silentMs }) => [
    what,
    String(count),
    `${seconds(silentMs)} ago`,
  ]);
  return [...table(["EVENT", "COUNT", "LAST"], rows), ""];
}

function tunnelRow(tunnel: TunnelStatus): string[] {
  const up = tunnel.peers.filter((peer) => peer.state === "Up").length;
  const device =
    tunnel.interface === tunnel.segmentInterface
      ? tunnel.interface
      : `${tunnel.interface} in ${tunnel.segmentInterface}`;
  return [
    `${tunnel.namespace}/${tunnel.name}`,
    tunnel.role,
    tunnel.state,
    `${up}/${tunnel.peers.length}`,
    String(tunnel.stations.length),
    device,
    String(tunnel.mtuBytes),
  ];
}

function peerTable(tunnel: TunnelStatus): string[] {
  const rows = tunnel.peers.map((peer) => [
    peer.name,
    peer.state,
    peer.remote ?? "-",
    peer.local ?? "-",
    peer.cipher ?? "-",
    peer.traffic === undefined ? "-" : bytes(peer.traffic.bytesIn),
    peer.traffic === undefined ? "-" : bytes(peer.traffic.bytesOut),
    peer.key === undefined ? "-" : keyText(peer.key),
    peer.silentMs === undefined ? "-" : `${seconds(peer.silentMs)} ago`,
  ]);
  const head = ["PEER", "STATE", "REMOTE", "LOCAL", "CIPHER", "IN", "OUT", "KEY", "HEARD"];
  const notes = tunnel.peers.flatMap(({ name, note, unrecoverablePackets: lost = 0 }) => [
    ...(note === undefined ? [] : [`${name}: ${note}`]),
    ...(lost === 0 ? [] : [`${name}: ${lost} packets were lost though parity came: too little`]),
  ]);
  return [...table(head, rows), ...notes];
}

/** Key id, epoch where there is one, and how much of the nearest limit is used. */
function keyText({ keyId, epoch, usedPercent }: NonNullable<PeerStatus["key"]>): string {
  return `${keyId}${epoch === undefined ? "" : `.${epoch}`} ${usedPercent.toFixed(2)} %`;
}

/** With the blank line behind it; nothing without declared uplinks. */
function uplinkTable(tunnel: TunnelStatus): string[] {
  const uplinks = tunnel.uplinks ?? [];
  if (uplinks.length === 0) return [];
  const rows = uplinks.map(({ name, isUsable, cause, lastChange }) => [
    name,
    isUsable ? "Usable" : "Unusable",
    cause,
    lastChange === undefined ? "-" : `${lastChange.at.slice(0, 19)}Z: ${lastChange.cause}`,
  ]);
  return [...table(["UPLINK", "STATE", "CAUSE", "LAST CHANGE"], rows), ""];
}

/** The same for the paths of peers that have more than one or say how they are. */
function pathTable(tunnel: TunnelStatus): string[] {
  const rows = tunnel.peers.flatMap((peer) =>
    (peer.paths ?? []).map((path) => [
      peer.name,
      path.uplink ?? "-",
      path.remote,
      stateOf(path),
      rttText(path),
      path.lossOutPercent === undefined
        ? "unknown"
        : `${path.lossOutPercent} % out, ${path.lossBackPercent} % back`,
      path.skewMs === undefined ? "unknown" : `${path.skewMs} ms`,
      String(path.reorderedPackets),
      path.mtuBytes === undefined ? "unknown" : String(path.mtuBytes),
      carriesText(path),
    ]),
  );
  if (rows.length === 0) return [];
  return [
    ...table(
      [
        "PATH OF",
        "UPLINK",
        "REMOTE",
        "STATE",
        "RTT",
        "LOSS",
        "SKEW",
        "REORDERED",
        "MTU",
        "CARRIES",
      ],
      rows,
    ),
    "",
  ];
}

function rttText({ rttMs, rttMsP99 }: PathStatus): string {
  if (rttMs === undefined) return "unknown";
  return rttMsP99 === undefined ? `${rttMs} ms` : `${rttMs} ms, p99 ${rttMsP99} ms`;
}

/** What crossed each path: nothing where nobody counts. */
function crossingTable(tunnel: TunnelStatus): string[] {
  const rows = tunnel.peers.flatMap(({ name, paths = [] }) =>
    paths.flatMap((path) =>
      path.bytesIn === undefined
        ? []
        : [
            [
              name,
              path.uplink ?? path.remote,
              bytes(path.bytesIn),
              bytes(path.bytesOut ?? 0),
              String(path.latePackets ?? 0),
              String(path.duplicatePackets ?? 0),
              String(path.savedPackets ?? 0),
              String(path.recoveredPackets ?? 0),
            ],
          ],
    ),
  );
  if (rows.length === 0) return [];
  const head = ["BY PATH OF", "UPLINK", "IN", "OUT", "LATE", "DUPLICATES", "SAVED", "RECOVERED"];
  return [...table(head, rows), ""];
}

/** What was seen to arrive: of a path that was never full it is the least that it carries. */
function carriesText(path: PathStatus): string {
  const text = (mbit: number | undefined, isFull: boolean, way: string): string[] =>
    mbit === undefined ? [] : [`${isFull ? "about" : "at least"} ${mbit} Mbit/s ${way}`];
  const ways = [
    ...text(path.capacityOutMbit, path.isFullOut === true, "out"),
    ...text(path.capacityBackMbit, path.isFullBack === true, "back"),
  ];
  return ways.length === 0 ? "unknown" : ways.join(", ");
}

function stateOf(path: PathStatus): string {
  const use = path.isActive ? "Active" : path.isAlive ? "Standby" : "Down";
  const isFlapping = path.flaps !== undefined && !path.isAlive;
  return `${use}${path.isLossy ? ", lossy" : ""}${isFlapping ? ", flapping" : ""}`;
}

function stationTable(tunnel: TunnelStatus): string[] {
  const rows = tunnel.stations.map((station) => [
    station.mac,
    station.vlan === 0 ? "-" : String(station.vlan),
    station.behind,
    station.isDeclared ? "declared" : `${seconds(station.silentMs)} ago`,
  ]);
  return table(["STATION", "VLAN", "BEHIND", "SEEN"], rows);
}

function routeTable({ routes = [] }: TunnelStatus): string[] {
  const rows = routes.map(({ network, behind, isUp, note }) => [
    network,
    isUp === false ? `${behind} (not connected)` : behind,
    note ?? "",
  ]);
  return table(["NETWORK", "BEHIND", ""], rows);
}

function groupTable(tunnel: TunnelStatus): string[] {
  if (tunnel.groups.length === 0) return [];
  const rows = tunnel.groups.map((group) => [
    group.group,
    group.vlan === 0 ? "-" : String(group.vlan),
    group.joinedBy.map(memberText).join(", ") || "-",
    String(group.frames),
    group.silentMs === undefined ? "-" : `${seconds(group.silentMs)} ago`,
    group.note ?? "",
  ]);
  return table(["GROUP", "VLAN", "JOINED BY", "FRAMES", "LAST", ""], rows);
}

function memberText(member: GroupStatus["joinedBy"][number]): string {
  const sources = member.filter === "any" ? "" : ` ${member.filter} ${member.sources.join(" ")}`;
  return `${member.behind}${sources} (${seconds(member.sinceMs)})`;
}

function querierLines(tunnel: TunnelStatus): string[] {
  return tunnel.queriers.map(({ family, vlan, where, address }) => {
    const protocol = family === 4 ? "IGMP" : "MLD";
    const place = vlan === 0 ? "" : ` in VLAN ${vlan}`;
    if (where === "nobody") return `${protocol}${place}: nobody asks, groups are flooded`;
    return `${protocol}${place}: asked by ${where}${address === undefined ? "" : ` (${address})`}`;
  });
}

/** Counters that say why something was dropped, unless all are asked for. */
function counterLines(tunnel: TunnelStatus, withAll: boolean): string[] {
  const rows = Object.entries(tunnel.counters)
    .filter(([name, value]) => value > 0 && (withAll || !TRAFFIC_COUNTERS.has(name)))
    .map(([name, value]) => [name, String(value)]);
  return rows.length === 0 ? ["nothing dropped"] : table(["COUNTER", "COUNT"], rows);
}

const TRAFFIC_COUNTERS = new Set([
  "rx.packets",
  "rx.bytes",
  "rx.pings",
  "rx.controlPackets",
  "rx.probes",
  "tx.packets",
  "tx.bytes",
  "tx.pings",
  "tx.controlPackets",
  "tx.probes",
  "tap.framesRead",
  "tap.framesWritten",
  "tap.mssClamped",
  "switch.flooded",
  "switch.groupFrames",
  "switch.groupMessages",
  "switch.groupQueries",
  "switch.groupsAged",
  "switch.loopProbes",
  "switch.stationProbes",
  "switch.stationsAged",
  "switch.ownFrames",
  "reorder.held",
  "reorder.heldMs",
  "reorder.filled",
  "reorder.expired",
  "reorder.crowded",
  "reorder.surprised",
  "reorder.evicted",
  "reorder.ended",
  "router.forwarded",
  "router.answers",
  "control.greeted",
]);

/** Columns as wide as their longest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => (line === "" ? "" : `  ${line}`));
}

function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)}s` : `${Math.round(ms / 1000)}s`;
}
