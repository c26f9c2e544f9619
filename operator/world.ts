/**
 * What the operator knows of the cluster: one informer for each kind it reads. Reconcilers read
 * here, and only here; a Secret that a user made is asked for by name, never watched with all others.
 */
import type { UplinkSet, VpnPeer, VpnTunnel } from "../crds/types.ts";
import type { Api } from "./api/api-client.ts";
import type { KubeObject, ResourceKind } from "./api/object.ts";
import * as kinds from "./api/object.ts";
import type { ChildKind } from "./apply/children.ts";
import type { Clock } from "./clock.ts";
import type { CertificateObject } from "./reconcile/issuer/certificate.ts";
import {
  ATTACHED_LABEL,
  GATEWAYS_SELECTOR,
  MANAGED_SELECTOR,
  tunnelOf,
} from "./reconcile/labels.ts";
import type { SecretObject } from "./reconcile/secret-data.ts";
import type { Condition } from "./status/conditions.ts";
import { Informer, type InformerOptions } from "./watch/informer.ts";
import { Several, type Watched } from "./watch/several.ts";

/** A resource as the API server gives it, with what the operator reads of its metadata. */
export type Live<Resource> = Omit<Resource, "metadata" | "status"> &
  KubeObject & { readonly status?: { readonly conditions?: readonly Condition[] } };

/** A StatefulSet's figures. */
export interface StatefulSetObject extends KubeObject {
  readonly spec?: { readonly replicas?: number };
  readonly status?: { readonly replicas?: number; readonly readyReplicas?: number };
}

/** A Service with the addresses it got. */
export interface ServiceObject extends KubeObject {
  readonly spec?: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly ports?: readonly { readonly port: number; readonly nodePort?: number }[];
  };
  readonly status?: {
    readonly loadBalancer?: {
      readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[];
    };
  };
}

/** A Lease as an address claim. */
export interface ClaimObject extends KubeObject {
  readonly spec?: { readonly holderIdentity?: string };
}

/** A container or a volume of a pod: only its name matters to most. */
export interface Named {
  readonly name: string;
  readonly [field: string]: unknown;
}

/** A pod, as far as it is read. */
export interface PodObject extends KubeObject {
  readonly spec?: {
    readonly hostNetwork?: boolean;
    readonly nodeName?: string;
    readonly containers?: readonly Named[];
    readonly initContainers?: readonly Named[];
    readonly volumes?: readonly Named[];
    readonly imagePullSecrets?: readonly { readonly name: string }[];
  };
  readonly status?: { readonly phase?: string };
}

/** What the informers are made with. */
export type WorldOptions = Pick<InformerOptions<KubeObject>, "api" | "clock" | "troubled"> & {
  readonly api: Api;
  readonly clock: Clock;
  /** Empty: all of them. */
  readonly namespaces: readonly string[];
  readonly usesCertManager: boolean;
};

/** All informers. */
export class World {
  readonly tunnels: Watched<Live<VpnTunnel>>;
  readonly peers: Watched<Live<VpnPeer>>;
  readonly uplinkSets: Watched<Live<UplinkSet>>;
  readonly secrets: Watched<SecretObject>;
  readonly services: Watched<ServiceObject>;
  readonly statefulSets: Watched<StatefulSetObject>;
  readonly claims: Watched<ClaimObject>;
  /** Pods that were attached, and of them only what is needed to give them a peer. */
  readonly pods: Watched<PodObject>;
  /** Pods of gateways, and of them only what says which networks they have. */
  readonly gatewayPods: Watched<PodObject>;
  /** The kinds that tunnels own. */
  readonly childKinds: readonly ChildKind[];
  /** Certificates of ours, where cert-manager is to be used; its kinds may not be installed. */
  readonly certificates: Watched<CertificateObject> | undefined;
  readonly all: readonly Watched<KubeObject>[];

