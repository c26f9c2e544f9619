/**
 * What the operator is made of, in one place: tokens and factories over tsyringe's container. No
 * decorators, no metadata; nothing is resolved once the program runs.
 */
import type { KubeConfig } from "@kubernetes/client-node";
import pino, { type Logger } from "pino";
import "../authority/reflect-shim.ts";
import { type DependencyContainer, instanceCachingFactory, container as root } from "tsyringe";
import { ApiClient } from "./api/api-client.ts";
import { Children } from "./apply/children.ts";
import { admitPod } from "./attach/admit.ts";
import { type Clock, SYSTEM_CLOCK } from "./clock.ts";
import { Controller } from "./controller.ts";
import { EventRecorder } from "./events/event-recorder.ts";
import { ELECTION_TIMES, LeaseElection } from "./leader/lease-election.ts";
import { Metrics } from "./metrics/metrics.ts";
import { Issuing } from "./reconcile/issuer/issuing.ts";
import { PodReconciler } from "./reconcile/pod/reconcile.ts";
import { UplinkSetReconciler } from "./reconcile/uplink-set/reconcile.ts";
import { PeerReconciler } from "./reconcile/vpn-peer/reconcile.ts";
import type { GatewayImage, TunnelMetrics } from "./reconcile/vpn-tunnel/gateway-pod.ts";
import { TunnelReconciler } from "./reconcile/vpn-tunnel/reconcile.ts";
import type { Access } from "./reconcile/vpn-tunnel/references.ts";
import { WebhookReconciler } from "./reconcile/webhook/reconcile.ts";
import { Webhook, type WebhookSettings } from "./webhook/webhook.ts";
import { World } from "./world.ts";

declare const valueType: unique symbol;
/** A name for something of type T in the container. */
export type Token<T> = symbol & { readonly [valueType]?: T };

