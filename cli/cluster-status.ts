/** The tables of `fairlead status` about a cluster, as text. Pure. */
import type { ClusterFacts } from "./cluster-facts.ts";
import { table } from "./status-table.ts";

/** Tunnels, peers and groups, as their status says. */
export function renderCluster(facts: Pick<ClusterFacts, "tunnels" | "peers">): string {
  const tunnels = facts.tunnels.map(({ metadata, spec, status }) => [
    `${metadata.namespace}/${metadata.name}`,
    spec.mode,
    reasonOf(status?.conditions),
    status?.summary?.peers ?? "-",
    status?.summary?.paths ?? "-",
    status?.summary?.rtt ?? "-",
    status?.summary?.loss ?? "-",
    status?.active?.pod ?? "-",
  ]);
  const peers = facts.peers.map(({ metadata, spec, status }) => [
    `${metadata.namespace}/${metadata.name}`,
    spec.tunnel.name,
    reasonOf(status?.conditions),
    status?.connected === true ? "yes" : "no",
    status?.address ?? "-",
    status?.sourceAddress ?? "-",
    (status?.groups ?? []).join(", ") || "-",
  ]);
  const groups = facts.tunnels.flatMap(({ metadata, status }) =>
    (status?.groups ?? []).map(({ group, joinedBy = [], note }) => [
      group,
      `${metadata.namespace}/${metadata.name}`,
      joinedBy.join(", ") || "-",
      note ?? "",
    ]),
  );
  const head = ["TUNNEL", "MODE", "STATE", "PEERS", "PATHS", "RTT", "LOSS", "ACTIVE"];
  const lines = [
    ...table(head, tunnels),
    "",
    ...table(["PEER", "TUNNEL", "STATE", "CONNECTED", "ADDRESS", "SOURCE", "GROUPS"], peers),
    ...(groups.length === 0 ? [] : ["", ...table(["GROUP", "TUNNEL", "JOINED BY", ""], groups)]),
  ];
  return `${lines.join("\n")}\n`;
}

function reasonOf(conditions: readonly { type: string; reason: string }[] = []): string {
  return conditions.find(({ type }) => type === "Ready")?.reason ?? "-";
}
