/**
 * What is wrong with the tunnels of a cluster, each with its cause and the next step. Pure: the same
 * facts give the same findings, the gravest first.
 */
import type { VpnPeer, VpnTunnel } from "../crds/types.ts";
import {
  type ClusterFacts,
  type ContainerEnd,
  type ContainerState,
  type PodFacts,
  WEBHOOK_SUFFIX,
} from "./cluster-facts.ts";
import { ExitStatus } from "./exit-status.ts";
import { byGravity, type Finding as OneFinding } from "./finding.ts";

/** The findings' words, the gravest first. */
const FINDING_CODES = [
  "WebhookUnreachable",
  "PodSecurityRefused",
  "TunDenied",
  "NotPermitted",
  "NetworkNotAttached",
  "InterfaceMissing",
  "ContainerEnds",
  "CertificateExpired",
  "NoAddressLeft",
  "NotReady",
  "PeerNeverCame",
  "NobodySends",
  "CertificateEndsSoon",
] as const;

type Finding = OneFinding<(typeof FINDING_CODES)[number]>;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A peer that was declared this long ago and never connected is one that does not come. */
const COMING_MS = 60_000;
const ENDS_SOON_MS = 7 * DAY_MS;

/** All findings. */
export function diagnose(facts: ClusterFacts, wallMs: number): readonly Finding[] {
  const findings = [
    ...webhookFindings(facts),
    ...refusalFindings(facts),
    ...facts.pods.flatMap(podFindings),
    ...facts.tunnels.flatMap(tunnelFindings),
    ...facts.peers.flatMap((peer) => peerFindings(peer, wallMs)),
  ];
  return byGravity(findings, FINDING_CODES);
}

function webhookFindings({ endpoints, events }: ClusterFacts): Finding[] {
  const code = "WebhookUnreachable";
  const findings: Finding[] = [];
  for (const [service, slices] of endpoints) {
    const all = slices.flatMap((slice) => slice.endpoints ?? []);
    if (all.some(({ conditions }) => conditions?.ready !== false)) continue;
    const [namespace] = service.split("/");
    const cause = "No operator is ready behind the webhook's Service: selected pods are not made.";
    const step = `kubectl -n ${namespace} get pods -l app.kubernetes.io/component=operator, and their logs`;
    findings.push({ code, about: `Service ${service}`, cause, step });
  }
  const failed = events.find(
    ({ note }) => note?.includes("failed calling webhook") && note.includes(WEBHOOK_SUFFIX),
  );
  if (failed !== undefined && findings.length === 0) {
    const cause = `The API server did not reach the webhook: ${failed.note}`;
    const step =
      "Check that a policy lets the API server to the operator's port 9443, and the operator's logs.";
    findings.push({ code, about: aboutEvent(failed), cause, step });
  }
  return findings;
}

/** What the API server or the kubelet refused, as its event says. */
function refusalFindings({ events }: ClusterFacts): Finding[] {
  const findings: Finding[] = [];
  const known = new Set<string>();
  for (const event of events) {
    const about = aboutEvent(event);
    if (known.has(about) || event.type !== "Warning") continue;
    const note = event.note ?? "";
    if (note.includes("violates PodSecurity")) {
      known.add(about);
      const { namespace } = event.metadata;
      const cause = `The namespace does not admit a pod with NET_ADMIN and /dev/net/tun: ${note}`;
      const step = `kubectl label namespace ${namespace} pod-security.kubernetes.io/enforce=privileged`;
      findings.push({ code: "PodSecurityRefused", about, cause, step });
    } else if (event.reason === "FailedMount" && note.includes("/dev/net/tun")) {
      known.add(about);
      const cause = `The node has no /dev/net/tun: ${note}`;
      const step = "Load the module on the node (modprobe tun), or choose nodes that have it.";
      findings.push({ code: "TunDenied", about, cause, step });
    } else if (event.reason === "FailedCreatePodSandBox" && note.includes("multus")) {
      known.add(about);
      const cause = `The node cannot attach the pod to a network that an uplink names: ${note}`;
      const step =
        "Correct the NetworkAttachmentDefinition that the note names, or what its plugin needs on the node; the pod is tried again by itself.";
      findings.push({ code: "NetworkNotAttached", about, cause, step });
    }
  }
  return findings;
}

function podFindings(pod: PodFacts): Finding[] {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const about = `Pod ${pod.metadata.namespace}/${pod.metadata.name}`;
  for (const state of [...containerStatuses, ...initContainerStatuses]) {
    if (state.name !== "gateway" && !state.name.startsWith("fairlead-")) continue;
    const exitCode = exitCodeOf(state);
    if (exitCode === ExitStatus.NoTunDevice) {
      const cause = `The container ${state.name} may not open /dev/net/tun, or the node has none.`;
      const step =
        "Load the module on the node (modprobe tun); runc 1.2.0 to 1.2.3 deny the device: use another version.";
      return [{ code: "TunDenied", about, cause, step }];
    }
    if (exitCode === ExitStatus.NotPermitted) {
      const cause = `The container ${state.name} may not make an interface: NET_ADMIN was taken from it.`;
      const step =
        "Look for a policy or a webhook that changes the capabilities of this namespace's pods.";
      return [{ code: "NotPermitted", about, cause, step }];
    }
    // One that runs again has said in its log why it had ended.
    const ended = state.state?.running === undefined ? endOf(state) : undefined;
    if (ended === undefined || ended.exitCode === ExitStatus.Fine) continue;
    const cause = `The container ${state.name} ended with status ${ended.exitCode}${whyEnded(ended)}`;
    const { name, namespace } = pod.metadata;
    const step = `kubectl -n ${namespace} logs ${name} -c ${state.name} --previous`;
    return [{ code: "ContainerEnds", about, cause, step }];
  }
  return [];
}

