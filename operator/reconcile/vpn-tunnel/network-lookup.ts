/**
 * Whether the networks that a tunnel's uplinks name are there: its gateway's pods could not be made
 * without, and would wait for ever. They are asked for by name, one by one, as a user's Secrets are:
 * no right to list them is needed, and their kind need not be known to the API server.
 */
import type { Api } from "../../api/api-client.ts";
import { hasStatus } from "../../api/api-error.ts";
import { NETWORK_ATTACHMENT, pathOf } from "../../api/object.ts";
import { fails, type Verdict } from "../../status/conditions.ts";
import { TunnelCondition, TunnelReason } from "./conditions.ts";
import type { Attachment } from "./networks.ts";

/** Which networks uplinks may name: values of the chart. */
export interface NetworkAccess {
  /** The operator has the right to ask for them. */
  readonly isGranted: boolean;
  /** Namespaces whose networks every tunnel may use; its own namespace's it always may. */
  readonly sharedNamespaces: readonly string[];
}

/** What is asked, and for whom. */
export interface NetworkQuestion {
  /** Of the tunnel. */
  readonly namespace: string;
  readonly set: string;
  readonly isOnNode: boolean;
  readonly attachments: readonly Attachment[];
  readonly access: NetworkAccess;
}

interface ResourceList {
  readonly resources?: readonly { readonly name: string }[];
}

/** The first thing that stands against it, with the next step. */
export async function networkProblem(
  api: Pick<Api, "call">,
  question: NetworkQuestion,
): Promise<Verdict | undefined> {
  for (const attachment of question.attachments) {
    const problem =
      refusedProblem(question, attachment) ?? (await absentProblem(api, question, attachment));
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** What needs no asking. */
function refusedProblem(question: NetworkQuestion, attachment: Attachment): Verdict | undefined {
  const { access, isOnNode, namespace } = question;
  const { Accepted } = TunnelCondition;
  const what = describe(question, attachment);
  const whole = `${attachment.namespace}/${attachment.name}`;
  if (isOnNode) {
    const problem = `spec.gateway.network: Host: a pod on its node's own network is attached to no other, so it cannot have ${what}: name an interface of the node there, or remove spec.gateway.network`;
    return fails(Accepted, TunnelReason.Unsupported, problem);
  }
  if (!access.isGranted) {
    const problem = `spec.uplinks: ${what} is a network of Multus, which this operator may not look up: ask the cluster's administrator to set the chart's value multus.enabled`;
    return fails(Accepted, TunnelReason.NetworkDenied, problem);
  }
  const isOwn = attachment.namespace === namespace;
  if (isOwn || access.sharedNamespaces.includes(attachment.namespace)) return undefined;
  const problem = `spec.uplinks: ${what} is a network of another namespace, ${whole}: create it in ${namespace}, or ask the cluster's administrator to add ${attachment.namespace} to the chart's value multus.sharedNamespaces`;
  return fails(Accepted, TunnelReason.NetworkDenied, problem);
}

async function absentProblem(
  api: Pick<Api, "call">,
  question: NetworkQuestion,
  attachment: Attachment,
): Promise<Verdict | undefined> {
  const { name, namespace } = attachment;
  const { Accepted } = TunnelCondition;
  const what = describe(question, attachment);
  try {
    await api.call({ method: "GET", path: pathOf(NETWORK_ATTACHMENT, { namespace, name }) });
    return undefined;
  } catch (error) {
    if (hasStatus(error, 403)) {
      const problem = `spec.uplinks: ${what} cannot be looked up: the operator's account may not get network-attachment-definitions in ${namespace}: upgrade the release with multus.enabled, or grant it`;
      return fails(Accepted, TunnelReason.NetworkDenied, problem);
    }
    if (!hasStatus(error, 404)) throw error;
  }
  if (!(await isKindKnown(api))) {
    const problem = `spec.uplinks: ${what} is a network of Multus, and the cluster has no NetworkAttachmentDefinitions: install Multus (its kind first), or name an interface instead`;
    return fails(Accepted, TunnelReason.MultusMissing, problem);
  }
  const problem = `spec.uplinks: ${what} is the network ${namespace}/${name}, which is not there: create it (kubectl -n ${namespace} get network-attachment-definitions shows those there are)`;
  return fails(Accepted, TunnelReason.NetworkMissing, problem);
}

/** A group may be served without this kind: other projects use it too. */
async function isKindKnown(api: Pick<Api, "call">): Promise<boolean> {
  try {
    const path = `/apis/${NETWORK_ATTACHMENT.apiVersion}`;
    const { resources = [] } = await api.call<ResourceList>({ method: "GET", path });
    return resources.some(({ name }) => name === NETWORK_ATTACHMENT.plural);
  } catch (error) {
    if (hasStatus(error, 404)) return false;
    throw error;
  }
}

function describe({ set }: NetworkQuestion, { uplink }: Attachment): string {
  return `the uplink ${uplink} of the UplinkSet ${set}`;
}
