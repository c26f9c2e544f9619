/**
 * The objects that a tunnel consists of in the cluster. Pure: the same input gives the same bytes,
 * and nothing here reads a clock, the network or a random number.
 */
import { createHash } from "node:crypto";
import type { VpnTunnel } from "../../../crds/types.ts";
import {
  type DesiredObject,
  DISRUPTION_BUDGET,
  NETWORK_POLICY,
  type ResourceKind,
  ROLE,
  ROLE_BINDING,
  SECRET,
  SERVICE,
  SERVICE_ACCOUNT,
  STATEFUL_SET,
} from "../../api/object.ts";
import { ATTACHED_LABEL, gatewayName, gatewaySelector, tunnelLabels } from "../labels.ts";
import { secretDataOf } from "../secret-data.ts";
import {
  type GatewaySettings,
  gatewayMetrics,
  gatewayPodSpec,
  heartbeatPort,
  replicasOf,
  TEMPLATE_ANNOTATION,
} from "./gateway-pod.ts";
import { type Attachment, networkAnnotations } from "./networks.ts";

/** Everything the children are made from. */
export interface TunnelInput {
  readonly tunnel: VpnTunnel;
  readonly gateways: GatewaySettings;
  /** Files of the gateway's Secret, by name. */
  readonly files: Readonly<Record<string, string>>;
  /** Only attached pods reach it: the listening side of a tunnel that dials. */
  readonly isForPods: boolean;
  /** Networks of Multus that its pods are to have. */
  readonly attachments: readonly Attachment[];
  /** Names of its peers: the gateway reports about these. */
  readonly peers: readonly string[];
}

/** All children of a tunnel. */
export function desiredChildren(input: TunnelInput): readonly DesiredObject[] {
  const { tunnel } = input;
  const replicas = replicasOf(tunnel.spec);
  const template = podTemplate(input);
  const digest = createHash("sha256").update(JSON.stringify(template)).digest("hex").slice(0, 16);
  return [
    serviceAccount(tunnel),
    role(input),
    roleBinding(tunnel),
    gatewaySecret(input, digest),
    ...services(tunnel),
    networkPolicy(input),
    ...(replicas > 1 ? [disruptionBudget(tunnel)] : []),
    statefulSet(input, replicas, stamped(template, digest)),
  ];
}

function child<Rest extends object>(
  tunnel: VpnTunnel,
  kind: ResourceKind,
  rest: Rest,
  name: string = gatewayName(tunnel.metadata.name),
): DesiredObject & Rest {
  const { namespace } = tunnel.metadata;
  const metadata = { name, namespace, labels: tunnelLabels(tunnel.metadata.name) };
  return { apiVersion: kind.apiVersion, kind: kind.kind, metadata, ...rest };
}

function serviceAccount(tunnel: VpnTunnel): DesiredObject {
  return child(tunnel, SERVICE_ACCOUNT, { automountServiceAccountToken: false });
}

/**
 * The gateway reads its own Secret, by name, takes part in its own election, and reports into the
 * status of its tunnel and of its peers: nothing else.
 */
function role({ peers, tunnel }: TunnelInput): DesiredObject {
  const name = gatewayName(tunnel.metadata.name);
  const rules = [
    {
      apiGroups: [""],
      resources: ["secrets"],
      resourceNames: [name],
      verbs: ["get", "list", "watch"],
    },
    {
      apiGroups: ["coordination.k8s.io"],
      resources: ["leases"],
      resourceNames: [name],
      verbs: ["get", "list", "watch", "update"],
    },
    reporting("vpntunnels/status", [tunnel.metadata.name]),
    ...(peers.length === 0 ? [] : [reporting("vpnpeers/status", [...peers].sort())]),
    // A name cannot be checked before the object is there (RBAC documentation, "resourceNames").
    { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"] },
  ];
  return child(tunnel, ROLE, { rules });
}

function reporting(resource: string, names: readonly string[]): object {
  return {
    apiGroups: ["fairlead.dev"],
    resources: [resource],
    resourceNames: names,
    verbs: ["patch"],
  };
}

function roleBinding(tunnel: VpnTunnel): DesiredObject {
  const { name, namespace } = tunnel.metadata;
  return child(tunnel, ROLE_BINDING, {
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: gatewayName(name) },
    subjects: [{ kind: "ServiceAccount", name: gatewayName(name), namespace }],
  });
}

