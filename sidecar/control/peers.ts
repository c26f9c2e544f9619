/** Which VpnPeer belongs to which tunnel, and what is wrong with those that belong to none. */

import { canonicalNetwork, peerModeProblem } from "../../crds/routing.ts";
import type { VpnPeer } from "../../crds/types.ts";
import type { DocumentProblem, Documents } from "./documents.ts";

/** A peer and where it stands. */
export interface PeerOfTunnel {
  readonly peer: VpnPeer;
  readonly place: string;
}

/** Peers by `namespace/tunnel`, and the problems of the others. */
export interface AssignedPeers {
  readonly byTunnel: ReadonlyMap<string, readonly PeerOfTunnel[]>;
  readonly problems: readonly DocumentProblem[];
}

/** Sorts the peers of the files by tunnel. */
export function assignPeers(documents: Documents): AssignedPeers {
  const byTunnel = new Map<string, PeerOfTunnel[]>();
  const problems: DocumentProblem[] = [];
  /** Names of peers by network, for each tunnel. */
  const owners = new Map<string, Map<string, string>>();
  for (const placed of documents.resources) {
    if (placed.kind !== "VpnPeer") continue;
    const peer = placed.resource;
    const problem = problemOf(peer, documents);
    if (problem !== undefined) {
      problems.push(peerProblem({ peer, place: placed.place }, problem));
      continue;
    }
    const tunnel = `${peer.metadata.namespace}/${peer.spec.tunnel.name}`;
    const peers = byTunnel.get(tunnel) ?? [];
    const tunnelOwners = owners.get(tunnel) ?? new Map<string, string>();
    owners.set(tunnel, tunnelOwners);
    const shared = sharedNetwork(peer, tunnelOwners);
    if (shared !== undefined) {
      problems.push(peerProblem({ peer, place: placed.place }, shared));
      continue;
    }
    peers.push({ peer, place: placed.place });
    byTunnel.set(tunnel, peers);
  }
  return { byTunnel, problems };
}

/** A problem of one peer, with its place and name. */
export function peerProblem(own: PeerOfTunnel, text: string): DocumentProblem {
  const { namespace, name } = own.peer.metadata;
  const subject = `VpnPeer ${namespace}/${name}`;
  return { place: own.place, subject, text: `${subject} ${text}` };
}

function problemOf(peer: VpnPeer, documents: Documents): string | undefined {
  const { namespace } = peer.metadata;
  const { name } = peer.spec.tunnel;
  if (documents.invalid.has(`VpnTunnel ${namespace}/${name}`)) return undefined;
  const tunnel = documents.resources.find(
    ({ kind, resource }) =>
      kind === "VpnTunnel" &&
      resource.metadata.namespace === namespace &&
      resource.metadata.name === name,
  );
  if (tunnel?.kind !== "VpnTunnel") {
    return `spec.tunnel.name: there is no VpnTunnel ${namespace}/${name} in these files: add it, or correct the name`;
  }
  if (tunnel.resource.spec.listen === undefined) {
    return `spec.tunnel.name: the tunnel ${namespace}/${name} dials and takes no peers: remove this peer, or name a listening tunnel`;
  }
  return peerModeProblem(peer, tunnel.resource);
}

/** The same network behind two peers is nobody's; those of a peer without fault are noted. */
function sharedNetwork(peer: VpnPeer, owners: Map<string, string>): string | undefined {
  const networks = (peer.spec.networks ?? []).map(canonicalNetwork);
  for (const network of networks) {
    const owner = owners.get(network);
    if (owner === undefined) continue;
    return `spec.networks: ${network} is behind peer ${owner} too: take it out of one of them`;
  }
  for (const network of networks) owners.set(network, peer.metadata.name);
  return undefined;
}