/** Its last line of log, where the kubelet kept it, or the kubelet's own word, such as OOMKilled. */
function whyEnded({ message, reason }: ContainerEnd): string {
  const line = message?.trim().split("\n").at(-1);
  const said = /"msg":"((?:[^"\\]|\\.)*)"/.exec(line ?? "")?.[1] ?? line;
  return said === undefined || said === "" ? ` (${reason ?? "no reason given"}).` : `: ${said}`;
}

function exitCodeOf(container: ContainerState): number | undefined {
  return endOf(container)?.exitCode;
}

function endOf({ lastState, state }: ContainerState): ContainerEnd | undefined {
  return state?.terminated ?? lastState?.terminated;
}

function tunnelFindings(tunnel: VpnTunnel): Finding[] {
  const about = `VpnTunnel ${tunnel.metadata.namespace}/${tunnel.metadata.name}`;
  const findings = notReady(about, tunnel.status?.conditions);
  const lacking = tunnel.status?.conditions?.find(
    ({ reason, type }) => type === "UplinksAttached" && reason === "InterfaceMissing",
  );
  if (lacking !== undefined) {
    // More than that it is not ready: which interface, and why it is not there.
    findings.splice(0, findings.length, {
      ...{ code: "InterfaceMissing", about },
      ...causeAndStep(lacking.message),
    });
  }
  for (const { group, joinedBy = [], note } of tunnel.status?.groups ?? []) {
    if (note !== "nobody sends") continue;
    const cause = `${group} was joined by ${joinedBy.join(", ")}, and nobody has sent to it.`;
    const step = `Look on the segment for its sender: fairlead capture, or tcpdump host ${group} at the testbed.`;
    findings.push({ code: "NobodySends", about, cause, step });
  }
  return findings;
}

function peerFindings(peer: VpnPeer, wallMs: number): Finding[] {
  const { name, namespace } = peer.metadata;
  const about = `VpnPeer ${namespace}/${name}`;
  const { certificate, conditions = [], connected, since } = peer.status ?? {};
  const ready = conditions.find(({ type }) => type === "Ready");
  const endMs = certificate?.expires === undefined ? undefined : Date.parse(certificate.expires);
  if (endMs !== undefined && endMs <= wallMs) {
    const cause = `Its certificate ended on ${certificate?.expires}: the operator did not renew it.`;
    const step = `Look at the operator's logs; then hand out ${name}-profile anew.`;
    return [{ code: "CertificateExpired", about, cause, step }];
  }
  if (ready?.reason === "PoolExhausted") {
    return [{ code: "NoAddressLeft", about, ...causeAndStep(ready.message) }];
  }
  const findings = notReady(about, conditions);
  if (findings.length > 0) return findings;
  const bornMs = Date.parse(ready?.lastTransitionTime ?? "");
  if (
    ready !== undefined &&
    connected !== true &&
    since === undefined &&
    wallMs - bornMs >= COMING_MS
  ) {
    const cause = "It has a profile and has never connected.";
    const step = `Does its box run the profile of the Secret ${name}-profile, resolve the remote, and reach its UDP port?`;
    findings.push({ code: "PeerNeverCame", about, cause, step });
  }
  if (endMs !== undefined && endMs - wallMs <= ENDS_SOON_MS) {
    const cause = `Its certificate ends on ${certificate?.expires}.`;
    const step = `Hand out ${name}-profile anew: the operator has renewed it or is about to.`;
    findings.push({ code: "CertificateEndsSoon", about, cause, step });
  }
  return findings;
}

function notReady(
  about: string,
  conditions: readonly { type: string; status: string; reason: string; message: string }[] = [],
): Finding[] {
  const ready = conditions.find(({ type }) => type === "Ready");
  if (ready !== undefined && ready.status !== "False") return [];
  if (ready === undefined) {
    const cause = "No operator has looked at it yet.";
    const step =
      "Is an operator running? kubectl get deployments -A -l app.kubernetes.io/name=fairlead";
    return [{ code: "NotReady", about, cause, step }];
  }
  const { cause, step } = causeAndStep(ready.message);
  return [{ code: "NotReady", about, cause: `${ready.reason}: ${cause}`, step }];
}

/** Conditions say the cause, a colon, and the next step. */
function causeAndStep(message: string): { readonly cause: string; readonly step: string } {
  const at = message.lastIndexOf(": ");
  if (at < 0) return { cause: message, step: "See kubectl describe." };
  return { cause: message.slice(0, at), step: message.slice(at + 2) };
}

function aboutEvent(event: ClusterFacts["events"][number]): string {
  const { kind = "Object", name = event.metadata.name } = event.regarding ?? {};
  return `${kind} ${event.metadata.namespace}/${name}`;
}
