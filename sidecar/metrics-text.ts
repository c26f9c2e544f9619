/**
 * A process's status in Prometheus' text form (version 0.0.4): tunnels, uplinks, peers, paths and every
 * counter. One invariant: a label names only what the resources name (tunnel, uplink, peer) or where a
 * path leads, so lines are as many as `limits.ts` lets peers and paths be; no key, password or frame is
 * in it.
 */
import type { PathStatus, PeerStatus, ProcessStatus, TunnelStatus } from "./control/status.ts";
import { COUNTERS, type Traffic } from "./counters.ts";

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number];

/** One figure: its name without the prefix, what it is, and how it is read from one tunnel. */
interface Family {
  readonly name: string;
  readonly type: "gauge" | "counter";
  readonly help: string;
  readonly read: (tunnel: TunnelStatus) => readonly Sample[];
}

/** What is asked of each peer. */
const PEER_FIGURES: readonly (Omit<Family, "read"> & {
  readonly of: (peer: PeerStatus) => readonly Sample[];
})[] = [
  {
    ...{ name: "peer_up", type: "gauge", help: "1 while the peer has a session that works." },
    of: ({ state }) => [[{}, state === "Up" ? 1 : 0]],
  },
  {
    ...{ name: "peer_silent_seconds", type: "gauge", help: "Time since the peer was heard." },
    of: ({ silentMs }) => (silentMs === undefined ? [] : [[{}, silentMs / 1000]]),
  },
  {
    ...{ name: "peer_packets_total", type: "counter", help: "Packets of the peer's session." },
    of: ({ traffic }) => trafficSamples(traffic, "packets"),
  },
  {
    ...{ name: "peer_bytes_total", type: "counter", help: "Bytes of the peer's session." },
    of: ({ traffic }) => trafficSamples(traffic, "bytes"),
  },
  {
    name: "peer_fec_unrecoverable_packets_total",
    type: "counter",
    help: "Packets of the peer lost for good, though some parity of their block came.",
    of: ({ unrecoverablePackets }) => known(unrecoverablePackets),
  },
];

/** What is asked of each path of a peer. */
const PATH_FIGURES: readonly (Omit<Family, "read"> & {
  readonly of: (path: PathStatus) => readonly Sample[];
  /** Of a peer with one path it would say nothing, a thousand times. */
  readonly isOfSeveral?: true;
})[] = [
  {
    ...{ name: "path_usable", type: "gauge", help: "1 while the path's uplink has what it needs." },
    of: ({ isUsable }) => [[{}, isUsable ? 1 : 0]],
  },
  {
    ...{ name: "path_alive", type: "gauge", help: "1 while the peer is heard by the path." },
    of: ({ isAlive }) => [[{}, isAlive ? 1 : 0]],
  },
  {
    ...{ name: "path_active", type: "gauge", help: "1 while packets leave by the path." },
    of: ({ isActive }) => [[{}, isActive ? 1 : 0]],
  },
  {
    ...{ name: "path_rtt_seconds", type: "gauge", help: "Round trip, smoothed; of probed paths." },
    of: ({ rttMs }) => (rttMs === undefined ? [] : [[{}, rttMs / 1000]]),
  },
  {
    name: "path_rtt_quantile_seconds",
    type: "gauge",
    help: "What so large a share of the last round trips did not exceed; of probed paths.",
    of: ({ rttMsP50, rttMsP99 }) => [...quantile("0.5", rttMsP50), ...quantile("0.99", rttMsP99)],
  },
  {
    ...{ name: "path_skew_seconds", type: "gauge", help: "How much later than by the fastest." },
    of: ({ skewMs }) => (skewMs === undefined ? [] : [[{}, skewMs / 1000]]),
  },
  {
    ...{ name: "path_mtu_bytes", type: "gauge", help: "Longest UDP payload shown to cross." },
    of: ({ mtuBytes }) => known(mtuBytes),
  },
  {
    ...{ name: "path_packets_total", type: "counter", help: "Packets by the path." },
    of: (path) => [...way("in", path.packetsIn), ...way("out", path.packetsOut)],
  },
  {
    ...{ name: "path_bytes_total", type: "counter", help: "Bytes by the path." },
    of: (path) => [...way("in", path.bytesIn), ...way("out", path.bytesOut)],
  },
  {
    name: "path_reordered_packets_total",
    isOfSeveral: true,
    type: "counter",
    help: "Packets that came by the path behind later ones that came by it.",
    of: ({ reorderedPackets }) => known(reorderedPackets),
  },
  {
    name: "path_late_packets_total",
    isOfSeveral: true,
    type: "counter",
    help: "Packets that the path was the first to bring, behind later ones by any path.",
    of: ({ latePackets }) => known(latePackets),
  },
  {
    name: "path_duplicate_packets_total",
    isOfSeveral: true,
    type: "counter",
    help: "Copies by the path of packets that had come before; with policy Duplicate.",
    of: ({ duplicatePackets }) => known(duplicatePackets),
  },
  {
    name: "path_saved_packets_total",
    isOfSeveral: true,
    type: "counter",
    help: "Packets that no other path brought while others were in use; with policy Duplicate.",
    of: ({ savedPackets }) => known(savedPackets),
  },
  {
    name: "path_fec_recovered_packets_total",
    isOfSeveral: true,
    type: "counter",
    help: "Lost packets that parity which came by the path made again.",
    of: ({ recoveredPackets }) => known(recoveredPackets),
  },
  {
    name: "path_loss_ratio",
    type: "gauge",
    help: "Share of the last probes that was lost, each way; of probed paths.",
    of: ({ lossOutPercent, lossBackPercent }) => [
      ...ratio("out", lossOutPercent),
      ...ratio("in", lossBackPercent),
    ],
  },
  {
    name: "path_carried_bits_per_second",
    type: "gauge",
    help: "What the path was seen to carry at least, each way; of probed paths that had load.",
    of: ({ capacityOutMbit, capacityBackMbit }) => [
      ...bits("out", capacityOutMbit),
      ...bits("in", capacityBackMbit),
    ],
  },
  {
    name: "path_full",
    type: "gauge",
    help: "1 while the path was at its limit within the last half minute, each way.",
    of: ({ capacityOutMbit, capacityBackMbit, isFullOut, isFullBack }) => [
      ...(capacityOutMbit === undefined ? [] : [full("out", isFullOut)]),
      ...(capacityBackMbit === undefined ? [] : [full("in", isFullBack)]),
    ],
  },
];

