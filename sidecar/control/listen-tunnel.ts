/** A listening VpnTunnel with its peers as a `TunnelConfig`: keys from the state directory. */

import { CertificateError } from "../../authority/authority-error.ts";
import { isPair, type KeyPair, readCertificate } from "../../authority/certificate.ts";
import { revokedSerials } from "../../authority/revocation.ts";
import { openStore, type Store } from "../../authority/store.ts";
import { parseNetwork } from "../../crds/ip-network.ts";
import type { VpnTunnel } from "../../crds/types.ts";
import { assignAddresses, type PoolAnswer } from "./address-pool.ts";
import type { DocumentProblem, Documents } from "./documents.ts";
import { ensureCredentials, type GatewayCredentials } from "./gateway-credentials.ts";
import type { LoadOptions, TunnelOutcome, TunnelWithPeers } from "./loaded.ts";
import { loginOf } from "./login-config.ts";
import { type PeerOfTunnel, peerProblem } from "./peers.ts";
import { switchedOrRouted, tableProblem } from "./routing-config.ts";
import { secretText } from "./secret-lookup.ts";
import type {
  DeviceConfig,
  ListenConfig,
  PeerConfig,
  SecurityConfig,
  TransportConfig,
} from "./tunnel-config.ts";

/** A listening tunnel with the keys of its peers, as `fairlead profile` needs them. */
export interface ListenTunnel {
  readonly outcome: TunnelOutcome;
  readonly peerProblems: readonly DocumentProblem[];
  readonly credentials?: GatewayCredentials;
}

/** The digest of tls-auth, at both ends. */
export const TLS_AUTH_DIGEST = "SHA256";

/** Loads one listening tunnel. */
export async function loadListenTunnel(
  own: TunnelWithPeers,
  documents: Documents,
  options: Pick<LoadOptions, "stateDirectory" | "wallMs">,
): Promise<ListenTunnel> {
  const { tunnel } = own;
  const { listen, security, transport } = tunnel.spec;
  const identity = { namespace: tunnel.metadata.namespace, name: tunnel.metadata.name };
  const authority = ownAuthority(tunnel, documents);
  const issuer = issuerProblem(tunnel);
  const crl = ownCrl(tunnel, documents);
  const login = loginOf(tunnel, documents);
  const problems = [authority, issuer, crl, login].flatMap((found) =>
    typeof found === "string" ? [found] : [],
  );
  const isFine = typeof crl !== "string" && typeof login !== "string" && issuer === undefined;
  if (typeof authority === "string" || !isFine) {
    return { outcome: { ok: false, problems }, peerProblems: [] };
  }
  const store = await openStore(options.stateDirectory, identity);
  const given = await giveAddresses(store, own);
  if (given.problems.length > 0) {
    return { outcome: { ok: false, problems: given.problems }, peerProblems: given.peerProblems };
  }
  const addressCount = given.addresses4.size + given.addresses6.size;
  const peersGiven = given.peers.map(({ peer }) => peer);
  const tooMany = tableProblem(tunnel, peersGiven, addressCount);
  if (tooMany !== undefined) {
    return { outcome: { ok: false, problems: [tooMany] }, peerProblems: given.peerProblems };
  }
  const credentials = await ensureCredentials(store, {
    tunnel: identity,
    peers: given.peers.map(({ peer }) => ({ name: peer.metadata.name, ...peer.spec.certificate })),
    ...(authority === undefined ? {} : { authority }),
    wallMs: options.wallMs,
  });
  const role: ListenConfig = {
    kind: "listen",
    port: listen?.port ?? 0,
    protocol: transport.protocol ?? "Udp",
    peers: given.peers.map(({ peer }) => peerConfig(peer, given, credentials)),
    ...(tunnel.spec.addresses?.dhcp === true ? { pushesDhcp: true } : {}),
    ...segments(tunnel),
  };
  const { mssFixBytes, fragmentBytes, replayWindow, keepalive, copyDscp = false } = transport;
  const config = {
    ...identity,
    role,
    link: tunnel.spec.link,
    device: deviceOf(tunnel),
    ...switchedOrRouted(tunnel, new Set(given.addresses4.values())),
    transport: {
      mssFixBytes,
      ...(fragmentBytes === undefined ? {} : { fragmentBytes }),
      replayWindow,
      keepalive,
      copyDscp,
      ...renewalOf(transport),
    },
    security: {
      ...securityOf(tunnel, credentials),
      dataCiphers: security.dataCiphers,
      ...(crl === undefined ? {} : { crlPem: crl.text }),
      ...(login === undefined ? {} : { login }),
    },
  };
  return {
    outcome: { ok: true, config, notes: addressNotes(tunnel, role.peers) },
    peerProblems: given.peerProblems,
    credentials,
  };
}

