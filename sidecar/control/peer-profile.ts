/** The client profile of one VpnPeer, for `fairlead profile`. */

import { type ProfileMulticast, type ProfileWrap, printProfile } from "../../authority/profile.ts";
import { OperatingError } from "../../common/operating-error.ts";
import { formatAddress, networkRange, parseNetwork } from "../../crds/ip-network.ts";
import type { VpnPeer, VpnTunnel } from "../../crds/types.ts";
import { unsupportedFields } from "../../crds/unsupported.ts";
import { type Documents, readDocuments } from "./documents.ts";
import { GATEWAY_COMMON_NAME, type GatewayCredentials } from "./gateway-credentials.ts";
import { loadListenTunnel, TLS_AUTH_DIGEST } from "./listen-tunnel.ts";
import { assignPeers } from "./peers.ts";
import type { PeerConfig, TunnelConfig } from "./tunnel-config.ts";

/** Whose profile, and from which files. */
export interface PeerProfileOptions {
  readonly paths: readonly string[];
  readonly stateDirectory: string;
  /** `box-7`, or `lab/box-7` when several namespaces have one. */
  readonly peer: string;
  readonly wallMs: number;
}

/** The profile, or why there is none. */
export type PeerProfile =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly problems: readonly string[] };

/** Prints the profile of one peer; makes its keys when they are missing. */
export async function loadPeerProfile(options: PeerProfileOptions): Promise<PeerProfile> {
  const documents = await readDocuments(options.paths);
  const found = findPeer(documents, options.peer);
  if (!found.ok) return found;
  const { peer } = found;
  const subject = `VpnPeer ${peer.metadata.namespace}/${peer.metadata.name}`;
  const key = `${peer.metadata.namespace}/${peer.spec.tunnel.name}`;
  const assigned = assignPeers(documents);
  const tunnel = documents.resources.find(
    ({ kind, resource }) =>
      kind === "VpnTunnel" && `${resource.metadata.namespace}/${resource.metadata.name}` === key,
  );
  const peers = assigned.byTunnel.get(key) ?? [];
  if (tunnel?.kind !== "VpnTunnel" || !peers.some((own) => own.peer === peer)) {
    return failure([...assigned.problems, ...documents.problems], subject, key);
  }
  const refused = unsupportedFields(tunnel.resource);
  if (refused.length > 0) {
    const problems = refused.map(({ field, reason }) => `VpnTunnel ${key} ${field}: ${reason}`);
    return { ok: false, problems };
  }
  try {
    const own = { tunnel: tunnel.resource, written: tunnel.written, peers };
    const { outcome, credentials, peerProblems } = await loadListenTunnel(own, documents, options);
    if (!outcome.ok)
      return { ok: false, problems: outcome.problems.map((text) => `VpnTunnel ${key} ${text}`) };
    if (credentials === undefined || !credentials.peers.has(peer.metadata.name)) {
      return failure(peerProblems, subject, key);
    }
    return {
      ok: true,
      text: printed({ tunnel: tunnel.resource, peer, credentials, config: outcome.config }),
    };
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    return { ok: false, problems: [error.message] };
  }
}

type FoundPeer =
  | { readonly ok: true; readonly peer: VpnPeer }
  | { readonly ok: false; readonly problems: readonly string[] };

function findPeer(documents: Documents, wanted: string): FoundPeer {
  const peers = documents.resources.flatMap((placed) =>
    placed.kind === "VpnPeer" ? [placed.resource] : [],
  );
  const matching = peers.filter(
    ({ metadata }) =>
      metadata.name === wanted || `${metadata.namespace}/${metadata.name}` === wanted,
  );
  const [peer] = matching;
  if (matching.length === 1 && peer !== undefined) return { ok: true, peer };
  const names = peers.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).join(", ");
  const problem =
    matching.length > 1
      ? `several namespaces have a VpnPeer ${wanted}: name one of ${names}`
      : `there is no valid VpnPeer ${wanted} in these files: ${names === "" ? "add one" : `name one of ${names}`}`;
  const others = documents.problems.map((other) => `${other.place}: ${other.text}`);
  return { ok: false, problems: [problem, ...others] };
}