  constructor(options: WorldOptions) {
    const whole = <Item extends KubeObject>(kind: ResourceKind): Watched<Item> =>
      watched<Item>(options, { selection: { kind } });
    const managed = <Item extends KubeObject>(kind: ResourceKind): Watched<Item> =>
      watched<Item>(options, { selection: { kind, labelSelector: MANAGED_SELECTOR } });
    this.tunnels = whole(kinds.VPN_TUNNEL);
    this.peers = whole(kinds.VPN_PEER);
    this.uplinkSets = whole(kinds.UPLINK_SET);
    this.secrets = managed(kinds.SECRET);
    this.services = managed(kinds.SERVICE);
    this.statefulSets = managed(kinds.STATEFUL_SET);
    this.claims = managed(kinds.LEASE);
    this.pods = watched<PodObject>(options, {
      selection: { kind: kinds.POD, labelSelector: `${ATTACHED_LABEL}=true` },
      trim: ({ metadata, status }) => ({
        metadata,
        ...(status?.phase === undefined ? {} : { status: { phase: status.phase } }),
      }),
    });
    this.gatewayPods = watched<PodObject>(options, {
      selection: { kind: kinds.POD, labelSelector: GATEWAYS_SELECTOR },
      trim: ({ metadata, spec, status }) => ({
        metadata,
        ...(spec?.nodeName === undefined ? {} : { spec: { nodeName: spec.nodeName } }),
        ...(status?.phase === undefined ? {} : { status: { phase: status.phase } }),
      }),
    });
    const rest = [
      kinds.SERVICE_ACCOUNT,
      kinds.ROLE,
      kinds.ROLE_BINDING,
      kinds.NETWORK_POLICY,
      kinds.DISRUPTION_BUDGET,
    ];
    this.certificates = options.usesCertManager
      ? managed<CertificateObject>(kinds.CERTIFICATE)
      : undefined;
    this.childKinds = [
      { kind: kinds.SECRET, informer: this.secrets },
      { kind: kinds.SERVICE, informer: this.services },
      { kind: kinds.STATEFUL_SET, informer: this.statefulSets },
      ...rest.map((kind) => ({ kind, informer: managed<KubeObject>(kind) })),
      ...(this.certificates ? [{ kind: kinds.CERTIFICATE, informer: this.certificates }] : []),
    ];
    const children = this.childKinds.map(({ informer }) => informer as Watched<KubeObject>);
    const read = [this.tunnels, this.peers, this.uplinkSets, this.claims];
    this.all = [...read, this.pods, this.gatewayPods, ...children].map(
      (informer) => informer as unknown as Watched<KubeObject>,
    );
  }

  /** Resolves when every informer has its first list, but for kinds that are not installed. */
  async synced(): Promise<void> {
    const optional: unknown = this.certificates;
    const first = this.all.map((one) => (one === optional ? one.attempted : one.synced));
    await Promise.all(first);
  }

  /** Keeps all copies until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.all.map((informer) => informer.run(signal)));
  }

  /** The pods of a tunnel's gateway that are not about to go. */
  gatewayPodsOf(tunnel: { readonly namespace: string; readonly name: string }): PodObject[] {
    return [...this.gatewayPods.values()].filter(
      ({ metadata }) =>
        metadata.namespace === tunnel.namespace &&
        tunnelOf(metadata) === tunnel.name &&
        metadata.deletionTimestamp === undefined,
    );
  }

  /** The peers of a tunnel. */
  peersOf(tunnel: { readonly namespace: string; readonly name: string }): Live<VpnPeer>[] {
    return [...this.peers.values()].filter(
      ({ metadata, spec }) =>
        metadata.namespace === tunnel.namespace && spec.tunnel.name === tunnel.name,
    );
  }
}

/** One informer for the cluster, or one for each namespace that may be seen. */
function watched<Item extends KubeObject>(
  { namespaces, ...options }: WorldOptions,
  what: Pick<InformerOptions<Item>, "selection" | "trim">,
): Watched<Item> {
  if (namespaces.length === 0) return new Informer<Item>({ ...options, ...what });
  const parts = namespaces.map((namespace): [string, Watched<Item>] => {
    const selection = { ...what.selection, namespace };
    return [namespace, new Informer<Item>({ ...options, ...what, selection })];
  });
  return new Several(what.selection, new Map(parts));
}