function peerConfig(
  peer: PeerOfTunnel["peer"],
  { addresses4, addresses6 }: Pick<Given, "addresses4" | "addresses6">,
  { fingerprints }: Pick<GatewayCredentials, "fingerprints">,
): PeerConfig {
  const { name } = peer.metadata;
  const address4 = addresses4.get(name);
  const address6 = addresses6.get(name);
  return {
    name,
    commonName: name,
    ...(fingerprints === undefined ? {} : { fingerprints: fingerprints.get(name) ?? [] }),
    ...(address4 === undefined ? {} : { address4 }),
    ...(address6 === undefined ? {} : { address6 }),
    stations: (peer.spec.stations ?? []).map((station) => station.toLowerCase()),
    networks: peer.spec.networks ?? [],
  };
}

function segments(tunnel: VpnTunnel): Pick<ListenConfig, "segment4" | "segment6"> {
  const { segment, segment6 } = tunnel.spec.addresses ?? {};
  return {
    ...(segment === undefined ? {} : { segment4: networkOf(segment) }),
    ...(segment6 === undefined ? {} : { segment6: networkOf(segment6) }),
  };
}

function networkOf(text: string): { readonly address: string; readonly prefixBits: number } {
  const [address = "", bits] = text.split("/");
  return { address, prefixBits: Number(bits) };
}

/** When keys are changed, of a listening or a dialling tunnel. */
export function renewalOf(
  transport: VpnTunnel["spec"]["transport"],
): Pick<TransportConfig, "renegotiateSeconds" | "renegotiateBytes" | "renegotiatePackets"> {
  const { renegotiateSeconds, renegotiateBytes, renegotiatePackets } = transport;
  return { renegotiateSeconds, renegotiateBytes, renegotiatePackets };
}

/** This end's interface, of a listening or a dialling tunnel. */
export function deviceOf(tunnel: VpnTunnel): DeviceConfig {
  const { addresses, gateway, workloads, multicast, transport } = tunnel.spec;
  const bridge = gateway?.bridge;
  const isRouted = tunnel.spec.mode === "Routed";
  const hasGroups = !isRouted || multicast.proxy === true;
  const name = workloads?.interface;
  return {
    kind: isRouted ? "tun" : "tap",
    ...(name === undefined ? {} : { name }),
    ...(bridge === undefined ? {} : { bridge: { interface: bridge.interface } }),
    ...(addresses?.dhcp === true ? { usesDhcp: true } : {}),
    ...ownAddress("address4", addresses?.gateway, addresses?.segment),
    ...ownAddress("address6", addresses?.gateway6, addresses?.segment6),
    multicastRoutes:
      workloads === undefined || bridge !== undefined || !hasGroups ? [] : multicast.routes,
    mtu: transport.mtu,
  };
}

function ownAddress(
  field: "address4" | "address6",
  address: string | undefined,
  segment: string | undefined,
): Partial<Pick<DeviceConfig, "address4" | "address6">> {
  const prefixBits = parseNetwork(segment ?? "")?.prefixBits;
  if (address === undefined || prefixBits === undefined) return {};
  return { [field]: { address, prefixBits } };
}

