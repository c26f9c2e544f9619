/**
 * Joins the informers, the queue and the reconcilers: which keys a change concerns. Invariant: a
 * change of anything that a reconcile reads brings back every key whose result may differ.
 */
import type { VpnPeer, VpnTunnel } from "../crds/types.ts";
import { type KubeObject, keyOf, type ObjectKey } from "./api/object.ts";
import { attachmentsOf, attachmentText } from "./attach/attachments.ts";
import type { Clock } from "./clock.ts";
import * as limits from "./limits.ts";
import type { Metrics } from "./metrics/metrics.ts";
import { WorkQueue, type WorkResult } from "./queue/work-queue.ts";
import {
  authoritySecretName,
  gatewayCertificateName,
  gatewayName,
  issuedSecretName,
  PEER_LABEL,
  tunnelOf,
} from "./reconcile/labels.ts";
import type { Reconciler } from "./reconcile/reconciler.ts";
import { uplinksText } from "./reconcile/uplink-set/reported.ts";
import { isConnected } from "./reconcile/vpn-peer/status.ts";
import { NETWORK_STATUS_ANNOTATION, NETWORKS_ANNOTATION } from "./reconcile/vpn-tunnel/networks.ts";
import { segmentOf } from "./reconcile/vpn-tunnel/segment-news.ts";
import { REPORTED, reportedOf } from "./reconcile/vpn-tunnel/status.ts";
import type { Live, PodObject, World } from "./world.ts";

/** Reconcilers by the first part of a key: `VpnTunnel lab/testbed-a`. */
export type Reconcilers = Readonly<
  Record<"VpnTunnel" | "VpnPeer" | "UplinkSet" | "Pod" | "Webhook", Reconciler>
>;

/** The one key of the webhook's configuration: it is about all tunnels. */
const WEBHOOK_KEY = "Webhook all";

/** What the controller is made with. */
export interface ControllerOptions {
  readonly clock: Clock;
  readonly world: World;
  readonly reconcilers: Reconcilers;
  readonly metrics: Metrics;
  readonly failed: (key: string, error: unknown, delayMs: number) => void;
}

