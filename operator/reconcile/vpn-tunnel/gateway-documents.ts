/**
 * What the gateway is given: the tunnel, its peers with their addresses and the Secrets they name, as
 * the same documents that `fairlead up -f` reads. Pure; the same input gives the same bytes.
 */
import type { UplinkSet, VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import { dialDocument } from "./dial-document.ts";
import { listeningSide, SEGMENT_BRIDGE } from "./listening-side.ts";

/** A peer and the addresses that were claimed for it. */
export interface PlacedPeer {
  readonly peer: VpnPeer;
  readonly address?: string;
  readonly address6?: string;
}

/** A Secret that the tunnel names, with the one key that is read. */
export interface NamedSecret {
  readonly name: string;
  readonly texts: Readonly<Record<string, string>>;
}

/** Everything the documents are made from. */
export interface DocumentsInput {
  readonly tunnel: VpnTunnel;
  readonly peers: readonly PlacedPeer[];
  readonly secrets: readonly NamedSecret[];
  /** The set that the tunnel names. */
  readonly uplinkSet?: UplinkSet;
}

/** The documents as one text: JSON, which is YAML, one document after another. */
export function gatewayDocuments(input: DocumentsInput): string {
  const { namespace } = input.tunnel.metadata;
  const peers = [...input.peers].sort((a, b) =>
    a.peer.metadata.name < b.peer.metadata.name ? -1 : 1,
  );
  const documents = [
    ...tunnelDocuments(input.tunnel),
    ...peers.map(peerDocument),
    ...(input.uplinkSet === undefined ? [] : [uplinkSetDocument(input.uplinkSet)]),
    ...input.secrets.map(({ name, texts }) => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, namespace },
      stringData: texts,
    })),
  ];
  return documents.map((document) => `${JSON.stringify(document, undefined, 1)}\n`).join("---\n");
}

/** One tunnel, or the two sides of one that dials and takes pods. */
function tunnelDocuments(tunnel: VpnTunnel): readonly unknown[] {
  if (tunnel.spec.dial === undefined) return [listenDocument(tunnel)];
  const side = listeningSide(tunnel);
  if (side === undefined) return [dialDocument(tunnel, false)];
  const gateway = { ...side.spec.gateway, bridge: { interface: SEGMENT_BRIDGE } };
  return [listenDocument({ ...side, spec: { ...side.spec, gateway } }), dialDocument(tunnel, true)];
}

/** The tunnel without what only the cluster understands: the gateway is not a workload. */
function listenDocument(tunnel: VpnTunnel): unknown {
  const { name, namespace } = tunnel.metadata;
  const { gateway, listen, workloads: _, security, ...spec } = tunnel.spec;
  const { caSecretRef: __, issuerRef: ___, ...keptSecurity } = security;
  return {
    apiVersion: tunnel.apiVersion,
    kind: tunnel.kind,
    metadata: { name, namespace },
    spec: {
      ...spec,
      security: keptSecurity,
      ...(gateway?.bridge === undefined ? {} : { gateway: { bridge: gateway.bridge } }),
      ...(listen === undefined ? {} : { listen: withoutService(listen) }),
    },
  };
}

function withoutService(listen: NonNullable<VpnTunnel["spec"]["listen"]>): unknown {
  const { service: _, ...rest } = listen;
  return rest;
}

function uplinkSetDocument({ apiVersion, kind, metadata, spec }: UplinkSet): unknown {
  const { name, namespace } = metadata;
  return { apiVersion, kind, metadata: { name, namespace }, spec };
}

function peerDocument({ peer, address, address6 }: PlacedPeer): unknown {
  const { name, namespace } = peer.metadata;
  return {
    apiVersion: peer.apiVersion,
    kind: peer.kind,
    metadata: { name, namespace },
    spec: {
      ...peer.spec,
      ...(address === undefined ? {} : { address }),
      ...(address6 === undefined ? {} : { address6 }),
    },
  };
}
