/**
 * What the sidecar of an attached pod reads: its tunnel as a dialling one, and the profile it dials
 * with, as the documents that `fairlead up -f` takes. It reaches every replica of the gateway by its
 * own name, without the Service in front: that one follows a failover only later. Pure.
 */
import type { VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import type { Live, ServiceObject } from "../../world.ts";
import { profileSecretName, replicaHosts } from "../labels.ts";
import { replicasOf } from "../vpn-tunnel/gateway-pod.ts";
import { PROFILE_KEYS } from "./credentials.ts";
import type { Remote } from "./profile.ts";

/** Whether a peer belongs to a pod. */
export function isPodPeer(peer: Live<VpnPeer>): boolean {
  return peer.metadata.ownerReferences?.some(({ kind }) => kind === "Pod") === true;
}

/** Where a pod reaches the gateway: each replica, and the Service for pods without the cluster's DNS. */
export function insideRemotes(
  tunnel: Live<VpnTunnel>,
  service: ServiceObject | undefined,
): readonly Remote[] {
  const { name, namespace = "" } = tunnel.metadata;
  const port = tunnel.spec.listen?.port ?? 0;
  const hosts = replicaHosts({ name, namespace }, replicasOf(tunnel.spec));
  const front = service?.spec?.clusterIP;
  const isUsable = front !== undefined && front !== "" && front !== "None";
  return [...hosts, ...(isUsable ? [front] : [])].map((host) => ({ host, port }));
}

/** The documents as one text. */
export function podDocuments(
  tunnel: Live<VpnTunnel>,
  peer: Live<VpnPeer>,
  profile: string,
): string {
  const { name, namespace } = tunnel.metadata;
  const { link, mode, multicast, workloads } = tunnel.spec;
  const secretName = profileSecretName(peer.metadata.name);
  const key = PROFILE_KEYS.profile;
  const documents = [
    {
      apiVersion: tunnel.apiVersion ?? "fairlead.dev/v1alpha1",
      kind: "VpnTunnel",
      metadata: { name, namespace },
      spec: {
        mode,
        link,
        dial: { profileSecretRef: { name: secretName, key } },
        workloads: workloads?.interface === undefined ? {} : { interface: workloads.interface },
        multicast: { routes: multicast.routes },
      },
    },
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: secretName, namespace },
      stringData: { [key]: profile },
    },
  ];
  return documents.map((document) => `${JSON.stringify(document, undefined, 1)}\n`).join("---\n");
}
