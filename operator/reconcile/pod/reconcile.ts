/**
 * Gives an attached pod its peer: a VpnPeer under the name that the webhook stamped, owned by the
 * pod, so that it ends with the pod. Invariant: a peer that somebody else made is never taken over,
 * and a pod that no tunnel selects gets none, whatever its annotation says.
 */
import type { VpnTunnel } from "../../../crds/types.ts";
import { hasStatus } from "../../api/api-error.ts";
import { POD, pathOf, VPN_PEER } from "../../api/object.ts";
import { remove } from "../../apply/apply.ts";
import { ownerReference } from "../../apply/children.ts";
import { type Attachment, attachmentsOf, matches, selectorOf } from "../../attach/attachments.ts";
import type { WorkResult } from "../../queue/work-queue.ts";
import type { Live, PodObject } from "../../world.ts";
import { tunnelLabels } from "../labels.ts";
import type { ReconcileContext, Reconciler } from "../reconciler.ts";

/** Reasons of events about pods. */
const PeerMade = "PeerMade";
const PeerNameTaken = "PeerNameTaken";
const TunnelMissing = "TunnelMissing";
const NotSelected = "NotSelected";

/** Reconciles attached pods. */
export class PodReconciler implements Reconciler {
  readonly #context: ReconcileContext;

  constructor(context: ReconcileContext) {
    this.#context = context;
  }

  async reconcile(key: string): Promise<WorkResult> {
    const pod = this.#context.world.pods.get(key);
    // The peers of a pod that is gone go with it, by their owner reference.
    if (pod === undefined) return {};
    const isOver = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
    const isLeaving = pod.metadata.deletionTimestamp !== undefined;
    for (const attachment of attachmentsOf(pod.metadata)) {
      const tunnel = this.#tunnelOf(pod, attachment);
      if (isOver || tunnel === undefined) await this.#end(pod, attachment);
      else if (!isLeaving) await this.#keep(pod, attachment, tunnel);
    }
    return {};
  }

  #tunnelOf(pod: PodObject, { tunnel: name }: Attachment): Live<VpnTunnel> | undefined {
    const tunnel = this.#context.world.tunnels.get(`${pod.metadata.namespace}/${name}`);
    return tunnel?.metadata.deletionTimestamp === undefined ? tunnel : undefined;
  }

  async #keep(pod: PodObject, attachment: Attachment, tunnel: Live<VpnTunnel>): Promise<void> {
    const { api, world } = this.#context;
    const { namespace = "" } = pod.metadata;
    const peer = world.peers.get(`${namespace}/${attachment.peer}`);
    if (peer !== undefined) {
      const isOwn = peer.metadata.ownerReferences?.some(({ uid }) => uid === pod.metadata.uid);
      if (isOwn !== true) this.#refuse(pod, attachment);
      return;
    }
    // An edit of the selector ends no pod that runs; it only attaches no new one.
    const selector = selectorOf(tunnel);
    if (selector === undefined || !matches(selector, pod.metadata.labels)) {
      const note = `The VpnTunnel ${attachment.tunnel} does not select this pod (any more): no peer is made for it. Make the pod anew.`;
      this.#tell(pod, "Warning", NotSelected, note);
      return;
    }
    try {
      const body = peerOf(pod, attachment);
      await api.call({ method: "POST", path: pathOf(VPN_PEER, { namespace }), body });
      const note = `Attached to the VpnTunnel ${attachment.tunnel} as the peer ${attachment.peer}.`;
      this.#tell(pod, "Normal", PeerMade, note);
    } catch (error) {
      // Our copy was behind: the watch brings it, and this key comes back with it.
      if (!hasStatus(error, 409)) throw error;
    }
  }

  /** The pod is done, or its tunnel is gone: the peer is revoked before the pod object goes. */
  async #end(pod: PodObject, attachment: Attachment): Promise<void> {
    const { api, world } = this.#context;
    const { namespace = "", uid } = pod.metadata;
    const isOver = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
    if (!isOver) {
      const note = `There is no VpnTunnel ${namespace}/${attachment.tunnel} any more: the pod's interface is cut off.`;
      this.#tell(pod, "Warning", TunnelMissing, note);
    }
    const peer = world.peers.get(`${namespace}/${attachment.peer}`);
    if (peer === undefined || peer.metadata.deletionTimestamp !== undefined) return;
    if (peer.metadata.ownerReferences?.some((owner) => owner.uid === uid) !== true) return;
    await remove(api, VPN_PEER, peer);
  }

  #refuse(pod: PodObject, { peer }: Attachment): void {
    const note = `The VpnPeer ${peer} that this pod names is not its own: the pod was copied with its annotations. Remove the annotation fairlead.dev/attached-to and make the pod anew.`;
    this.#tell(pod, "Warning", PeerNameTaken, note);
  }

  #tell(pod: PodObject, type: "Normal" | "Warning", reason: string, note: string): void {
    this.#context.events.record(POD, pod, { type, reason, action: "Attach", note });
  }
}

function peerOf(pod: PodObject, { peer, tunnel }: Attachment): object {
  const { name, namespace } = pod.metadata;
  // Not blocking, and not controlling: a pod's deletion waits for nothing of ours.
  const owner = { ...ownerReference(POD, pod), controller: false, blockOwnerDeletion: false };
  return {
    apiVersion: VPN_PEER.apiVersion,
    kind: VPN_PEER.kind,
    metadata: {
      name: peer,
      namespace,
      labels: tunnelLabels(tunnel),
      annotations: { "fairlead.dev/pod": name },
      ownerReferences: [owner],
    },
    spec: { tunnel: { name: tunnel } },
  };
}
