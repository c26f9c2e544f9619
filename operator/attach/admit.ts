/** Decides about a pod that a tunnel selects: attached, or refused with the reason. Pure. */
import type { VpnTunnel } from "../../crds/types.ts";
import type { AdmissionAnswer, AdmissionRequest } from "../webhook/webhook-server.ts";
import type { Live, PodObject, World } from "../world.ts";
import { attachmentsOf, newPeerName, selectorOf } from "./attachments.ts";
import { injectionOf } from "./inject.ts";
import type { SidecarSettings } from "./sidecar.ts";

/** The part of a webhook's path before `namespace/tunnel`. */
export const ATTACH_PATH = "/attach/";

interface Known {
  readonly tunnels: Pick<World["tunnels"], "get">;
  readonly peers: Pick<World["peers"], "get">;
}

/** Answers one request. */
export function admitPod(
  known: Known,
  settings: SidecarSettings,
  { path, request }: { readonly path: string; readonly request: AdmissionRequest },
): AdmissionAnswer {
  const key = path.startsWith(ATTACH_PATH) ? path.slice(ATTACH_PATH.length) : "";
  const tunnel = known.tunnels.get(key);
  const [namespace = ""] = key.split("/");
  if (tunnel === undefined || selectorOf(tunnel) === undefined) {
    return refusal(`there is no VpnTunnel ${key} that takes pods (any more): try again`);
  }
  const pod = request.object as PodObject;
  if (pod.spec?.hostNetwork === true) {
    return refusal(
      `the VpnTunnel ${key} selects this pod, and a pod with hostNetwork cannot be attached: its interface would be the node's. Remove hostNetwork, or label the pod fairlead.dev/attach=false`,
    );
  }
  const rival = rivalOf(known, tunnel, pod);
  if (rival !== undefined) {
    return refusal(
      `the VpnTunnels ${tunnel.metadata.name} and ${rival} both select this pod and both name the interface ${interfaceOf(tunnel)}: give one of them another spec.workloads.interface`,
    );
  }
  const patch = injectionOf(pod, {
    tunnel,
    settings,
    newPeer: newPeerName(tunnel.metadata.name),
    isPeerKnown: (peer) => known.peers.get(`${namespace}/${peer}`) !== undefined,
  });
  return { allowed: true, patch };
}

/** Another tunnel that gave this pod an interface of the same name. */
function rivalOf(known: Known, tunnel: Live<VpnTunnel>, pod: PodObject): string | undefined {
  const name = interfaceOf(tunnel);
  const { namespace } = tunnel.metadata;
  const others = attachmentsOf(pod.metadata).filter((one) => one.tunnel !== tunnel.metadata.name);
  return others.find((other) => {
    const rival = known.tunnels.get(`${namespace}/${other.tunnel}`);
    return name !== undefined && rival !== undefined && interfaceOf(rival) === name;
  })?.tunnel;
}

function interfaceOf(tunnel: Live<VpnTunnel>): string | undefined {
  return tunnel.spec.workloads?.interface;
}

function refusal(message: string): AdmissionAnswer {
  return { allowed: false, message };
}
