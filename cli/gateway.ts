/**
 * `fairlead gateway`: one replica of a tunnel's gateway in a cluster. It watches its own Secret by
 * name (a mounted volume would follow in minutes) and gives the files in it to the sidecar; one
 * replica at a time carries frames, by a Lease, and goes on while the API server is away.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import pino from "pino";
import { ApiClient } from "../operator/api/api-client.ts";
import { loadKubeConfig } from "../operator/api/kube-config.ts";
import { LEASE, type OwnerReference, SECRET } from "../operator/api/object.ts";
import { SYSTEM_CLOCK } from "../operator/clock.ts";
import { LeaseElection } from "../operator/leader/lease-election.ts";
import { type SecretObject, secretTextOf } from "../operator/reconcile/secret-data.ts";
import { Informer } from "../operator/watch/informer.ts";
import type { ClaimObject } from "../operator/world.ts";
import { loadTunnels } from "../sidecar/control/load-tunnels.ts";
import { runSidecar } from "../sidecar/main.ts";
import { TunnelError } from "../sidecar/tunnel-error.ts";
import { ExitStatus } from "./exit-status.ts";
import { ensureBridge, namesBridge } from "./gateway-bridge.ts";
import { DOCUMENTS, writeGatewayFiles } from "./gateway-files.ts";
import { type HeartbeatOptions, Heartbeats } from "./gateway-heartbeats.ts";
import { GatewayReporter } from "./gateway-reporter.ts";
import { packageVersion } from "./package-version.ts";
import { UsageError } from "./process-state.ts";
import { readProcesses } from "./status.ts";
import { metricsOf, STATUS_OF } from "./up.ts";

/** The options as commander hands them over. */
export interface GatewayFlags {
  readonly namespace: string;
  readonly tunnel: string;
  readonly kubeconfig?: string;
  readonly run: string;
  readonly heartbeatPort: string;
  readonly replica?: readonly string[];
  readonly metrics?: string;
}

/**
 * Renewals are rare: a thousand tunnels write a hundred times a second. Heartbeats tell a standby
 * within two seconds; only without them does it wait until the Lease has run out.
 */
const ELECTION_TIMES = { leaseMs: 25_000, renewDeadlineMs: 20_000, retryMs: 10_000 };
const HEARTBEAT_KEY = "heartbeat.key";
/** What the gateway's pods are to be made from, and what this one was. */
const TEMPLATE_KEY = "pod-template";
const TEMPLATE_VARIABLE = "FAIRLEAD_POD_TEMPLATE";
const STDERR = 2;
/** What the readiness probe looks for, so that the Service leads to the active replica alone. */
const ACTIVE_FILE = "active";

/** Runs until a signal, or until another replica has taken over. */
export async function run(flags: GatewayFlags): Promise<ExitStatus> {
  // What is wrong with it is said before anything is waited for.
  metricsOf(flags);
  const log = pino({ base: null }, pino.destination({ fd: STDERR, sync: true }));
  // The folder outlives a killed container: its mark would call this replica active.
  await rm(join(flags.run, ACTIVE_FILE), { force: true });
  const api = new ApiClient(loadKubeConfig(flags.kubeconfig), SYSTEM_CLOCK);
  const name = `${flags.tunnel}-gateway`;
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
  const selection = {
    kind: SECRET,
    namespace: flags.namespace,
    fieldSelector: `metadata.name=${name}`,
  };
  const troubled = (error: unknown): void => {
    log.warn({ cause: String(error) }, "the API server was not reached");
  };
  const informer = new Informer<SecretObject>({
    ...{ api, clock: SYSTEM_CLOCK, selection },
    troubled: (_, error) => troubled(error),
  });
  const files = new Files(flags, () => log.info("new documents"));
  informer.onChange((_, { current }) => {
    if (current !== undefined) files.take(current);
  });
  const { election, standing } = stand(flags, { api, files, log, stop });
  const watched = Promise.all([informer.run(stop.signal), ...standing]);
  await Promise.race([files.first, aborted(stop.signal)]);
  if (!stop.signal.aborted) await warmUp(files, log);
  files.isWarm = true;
  log.info("standing by");
  const isWon = await election.win(stop.signal);
  const status = isWon
    ? await forward(flags, { api, election, files, log, stop })
    : ExitStatus.Fine;
  stop.abort();
  await watched;
  api.close();
  return status;
}