/** The controller. It works from `start` to `stop`, once. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #queue: WorkQueue;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      clock: options.clock,
      retry: { minMs: limits.RETRY_MS_MIN, maxMs: limits.RETRY_MS_MAX },
      workersMax: limits.WORKERS_MAX,
      work: (key) => this.#work(key),
      failed: (key, error, delayMs) => {
        options.metrics.count("fairlead_reconcile_failures_total", { kind: splitWork(key).kind });
        options.failed(key, error, delayMs);
      },
    });
    this.#connect(options.world);
    options.metrics.gauge("fairlead_queue_keys", () => {
      const { delayed, waiting, working } = this.#queue.figures;
      return [
        [{ state: "waiting" }, waiting],
        [{ state: "working" }, working],
        [{ state: "delayed" }, delayed],
      ];
    });
  }

  /** The API server is to believe another authority of our webhook. */
  webhookChanged(): void {
    this.#queue.add(WEBHOOK_KEY);
  }

  /** Begins; the informers have been read by now. */
  start(): void {
    this.#queue.add(WEBHOOK_KEY);
    this.#queue.start();
  }

  /** Ends when the work under way has ended. */
  async stop(): Promise<void> {
    await this.#queue.stop();
  }

  async #work(key: string): Promise<WorkResult> {
    const { clock, metrics, reconcilers } = this.#options;
    const { kind, object } = splitWork(key);
    const startedMs = clock.nowMs();
    try {
      return await reconcilers[kind].reconcile(object);
    } finally {
      const seconds = (clock.nowMs() - startedMs) / 1000;
      metrics.observe("fairlead_reconcile_seconds", { kind }, seconds);
    }
  }

  #connect(world: World): void {
    world.tunnels.onChange((key, { former, current }) => this.#onTunnel(key, former, current));
    world.peers.onChange((key, { former, current }) => this.#onPeer(key, former, current));
    world.uplinkSets.onChange((key, { former, current }) => {
      if (isSameSpec(former, current)) return;
      this.#queue.add(`UplinkSet ${key}`);
      const [namespace = "", name = ""] = key.split("/");
      for (const tunnel of world.tunnels.values()) {
        if (tunnel.metadata.namespace !== namespace || tunnel.spec.uplinks?.name !== name) continue;
        this.#queue.add(`VpnTunnel ${keyOf(tunnel)}`);
      }
    });
    world.pods.onChange((key, { current, former }) => {
      // A pod's status changes often; only its end concerns us.
      if (former !== undefined && current !== undefined && isSamePod(former, current)) return;
      this.#queue.add(`Pod ${key}`);
    });
    world.gatewayPods.onChange((_, { current, former }) => {
      if (networksText(former) === networksText(current)) return;
      const { metadata } = current ?? former ?? {};
      const tunnel = metadata === undefined ? undefined : tunnelOf(metadata);
      if (tunnel !== undefined) this.#queue.add(`VpnTunnel ${metadata?.namespace}/${tunnel}`);
    });
    world.claims.onChange((_, { former, current }) => this.#onClaim(former, current));
    // Its kinds may be installed long after this program was started.
    void world.certificates?.synced.then(() => this.#addIssued());
    for (const { informer, kind } of world.childKinds) {
      (informer as World["secrets"]).onChange((_, change) =>
        this.#onOwned(kind.kind, change.current ?? change.former),
      );
    }
  }

  /** A status is our own or the gateway's writing: only a change of the resource itself brings it back. */
  #onTunnel(
    key: ObjectKey,
    former: Live<VpnTunnel> | undefined,
    current: Live<VpnTunnel> | undefined,
  ): void {
    if (isSameSpec(former, current)) {
      // The gateway's part of the status decides over Ready, and is told in events.
      if (reportedText(former) !== reportedText(current)) this.#queue.add(`VpnTunnel ${key}`);
      this.#onUplinks(former, current);
      return;
    }
    this.#queue.add(`VpnTunnel ${key}`);
    const { namespace = "", name } = (current ?? former)?.metadata ?? { name: "" };
    this.#addPeers({ namespace, name });
    this.#queue.add(WEBHOOK_KEY);
    for (const pod of this.#options.world.pods.values()) {
      const isIts = attachmentsOf(pod.metadata).some((one) => one.tunnel === name);
      if (isIts && pod.metadata.namespace === namespace) this.#queue.add(`Pod ${keyOf(pod)}`);
    }
    for (const tunnel of [former, current]) {
      const uplinks = tunnel?.spec.uplinks?.name;
      if (uplinks !== undefined) this.#queue.add(`UplinkSet ${namespace}/${uplinks}`);
    }
  }

  /** The gateway reports how its uplinks do. */
  #onUplinks(former: Live<VpnTunnel> | undefined, current: Live<VpnTunnel> | undefined): void {
    const name = current?.spec.uplinks?.name;
    if (name === undefined || uplinksText(former) === uplinksText(current)) return;
    this.#queue.add(`UplinkSet ${current?.metadata.namespace}/${name}`);
  }

  #onPeer(
    key: ObjectKey,
    former: Live<VpnPeer> | undefined,
    current: Live<VpnPeer> | undefined,
  ): void {
    if (isSameSpec(former, current)) {
      // The gateway's part of the status is news for an event.
      if (isConnected(former) !== isConnected(current)) this.#queue.add(`VpnPeer ${key}`);
      return;
    }
    this.#queue.add(`VpnPeer ${key}`);
    const peer = current ?? former;
    if (peer === undefined) return;
    this.#queue.add(`VpnTunnel ${peer.metadata.namespace}/${peer.spec.tunnel.name}`);
    for (const { kind, name } of peer.metadata.ownerReferences ?? []) {
      if (kind === "Pod") this.#queue.add(`Pod ${peer.metadata.namespace}/${name}`);
    }
  }

  /** A claim is part of the gateway's documents; one that goes may be what another peer waits for. */
  #onClaim(former: KubeObject | undefined, current: KubeObject | undefined): void {
    const metadata = (current ?? former)?.metadata;
    const name = metadata === undefined ? undefined : tunnelOf(metadata);
    if (metadata === undefined || name === undefined) return;
    const { namespace = "" } = metadata;
    this.#queue.add(`VpnTunnel ${namespace}/${name}`);
    if (current === undefined) this.#addPeers({ namespace, name });
  }

  /** A child: its peer or its tunnel; all peers when it holds the keys or the address they need. */
  #onOwned(kind: string, item: KubeObject | undefined): void {
    const tunnel = item === undefined ? undefined : tunnelOf(item.metadata);
    if (item === undefined || tunnel === undefined) return;
    const { namespace = "", name, labels } = item.metadata;
    const peer = labels?.[PEER_LABEL];
    if (peer !== undefined) {
      this.#queue.add(`VpnPeer ${namespace}/${peer}`);
      // Which certificates are a peer's own stands in its Secret, and its gateway is told.
      const { spec } = this.#options.world.tunnels.get(`${namespace}/${tunnel}`) ?? {};
      const isToTell = kind === "Secret" && spec?.security.issuerRef !== undefined;
      if (isToTell) this.#queue.add(`VpnTunnel ${namespace}/${tunnel}`);
      return;
    }
    this.#queue.add(`VpnTunnel ${namespace}/${tunnel}`);
    const keys = [authoritySecretName(tunnel), issuedSecretName(gatewayCertificateName(tunnel))];
    const isKeys = kind === "Secret" && keys.includes(name);
    const isFront = kind === "Service" && name === gatewayName(tunnel);
    if (isKeys || isFront) this.#addPeers({ namespace, name: tunnel });
  }

  /** Tunnels whose certificates an issuer signs, with their peers. */
  #addIssued(): void {
    for (const tunnel of this.#options.world.tunnels.values()) {
      if (tunnel.spec.security.issuerRef === undefined) continue;
      this.#queue.add(`VpnTunnel ${keyOf(tunnel)}`);
      const { name, namespace = "" } = tunnel.metadata;
      this.#addPeers({ namespace, name });
    }
  }

  #addPeers(tunnel: { readonly namespace: string; readonly name: string }): void {
    for (const peer of this.#options.world.peersOf(tunnel)) {
      this.#queue.add(`VpnPeer ${keyOf(peer)}`);
    }
  }
}

