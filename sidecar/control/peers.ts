/** Which VpnPeer belongs to which tunnel, and what is wrong with those that belong to none. */

import type { VpnPeer } from "../../crds/types.ts";
import { unsupportedPeerField } from "../../crds/unsupported.ts";
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
  const unsupported = unsupportedPeerField(peer);
  if (unsupported !== undefined) return `${unsupported.field}: ${unsupported.reason}`;
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
  return undefined;
}
