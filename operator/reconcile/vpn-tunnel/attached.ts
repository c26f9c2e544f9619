/**
 * Whether the pods of a gateway have the networks that their tunnel's uplinks name, as far as their
 * annotations tell: what they were asked for, and what Multus says that they got. Pure.
 */
import { fails, holds, unknown, type Verdict } from "../../status/conditions.ts";
import type { PodObject } from "../../world.ts";
import { TunnelCondition, TunnelReason } from "./conditions.ts";
import {
  type Attachment,
  NETWORK_STATUS_ANNOTATION,
  NETWORKS_ANNOTATION,
  networkAnnotations,
} from "./networks.ts";

/** What is looked at. */
export interface AttachedInput {
  readonly attachments: readonly Attachment[];
  /** Without those that are about to go. */
  readonly pods: readonly PodObject[];
  /** Pods that there are to be. */
  readonly replicas: number;
}

const type = TunnelCondition.UplinksAttached;

/** The condition; undefined where no uplink is a network, and none was one. */
export function attachedVerdict(input: AttachedInput): Verdict | undefined {
  const { attachments, pods } = input;
  if (pods.some((pod) => isOutdated(pod, attachments))) return rolling(input);
  if (attachments.length === 0) return undefined;
  const running = pods.filter(({ status }) => status?.phase === "Running");
  for (const pod of [...running].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    const lacking = lackingProblem(pod, attachments);
    if (lacking !== undefined) return fails(type, TunnelReason.InterfaceMissing, lacking);
  }
  if (running.length === 0) {
    const message = "No pod of the gateway has come up with its networks yet.";
    return unknown(type, TunnelReason.Attaching, message);
  }
  const names = attachments.map(({ interface: ifname, uplink }) => `${uplink} is ${ifname}`);
  return holds(type, TunnelReason.Attached, `In the gateway's pods ${names.join(", ")}.`);
}

/** A pod's networks are those that it was made with. */
function isOutdated({ metadata }: PodObject, attachments: readonly Attachment[]): boolean {
  const wanted = networkAnnotations(attachments)[NETWORKS_ANNOTATION];
  return metadata.annotations?.[NETWORKS_ANNOTATION] !== wanted;
}

function rolling({ replicas }: AttachedInput): Verdict {
  const what = "The networks of its uplinks changed, and a pod keeps those that it was made with";
  const how =
    replicas > 1
      ? "the gateway's pods are made anew one by one, and the one that forwards hands over to one that is ready"
      : "the gateway's one pod is made anew, and the segment is away until it is up: set gateway.replicas to 2 to avoid that";
  return unknown(type, TunnelReason.Rolling, `${what}: ${how}.`);
}

/** What a running pod came up without, why, and what to do. */
function lackingProblem(
  { metadata, spec }: PodObject,
  attachments: readonly Attachment[],
): string | undefined {
  const { annotations, name, namespace } = metadata;
  const text = annotations?.[NETWORK_STATUS_ANNOTATION];
  const got = text === undefined ? [] : interfacesOf(text);
  const lacking = attachments.filter((one) => !got.includes(one.interface));
  if (lacking.length === 0) return undefined;
  const node = spec?.nodeName ?? "its node";
  const what = lacking.map((one) => `${one.uplink} (${one.interface})`).join(", ");
  const again = `kubectl -n ${namespace} delete pod ${name}`;
  const came = `The pod ${name} on the node ${node} came up without the interface of the uplink ${what}`;
  return text === undefined
    ? `${came}, and nobody noted its networks (${NETWORK_STATUS_ANNOTATION}), so Multus is not at work on that node: install it there, then ${again}`
    : `${came}: Multus notes other networks in ${NETWORK_STATUS_ANNOTATION}, so look at its log on that node, then ${again}`;
}

/** Interfaces that a network-status names; none where it is not what the standard says. */
function interfacesOf(text: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(text);
    if (!Array.isArray(value)) return [];
    return value.map((one) => (one as { readonly interface?: unknown } | null)?.interface);
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}