/** What the program is started with. */
export interface OperatorSettings {
  readonly kubeConfig: KubeConfig;
  /** Where its Lease lives. */
  readonly namespace: string;
  /** Who this replica is; differs in each start. */
  readonly identity: string;
  readonly image: GatewayImage;
  /** What the cluster's administrator lets tunnels have. */
  readonly access: Access;
  /** Namespaces whose resources are carried out. Empty: all. */
  readonly namespaces: readonly string[];
  /** Certificates of cert-manager may be made. */
  readonly usesCertManager: boolean;
  /** Resources of gateways and sidecars, as in a container. */
  readonly gatewayResources: object;
  readonly sidecarResources: object;
  /** Where gateways and sidecars serve their figures; absent: nowhere. */
  readonly tunnelMetrics?: TunnelMetrics;
  /** Absent: no pod is attached. */
  readonly webhook?: WebhookSettings;
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

const STDERR = 2;
const LEASE_NAME = "fairlead-operator";

const SETTINGS: Token<OperatorSettings> = Symbol("OperatorSettings");
export const LOG: Token<Logger> = Symbol("Logger");
export const CLOCK: Token<Clock> = Symbol("Clock");
export const API: Token<ApiClient> = Symbol("ApiClient");
export const WORLD: Token<World> = Symbol("World");
export const METRICS: Token<Metrics> = Symbol("Metrics");
export const EVENTS: Token<EventRecorder> = Symbol("EventRecorder");
export const ELECTION: Token<LeaseElection> = Symbol("LeaseElection");
export const WEBHOOK: Token<Webhook | undefined> = Symbol("Webhook");
export const CONTROLLER: Token<Controller> = Symbol("Controller");

/** Resolves tokens to what they name. */
export type Resolve = <T>(token: Token<T>) => T;

/** Everything that one operator process is made of. */
export function wireOperator(settings: OperatorSettings): Resolve {
  const container = root.createChildContainer();
  const get: Resolve = <T>(token: Token<T>): T => container.resolve<T>(token as symbol);
  once(container, SETTINGS, () => settings);
  once(container, CLOCK, () => SYSTEM_CLOCK);
  once(container, LOG, () => createLog(settings));
  once(container, METRICS, () => new Metrics());
  once(container, API, () => new ApiClient(settings.kubeConfig, get(CLOCK)));
  once(container, WORLD, () => createWorld(get));
  once(container, EVENTS, () => createEvents(get));
  once(container, ELECTION, () => createElection(get));
  once(container, WEBHOOK, () => createWebhook(get));
  once(container, CONTROLLER, () => createController(get));
  return get;
}

function once<T>(container: DependencyContainer, token: Token<T>, make: () => NoInfer<T>): void {
  container.register(token as symbol, { useFactory: instanceCachingFactory(make) });
}

function createWorld(get: Resolve): World {
  const [log, metrics] = [get(LOG), get(METRICS)];
  const world = new World({
    api: get(API),
    clock: get(CLOCK),
    namespaces: get(SETTINGS).namespaces,
    usesCertManager: get(SETTINGS).usesCertManager,
    troubled: ({ kind }, error) => log.warn({ kind: kind.kind, ...cause(error) }, "watch failed"),
  });
  metrics.gauge("fairlead_objects", () =>
    world.all.map(({ figures, selection }) => [{ kind: selection.kind.kind }, figures.objects]),
  );
  metrics.gauge("fairlead_watch_failures", () =>
    world.all.map(({ figures, selection }) => [{ kind: selection.kind.kind }, figures.failures]),
  );
  return world;
}

function createEvents(get: Resolve): EventRecorder {
  const log = get(LOG);
  return new EventRecorder({
    api: get(API),
    clock: get(CLOCK),
    controller: "fairlead.dev/operator",
    instance: get(SETTINGS).identity,
    troubled: (error) => log.warn(cause(error), "an event was not sent"),
  });
}

function createElection(get: Resolve): LeaseElection {
  const log = get(LOG);
  const { identity, namespace } = get(SETTINGS);
  return new LeaseElection({
    api: get(API),
    clock: get(CLOCK),
    namespace,
    name: LEASE_NAME,
    identity,
    times: ELECTION_TIMES,
    troubled: (error) => log.warn(cause(error), "the Lease could not be read or written"),
  });
}

function createWebhook(get: Resolve): Webhook | undefined {
  const { image, namespace, sidecarResources, tunnelMetrics, webhook: settings } = get(SETTINGS);
  if (settings === undefined) return undefined;
  const [log, world] = [get(LOG), get(WORLD)];
  const sidecars = {
    ...{ image, resources: sidecarResources },
    ...(tunnelMetrics === undefined ? {} : { metricsPort: tunnelMetrics.port }),
  };
  return new Webhook({
    ...{ api: get(API), clock: get(CLOCK), namespace, settings },
    admit: (path, request) => admitPod(world, sidecars, { path, request }),
    troubled: (error) => log.warn(cause(error), "the webhook's keys could not be read or written"),
  });
}

function createController(get: Resolve): Controller {
  const [log, metrics, world] = [get(LOG), get(METRICS), get(WORLD)];
  const settings = get(SETTINGS);
  const { access, gatewayResources, image, namespace, tunnelMetrics } = settings;
  const gateways = {
    ...{ image, resources: gatewayResources },
    ...(tunnelMetrics === undefined ? {} : { metrics: tunnelMetrics }),
  };
  const [api, clock] = [get(API), get(CLOCK)];
  const context = { api, clock, world, events: get(EVENTS) };
  const children = new Children(api, world.childKinds);
  const issuing = new Issuing({ api, children, clock, world });
  const running = get(WEBHOOK);
  const webhook =
    running && settings.webhook ? { webhook: { running, settings: settings.webhook } } : {};
  const controller = new Controller({
    clock,
    world,
    metrics,
    reconcilers: {
      VpnTunnel: new TunnelReconciler({ ...context, children, gateways, access, issuing }),
      VpnPeer: new PeerReconciler({ ...context, children, issuing }),
      UplinkSet: new UplinkSetReconciler(context),
      Pod: new PodReconciler(context),
      Webhook: new WebhookReconciler({ api, world, namespace, ...webhook }),
    },
    failed: (key, error, delayMs) =>
      log.warn({ key, delayMs: Math.round(delayMs), ...cause(error) }, "reconcile failed"),
  });
  running?.onBundle(() => controller.webhookChanged());
  return controller;
}

/** JSON lines on standard error. Never a body: it may hold a key. */
function createLog(settings: OperatorSettings): Logger {
  const options = { level: settings.logLevel, base: null };
  return pino(options, pino.destination({ fd: STDERR, sync: true }));
}

function cause(error: unknown): { readonly cause: string } {
  return { cause: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
}
