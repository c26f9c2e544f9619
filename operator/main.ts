/**
 * The operator program: reads the cluster, and while it leads, brings every resource to what it
 * says. Invariant: a replica that lost its Lease writes nothing more, it ends; one that is told to
 * stop finishes what it is doing and gives the Lease back.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { loadKubeConfig } from "./api/kube-config.ts";
import { serveHttp } from "./http-server.ts";
import { DRAIN_MS_MAX } from "./limits.ts";
import {
  API,
  CLOCK,
  CONTROLLER,
  ELECTION,
  EVENTS,
  LOG,
  METRICS,
  type OperatorSettings,
  type Resolve,
  WEBHOOK,
  WORLD,
  wireOperator,
} from "./wiring.ts";

/** What `fairlead operator` asks for. */
export interface OperatorOptions extends Omit<OperatorSettings, "kubeConfig" | "identity"> {
  /** Path of a kubeconfig; absent: as kubectl would find it, or the pod's own account. */
  readonly kubeconfig?: string;
  readonly port: number;
}

/** Runs until it is told to stop (true) or lost its Lease (false). */
export async function runOperator(options: OperatorOptions): Promise<boolean> {
  const kubeConfig = loadKubeConfig(options.kubeconfig);
  const identity = `${hostname()}_${randomBytes(4).toString("hex")}`;
  const get = wireOperator({ ...options, kubeConfig, identity });
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
  const world = get(WORLD);
  let isSynced = false;
  const http = await serveHttp(options.port, {
    isReady: () => isSynced && get(WEBHOOK)?.isServing !== false,
    metrics: () => get(METRICS).print(),
  });
  // The controller hears of every change from the first list on; it works only while it leads.
  const controller = get(CONTROLLER);
  const watching = new AbortController();
  const watched = world.run(watching.signal);
  // Every replica answers the API server, from the moment on that it knows all tunnels.
  const answered = world.synced().then(async () => {
    isSynced = true;
    await get(WEBHOOK)?.run(watching.signal);
  });
  get(LOG).info({ port: http.port, identity }, "operator started");
  try {
    return await Promise.race([lead(get, stop.signal), failureOf(answered)]);
  } finally {
    watching.abort();
    await drained(get, controller.stop());
    await get(EVENTS).drained();
    await get(ELECTION).release();
    await watched;
    if (isSynced) await answered;
    await http.close();
    get(API).close();
    get(LOG).info("operator stopped");
  }
}

async function lead(get: Resolve, signal: AbortSignal): Promise<boolean> {
  const [controller, election, log, world] = [get(CONTROLLER), get(ELECTION), get(LOG), get(WORLD)];
  if (!(await election.win(signal))) return true;
  log.info("this replica leads");
  const synced = world.synced();
  const held = election.hold(signal);
  await Promise.race([synced, held]);
  if (!election.isLeader || signal.aborted) return await held;
  controller.start();
  const isToldToStop = await held;
  if (!isToldToStop) log.error("the Lease was lost: this replica ends, another one leads");
  return isToldToStop;
}

/** Rejects when the webhook cannot be served, and never resolves. */
async function failureOf(answered: Promise<void>): Promise<never> {
  await answered;
  return await Promise.withResolvers<never>().promise;
}

/** Waits for work under way, but not for ever. */
async function drained(get: Resolve, work: Promise<void>): Promise<void> {
  const limit = new AbortController();
  await Promise.race([work, get(CLOCK).sleep(DRAIN_MS_MAX, limit.signal)]);
  limit.abort();
}
