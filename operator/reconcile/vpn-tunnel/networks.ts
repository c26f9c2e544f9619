/**
 * Uplinks that are networks of Multus: what a gateway's pod is annotated with, and what its documents
 * then name. The annotations are those of the de-facto standard of the Network Plumbing Working Group
 * (version 1.3). Pure. Invariants: an uplink's interface has the same name for as long as the uplink
 * has, whatever else the set names; no two of one set are the same.
 */
import { createHash } from "node:crypto";
import type { UplinkSet } from "../../../crds/types.ts";

/** Of a pod: what it is to be attached to. */
export const NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks";
/** Of a pod: what it was attached to, as Multus writes it. */
export const NETWORK_STATUS_ANNOTATION = "k8s.v1.cni.cncf.io/network-status";

/** One uplink of a set that is a network, and the interface that it is in the gateway's pod. */
export interface Attachment {
  readonly uplink: string;
  readonly namespace: string;
  /** Of the NetworkAttachmentDefinition. */
  readonly name: string;
  readonly interface: string;
}

type Uplink = UplinkSet["spec"]["uplinks"][number];

/** IFNAMSIZ less the zero byte. */
const INTERFACE_LENGTH_MAX = 15;
const PREFIX = "up-";
const DIGEST_LENGTH = 6;

/** The attachments of a set, in the order of their uplinks' names. */
export function attachmentsOf(uplinkSet: UplinkSet | undefined): readonly Attachment[] {
  const uplinks = uplinkSet?.spec.uplinks ?? [];
  const taken = new Set(uplinks.flatMap((uplink) => uplink.interface ?? []));
  const attachments: Attachment[] = [];
  for (const uplink of [...uplinks].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (uplink.network === undefined) continue;
    const name = interfaceName(uplink, taken);
    taken.add(name);
    attachments.push({
      uplink: uplink.name,
      ...placeOf(uplink.network, uplinkSet?.metadata.namespace ?? ""),
      interface: name,
    });
  }
  return attachments;
}

/** The annotations of a pod with these; none without any. */
export function networkAnnotations(
  attachments: readonly Attachment[],
): Readonly<Record<string, string>> {
  if (attachments.length === 0) return {};
  const elements = attachments.map(({ interface: ifname, name, namespace }) => {
    return { name, namespace, interface: ifname };
  });
  return { [NETWORKS_ANNOTATION]: JSON.stringify(elements) };
}

/** The set as a gateway's documents have it: each network is the interface that it is in the pod. */
export function withInterfaces(
  uplinkSet: UplinkSet,
  attachments: readonly Attachment[],
): UplinkSet {
  const uplinks = uplinkSet.spec.uplinks.map((uplink): Uplink => {
    const { network, ...rest } = uplink;
    const own = attachments.find((one) => network !== undefined && one.uplink === uplink.name);
    return own === undefined ? uplink : { ...rest, interface: own.interface };
  });
  return { ...uplinkSet, spec: { ...uplinkSet.spec, uplinks } };
}

function placeOf(
  network: string,
  own: string,
): { readonly namespace: string; readonly name: string } {
  const slash = network.indexOf("/");
  if (slash < 0) return { namespace: own, name: network };
  return { namespace: network.slice(0, slash), name: network.slice(slash + 1) };
}

/** The uplink's own name where it fits and is free, else its beginning and a digest. */
function interfaceName(uplink: Uplink, taken: ReadonlySet<string>): string {
  const whole = `${PREFIX}${uplink.name}`;
  if (whole.length <= INTERFACE_LENGTH_MAX && !taken.has(whole)) return whole;
  const start = whole.slice(0, INTERFACE_LENGTH_MAX - DIGEST_LENGTH - 1);
  for (let attempt = 0; ; attempt++) {
    const digest = createHash("sha256").update(`${attempt} ${uplink.name}`).digest("hex");
    const name = `${start}-${digest.slice(0, DIGEST_LENGTH)}`;
    if (!taken.has(name)) return name;
  }
}
