/**
 * Puts the sidecar of one tunnel into a pod. Pure. Invariants: done twice is done once, whoever else
 * changed the pod in between; nothing of the pod is removed or changed but what is ours; our
 * containers come first, in the order of their names.
 */
import { isDeepStrictEqual } from "node:util";
import type { VpnTunnel } from "../../crds/types.ts";
import { ATTACHED_LABEL } from "../reconcile/labels.ts";
import type { Live, Named, PodObject } from "../world.ts";
import {
  ATTACHED_ANNOTATION,
  type Attachment,
  attachmentsOf,
  attachmentText,
} from "./attachments.ts";
import { SIDECAR_PREFIX, type SidecarSettings, sidecarName, sidecarOf } from "./sidecar.ts";

/** One step of a JSON patch (RFC 6902); `add` replaces what is there. */
export interface PatchStep {
  readonly op: "add";
  readonly path: string;
  readonly value: unknown;
}

const PORT_MAX = 65_535;

/** What to inject. */
export interface Injection {
  readonly tunnel: Live<VpnTunnel>;
  /** A name for the peer, if the pod has none that can be kept. */
  readonly newPeer: string;
  /** Whether a peer of this name is there already: then the pod's annotation was copied. */
  readonly isPeerKnown: (peer: string) => boolean;
  readonly settings: SidecarSettings;
}

/** The steps that make the pod an attached one; none when it is. */
export function injectionOf(pod: PodObject, injection: Injection): readonly PatchStep[] {
  const { tunnel, newPeer, isPeerKnown, settings } = injection;
  const { name } = tunnel.metadata;
  const attachments = attachmentsOf(pod.metadata);
  const kept = attachments.find((one) => one.tunnel === name && !isPeerKnown(one.peer));
  const attachment: Attachment = { tunnel: name, peer: kept?.peer ?? newPeer };
  const { container, volumes } = sidecarOf(tunnel, attachment, withFreePort(pod, name, settings));
  const { annotations = {}, labels = {} } = pod.metadata;
  const { imagePullSecrets = [], initContainers = [] } = pod.spec ?? {};
  const all = [...attachments.filter((one) => one.tunnel !== name), attachment];
  const pulled = settings.image.pullSecrets.map((secret) => ({ name: secret }));
  const missing = pulled.filter((one) => !imagePullSecrets.some((has) => has.name === one.name));
  const wanted: readonly (readonly [string, unknown, unknown])[] = [
    ["/metadata/labels", pod.metadata.labels, { ...labels, [ATTACHED_LABEL]: "true" }],
    [
      "/metadata/annotations",
      pod.metadata.annotations,
      { ...annotations, [ATTACHED_ANNOTATION]: attachmentText(all) },
    ],
    ["/spec/volumes", pod.spec?.volumes, placedVolumes(pod.spec?.volumes ?? [], volumes)],
    ["/spec/initContainers", pod.spec?.initContainers, placed(initContainers, container)],
    ["/spec/imagePullSecrets", imagePullSecrets, [...imagePullSecrets, ...missing]],
  ];
  return wanted.flatMap(([path, is, value]) =>
    isDeepStrictEqual(is, value) ? [] : [{ op: "add" as const, path, value }],
  );
}

/** Two sidecars of one pod share its address: the second serves its figures at the next port. */
function withFreePort(pod: PodObject, tunnel: string, settings: SidecarSettings): SidecarSettings {
  if (settings.metricsPort === undefined) return settings;
  const { containers = [], initContainers = [] } = pod.spec ?? {};
  const others = [...containers, ...initContainers].filter(
    ({ name }) => name !== sidecarName(tunnel),
  );
  const taken = new Set(others.flatMap(portsOf));
  const own = initContainers.find(({ name }) => name === sidecarName(tunnel));
  const [former] = own === undefined ? [] : portsOf(own);
  if (former !== undefined && !taken.has(former)) return { ...settings, metricsPort: former };
  let port = settings.metricsPort;
  while (taken.has(port) && port < PORT_MAX) port++;
  return { ...settings, metricsPort: port };
}

function portsOf(container: Named): readonly number[] {
  const ports = (container["ports"] ?? []) as readonly { readonly containerPort?: number }[];
  return ports.flatMap(({ containerPort }) => containerPort ?? []);
}

/** First, behind others of ours whose names come before. What the API server added to it stays. */
function placed(containers: readonly Named[], own: Named): readonly Named[] {
  const former = containers.find(({ name }) => name === own.name);
  const others = containers.filter(({ name }) => name !== own.name);
  let index = 0;
  while (isOurs(others[index]) && (others[index]?.name ?? "") < own.name) index++;
  return [...others.slice(0, index), keptOr(former, own), ...others.slice(index)];
}

/** What is there, when it says all that ours says: the API server has added its defaults to it. */
function keptOr(former: Named | undefined, own: Named): Named {
  return former !== undefined && covers(former, own) ? former : own;
}

function covers(has: unknown, wanted: unknown): boolean {
  if (typeof wanted !== "object" || wanted === null) return has === wanted;
  if (typeof has !== "object" || has === null) return false;
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(has) &&
      has.length === wanted.length &&
      wanted.every((item, index) => covers(has[index], item))
    );
  }
  const fields = has as Readonly<Record<string, unknown>>;
  return Object.entries(wanted).every(([field, value]) => covers(fields[field], value));
}

function isOurs(container: Named | undefined): boolean {
  return container?.name.startsWith(SIDECAR_PREFIX) === true;
}

function placedVolumes(volumes: readonly Named[], own: readonly Named[]): readonly Named[] {
  const kept = volumes.map((volume) => {
    const ours = own.find(({ name }) => name === volume.name);
    return ours === undefined ? volume : keptOr(volume, ours);
  });
  return [...kept, ...own.filter(({ name }) => !volumes.some((one) => one.name === name))];
}
