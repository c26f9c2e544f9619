/**
 * The pod of a gateway. It runs as root with NET_ADMIN and /dev/net/tun and nothing more: making a
 * tap, its addresses and its routes needs that one capability (capabilities(7)). Pure.
 */
import type { VpnTunnel } from "../../../crds/types.ts";
import { gatewayName, gatewaySelector, replicaHosts } from "../labels.ts";

/** The image and how it is got. */
export interface GatewayImage {
  readonly reference: string;
  readonly pullPolicy: "Always" | "IfNotPresent" | "Never";
  readonly pullSecrets: readonly string[];
}

/** What gateways run, and with what where their tunnel says nothing. */
export interface GatewaySettings {
  readonly image: GatewayImage;
  /** As in a container. */
  readonly resources: object;
  /** Absent: no figures are served. */
  readonly metrics?: TunnelMetrics;
}

/** Where gateways and sidecars serve their figures, at their pod's own address. */
export interface TunnelMetrics {
  readonly port: number;
  /** Who may ask gateways for them, as in a NetworkPolicy's `from`. Empty: everybody in the cluster. */
  readonly from: readonly object[];
}

/** Name of the port in pods; a Service of the user's own may name `metrics`. */
export const METRICS_PORT_NAME = "fl-metrics";

/** At the pod's address alone: others would reach the segment, where strangers are. */
export function metricsArgs(port: number): readonly string[] {
  return ["--metrics", `[$(POD_IP)]:${port}`];
}

/** What the arguments above are filled in from. */
export const POD_ADDRESS: object = {
  name: "POD_IP",
  valueFrom: { fieldRef: { fieldPath: "status.podIP" } },
};

/** Where a gateway serves its figures: nowhere on the node's own network, whose port it would take. */
export function gatewayMetrics(
  { spec }: Pick<VpnTunnel, "spec">,
  { metrics }: GatewaySettings,
): TunnelMetrics | undefined {
  return spec.gateway?.network === "Host" ? undefined : metrics;
}

/** Of a gateway's pod: a digest of what it was made from. */
export const TEMPLATE_ANNOTATION = "fairlead.dev/pod-template";

const OWN_TEMPLATE: object = {
  name: "FAIRLEAD_POD_TEMPLATE",
  valueFrom: { fieldRef: { fieldPath: `metadata.annotations['${TEMPLATE_ANNOTATION}']` } },
};

/** Replicas when the resource does not say: one active, one warm. */
const REPLICAS_DEFAULT = 2;

/** How many replicas a tunnel's gateway has. */
export function replicasOf(spec: Pick<VpnTunnel["spec"], "gateway">): number {
  return spec.gateway?.replicas ?? REPLICAS_DEFAULT;
}

/** Port of the heartbeats between replicas: next to 7194, should the tunnel listen there. */
export function heartbeatPort(spec: Pick<VpnTunnel["spec"], "listen">): number {
  return spec.listen?.port === HEARTBEAT_PORT ? HEARTBEAT_PORT + 1 : HEARTBEAT_PORT;
}

const HEARTBEAT_PORT = 7194;

/** Longest that a gateway takes to say goodbye to its peers. */
const GRACE_SECONDS = 10;

/** The pod's specification. */
export function gatewayPodSpec(tunnel: VpnTunnel, settings: GatewaySettings): object {
  const { image } = settings;
  const { name } = tunnel.metadata;
  const { gateway } = tunnel.spec;
  const isHost = gateway?.network === "Host";
  return {
    serviceAccountName: gatewayName(name),
    automountServiceAccountToken: true,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: GRACE_SECONDS,
    ...(isHost ? { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" } : {}),
    ...(gateway?.nodeSelector === undefined ? {} : { nodeSelector: gateway.nodeSelector }),
    ...(gateway?.tolerations === undefined ? {} : { tolerations: gateway.tolerations }),
    ...(image.pullSecrets.length === 0
      ? {}
      : { imagePullSecrets: image.pullSecrets.map((secret) => ({ name: secret })) }),
    securityContext: { seccompProfile: { type: "RuntimeDefault" } },
    affinity: {
      podAntiAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          {
            weight: 100,
            podAffinityTerm: {
              labelSelector: { matchLabels: gatewaySelector(name) },
              topologyKey: "kubernetes.io/hostname",
            },
          },
        ],
      },
    },
    containers: [container(tunnel, settings)],
    volumes: [
      { name: "tun", hostPath: { path: "/dev/net/tun", type: "CharDevice" } },
      // In memory: the keys of the tunnel are never written to a disk.
      { name: "state", emptyDir: { medium: "Memory", sizeLimit: "16Mi" } },
      { name: "tmp", emptyDir: { sizeLimit: "64Mi" } },
    ],
  };
}

function container(tunnel: VpnTunnel, settings: GatewaySettings): object {
  const { image, resources } = settings;
  const { name, namespace } = tunnel.metadata;
  const { gateway, listen, transport } = tunnel.spec;
  const protocol = transport.protocol === "Tcp" ? "TCP" : "UDP";
  const metrics = gatewayMetrics(tunnel, settings);
  const ports = [
    ...(listen === undefined ? [] : [{ name: "openvpn", containerPort: listen.port, protocol }]),
    ...(metrics === undefined
      ? []
      : [{ name: METRICS_PORT_NAME, containerPort: metrics.port, protocol: "TCP" }]),
  ];
  return {
    name: "gateway",
    image: image.reference,
    imagePullPolicy: image.pullPolicy,
    args: [
      ...["gateway", "--namespace", namespace, "--tunnel", name, ...heartbeatArgs(tunnel)],
      ...(metrics === undefined ? [] : metricsArgs(metrics.port)),
    ],
    env: [
      { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      { name: "NODE_NAME", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
      { name: "POD_UID", valueFrom: { fieldRef: { fieldPath: "metadata.uid" } } },
      OWN_TEMPLATE,
      ...(metrics === undefined ? [] : [POD_ADDRESS]),
    ],
    ...(ports.length === 0 ? {} : { ports }),
    // Never without any: such a pod gets what others leave of the processor, and is evicted first.
    resources: gateway?.resources ?? resources,
    terminationMessagePolicy: "FallbackToLogsOnError",
    readinessProbe: {
      exec: { command: ["test", "-e", "/run/fairlead/active"] },
      periodSeconds: 1,
      // A busy node takes its time; the mark itself is there or not at once.
      timeoutSeconds: 5,
      failureThreshold: 1,
    },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
    },
    volumeMounts: [
      { name: "tun", mountPath: "/dev/net/tun" },
      { name: "state", mountPath: "/run/fairlead" },
      { name: "tmp", mountPath: "/tmp" },
    ],
  };
}

/** Where the other replicas are; one alone has nobody to tell. */
function heartbeatArgs({ metadata, spec }: VpnTunnel): readonly string[] {
  const replicas = replicasOf(spec);
  if (replicas < 2) return [];
  const port = String(heartbeatPort(spec));
  return ["--heartbeat-port", port, "--replica", ...replicaHosts(metadata, replicas)];
}
