/**
 * All tunnels of one process: starts those that can be started, replaces what a re-read changed,
 * stops in reverse order. One invariant: a tunnel's trouble stays its own.
 */

import { isDeepStrictEqual } from "node:util";
import type { Logger } from "pino";
import { monotonicMs } from "./clock.ts";
import type { LoadedTunnels } from "./control/loaded.ts";
import type { ProcessStatus } from "./control/status.ts";
import type { TunnelConfig } from "./control/tunnel-config.ts";
import { Tunnel, type TunnelContext } from "./tunnel.ts";
import { TunnelError, type TunnelFailure } from "./tunnel-error.ts";

/** Why the process has nothing left to do. */
export interface SidecarEnd {
  /** The first failure of a tunnel; "invalid" for documents that never became one. */
  readonly failure: TunnelFailure | "invalid" | undefined;
}

/** A file that is saved and then announced by SIGHUP is read twice within this time. */
const SAME_PROBLEM_MS = 2000;

interface Running {
  readonly config: TunnelConfig;
  readonly tunnel: Tunnel;
}

/** The tunnels of this process. */
export class Sidecar {
  readonly #context: Omit<TunnelContext, "failed">;
  readonly #log: Logger;
  readonly #running = new Map<string, Running>();
  readonly #refused = new Map<string, readonly string[]>();
  /** What was last said of a tunnel's documents, and when. */
  readonly #told = new Map<string, { readonly text: string; readonly atMs: number }>();
  readonly #ended: PromiseWithResolvers<SidecarEnd> = Promise.withResolvers<SidecarEnd>();
  readonly #since = new Date().toISOString();
  #failure: TunnelFailure | "invalid" | undefined;

  constructor(context: Omit<TunnelContext, "failed">) {
    this.#context = context;
    this.#log = context.log;
  }

  /** Settles when no tunnel is left that could carry anything. */
  get ended(): Promise<SidecarEnd> {
    return this.#ended.promise;
  }

  /** Starts what is new, updates what can be, restarts what must be, stops what is gone. */
  async apply(loaded: LoadedTunnels): Promise<void> {
    for (const { place, text } of loaded.problems) this.#log.error({ place }, text);
    if (loaded.problems.length > 0) this.#failure ??= "invalid";
    this.#refused.clear();
    const wanted = new Set<string>();
    for (const outcome of loaded.tunnels) {
      const name = `${outcome.namespace}/${outcome.name}`;
      wanted.add(name);
      if (outcome.ok) {
        for (const note of outcome.notes) this.#log.info({ tunnel: name }, note);
        await this.#place(name, outcome.config);
      } else this.#refuse(name, outcome.problems);
    }
    await this.#stopUnwanted(wanted, loaded);
    this.#checkEnd();
  }

  /** Takes who may connect from files that were saved; everything else waits for `apply`. */
  applyLive(loaded: LoadedTunnels): void {
    for (const outcome of loaded.tunnels) {
      const name = `${outcome.namespace}/${outcome.name}`;
      const known = this.#running.get(name);
      if (known === undefined) continue;
      if (!outcome.ok) {
        this.#tell(name, outcome.problems);
        continue;
      }
      if (isDeepStrictEqual(known.config, outcome.config)) continue;
      if (isSameButWho(known.config, outcome.config))
        this.#update(name, known.tunnel, outcome.config);
      else this.#log.info({ tunnel: name }, "its file was saved: send SIGHUP to take the change");
    }
  }