const FAMILIES: readonly Family[] = [
  {
    ...{ name: "tunnel_up", type: "gauge", help: "1 while at least one peer is connected." },
    read: ({ state }) => [[{}, state === "Up" ? 1 : 0]],
  },
  {
    ...{ name: "uplink_usable", type: "gauge", help: "1 while the uplink has what it needs." },
    read: ({ uplinks = [] }) =>
      uplinks.map(({ name, isUsable }) => [{ uplink: name }, isUsable ? 1 : 0]),
  },
  {
    name: "uplink_changed_timestamp_seconds",
    type: "gauge",
    help: "When the uplink, or the path by it, changed last.",
    read: ({ uplinks = [] }) =>
      uplinks.flatMap(({ name, lastChange }): Sample[] =>
        lastChange === undefined ? [] : [[{ uplink: name }, Date.parse(lastChange.at) / 1000]],
      ),
  },
  {
    ...{ name: "tap_frames_total", type: "counter", help: "Frames of this host's interface." },
    read: ({ tap }) => trafficSamples(tap, "packets"),
  },
  {
    ...{ name: "tap_bytes_total", type: "counter", help: "Bytes of this host's interface." },
    read: ({ tap }) => trafficSamples(tap, "bytes"),
  },
  ...PEER_FIGURES.map(({ of, ...family }) => ({
    ...family,
    read: ({ peers }: TunnelStatus) =>
      peers.flatMap((peer) => within({ peer: peer.name }, of(peer))),
  })),
  ...PATH_FIGURES.map(({ of, isOfSeveral = false, ...family }) => ({
    ...family,
    read: ({ peers }: TunnelStatus) =>
      peers.flatMap(({ name, paths = [] }) =>
        (isOfSeveral && paths.length < 2 ? [] : paths).flatMap((path) =>
          within({ peer: name, path: nameOf(path) }, of(path)),
        ),
      ),
  })),
  ...COUNTERS.map(
    ({ name, description }): Family => ({
      ...{ name: `${snake(name)}_total`, type: "counter", help: description },
      read: ({ counters }) => {
        const value = counters[name];
        return value === undefined ? [] : [[{}, value]];
      },
    }),
  ),
];

/** Everything, as Prometheus reads it. */
export function metricsText(status: ProcessStatus): string {
  const lines = [
    "# HELP fairlead_info The version that runs.",
    "# TYPE fairlead_info gauge",
    line("info", { version: status.version }, 1),
  ];
  for (const { name, type, help, read } of FAMILIES) {
    const samples = status.tunnels.flatMap((tunnel) =>
      within({ tunnel: `${tunnel.namespace}/${tunnel.name}` }, read(tunnel)),
    );
    if (samples.length === 0) continue;
    lines.push(`# HELP fairlead_${name} ${help}`, `# TYPE fairlead_${name} ${type}`);
    for (const [labels, value] of samples) lines.push(line(name, labels, value));
  }
  return `${lines.join("\n")}\n`;
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  return `fairlead_${name}{${pairs.join(",")}} ${value}`;
}

/** As the text form has it: a backslash, a quote and the end of a line. */
function escaped(text: string): string {
  return text.replace(/[\\"]/g, "\\$&").replace(/\n/g, "\\n");
}

function within(labels: Labels, samples: readonly Sample[]): Sample[] {
  return samples.map(([own, value]) => [{ ...labels, ...own }, value]);
}

function trafficSamples(traffic: Traffic | undefined, of: "packets" | "bytes"): Sample[] {
  if (traffic === undefined) return [];
  const { packetsIn, packetsOut, bytesIn, bytesOut } = traffic;
  const [into, out] = of === "packets" ? [packetsIn, packetsOut] : [bytesIn, bytesOut];
  return [
    [{ direction: "in" }, into],
    [{ direction: "out" }, out],
  ];
}

function ratio(direction: "in" | "out", percent: number | undefined): Sample[] {
  return percent === undefined ? [] : [[{ direction }, percent / 100]];
}

function known(value: number | undefined): Sample[] {
  return value === undefined ? [] : [[{}, value]];
}

function way(direction: "in" | "out", value: number | undefined): Sample[] {
  return value === undefined ? [] : [[{ direction }, value]];
}

function quantile(share: "0.5" | "0.99", ms: number | undefined): Sample[] {
  return ms === undefined ? [] : [[{ quantile: share }, ms / 1000]];
}

function bits(direction: "in" | "out", mbit: number | undefined): Sample[] {
  return mbit === undefined ? [] : [[{ direction }, mbit * 1e6]];
}

function full(direction: "in" | "out", isFull: true | undefined): Sample {
  return [{ direction }, isFull === true ? 1 : 0];
}

/** The uplink's name at a dialling end; at a listening one the address that the peer is at. */
function nameOf({ uplink, remote }: PathStatus): string {
  return uplink ?? remote;
}

/** `rx.tooShort` is `rx_too_short`. */
function snake(name: string): string {
  return name.replace(".", "_").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
