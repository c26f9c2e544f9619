/**
 * What is wrong with the tunnels of this host, each with its cause and the next step. Pure: the same
 * facts give the same findings, the gravest first.
 */
import {
  type ConflictStatus,
  type GroupStatus,
  type PeerStatus,
  type TunnelStatus,
  tooBigCount,
} from "../sidecar/control/status.ts";
import { byGravity, type Finding } from "./finding.ts";
import type { HostFacts } from "./host-facts.ts";

/** The findings' words, the gravest first. */
const HOST_FINDING_CODES = [
  "NotStarted",
  "NotConnected",
  "BridgeFiltered",
  "MulticastElsewhere",
  "ReversePathStrict",
  "UplinkDown",
  "AddressConflict",
  "LoopShut",
  "FramesTooBig",
  "PeerAbsent",
  "NobodySends",
] as const;

type HostFindingCode = (typeof HOST_FINDING_CODES)[number];
type HostFinding = Finding<HostFindingCode>;

const MULTICAST = [
  { family: 4, destination: "224.0.0.0", prefixBits: 4, network: "224.0.0.0/4" },
  { family: 6, destination: "ff00::", prefixBits: 8, network: "ff00::/8" },
] as const;
const MAIN_TABLE = 254;
/** A process that is younger may still be waiting for its peers. */
const COMING_MS = 60_000;

/** All findings. */
export function diagnoseHost(facts: HostFacts, wallMs: number): readonly HostFinding[] {
  const findings = facts.processes.flatMap(({ refused, since, tunnels }) => [
    ...refused.map(notStarted),
    ...tunnels.flatMap((tunnel) => tunnelFindings(tunnel, facts, wallMs - Date.parse(since))),
  ]);
  return byGravity(findings, HOST_FINDING_CODES);
}

function notStarted(one: {
  readonly name: string;
  readonly problems: readonly string[];
}): HostFinding {
  return {
    code: "NotStarted",
    about: `VpnTunnel ${one.name}`,
    cause: one.problems.join("; "),
    step: "Mend its file; then SIGHUP lets fairlead up read the files again.",
  };
}

function tunnelFindings(tunnel: TunnelStatus, facts: HostFacts, ageMs: number): HostFinding[] {
  const about = `VpnTunnel ${tunnel.namespace}/${tunnel.name}`;
  return [
    ...connectionFindings(tunnel, ageMs),
    ...interfaceFindings(tunnel, facts),
    ...uplinkFindings(tunnel, facts),
    ...(tunnel.conflicts ?? []).map(conflictFinding),
    ...shutFindings(tunnel),
    ...sizeFindings(tunnel),
    ...(ageMs < COMING_MS ? [] : tunnel.peers.flatMap((peer) => absentFindings(tunnel, peer))),
    ...tunnel.groups.flatMap(groupFindings),
  ].map((finding) => ({ about, ...finding }));
}

type Part = Omit<HostFinding, "about"> & { readonly about?: string };

function connectionFindings({ problem, role, state }: TunnelStatus, ageMs: number): Part[] {
  const isStuck =
    state === "Failed" || (role === "dial" && state === "Connecting" && ageMs >= COMING_MS);
  if (!isStuck) return [];
  return [
    {
      code: "NotConnected",
      cause: problem ?? "No remote has answered; a wrong control-wrap key looks the same.",
      step: "Check remote address, port, firewall and the profile's keys; the log names each attempt.",
    },
  ];
}

/** What the kernel does with frames once they are out of the tunnel. */
function interfaceFindings(tunnel: TunnelStatus, facts: HostFacts): Part[] {
  const link = facts.links.find(({ name }) => name === tunnel.interface);
  if (link === undefined) return [];
  if (link.master !== 0) {
    const bridge = facts.links.find(({ index }) => index === link.master)?.name ?? "its bridge";
    if (!facts.isBridgeFiltered) return [];
    return [
      {
        code: "BridgeFiltered",
        cause: `Frames between ${link.name} and the rest of ${bridge} pass the IP packet filter, whose forward chain drops by default.`,
        step: `sysctl net.bridge.bridge-nf-call-iptables=0, or accept in the filter what comes in and goes out by ${bridge}.`,
      },
    ];
  }
  // A routed tunnel routes networks, and a listening end may only be looked after from here.
  if (tunnel.routes !== undefined || tunnel.role !== "dial" || tunnel.state !== "Up") return [];
  return MULTICAST.filter(({ family }) => hasAddress(facts, link.index, family)).flatMap((one) => {
    const fitting = facts.routes.filter(
      ({ destination, family, prefixBits, table }) =>
        family === one.family &&
        table === MAIN_TABLE &&
        prefixBits === one.prefixBits &&
        destination === one.destination,
    );
    if (fitting.some(({ index }) => index === link.index)) return [];
    const flag = one.family === 6 ? " -6" : "";
    const finding: Part = {
      code: "MulticastElsewhere",
      cause: `${one.network} is not routed to ${link.name}: programs that name no interface join on another one.`,
      step: `Add ${one.network} to multicast.routes of the tunnel, or: ip${flag} route add ${one.network} dev ${link.name}`,
    };
    return [finding];
  });
}