/** Reads everything once before it counts: modules, schemas and keys cost most of a second. */
async function warmUp(files: Files, log: pino.Logger): Promise<void> {
  const load = { paths: [files.documents], stateDirectory: files.state, wallMs: Date.now() };
  const { problems, tunnels } = await loadTunnels(load);
  for (const { place, text } of problems) log.warn({ place }, text);
  for (const one of tunnels) if (!one.ok) log.warn({ problems: one.problems }, "cannot be started");
}

/** The election, and what makes it fast: heartbeats, and a watch of the Lease. */
function stand(
  flags: GatewayFlags,
  { api, files, log, stop }: Omit<Parts, "election">,
): { readonly election: LeaseElection; readonly standing: readonly Promise<void>[] } {
  const { namespace, tunnel } = flags;
  const name = `${tunnel}-gateway`;
  const clock = SYSTEM_CLOCK;
  const identity = process.env["POD_NAME"] ?? `process-${process.pid}`;
  const troubled = (error: unknown): void => {
    log.warn({ cause: String(error) }, "the Lease could not be read or written");
  };
  const heartbeats: Heartbeats = new Heartbeats({
    ...{ clock, identity, ...placesOf(flags) },
    key: () => files.heartbeatKey,
    transition: () => election.transition,
    silent: () => {
      log.info("the active replica is silent");
      election.nudge();
    },
    // Also without the API server: whoever took over did so by the Lease.
    overtaken: () => {
      log.warn("another replica forwards since a later take-over: this one ends");
      process.kill(process.pid, "SIGTERM");
    },
    standingBy: () => (files.isWarm ? ownTemplate() : undefined),
    // A pod that is to be made anew goes last: only once one of the new ones can take over.
    ready: (template) => {
      if (!files.isOutdated(ownTemplate()) || template !== files.template) return;
      log.warn("another replica is as its tunnel is now: this one hands over");
      process.kill(process.pid, "SIGTERM");
    },
    troubled: (error) => log.warn({ cause: String(error) }, "no heartbeats: the Lease decides"),
  });
  const election = new LeaseElection({
    ...{ api, clock, namespace, name, identity, times: ELECTION_TIMES, troubled },
    yieldsOnlyToAnother: true,
    owners: () => files.owners,
    isHolderSilent: () => heartbeats.isActiveSilent,
  });
  // Given back or taken: either is known at once, not at the next renewal.
  const lease = new Informer({
    ...{
      api,
      clock,
      selection: { kind: LEASE, namespace, fieldSelector: `metadata.name=${name}` },
    },
    troubled: (_, error) => troubled(error),
  });
  lease.onChange((_, { current }) => {
    const { holderIdentity } = (current as ClaimObject | undefined)?.spec ?? {};
    if (holderIdentity === "" || (election.isLeader && holderIdentity !== identity)) {
      election.nudge();
    }
  });
  return { election, standing: [heartbeats.run(stop.signal), lease.run(stop.signal)] };
}

function ownTemplate(): string | undefined {
  return process.env[TEMPLATE_VARIABLE];
}

function placesOf(flags: GatewayFlags): Pick<HeartbeatOptions, "port" | "replicas"> {
  const port = Number(flags.heartbeatPort);
  const replicas = (flags.replica ?? []).map((text) => {
    const [host = "", other] = text.split(":");
    return { host, port: other === undefined ? port : Number(other) };
  });
  if ([port, ...replicas.map((one) => one.port)].every((one) => one > 0 && one <= 65_535)) {
    return { port, replicas };
  }
  throw new UsageError("--heartbeat-port is a port, and --replica a name or name:port");
}

interface Parts {
  readonly api: ApiClient;
  readonly election: LeaseElection;
  readonly files: Files;
  readonly log: pino.Logger;
  readonly stop: AbortController;
}