function securityOf(
  tunnel: VpnTunnel,
  credentials: GatewayCredentials,
): Omit<SecurityConfig, "dataCiphers" | "crlPem"> {
  const { controlWrap, tlsVersionMin } = tunnel.spec.security;
  const key = credentials.wrapKey;
  const wraps: Readonly<Record<string, SecurityConfig["wrap"]>> = {
    TlsCryptV2: { kind: "TlsCryptV2Server", serverKey: credentials.serverWrapKey },
    TlsCrypt: { kind: "TlsCrypt", key },
    TlsAuth: { kind: "TlsAuth", key, direction: 0, digest: TLS_AUTH_DIGEST },
  };
  return {
    wrap: wraps[controlWrap] ?? { kind: "None" },
    identity: credentials.gateway,
    caPem: credentials.authorityPem,
    peerFingerprints: [],
    remoteCertTls: "client",
    tlsVersionMin,
  };
}

/** The administrator's own authority; a text is a problem. */
function ownAuthority(tunnel: VpnTunnel, documents: Documents): KeyPair | string | undefined {
  const reference = tunnel.spec.security.caSecretRef;
  if (reference === undefined) return undefined;
  const field = "spec.security.caSecretRef";
  const at = { namespace: tunnel.metadata.namespace, name: reference.name };
  const certificate = secretText(documents, { ...at, key: "tls.crt" }, field);
  if (!certificate.ok) return certificate.problem;
  const key = secretText(documents, { ...at, key: "tls.key" }, field);
  if (!key.ok) return key.problem;
  const pair = { certificatePem: certificate.text, privateKeyPem: key.text };
  try {
    if (!isPair(pair))
      return `${field}: tls.key does not belong to tls.crt: take both from the same authority`;
    if (!readCertificate(pair.certificatePem).isAuthority) {
      return `${field}: tls.crt is not an authority's certificate (CA:TRUE): name the authority's own`;
    }
  } catch (error) {
    if (error instanceof CertificateError) return `${field}: ${error.message}`;
    throw error;
  }
  return pair;
}

/** Only where cert-manager runs is there somebody to ask. */
function issuerProblem(tunnel: VpnTunnel): string | undefined {
  if (tunnel.spec.security.issuerRef === undefined) return undefined;
  return "spec.security.issuerRef: cert-manager is asked by the operator, in a cluster: remove it, and name the Secret of an authority in caSecretRef, or have one made";
}

/** The revocation list; a text alone is a problem. */
function ownCrl(
  tunnel: VpnTunnel,
  documents: Documents,
): { readonly text: string } | string | undefined {
  const reference = tunnel.spec.security.crlSecretRef;
  if (reference === undefined) return undefined;
  const field = "spec.security.crlSecretRef";
  const found = secretText(
    documents,
    { namespace: tunnel.metadata.namespace, ...reference },
    field,
  );
  if (!found.ok) return found.problem;
  if (found.text.includes("-----BEGIN X509 CRL-----")) return readableCrl(found.text, field);
  return `${field}: ${reference.key} is not a revocation list: expected a PEM block -----BEGIN X509 CRL-----`;
}

function readableCrl(text: string, field: string): { readonly text: string } | string {
  try {
    revokedSerials(text);
    return { text };
  } catch (error) {
    if (error instanceof CertificateError) return `${field}: ${error.message}`;
    throw error;
  }
}

interface Given {
  /** Peers without the ones that have problems. */
  readonly peers: readonly PeerOfTunnel[];
  readonly addresses4: ReadonlyMap<string, string>;
  readonly addresses6: ReadonlyMap<string, string>;
  readonly problems: readonly string[];
  readonly peerProblems: readonly DocumentProblem[];
}