  /** Stops every tunnel; the failure that the process is to end with, if any. */
  async stop(): Promise<SidecarEnd> {
    for (const name of [...this.#running.keys()].reverse()) await this.#stop(name);
    return { failure: this.#failure };
  }

  /** The running tunnel of this name, `namespace/name`. */
  tunnel(name: string): Tunnel | undefined {
    return this.#running.get(name)?.tunnel;
  }

  status(): ProcessStatus {
    return {
      pid: process.pid,
      version: this.#context.version,
      since: this.#since,
      tunnels: [...this.#running.values()].map(({ tunnel }) => tunnel.status()),
      refused: [...this.#refused].map(([name, problems]) => ({ name, problems })),
    };
  }

  async #place(name: string, config: TunnelConfig): Promise<void> {
    const known = this.#running.get(name);
    if (known !== undefined) {
      if (isDeepStrictEqual(known.config, config)) return;
      const isLive =
        isSameButWho(known.config, config) ||
        isSameButUplinks(known.config, config) ||
        (this.#context.isOursAtServer && isSameButCertificate(known.config, config));
      if (isLive && this.#update(name, known.tunnel, config)) return;
      this.#log.warn(
        { tunnel: name },
        "this change needs a restart of the tunnel: frames are lost for a moment",
      );
      await this.#stop(name);
    }
    this.#start(name, config);
  }

  #update(name: string, tunnel: Tunnel, config: TunnelConfig): boolean {
    if (!tunnel.update(config)) return false;
    this.#running.set(name, { config, tunnel });
    const what =
      config.role.kind === "dial"
        ? "uplinks and certificate"
        : "peers, users, certificates, revocations and segment settings";
    this.#log.info({ tunnel: name }, `${what} updated, no frame dropped`);
    return true;
  }

  /** Stops what no file asks for any more; a file that could not be read says nothing about that. */
  async #stopUnwanted(wanted: ReadonlySet<string>, loaded: LoadedTunnels): Promise<void> {
    const isPartial = loaded.problems.some((problem) => problem.subject === undefined);
    for (const name of [...this.#running.keys()]) {
      if (wanted.has(name)) continue;
      if (isPartial) this.#log.warn({ tunnel: name }, "the tunnel goes on as it was");
      else await this.#stop(name);
    }
  }

  #start(name: string, config: TunnelConfig): void {
    try {
      const failed = (tunnel: Tunnel, error: TunnelError): void =>
        this.#onFailed(name, tunnel, error);
      this.#running.set(name, { config, tunnel: new Tunnel(config, { ...this.#context, failed }) });
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      this.#failure ??= error.failure;
      this.#refused.set(name, [error.message]);
      this.#log.error({ tunnel: name, cause: error.failure }, error.message);
    }
  }

  /** A wrong document keeps the tunnel that it was to change: the old data plane goes on. */
  #refuse(name: string, problems: readonly string[]): void {
    this.#failure ??= "invalid";
    this.#refused.set(name, problems);
    this.#tell(name, problems);
    if (this.#running.has(name)) this.#log.warn({ tunnel: name }, "the tunnel goes on as it was");
  }

  /** Once for a file that was saved and sent a SIGHUP for: both read it. */
  #tell(name: string, problems: readonly string[]): void {
    const text = problems.join("\n");
    const nowMs = monotonicMs();
    const told = this.#told.get(name);
    this.#told.set(name, { text, atMs: nowMs });
    if (told?.text === text && nowMs - told.atMs < SAME_PROBLEM_MS) return;
    for (const problem of problems) this.#log.error({ tunnel: name }, problem);
  }

  #onFailed(name: string, tunnel: Tunnel, error: TunnelError): void {
    this.#failure ??= error.failure;
    this.#log.error({ tunnel: name, cause: error.failure }, error.message);
    this.#refused.set(name, [error.message]);
    void this.#closeFailed(name, tunnel);
  }

  async #closeFailed(name: string, tunnel: Tunnel): Promise<void> {
    if (this.#running.get(name)?.tunnel === tunnel) this.#running.delete(name);
    await tunnel.close();
    this.#checkEnd();
  }

  async #stop(name: string): Promise<void> {
    const known = this.#running.get(name);
    this.#running.delete(name);
    await known?.tunnel.close();
  }

  #checkEnd(): void {
    if (this.#running.size === 0) this.#ended.resolve({ failure: this.#failure });
  }
}

/**
 * The same tunnel but for who may connect, the certificate that it shows from the next handshake on,
 * and what its switch does with groups and storms.
 */
function isSameButWho(one: TunnelConfig, other: TunnelConfig): boolean {
  if (one.role.kind !== "listen" || other.role.kind !== "listen") return false;
  const role = { ...other.role, peers: one.role.peers };
  const { segment } = other;
  // Snooping has tables of its own: to begin or end it takes a new data plane.
  if ((one.segment?.snooping === undefined) !== (segment?.snooping === undefined)) return false;
  if ((one.segment === undefined) !== (segment === undefined)) return false;
  const kept = one.segment === undefined ? {} : { segment: one.segment };
  // Whether a password is asked for at all is settled when the tunnel starts.
  if ((one.security.login === undefined) !== (other.security.login === undefined)) return false;
  if (!believesFormer(one, other)) return false;
  return isDeepStrictEqual(withoutLists(one), withoutLists({ ...other, ...kept, role }));
}

/** The same dialling tunnel but for what its uplinks are and how they are used. */
function isSameButUplinks(one: TunnelConfig, other: TunnelConfig): boolean {
  const { uplinks } = one;
  if (uplinks === undefined || other.uplinks === undefined || other.role.kind !== "dial") {
    return false;
  }
  return isDeepStrictEqual(one, { ...other, uplinks });
}

/** Sessions were let in by the former authorities: they stay if those are still believed, or if each is judged by itself. */
function believesFormer(one: TunnelConfig, other: TunnelConfig): boolean {
  const { caPem: former = "" } = one.security;
  const { caPem: now = "" } = other.security;
  const isEachJudged =
    other.role.kind === "listen" &&
    other.role.peers.every(({ fingerprints }) => fingerprints !== undefined);
  const pems = former.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return isEachJudged || pems.every((pem) => now.includes(pem));
}

/** The same dialling tunnel but for what it proves itself by, and whom it believes. */
function isSameButCertificate(one: TunnelConfig, other: TunnelConfig): boolean {
  if (one.role.kind !== "dial" || other.role.kind !== "dial") return false;
  const { caPem, identity } = one.security;
  if (caPem === undefined || identity === undefined) return false;
  return isDeepStrictEqual(one, { ...other, security: { ...other.security, caPem, identity } });
}

function withoutLists(config: TunnelConfig): TunnelConfig {
  const { caPem: _ca, crlPem: _crl, identity: _own, login: _login, ...security } = config.security;
  return { ...config, security };
}
