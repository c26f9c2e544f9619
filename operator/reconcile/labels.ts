/** Names and labels of what the operator makes, in one place, so that everything can be found. */
import { createHash } from "node:crypto";
import type { ObjectMeta } from "../api/object.ts";

/** Everything of ours carries this label. */
const MANAGED_BY = "app.kubernetes.io/managed-by";
const MANAGED_BY_VALUE = "fairlead";
export const MANAGED_SELECTOR: string = `${MANAGED_BY}=${MANAGED_BY_VALUE}`;

/** The tunnel and the peer that an object belongs to. */
export const TUNNEL_LABEL = "fairlead.dev/tunnel";
export const PEER_LABEL = "fairlead.dev/peer";

/** Pods that were attached carry it. */
export const ATTACHED_LABEL = "fairlead.dev/attached";

/** Labels of every object that belongs to a tunnel. */
export function tunnelLabels(tunnel: string): Record<string, string> {
  return {
    "app.kubernetes.io/name": "fairlead",
    [MANAGED_BY]: MANAGED_BY_VALUE,
    [TUNNEL_LABEL]: tunnel,
  };
}

/** Labels of the gateway's pods, by which Service and policies select them. */
export function gatewaySelector(tunnel: string): Record<string, string> {
  return { "app.kubernetes.io/component": "gateway", [TUNNEL_LABEL]: tunnel };
}

/** Pods of all gateways, as a selector. */
export const GATEWAYS_SELECTOR: string = `app.kubernetes.io/component=gateway,${MANAGED_SELECTOR}`;

/** Names of a tunnel's objects. */
export function gatewayName(tunnel: string): string {
  return `${tunnel}-gateway`;
}

/** Names of the replicas of a gateway, in the cluster's DNS. */
export function replicaHosts(
  tunnel: { readonly name: string; readonly namespace: string },
  replicas: number,
): readonly string[] {
  const gateway = gatewayName(tunnel.name);
  return Array.from(
    { length: replicas },
    (_, index) => `${gateway}-${index}.${gateway}-pods.${tunnel.namespace}.svc`,
  );
}

/** The Secret with the tunnel's own authority; the gateway never reads it. */
export function authoritySecretName(tunnel: string): string {
  return `${tunnel}-authority`;
}

/** The Secret with a peer's profile. */
export function profileSecretName(peer: string): string {
  return `${peer}-profile`;
}

/** The Certificate of a tunnel's gateway. */
export function gatewayCertificateName(tunnel: string): string {
  return gatewayName(tunnel);
}

/**
 * The Certificate of a peer. A peer made anew under its old name has another: what was issued for
 * its forerunner is never its own.
 */
export function peerCertificateName({ name, uid = "" }: ObjectMeta): string {
  const mark = createHash("sha256").update(uid).digest("hex").slice(0, 8);
  return `${profileSecretName(name)}-${mark}`;
}

/** The Secret that cert-manager writes for a Certificate of ours. */
export function issuedSecretName(certificate: string): string {
  return `${certificate}-tls`;
}

/** The tunnel that an object says it belongs to. */
export function tunnelOf(metadata: ObjectMeta): string | undefined {
  return metadata.labels?.[TUNNEL_LABEL];
}
