/**
 * The container that gives a pod its interface on a segment, and the volumes it needs. A native
 * sidecar: an init container that goes on running, so it starts before the program, ends after it,
 * and a Job with it completes. It runs as root with NET_ADMIN, in the pod's own network alone, and
 * gets no token of the API server. Pure.
 */
import type { VpnTunnel } from "../../crds/types.ts";
import { profileSecretName } from "../reconcile/labels.ts";
import {
  type GatewayImage,
  METRICS_PORT_NAME,
  metricsArgs,
  POD_ADDRESS,
} from "../reconcile/vpn-tunnel/gateway-pod.ts";
import type { Live, Named } from "../world.ts";
import { type Attachment, slugOf } from "./attachments.ts";

/** Key of a peer's Secret with everything that a sidecar reads. */
export const DOCUMENTS_KEY = "documents.yaml";

/** What sidecars run, and with what. */
export interface SidecarSettings {
  readonly image: GatewayImage;
  /** As in a container. */
  readonly resources: object;
  /** Where figures are served; absent: nowhere. */
  readonly metricsPort?: number;
}

/** What a pod gets. */
export interface Sidecar {
  readonly container: Named;
  readonly volumes: readonly Named[];
}

/** Names of all our containers and of volumes that belong to one of them begin so. */
export const SIDECAR_PREFIX = "fairlead-";
const TUN_VOLUME = "fl-dev-tun";
/** Mounted where the token would be, so that the API server adds none. */
const NO_TOKEN_VOLUME = "fl-no-token";
const TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount";
/** Ten minutes of trying before the container is started anew; it tries on after that. */
const STARTUP_ATTEMPTS = 600;

/** Name of the container of a tunnel. */
export function sidecarName(tunnel: string): string {
  return `${SIDECAR_PREFIX}${slugOf(tunnel)}`;
}

/** The sidecar of one tunnel. */
export function sidecarOf(
  tunnel: Live<VpnTunnel>,
  attachment: Attachment,
  settings: SidecarSettings,
): Sidecar {
  const name = sidecarName(attachment.tunnel);
  return {
    container: container(tunnel, name, settings),
    volumes: [
      {
        name,
        secret: {
          secretName: profileSecretName(attachment.peer),
          items: [{ key: DOCUMENTS_KEY, path: DOCUMENTS_KEY }],
          defaultMode: 0o400,
        },
      },
      { name: `${name}-run`, emptyDir: { medium: "Memory", sizeLimit: "16Mi" } },
      { name: `${name}-tmp`, emptyDir: { sizeLimit: "64Mi" } },
      { name: TUN_VOLUME, hostPath: { path: "/dev/net/tun", type: "CharDevice" } },
      { name: NO_TOKEN_VOLUME, emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
    ],
  };
}

function container(tunnel: Live<VpnTunnel>, name: string, settings: SidecarSettings): Named {
  const { image, resources } = settings;
  const { metricsPort } = settings;
  const isHeld = tunnel.spec.workloads?.onTunnelDown !== "Start";
  return {
    name,
    image: image.reference,
    imagePullPolicy: image.pullPolicy,
    args: [
      ...["attach", "-f", `/etc/fairlead/${DOCUMENTS_KEY}`],
      ...(metricsPort === undefined ? [] : metricsArgs(metricsPort)),
    ],
    ...(metricsPort === undefined
      ? {}
      : {
          env: [POD_ADDRESS],
          ports: [{ name: METRICS_PORT_NAME, containerPort: metricsPort, protocol: "TCP" }],
        }),
    restartPolicy: "Always",
    resources,
    terminationMessagePolicy: "FallbackToLogsOnError",
    ...(isHeld
      ? {
          startupProbe: {
            exec: { command: ["node", "/opt/fairlead/cli/main.ts", "ready"] },
            periodSeconds: 1,
            timeoutSeconds: 5,
            failureThreshold: STARTUP_ATTEMPTS,
          },
        }
      : {}),
    securityContext: {
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    volumeMounts: [
      { name, mountPath: "/etc/fairlead", readOnly: true },
      { name: `${name}-run`, mountPath: "/run/fairlead" },
      { name: `${name}-tmp`, mountPath: "/tmp" },
      { name: TUN_VOLUME, mountPath: "/dev/net/tun" },
      { name: NO_TOKEN_VOLUME, mountPath: TOKEN_PATH, readOnly: true },
    ],
  };
}