/** What the gateway writes that is news here, as one text: its conditions, and its segment's events. */
function reportedText(tunnel: Live<VpnTunnel> | undefined): string {
  const found = REPORTED.map((type) => tunnel && reportedOf(tunnel, type));
  return JSON.stringify([found, segmentOf(tunnel)]);
}

/** What a tunnel is told by of its gateway's pods' networks; the same where they have none. */
function networksText(pod: PodObject | undefined): string {
  const { annotations = {}, deletionTimestamp, uid } = pod?.metadata ?? {};
  if (annotations[NETWORKS_ANNOTATION] === undefined) return "";
  const noted = annotations[NETWORK_STATUS_ANNOTATION];
  return JSON.stringify([uid, deletionTimestamp, pod?.status?.phase, noted]);
}

function isSamePod(former: PodObject, current: PodObject): boolean {
  return (
    former.metadata.uid === current.metadata.uid &&
    former.metadata.deletionTimestamp === current.metadata.deletionTimestamp &&
    former.status?.phase === current.status?.phase &&
    attachmentText(attachmentsOf(former.metadata)) ===
      attachmentText(attachmentsOf(current.metadata))
  );
}

function isSameSpec(former: KubeObject | undefined, current: KubeObject | undefined): boolean {
  if (former === undefined || current === undefined) return false;
  const [before, now] = [former.metadata, current.metadata];
  return (
    before.uid === now.uid &&
    before.generation === now.generation &&
    before.deletionTimestamp === now.deletionTimestamp
  );
}

function splitWork(key: string): { readonly kind: keyof Reconcilers; readonly object: ObjectKey } {
  const blank = key.indexOf(" ");
  return { kind: key.slice(0, blank) as keyof Reconcilers, object: key.slice(blank + 1) };
}
