/**
 * Keeps the MutatingWebhookConfiguration: one entry for each tunnel that takes pods, with its
 * namespace and selector, so that no other pod is ever sent. A tunnel's pods fail to be made while
 * no operator answers: one that started without its interface is the fault that nobody sees.
 */
import { createHash } from "node:crypto";
import type { VpnTunnel } from "../../../crds/types.ts";
import { type KubeObject, keyOf, MUTATING_WEBHOOKS } from "../../api/object.ts";
import { apply } from "../../apply/apply.ts";
import { ATTACH_PATH } from "../../attach/admit.ts";
import { objectSelectorOf, selectorOf } from "../../attach/attachments.ts";
import type { WorkResult } from "../../queue/work-queue.ts";
import type { Webhook, WebhookSettings } from "../../webhook/webhook.ts";
import type { Live } from "../../world.ts";
import type { ReconcileContext, Reconciler } from "../reconciler.ts";

/** What the reconciler is made with; without a webhook it does nothing. */
export interface WebhookReconcilerOptions extends Pick<ReconcileContext, "api" | "world"> {
  readonly namespace: string;
  readonly webhook?: {
    readonly settings: WebhookSettings;
    readonly running: Pick<Webhook, "bundlePem">;
  };
}

/** Everything that entries are made from. */
interface ConfigurationInput {
  readonly settings: WebhookSettings;
  readonly namespace: string;
  readonly bundlePem: string;
  readonly tunnels: readonly Live<VpnTunnel>[];
}

/** The whole is applied again this often, whoever changed it. */
const REPAIR_MS = 600_000;
/** The API server goes on without us after so long: it refuses the pod. */
const ANSWER_SECONDS_MAX = 5;

/** Reconciles the configuration. */
export class WebhookReconciler implements Reconciler {
  readonly #options: WebhookReconcilerOptions;

  constructor(options: WebhookReconcilerOptions) {
    this.#options = options;
  }

  async reconcile(): Promise<WorkResult> {
    const { api, namespace, webhook, world } = this.#options;
    const bundlePem = webhook?.running.bundlePem;
    // The bundle is there as soon as the Secret is, and brings this key back.
    if (webhook === undefined || bundlePem === undefined) return {};
    const { settings } = webhook;
    const tunnels = [...world.tunnels.values()];
    const desired = webhookConfiguration({ settings, namespace, bundlePem, tunnels });
    // A server-side apply that changes nothing writes nothing.
    await apply<KubeObject>(api, MUTATING_WEBHOOKS, desired);
    return { retryAfterMs: REPAIR_MS };
  }
}

/** The configuration. Pure. */
function webhookConfiguration(input: ConfigurationInput): KubeObject {
  const webhooks = input.tunnels
    .flatMap((tunnel) => {
      const selector = selectorOf(tunnel);
      return selector === undefined ? [] : [entry(input, tunnel, objectSelectorOf(selector))];
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const { apiVersion, kind } = MUTATING_WEBHOOKS;
  return {
    apiVersion,
    kind,
    metadata: { name: input.settings.configuration },
    webhooks,
  } as KubeObject;
}

function entry(
  input: ConfigurationInput,
  tunnel: Live<VpnTunnel>,
  objectSelector: object,
): { readonly name: string; readonly [field: string]: unknown } {
  const { namespace = "" } = tunnel.metadata;
  return {
    name: entryName(tunnel),
    clientConfig: { ...target(input, keyOf(tunnel)), caBundle: base64(input.bundlePem) },
    rules: [
      {
        apiGroups: [""],
        apiVersions: ["v1"],
        operations: ["CREATE"],
        resources: ["pods"],
        scope: "Namespaced",
      },
    ],
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
    objectSelector,
    failurePolicy: "Fail",
    matchPolicy: "Equivalent",
    reinvocationPolicy: "IfNeeded",
    sideEffects: "None",
    timeoutSeconds: ANSWER_SECONDS_MAX,
    admissionReviewVersions: ["v1"],
  };
}

/** A domain name, as the API server wants it; a long one is told apart by its digest. */
function entryName(tunnel: Live<VpnTunnel>): string {
  const { name, namespace } = tunnel.metadata;
  const digest = createHash("sha256").update(keyOf(tunnel)).digest("hex").slice(0, 8);
  return `${digest}.${name}.${namespace}.attach.fairlead.dev`;
}

function target({ namespace, settings }: ConfigurationInput, tunnel: string): object {
  const path = `${ATTACH_PATH}${tunnel}`;
  if ("url" in settings.target) return { url: new URL(path, settings.target.url).href };
  const { port, service } = settings.target;
  return { service: { name: service, namespace, path, port } };
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
