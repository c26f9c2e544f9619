/** `fairlead operator`: the program that carries out the resources of a cluster. */
import { NAMESPACES_MAX } from "../operator/limits.ts";
import { runOperator } from "../operator/main.ts";
import type { TunnelMetrics } from "../operator/reconcile/vpn-tunnel/gateway-pod.ts";
import type { WebhookSettings } from "../operator/webhook/webhook.ts";
import { ExitStatus } from "./exit-status.ts";
import { UsageError } from "./process-state.ts";

/** The options as commander hands them over. */
export interface OperatorFlags {
  readonly kubeconfig?: string;
  readonly namespace: string;
  readonly image: string;
  readonly imagePullPolicy: string;
  readonly imagePullSecret?: readonly string[];
  readonly hostAccess?: readonly string[];
  readonly multus?: true;
  readonly multusSharedNamespace?: readonly string[];
  readonly watchNamespace?: readonly string[];
  readonly certManager?: boolean;
  readonly gatewayResources: string;
  readonly sidecarResources: string;
  readonly tunnelMetricsPort: string;
  readonly tunnelMetricsFrom: string;
  readonly webhookConfiguration?: string;
  readonly webhookSecret: string;
  readonly webhookService?: string;
  readonly webhookUrl?: string;
  readonly webhookPort: string;
  readonly port: string;
  readonly logLevel: string;
}

const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
const PULL_POLICIES = ["Always", "IfNotPresent", "Never"] as const;
const PORT_MAX = 65_535;
const WEBHOOK_SERVICE_PORT = 443;

/** Runs until a signal, or until another replica leads. */
export async function run(flags: OperatorFlags): Promise<ExitStatus> {
  const logLevel = oneOf("--log-level", LOG_LEVELS, flags.logLevel);
  const pullPolicy = oneOf("--image-pull-policy", PULL_POLICIES, flags.imagePullPolicy);
  const port = portOf("--port", flags.port);
  const webhook = webhookOf(flags);
  const tunnelMetrics = tunnelMetricsOf(flags);
  const isToldToStop = await runOperator({
    ...(flags.kubeconfig === undefined ? {} : { kubeconfig: flags.kubeconfig }),
    namespace: flags.namespace,
    image: { reference: flags.image, pullPolicy, pullSecrets: flags.imagePullSecret ?? [] },
    access: {
      host: { namespaces: flags.hostAccess ?? [] },
      networks: {
        isGranted: flags.multus === true,
        sharedNamespaces: flags.multusSharedNamespace ?? [],
      },
    },
    namespaces: namespacesOf(flags.watchNamespace),
    usesCertManager: flags.certManager === true,
    gatewayResources: resourcesOf("--gateway-resources", flags.gatewayResources),
    sidecarResources: resourcesOf("--sidecar-resources", flags.sidecarResources),
    ...(webhook === undefined ? {} : { webhook }),
    ...(tunnelMetrics === undefined ? {} : { tunnelMetrics }),
    port,
    logLevel,
  });
  return isToldToStop ? ExitStatus.Fine : ExitStatus.Internal;
}

function portOf(flag: string, text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= PORT_MAX) return port;
  throw new UsageError(`${flag} is a number from 0 to ${PORT_MAX}`);
}

function namespacesOf(names: readonly string[] = []): readonly string[] {
  const different = [...new Set(names)];
  if (different.length <= NAMESPACES_MAX) return different;
  throw new UsageError(
    `--watch-namespace takes at most ${NAMESPACES_MAX}: name none, and give the operator a ClusterRole`,
  );
}

function webhookOf(flags: OperatorFlags): WebhookSettings | undefined {
  const { webhookConfiguration: configuration, webhookService: service, webhookUrl: url } = flags;
  if (configuration === undefined) {
    const lonely = service ?? url;
    if (lonely === undefined) return undefined;
    throw new UsageError("--webhook-service and --webhook-url belong to --webhook-configuration");
  }
  const shared = {
    configuration,
    secret: flags.webhookSecret,
    port: portOf("--webhook-port", flags.webhookPort),
  };
  if (service !== undefined && url === undefined) {
    return { ...shared, target: { service, port: WEBHOOK_SERVICE_PORT } };
  }
  if (url !== undefined && service === undefined && URL.parse(url)?.protocol === "https:") {
    return { ...shared, target: { url } };
  }
  throw new UsageError(
    "name where the API server reaches the webhook: --webhook-service, or --webhook-url https://…",
  );
}

/** Where gateways and sidecars serve their figures; nowhere without a port. */
function tunnelMetricsOf(flags: OperatorFlags): TunnelMetrics | undefined {
  const port = portOf("--tunnel-metrics-port", flags.tunnelMetricsPort);
  const from = readJson(flags.tunnelMetricsFrom);
  if (!Array.isArray(from) || !from.every((one) => isObject(one))) {
    throw new UsageError(
      '--tunnel-metrics-from is JSON, as a NetworkPolicy has it: [{"namespaceSelector":{}}]',
    );
  }
  return port === 0 ? undefined : { port, from };
}

function resourcesOf(flag: string, text: string): object {
  const value = readJson(text);
  if (isObject(value)) return value;
  throw new UsageError(`${flag} is JSON: {"requests":{"cpu":"20m"}}`);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

function oneOf<Value extends string>(flag: string, values: readonly Value[], given: string): Value {
  const value = values.find((candidate) => candidate === given);
  if (value === undefined) throw new UsageError(`${flag} is one of ${values.join(", ")}`);
  return value;
}
