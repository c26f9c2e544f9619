/**
 * Which tunnels a pod is attached to, and as which peer: an annotation that the webhook stamps, next
 * to a label by which the operator finds the pod. Invariant: a pod's own words name no peer that
 * belongs to somebody else; the operator makes peers and never takes one over.
 */
import { createHash, randomBytes } from "node:crypto";
import type { VpnTunnel } from "../../crds/types.ts";
import { unsupportedFields } from "../../crds/unsupported.ts";
import type { ObjectMeta } from "../api/object.ts";
import { TUNNEL_LABEL } from "../reconcile/labels.ts";
import { listeningSide } from "../reconcile/vpn-tunnel/listening-side.ts";
import type { Live } from "../world.ts";

/** `tunnel=peer,tunnel=peer`. */
export const ATTACHED_ANNOTATION = "fairlead.dev/attached-to";
/** A pod that a tunnel selects and that is not to be attached says `false`. */
const OPT_OUT_LABEL = "fairlead.dev/attach";

/** One tunnel of a pod. */
export interface Attachment {
  readonly tunnel: string;
  readonly peer: string;
}

/** What a selector looks like in a tunnel. */
type PodSelector = NonNullable<NonNullable<VpnTunnel["spec"]["workloads"]>["podSelector"]>;

const PEER_STEM_LENGTH = 50;

/** A name for the peer of a pod whose own name may not be known yet. */
export function newPeerName(tunnel: string): string {
  const stem = tunnel.slice(0, PEER_STEM_LENGTH).replace(/[^a-z0-9]+$/, "");
  return `${stem}-${randomBytes(5).toString("hex")}`;
}

/** What the annotation says; words that are none are left out. */
export function attachmentsOf(metadata: ObjectMeta): readonly Attachment[] {
  const text = metadata.annotations?.[ATTACHED_ANNOTATION] ?? "";
  return text.split(",").flatMap((part) => {
    const [tunnel = "", peer = ""] = part.split("=");
    return tunnel === "" || peer === "" ? [] : [{ tunnel, peer }];
  });
}

/** The annotation's text. */
export function attachmentText(attachments: readonly Attachment[]): string {
  const sorted = [...attachments].sort((a, b) => (a.tunnel < b.tunnel ? -1 : 1));
  return sorted.map(({ tunnel, peer }) => `${tunnel}=${peer}`).join(",");
}

/** The selector of a tunnel that pods are attached to, or undefined. */
export function selectorOf(tunnel: Live<VpnTunnel>): PodSelector | undefined {
  const { metadata, spec } = tunnel;
  if (listeningSide(tunnel) === undefined || metadata.deletionTimestamp !== undefined) {
    return undefined;
  }
  if (unsupportedFields(tunnel as unknown as VpnTunnel).length > 0) return undefined;
  return spec.workloads?.podSelector;
}

/** The selector as the API server is given it: no pod of ours, none that opted out. */
export function objectSelectorOf(selector: PodSelector): PodSelector {
  const { matchExpressions = [], matchLabels } = selector;
  return {
    ...(matchLabels === undefined ? {} : { matchLabels }),
    matchExpressions: [
      ...matchExpressions,
      { key: TUNNEL_LABEL, operator: "DoesNotExist" },
      { key: OPT_OUT_LABEL, operator: "NotIn", values: ["false"] },
    ],
  };
}

/** Whether a selector takes these labels, as the API server decides it. */
export function matches(
  selector: PodSelector,
  labels: Readonly<Record<string, string>> = {},
): boolean {
  const named = Object.entries(selector.matchLabels ?? {});
  if (named.some(([key, value]) => labels[key] !== value)) return false;
  return (selector.matchExpressions ?? []).every((expression) => holds(expression, labels));
}

function holds(
  { key, operator, values = [] }: NonNullable<PodSelector["matchExpressions"]>[number],
  labels: Readonly<Record<string, string>>,
): boolean {
  const value = labels[key];
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
  }
}

/** A tunnel's name as part of a container's: a DNS label, different for different tunnels. */
export function slugOf(tunnel: string): string {
  const slug = tunnel.replaceAll(".", "-");
  if (slug === tunnel && slug.length <= PEER_STEM_LENGTH - 10) return slug;
  const digest = createHash("sha256").update(tunnel).digest("hex").slice(0, 8);
  return `${slug.slice(0, PEER_STEM_LENGTH - 20).replace(/-+$/, "")}-${digest}`;
}