/** With what the pods are to be made from: an active replica that was not hands over to one that was. */
function gatewaySecret({ tunnel, files }: TunnelInput, template: string): DesiredObject {
  const data = secretDataOf({ ...files, "pod-template": template });
  return child(tunnel, SECRET, { type: "Opaque", data });
}

/** The Service that peers dial, and the headless one that gives each replica a name. */
function services(tunnel: VpnTunnel): readonly DesiredObject[] {
  const { name } = tunnel.metadata;
  const selector = gatewaySelector(name);
  const port = tunnel.spec.listen?.port;
  const headless = child(
    tunnel,
    SERVICE,
    { spec: { clusterIP: "None", publishNotReadyAddresses: true, selector } },
    `${gatewayName(name)}-pods`,
  );
  const { service } = tunnel.spec.listen ?? {};
  const type = service?.type ?? "LoadBalancer";
  if (port === undefined || type === "None") return [headless];
  const nodePort = service?.nodePort === undefined ? {} : { nodePort: service.nodePort };
  const ports = [
    { name: "openvpn", port, targetPort: port, protocol: outerProtocol(tunnel), ...nodePort },
  ];
  // Local keeps the peer's address; the standby is not ready, so nothing is sent to it.
  const external = type === "ClusterIP" ? {} : { externalTrafficPolicy: "Local" };
  const front = child(tunnel, SERVICE, { spec: { type, selector, ports, ...external } });
  const annotations = service?.annotations;
  if (annotations === undefined) return [headless, front];
  return [headless, { ...front, metadata: { ...front.metadata, annotations } }];
}

function outerProtocol({ spec }: VpnTunnel): "UDP" | "TCP" {
  return spec.transport.protocol === "Tcp" ? "TCP" : "UDP";
}

function networkPolicy({ gateways, isForPods, tunnel }: TunnelInput): DesiredObject {
  const port = tunnel.spec.listen?.port;
  const podSelector = { matchLabels: gatewaySelector(tunnel.metadata.name) };
  const beats = { port: heartbeatPort(tunnel.spec), protocol: "UDP" };
  const pods = [{ podSelector: { matchLabels: { [ATTACHED_LABEL]: "true" } } }];
  const peers = {
    ports: [{ port, protocol: outerProtocol(tunnel) }],
    ...(isForPods && { from: pods }),
  };
  const metrics = gatewayMetrics(tunnel, gateways);
  const figures = {
    ports: [{ port: metrics?.port, protocol: "TCP" }],
    ...(metrics !== undefined && metrics.from.length > 0 && { from: metrics.from }),
  };
  const ingress = [
    { ports: [beats], from: [{ podSelector }] },
    ...(port === undefined ? [] : [peers]),
    ...(metrics === undefined ? [] : [figures]),
  ];
  return child(tunnel, NETWORK_POLICY, {
    spec: { podSelector, policyTypes: ["Ingress"], ingress },
  });
}

function disruptionBudget(tunnel: VpnTunnel): DesiredObject {
  const selector = { matchLabels: gatewaySelector(tunnel.metadata.name) };
  return child(tunnel, DISRUPTION_BUDGET, { spec: { maxUnavailable: 1, selector } });
}

interface PodTemplate {
  readonly metadata: {
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly spec: object;
}

function podTemplate({ attachments, gateways, tunnel }: TunnelInput): PodTemplate {
  const { name } = tunnel.metadata;
  const labels = { ...tunnelLabels(name), ...gatewaySelector(name) };
  const annotations = networkAnnotations(attachments);
  return { metadata: { labels, annotations }, spec: gatewayPodSpec(tunnel, gateways) };
}

/** Each pod can read what it was made from. */
function stamped({ metadata, spec }: PodTemplate, digest: string): PodTemplate {
  const annotations = { ...metadata.annotations, [TEMPLATE_ANNOTATION]: digest };
  return { metadata: { ...metadata, annotations }, spec };
}

function statefulSet(
  { tunnel }: TunnelInput,
  replicas: number,
  template: PodTemplate,
): DesiredObject {
  const { name } = tunnel.metadata;
  return child(tunnel, STATEFUL_SET, {
    spec: {
      replicas,
      serviceName: `${gatewayName(name)}-pods`,
      // The standby is never ready, so the replicas must not wait for one another.
      podManagementPolicy: "Parallel",
      selector: { matchLabels: gatewaySelector(name) },
      template,
    },
  });
}