/** Of IPv6 an address of the segment's, not the link-local one that every interface has. */
function hasAddress({ addresses }: HostFacts, index: number, family: 4 | 6): boolean {
  return addresses.some(
    (entry) =>
      entry.index === index && entry.family === family && !entry.address.startsWith("fe80:"),
  );
}

function uplinkFindings({ peers, uplinks = [] }: TunnelStatus, facts: HostFacts): Part[] {
  return uplinks.flatMap(({ address, cause, isUsable, name }): Part[] => {
    if (!isUsable) {
      const step = "Look at the interface: ip addr, ip route; the other uplinks carry on.";
      return [{ code: "UplinkDown", cause: `The uplink ${name} cannot be used: ${cause}.`, step }];
    }
    const paths = peers.flatMap((peer) => peer.paths ?? []).filter(({ uplink }) => uplink === name);
    if (paths.length === 0 || paths.some(({ isAlive }) => isAlive)) return [];
    const index = facts.addresses.find((entry) => entry.address === address)?.index;
    const link = facts.links.find((one) => one.index === index)?.name;
    if (link === undefined || !facts.strict.has(link)) return [];
    return [
      {
        code: "ReversePathStrict",
        cause: `Nothing comes back by the uplink ${name}, and ${link} drops what arrives elsewhere than its route goes (rp_filter 1).`,
        step: `sysctl net.ipv4.conf.${link}.rp_filter=2`,
      },
    ];
  });
}

function conflictFinding({ address, behind, mac, owner }: ConflictStatus): Part {
  return {
    code: "AddressConflict",
    cause: `${address} was given to ${owner}, and ${mac} behind ${behind} uses it too.`,
    step: `Give one of them another address; on the segment: arping -D ${address}`,
  };
}

function shutFindings({ shut = [] }: TunnelStatus): Part[] {
  if (shut.length === 0) return [];
  return [
    {
      code: "LoopShut",
      cause: `The LANs behind ${shut.join(" and ")} are joined elsewhere as well: a loop, so this way was shut.`,
      step: "Take one of the two connections away, or run a spanning tree on the bridges.",
    },
  ];
}

/** Frames that were longer than what the tunnel carries. */
function sizeFindings({ counters, mtuBytes }: TunnelStatus): Part[] {
  const count = tooBigCount(counters);
  if (count === 0) return [];
  return [
    {
      code: "FramesTooBig",
      cause: `${count} frames were longer than the tunnel's MTU of ${mtuBytes} bytes, and were dropped.`,
      step: `Give the hosts of the LAN an MTU of ${mtuBytes}, or raise transport.mtu and set transport.fragmentBytes at both ends.`,
    },
  ];
}

function absentFindings({ namespace, role }: TunnelStatus, peer: PeerStatus): Part[] {
  if (role !== "listen" || peer.state !== "Absent" || peer.since !== undefined) return [];
  return [
    {
      code: "PeerAbsent",
      about: `VpnPeer ${namespace}/${peer.name}`,
      cause: "It is not connected.",
      step: "Does its box run the profile, resolve the remote, and reach its port?",
    },
  ];
}

function groupFindings({ group, joinedBy, note }: GroupStatus): Part[] {
  if (note !== "nobody sends") return [];
  const cause = `${group} was joined by ${joinedBy.map(({ behind }) => behind).join(", ")}, and nobody has sent to it.`;
  const step = `Look on the segment for its sender: fairlead capture --group ${group}, or tcpdump host ${group} at the testbed.`;
  return [{ code: "NobodySends", cause, step }];
}