function failure(
  problems: readonly { readonly place: string; readonly subject?: string; readonly text: string }[],
  subject: string,
  tunnel: string,
): PeerProfile {
  const own = problems.filter(
    (problem) => problem.subject === subject || problem.subject === `VpnTunnel ${tunnel}`,
  );
  return { ok: false, problems: own.map((problem) => `${problem.place}: ${problem.text}`) };
}

function printed(made: {
  readonly tunnel: VpnTunnel;
  readonly peer: VpnPeer;
  readonly credentials: GatewayCredentials;
  readonly config: TunnelConfig;
}): string {
  const { tunnel, peer, credentials, config } = made;
  const { listen, transport, security, workloads } = tunnel.spec;
  const { name } = peer.metadata;
  const pair = credentials.peers.get(name) ?? { certificatePem: "", privateKeyPem: "" };
  const own =
    config.role.kind === "listen" ? config.role.peers.find((one) => one.name === name) : undefined;
  return printProfile({
    tunnel: { namespace: tunnel.metadata.namespace, name: tunnel.metadata.name },
    peer: name,
    remotes: (listen?.advertise ?? []).map(({ host, port }) => ({
      host,
      port: port ?? listen?.port ?? 0,
    })),
    order: listen?.order ?? "Listed",
    device: tunnel.spec.mode === "Routed" ? "tun" : "tap",
    protocol: transport.protocol ?? "Udp",
    ...(workloads?.interface === undefined ? {} : { interfaceName: workloads.interface }),
    authorityPem: credentials.authorityPem,
    pair,
    serverName: GATEWAY_COMMON_NAME,
    wrap: wrapOf(config, credentials, name),
    dataCiphers: security.dataCiphers,
    asksUserPass: security.userPassSecretRef !== undefined || security.userPassSocket !== undefined,
    mtu: transport.mtu,
    mssFixBytes: transport.mssFixBytes,
    ...(transport.fragmentBytes === undefined ? {} : { fragmentBytes: transport.fragmentBytes }),
    replayWindow: transport.replayWindow,
    multicast: multicastOf(tunnel, peer, own),
  });
}

function wrapOf(config: TunnelConfig, credentials: GatewayCredentials, peer: string): ProfileWrap {
  const { kind } = config.security.wrap;
  const key = credentials.wrapKey;
  const own = credentials.peerWrapKeys.get(peer);
  if (kind === "TlsCryptV2Server" && own !== undefined) return { kind: "TlsCryptV2", key: own };
  if (kind === "TlsCrypt") return { kind, key };
  return kind === "TlsAuth" ? { kind, key, digest: TLS_AUTH_DIGEST } : { kind: "None" };
}

function multicastOf(
  tunnel: VpnTunnel,
  peer: VpnPeer,
  own: PeerConfig | undefined,
): ProfileMulticast {
  const { addresses, multicast, mode } = tunnel.spec;
  const address4 =
    own?.address4 === undefined ? undefined : otherAddress(addresses?.segment, own.address4);
  const address6 =
    own?.address6 === undefined ? undefined : otherAddress(addresses?.segment6, own.address6);
  return {
    bridges: peer.spec.addressing === "None",
    routes: mode === "Routed" && multicast.proxy !== true ? [] : multicast.routes,
    ...(address4 === undefined ? {} : { anyAddress4: address4 }),
    ...(address6 === undefined ? {} : { anyAddress6: address6 }),
  };
}

/** The lowest host address of the segment but the peer's own. */
function otherAddress(segment: string | undefined, own: string): string | undefined {
  const network = parseNetwork(segment ?? "");
  if (network === undefined) return undefined;
  const { family } = network.address;
  const { first } = networkRange(network);
  const lowest = formatAddress({ family, value: first + 1n });
  return lowest === own ? formatAddress({ family, value: first + 2n }) : lowest;
}
