/**
 * What `status`, `doctor` and `profile` read of a cluster, with the rights of whoever calls them.
 * Invariant: what may not be read is said, and never taken for "there is none".
 */
import type { UplinkSet, VpnPeer, VpnTunnel } from "../crds/types.ts";
import { ApiClient } from "../operator/api/api-client.ts";
import { ApiError } from "../operator/api/api-error.ts";
import { loadKubeConfig } from "../operator/api/kube-config.ts";
import type { KubeObject, ResourceKind } from "../operator/api/object.ts";
import * as kinds from "../operator/api/object.ts";
import { SYSTEM_CLOCK } from "../operator/clock.ts";
import { profileSecretName } from "../operator/reconcile/labels.ts";
import { type SecretObject, secretTextOf } from "../operator/reconcile/secret-data.ts";
import { listAll } from "../operator/watch/list-all.ts";

/** Which cluster, and which part of it. */
export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly namespace?: string;
  readonly allNamespaces?: true;
}

/** How a container ended. */
export interface ContainerEnd {
  readonly exitCode?: number;
  /** The kubelet's word for it. */
  readonly reason?: string;
  /** The end of its log. */
  readonly message?: string;
}

/** A container's state, as far as it is read. */
export interface ContainerState {
  readonly name: string;
  readonly state?: { readonly terminated?: ContainerEnd; readonly running?: object };
  readonly lastState?: { readonly terminated?: ContainerEnd };
}

/** A pod with its containers' states. */
export interface PodFacts extends KubeObject {
  readonly status?: {
    readonly containerStatuses?: readonly ContainerState[];
    readonly initContainerStatuses?: readonly ContainerState[];
  };
}

/** An event of events.k8s.io. */
export interface EventFacts extends KubeObject {
  readonly type?: string;
  readonly reason?: string;
  readonly note?: string;
  readonly regarding?: { readonly kind?: string; readonly name?: string };
}

/** One entry of a webhook configuration. */
export interface WebhookFacts extends KubeObject {
  readonly webhooks?: readonly {
    readonly name: string;
    readonly clientConfig: {
      readonly service?: { readonly name: string; readonly namespace: string };
    };
  }[];
}

/** Where a Service leads. */
export interface EndpointsFacts extends KubeObject {
  readonly endpoints?: readonly { readonly conditions?: { readonly ready?: boolean } }[] | null;
}

/** Everything that is looked at. */
export interface ClusterFacts {
  readonly tunnels: readonly VpnTunnel[];
  readonly peers: readonly VpnPeer[];
  readonly uplinkSets: readonly UplinkSet[];
  readonly pods: readonly PodFacts[];
  readonly events: readonly EventFacts[];
  readonly webhooks: readonly WebhookFacts[];
  /** Of the webhook's Services, by `namespace/name`; absent: it may not be read. */
  readonly endpoints: ReadonlyMap<string, readonly EndpointsFacts[]>;
  /** What may not be read, in words. */
  readonly hidden: readonly string[];
}

/** A connection to the cluster of the flags. */
export interface Cluster {
  readonly api: ApiClient;
  /** Absent: all namespaces. */
  readonly namespace?: string;
}

const ENDPOINT_SLICE: ResourceKind = {
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  plural: "endpointslices",
};
const FORBIDDEN = 403;
const NOT_FOUND = 404;
const NAMESPACE_DEFAULT = "default";

/** The cluster that kubectl would talk to. */
export function openCluster(flags: ClusterFlags): Cluster {
  const config = loadKubeConfig(flags.kubeconfig);
  const context = config.getContextObject(config.getCurrentContext());
  const namespace = flags.namespace ?? context?.namespace ?? NAMESPACE_DEFAULT;
  const api = new ApiClient(config, SYSTEM_CLOCK);
  return flags.allNamespaces === true ? { api } : { api, namespace };
}

/** Reads everything. */
export async function readFacts(cluster: Cluster): Promise<ClusterFacts> {
  const hidden: string[] = [];
  const list = async <Item extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined = cluster.namespace,
    labelSelector?: string,
  ): Promise<readonly Item[] | undefined> => {
    try {
      const place = namespace === undefined ? {} : { namespace };
      const labels = labelSelector === undefined ? {} : { labelSelector };
      return (await listAll<Item>(cluster.api, { kind, ...place, ...labels })).items;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== FORBIDDEN) throw error;
      hidden.push(`${kind.plural} of ${namespace ?? "the cluster"}`);
      return undefined;
    }
  };
  const webhooks = await readWebhooks(cluster, hidden);
  const endpoints = new Map<string, readonly EndpointsFacts[]>();
  for (const { namespace, name } of servicesOf(webhooks)) {
    const selector = `kubernetes.io/service-name=${name}`;
    const found = await list<EndpointsFacts>(ENDPOINT_SLICE, namespace, selector);
    if (found !== undefined) endpoints.set(`${namespace}/${name}`, found);
  }
  return {
    tunnels: (await list<KubeObject & VpnTunnel>(kinds.VPN_TUNNEL)) ?? [],
    peers: (await list<KubeObject & VpnPeer>(kinds.VPN_PEER)) ?? [],
    uplinkSets: (await list<KubeObject & UplinkSet>(kinds.UPLINK_SET)) ?? [],
    pods: (await list<PodFacts>(kinds.POD)) ?? [],
    events: (await list<EventFacts>(kinds.EVENT)) ?? [],
    webhooks,
    endpoints,
    hidden,
  };
}

/** A peer's profile, or why there is none. */
export async function readProfile(
  { api, namespace = NAMESPACE_DEFAULT }: Cluster,
  peer: string,
): Promise<{ readonly text: string } | { readonly text?: never; readonly problem: string }> {
  const name = profileSecretName(peer);
  try {
    const path = kinds.pathOf(kinds.SECRET, { namespace, name });
    const secret = await api.call<SecretObject>({ method: "GET", path });
    const text = secretTextOf(secret, "client.ovpn");
    if (text !== undefined) return { text };
    const problem = `the Secret ${namespace}/${name} has no profile yet: kubectl -n ${namespace} describe vp ${peer} says why`;
    return { problem };
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== NOT_FOUND) throw error;
    const problem = `there is no profile of a VpnPeer ${namespace}/${peer}: kubectl -n ${namespace} get vp shows those there are`;
    return { problem };
  }
}

async function readWebhooks(cluster: Cluster, hidden: string[]): Promise<readonly WebhookFacts[]> {
  try {
    const { items } = await listAll<WebhookFacts>(cluster.api, { kind: kinds.MUTATING_WEBHOOKS });
    return items;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== FORBIDDEN) throw error;
    hidden.push("webhook configurations");
    return [];
  }
}

/** The end of every name of ours in a webhook configuration. */
export const WEBHOOK_SUFFIX = ".attach.fairlead.dev";

function servicesOf(
  webhooks: readonly WebhookFacts[],
): readonly { readonly namespace: string; readonly name: string }[] {
  const ours = webhooks
    .flatMap((one) => one.webhooks ?? [])
    .filter(({ name }) => name.endsWith(WEBHOOK_SUFFIX));
  const places = ours.flatMap(({ clientConfig }) => clientConfig.service ?? []);
  return [...new Map(places.map((one) => [`${one.namespace}/${one.name}`, one])).values()];
}
