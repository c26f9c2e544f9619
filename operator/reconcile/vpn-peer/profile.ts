/** A peer's complete client profile from its tunnel, its keys and its addresses. Pure. */
import {
  type ProfileMulticast,
  type ProfileWrap,
  printProfile,
} from "../../../authority/profile.ts";
import { parseStaticKey } from "../../../authority/static-key.ts";
import { parseClientWrapKey } from "../../../authority/tls-crypt-v2.ts";
import { formatAddress, networkRange, parseNetwork } from "../../../crds/ip-network.ts";
import type { VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import type { Live, ServiceObject } from "../../world.ts";
import { GATEWAY_COMMON_NAME } from "../vpn-tunnel/credentials.ts";
import type { Claimed } from "./address-claim.ts";
import type { PeerKeys } from "./credentials.ts";

/** Where peers reach a tunnel. */
export interface Remote {
  readonly host: string;
  readonly port: number;
}

/** Everything a profile is made from. */
export interface ProfileInput {
  readonly tunnel: Live<VpnTunnel>;
  readonly peer: Live<VpnPeer>;
  readonly claimed: Claimed;
  readonly remotes: readonly Remote[];
  readonly keys: PeerKeys;
  readonly authorityPem: string;
  readonly wrapKeyText: string;
}

/** The digest of tls-auth, as the gateway has it. */
const TLS_AUTH_DIGEST = "SHA256";

/** The profile's text; it holds the peer's private key. */
export function profileText(input: ProfileInput): string {
  const { tunnel, peer, keys } = input;
  const { listen, security, transport, workloads } = tunnel.spec;
  const { name, namespace = "" } = tunnel.metadata;
  return printProfile({
    tunnel: { namespace, name },
    peer: peer.metadata.name,
    remotes: input.remotes,
    order: listen?.order ?? "Listed",
    device: tunnel.spec.mode === "Routed" ? "tun" : "tap",
    protocol: transport.protocol ?? "Udp",
    ...(workloads?.interface === undefined ? {} : { interfaceName: workloads.interface }),
    authorityPem: input.authorityPem,
    pair: keys.pair,
    serverName: GATEWAY_COMMON_NAME,
    wrap: wrapOf(input),
    dataCiphers: security.dataCiphers,
    asksUserPass: security.userPassSecretRef !== undefined || security.userPassSocket !== undefined,
    mtu: transport.mtu,
    mssFixBytes: transport.mssFixBytes,
    ...(transport.fragmentBytes === undefined ? {} : { fragmentBytes: transport.fragmentBytes }),
    replayWindow: transport.replayWindow,
    multicast: multicastOf(input),
  });
}

/** The advertised addresses, or those that the Service got. */
export function remotesOf(
  tunnel: Live<VpnTunnel>,
  service: ServiceObject | undefined,
): readonly Remote[] {
  const { listen } = tunnel.spec;
  const port = listen?.port ?? 0;
  if (listen?.advertise !== undefined) {
    return listen.advertise.map((one) => ({ host: one.host, port: one.port ?? port }));
  }
  const ingress = service?.status?.loadBalancer?.ingress ?? [];
  const hosts = ingress.flatMap(({ hostname, ip }) => hostname ?? ip ?? []);
  if (hosts.length > 0) return hosts.map((host) => ({ host, port }));
  const inside = listen?.service?.type === "ClusterIP" ? service?.spec?.clusterIP : undefined;
  return inside === undefined ? [] : [{ host: inside, port }];
}

function wrapOf({ tunnel, keys, wrapKeyText }: ProfileInput): ProfileWrap {
  switch (tunnel.spec.security.controlWrap) {
    case "None":
      return { kind: "None" };
    case "TlsAuth":
      return { kind: "TlsAuth", key: parseStaticKey(wrapKeyText), digest: TLS_AUTH_DIGEST };
    case "TlsCrypt":
      return { kind: "TlsCrypt", key: parseStaticKey(wrapKeyText) };
    case "TlsCryptV2":
      return { kind: "TlsCryptV2", key: parseClientWrapKey(keys.wrapKeyText) };
  }
}

function multicastOf({ tunnel, peer, claimed }: ProfileInput): ProfileMulticast {
  const { addresses, multicast } = tunnel.spec;
  const address4 = otherAddress(addresses?.segment, claimed.address);
  const address6 = otherAddress(addresses?.segment6, claimed.address6);
  return {
    bridges: peer.spec.addressing === "None",
    routes: multicast.routes,
    ...(address4 === undefined ? {} : { anyAddress4: address4 }),
    ...(address6 === undefined ? {} : { anyAddress6: address6 }),
  };
}

/** The lowest host address of the segment but the peer's own. */
function otherAddress(segment: string | undefined, own: string | undefined): string | undefined {
  const network = parseNetwork(segment ?? "");
  if (network === undefined || own === undefined) return undefined;
  const { family } = network.address;
  const { first } = networkRange(network);
  const lowest = formatAddress({ family, value: first + 1n });
  return lowest === own ? formatAddress({ family, value: first + 2n }) : lowest;
}