/** Carries frames as long as this replica holds the Lease. */
async function forward(flags: GatewayFlags, parts: Parts): Promise<ExitStatus> {
  const { election, files, log, stop } = parts;
  const marker = join(flags.run, ACTIVE_FILE);
  log.info("this replica is active");
  const problem = bridgeProblem(files);
  if (problem !== undefined) {
    log.error({ cause: problem.failure }, problem.message);
    await election.release();
    return STATUS_OF[problem.failure];
  }
  files.isFollowed = true;
  const sidecar = runSidecar({
    load: { paths: [files.documents], stateDirectory: files.state },
    runDirectory: flags.run,
    ...metricsOf(flags),
    settings: {
      version: packageVersion(),
      logLevel: "info",
      isTerminal: false,
      keepsTrying: true,
    },
  });
  await writeFile(marker, "");
  const reported = reporterOf(flags, parts).run(stop.signal);
  const held = election.hold(stop.signal).then((isToldToStop) => {
    if (isToldToStop) return;
    log.warn("another replica has taken over: this one ends");
    process.kill(process.pid, "SIGTERM");
  });
  try {
    const end = await sidecar;
    return end.failure === undefined ? ExitStatus.Fine : STATUS_OF[end.failure];
  } finally {
    stop.abort();
    await rm(marker, { force: true });
    await held;
    await reported;
    await election.release();
  }
}

/** Makes the bridge that the documents name; what is wrong, if anything. */
function bridgeProblem(files: Files): TunnelError | undefined {
  if (!files.needsBridge) return undefined;
  try {
    ensureBridge();
    return undefined;
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error;
    return error;
  }
}

/** The status in the cluster follows what the status socket shows. */
function reporterOf(flags: GatewayFlags, { api, log }: Parts): GatewayReporter {
  const { NODE_NAME: node, POD_NAME: pod = `process-${process.pid}` } = process.env;
  const since = `${new Date().toISOString().slice(0, 19)}Z`;
  return new GatewayReporter({
    ...{ api, clock: SYSTEM_CLOCK },
    tunnel: { namespace: flags.namespace, name: flags.tunnel },
    active: { pod, ...(node === undefined ? {} : { node }), since },
    read: () => readProcesses(flags.run),
    troubled: (error) => log.warn({ cause: String(error) }, "the status was not reported"),
  });
}

/** The files of the Secret, written in the order of arrival. */
class Files {
  readonly documents: string;
  readonly state: string;
  isFollowed = false;
  /** The Secret's, and so the tunnel's: what this gateway makes is deleted with it. */
  owners: readonly OwnerReference[] = [];
  /** What the replicas' heartbeats are signed with. */
  heartbeatKey: string | undefined;
  /** What the gateway's pods are to be made from. */
  template: string | undefined;
  /** Everything was read once: this replica could forward at once. */
  isWarm = false;
  /** The two sides of the tunnel meet in a bridge. */
  needsBridge = false;
  readonly #flags: GatewayFlags;
  readonly #changed: () => void;
  readonly #first: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  #writing: Promise<void> = Promise.resolve();

  constructor(flags: GatewayFlags, changed: () => void) {
    this.#flags = flags;
    this.#changed = changed;
    this.documents = join(flags.run, "documents");
    this.state = join(flags.run, "state");
  }

  /** Resolves when the first files are there. */
  get first(): Promise<void> {
    return this.#first.promise;
  }

  /** Whether pods are made from something else now. */
  isOutdated(template: string | undefined): boolean {
    return template !== undefined && this.template !== undefined && template !== this.template;
  }

  take(secret: SecretObject): void {
    // Without blockOwnerDeletion, which would need a right on the tunnel.
    this.owners = (secret.metadata.ownerReferences ?? []).map(({ apiVersion, kind, name, uid }) => {
      return { apiVersion, kind, name, uid };
    });
    this.heartbeatKey = secretTextOf(secret, HEARTBEAT_KEY) ?? this.heartbeatKey;
    this.template = secretTextOf(secret, TEMPLATE_KEY) ?? this.template;
    this.#writing = this.#writing.then(async () => {
      const { namespace, tunnel } = this.#flags;
      await mkdir(this.documents, { recursive: true, mode: 0o700 });
      const place = { documents: this.documents, state: join(this.state, namespace, tunnel) };
      await writeGatewayFiles(place, secret);
      this.needsBridge = namesBridge(secretTextOf(secret, DOCUMENTS) ?? "");
      this.#first.resolve();
      if (!this.isFollowed) return;
      // Without it the sidecar says itself what is missing.
      bridgeProblem(this);
      this.#changed();
      process.kill(process.pid, "SIGHUP");
    });
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  signal.addEventListener("abort", () => resolve());
  await promise;
}
