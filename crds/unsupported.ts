/**
 * Fields of the resources that mean something but that the data plane does not have yet. Starting a
 * tunnel without what its resource asks for would be a lie, so `fairlead up` refuses each with the
 * reason and the operator says Accepted=False; fields that only concern the cluster are noted. The schema gives none of them a default,
 * so what is seen here was written by somebody.
 */

import { routingProblems } from "./routing.ts";
import type { VpnTunnel } from "./types.ts";

/** A field that stops the tunnel. */
export interface Unsupported {
  /** `spec.transport.copyDscp`. */
  readonly field: string;
  readonly reason: string;
}

interface Row extends Unsupported {
  readonly isAsked: (tunnel: VpnTunnel) => boolean;
}

const ROWS: readonly Row[] = [
  {
    field: "spec.uplinks",
    reason: "a listening tunnel answers on the path it was reached by: remove it",
    isAsked: ({ spec }) => spec.uplinks !== undefined && spec.listen !== undefined,
  },
  {
    field: "spec.transport.fragmentBytes",
    reason: "a connection cuts by itself: remove it, or set transport.protocol to Udp",
    isAsked: ({ spec }) =>
      spec.transport.fragmentBytes !== undefined && spec.transport.protocol === "Tcp",
  },
  {
    field: "spec.multicast.proxy",
    reason:
      "only a listening tunnel is a multicast proxy, a dialling one sends what it joins and all groups to its server: remove it, and set it where the tunnel listens",
    isAsked: ({ spec }) => spec.multicast.proxy === true && spec.listen === undefined,
  },
  {
    field: "spec.multicast.proxy",
    reason:
      "between two peers there is nobody to choose from, groups go straight across: remove it, or set spec.link to Segment",
    isAsked: ({ spec }) => spec.multicast.proxy === true && spec.link === "TwoPeer",
  },
  {
    field: "spec.security.issuerRef",
    reason: "a tunnel that dials proves itself by its server's profile: remove it",
    isAsked: ({ spec }) => spec.listen === undefined && spec.security.issuerRef !== undefined,
  },
  {
    field: "spec.security.userPassSocket",
    reason: "only a listening tunnel asks for passwords: remove it",
    isAsked: ({ spec }) => spec.listen === undefined && spec.security.userPassSocket !== undefined,
  },
  {
    field: "spec.addresses.dhcp",
    reason:
      "a routed tunnel carries no broadcasts, so no DHCP server hears of it: remove it, and set addresses.pool",
    isAsked: ({ spec }) => spec.addresses?.dhcp === true && spec.mode === "Routed",
  },
  {
    field: "spec.addresses.dhcp",
    reason:
      "between two peers nobody is asked for an address: remove it, and set addresses.pool, or set spec.link to Segment",
    isAsked: ({ spec }) =>
      spec.addresses?.dhcp === true && spec.mode === "Bridged" && spec.link === "TwoPeer",
  },
  {
    field: "spec.addresses.gateway",
    reason:
      "an interface that is part of a bridge cannot have an address of its own: give the bridge the address, and remove this or spec.gateway.bridge",
    isAsked: ({ spec }) =>
      spec.gateway?.bridge !== undefined && spec.addresses?.gateway !== undefined,
  },
  {
    field: "spec.addresses.gateway6",
    reason:
      "an interface that is part of a bridge cannot have an address of its own: give the bridge the address, and remove this or spec.gateway.bridge",
    isAsked: ({ spec }) =>
      spec.gateway?.bridge !== undefined && spec.addresses?.gateway6 !== undefined,
  },
];

/** The fields of a tunnel that stop it. */
export function unsupportedFields(tunnel: VpnTunnel): readonly Unsupported[] {
  const rows = ROWS.filter((row) => row.isAsked(tunnel));
  return [...rows.map(({ field, reason }) => ({ field, reason })), ...routingProblems(tunnel)];
}

/** The fields that are refused, for the reference. */
export const UNSUPPORTED_FIELDS: readonly Unsupported[] = ROWS.map(({ field, reason }) => ({
  field,
  reason,
}));

/** Fields that a cluster would use and a single machine has no use for. */
export function clusterNotes(tunnel: VpnTunnel): readonly string[] {
  const { gateway, listen, workloads } = tunnel.spec;
  const notes: string[] = [];
  if ((gateway?.replicas ?? 1) > 1)
    notes.push("spec.gateway.replicas is ignored: this is one process");
  if (gateway?.network === "Pod") notes.push("spec.gateway.network is ignored outside a cluster");
  for (const field of ["nodeSelector", "tolerations", "resources"] as const) {
    if (gateway?.[field] !== undefined)
      notes.push(`spec.gateway.${field} is ignored outside a cluster`);
  }
  if (listen?.service !== undefined) notes.push("spec.listen.service is ignored outside a cluster");
  if (workloads?.podSelector !== undefined) {
    notes.push("spec.workloads.podSelector is ignored: this machine is the workload");
  }
  return notes;
}
