/** Which certificates a tunnel with an issuer asks for: its gateway's, and one for each peer. Pure. */
import type { VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import { VPN_PEER, VPN_TUNNEL } from "../../api/object.ts";
import { ownerReference } from "../../apply/children.ts";
import type { Live } from "../../world.ts";
import {
  gatewayCertificateName,
  PEER_LABEL,
  peerCertificateName,
  tunnelLabels,
} from "../labels.ts";
import { GATEWAY_COMMON_NAME } from "../vpn-tunnel/credentials.ts";
import type { CertificateWish } from "./certificate.ts";

/** As a peer's by default: it is taken without a dropped frame, so there is no reason for a longer one. */
const GATEWAY_LIFETIME_DAYS = 90;
const GATEWAY_RENEW_BEFORE_DAYS = 30;

/** Of the gateway; undefined: the tunnel names no issuer. */
export function gatewayWish(
  tunnel: Live<VpnTunnel>,
  trustedPem: string | undefined,
): CertificateWish | undefined {
  const { name, namespace = "" } = tunnel.metadata;
  const issuer = tunnel.spec.security.issuerRef;
  if (issuer === undefined) return undefined;
  return {
    ...{ owner: ownerReference(VPN_TUNNEL, tunnel), namespace, tunnel: name, issuer },
    name: gatewayCertificateName(name),
    labels: tunnelLabels(name),
    commonName: GATEWAY_COMMON_NAME,
    use: "server",
    lifetimeDays: GATEWAY_LIFETIME_DAYS,
    renewBeforeDays: GATEWAY_RENEW_BEFORE_DAYS,
    ...(trustedPem === undefined ? {} : { trustedPem }),
  };
}

/** Of a peer. */
export function peerWish(gateway: CertificateWish, peer: Live<VpnPeer>): CertificateWish {
  const { name } = peer.metadata;
  return {
    ...gateway,
    owner: ownerReference(VPN_PEER, peer),
    name: peerCertificateName(peer.metadata),
    labels: { ...gateway.labels, [PEER_LABEL]: name },
    commonName: name,
    use: "client",
    ...peer.spec.certificate,
  };
}