/** Gives addresses and remembers them, under the store's lock. */
async function giveAddresses(store: Store, own: TunnelWithPeers): Promise<Given> {
  return await store.locked(async () => {
    const former = parseGiven(await store.read("addresses.json"));
    const answer4 = answerFor(4, own, former.address4);
    const answer6 = answerFor(6, own, former.address6);
    const kept = {
      address4: { ...former.address4, ...Object.fromEntries(answer4.given) },
      address6: { ...former.address6, ...Object.fromEntries(answer6.given) },
    };
    const text = `${JSON.stringify(kept, undefined, 2)}\n`;
    if (text !== (await store.read("addresses.json"))) await store.write("addresses.json", text);
    return sortProblems(own, answer4, answer6);
  });
}

function sortProblems(own: TunnelWithPeers, answer4: PoolAnswer, answer6: PoolAnswer): Given {
  const all = [...answer4.problems, ...answer6.problems];
  const failed = new Set(all.map((problem) => problem.peer));
  return {
    peers: own.peers.filter(({ peer }) => !failed.has(peer.metadata.name)),
    addresses4: answer4.given,
    addresses6: answer6.given,
    problems: all.flatMap((problem) =>
      problem.peer === undefined ? [`spec.addresses: ${problem.text}`] : [],
    ),
    peerProblems: own.peers.flatMap((placed) =>
      all
        .filter((problem) => problem.peer === placed.peer.metadata.name)
        .map((problem) => peerProblem(placed, problem.text)),
    ),
  };
}

function answerFor(
  family: 4 | 6,
  own: TunnelWithPeers,
  former: Readonly<Record<string, string>>,
): PoolAnswer {
  const addresses = own.tunnel.spec.addresses;
  const segment = family === 4 ? addresses?.segment : addresses?.segment6;
  const pool = family === 4 ? addresses?.pool : addresses?.pool6;
  const ours = family === 4 ? addresses?.gateway : addresses?.gateway6;
  const wanted = own.peers.filter(({ peer }) => peer.spec.addressing === "Assigned");
  const peers = wanted.map(({ peer }) => {
    const fixed = family === 4 ? peer.spec.address : peer.spec.address6;
    return fixed === undefined ? { name: peer.metadata.name } : { name: peer.metadata.name, fixed };
  });
  if (segment === undefined) {
    const text = `the tunnel has no addresses.segment${family === 4 ? "" : "6"}: add it, or remove the fixed address`;
    const problems = peers
      .filter((peer) => "fixed" in peer)
      .map(({ name }) => ({ peer: name, text }));
    return { given: new Map(), problems };
  }
  return assignAddresses({
    segment,
    ...(pool === undefined ? {} : { pool }),
    ...(ours === undefined ? {} : { own: ours }),
    peers,
    former: new Map(Object.entries(former)),
  });
}

interface GivenFile {
  readonly address4: Readonly<Record<string, string>>;
  readonly address6: Readonly<Record<string, string>>;
}

/** A damaged file means that nothing was given: addresses may change, but nothing stops. */
function parseGiven(text: string | undefined): GivenFile {
  try {
    const value = JSON.parse(text ?? "{}") as Partial<Record<keyof GivenFile, unknown>> | null;
    return { address4: textsOf(value?.address4), address6: textsOf(value?.address6) };
  } catch (error) {
    if (error instanceof SyntaxError) return { address4: {}, address6: {} };
    throw error;
  }
}

function textsOf(value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null) return {};
  const entries = Object.entries(value).filter(([, text]) => typeof text === "string");
  return Object.fromEntries(entries) as Record<string, string>;
}

function addressNotes(tunnel: VpnTunnel, peers: readonly PeerConfig[]): string[] {
  const addresses = tunnel.spec.addresses;
  if (addresses?.segment === undefined || addresses.pool !== undefined) return [];
  const without = peers.filter((peer) => peer.address4 === undefined).map((peer) => peer.name);
  if (without.length === 0) return [];
  return [
    `no IPv4 address for ${without.join(", ")}: fine if they bridge; else add spec.addresses.pool or a fixed address`,
  ];
}
