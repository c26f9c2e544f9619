/**
 * One leader among several replicas, by a Lease. Invariants: a Lease is written only at the version
 * that was read; another's Lease is taken only after it did not change for its whole duration by
 * our own clock (the other's clock is never trusted); a leader that could not renew in time stops
 * being one before anybody else may begin. Times on the wire have six digits (MicroTime).
 */
import type { Api } from "../api/api-client.ts";
import { ApiError, ApiUnreachableError, hasStatus } from "../api/api-error.ts";
import { type KubeObject, LEASE, type OwnerReference, pathOf } from "../api/object.ts";
import type { Clock } from "../clock.ts";

/** How fast, and how patient. `renewDeadlineMs` is below `leaseMs`, or two could lead at once. */
export interface ElectionTimes {
  readonly leaseMs: number;
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

/** As client-go's controllers have it. */
export const ELECTION_TIMES: ElectionTimes = {
  leaseMs: 15_000,
  renewDeadlineMs: 10_000,
  retryMs: 2_000,
};

/** What an election is made with. */
export interface ElectionOptions {
  readonly api: Pick<Api, "call">;
  readonly clock: Clock;
  readonly namespace: string;
  readonly name: string;
  /** Who we are: the pod's name and something that differs in each start. */
  readonly identity: string;
  readonly times: ElectionTimes;
  /**
   * Absent: whoever cannot renew in time ends. For one that must go on through an outage of the API
   * server: it ends only when it reads that another one has taken over.
   */
  readonly yieldsOnlyToAnother?: true;
  /** With whom a Lease that is made here is deleted; absent: nobody deletes it. */
  readonly owners?: () => readonly OwnerReference[];
  /** Knows better than the Lease that its holder is gone: then it is taken though it has not run out. */
  readonly isHolderSilent?: () => boolean;
  readonly troubled: (error: unknown) => void;
}

interface LeaseObject extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/** The election of one replica. */
export class LeaseElection {
  readonly #options: ElectionOptions;
  #seen: { readonly version: string; readonly sinceMs: number } | undefined;
  #renewedMs = Number.NEGATIVE_INFINITY;
  #isLeader = false;
  #isTaken = false;
  #transition: number | undefined;
  #nudged: PromiseWithResolvers<void> = Promise.withResolvers<void>();

  constructor(options: ElectionOptions) {
    this.#options = options;
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }

  /** Number of the take-over by which we lead. */
  get transition(): number | undefined {
    return this.#isLeader ? this.#transition : undefined;
  }

  /** Something happened: look at the Lease now, not at the end of the pause. */
  nudge(): void {
    this.#nudged.resolve();
  }

  /** Waits until this replica leads; returns false when the signal came first. */
  async win(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      if (await this.#attempt()) {
        this.#isLeader = true;
        return true;
      }
      await this.#pause(signal);
    }
    return false;
  }

  /** Renews until leadership is lost (false) or the signal comes (true). */
  async hold(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      await this.#pause(signal);
      if (signal.aborted) break;
      // A call may hang for longer than the Lease lasts; leading ends in time all the same.
      const deadline = new AbortController();
      const late = this.#options.clock.sleep(this.#leftMs(), deadline.signal).then(() => false);
      const isPatient = this.#options.yieldsOnlyToAnother === true;
      const attempt = this.#attempt();
      const isOurs = await (isPatient ? attempt : Promise.race([attempt, late]));
      deadline.abort();
      if (isOurs || (!this.#isTaken && (isPatient || this.#leftMs() > 0))) continue;
      this.#isLeader = false;
      return false;
    }
    return true;
  }

  /** Gives the Lease back, so that the next one need not wait. */
  async release(): Promise<void> {
    if (!this.#isLeader) return;
    this.#isLeader = false;
    try {
      const lease = await this.#read();
      if (lease?.spec?.holderIdentity !== this.#options.identity) return;
      await this.#write(lease, { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1 });
    } catch (error) {
      this.#options.troubled(error);
    }
  }

  /** How long we may still lead without a renewal. */
  #leftMs(): number {
    const { clock, times } = this.#options;
    return Math.max(0, times.renewDeadlineMs - (clock.nowMs() - this.#renewedMs));
  }

  async #attempt(): Promise<boolean> {
    const startedMs = this.#options.clock.nowMs();
    try {
      const isOurs = await this.#takeOrRenew();
      // The time before the call counts: the server may have written at its very beginning.
      if (isOurs) this.#renewedMs = startedMs;
      return isOurs;
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof ApiUnreachableError)) throw error;
      if (!hasStatus(error, 409)) this.#options.troubled(error);
      return false;
    }
  }

  async #takeOrRenew(): Promise<boolean> {
    const { clock, identity } = this.#options;
    // What was read before says nothing about this attempt, which may fail.
    this.#isTaken = false;
    const lease = await this.#read();
    const now = microTime(clock.wallMs());
    const leaseDurationSeconds = Math.ceil(this.#options.times.leaseMs / 1000);
    const own = { holderIdentity: identity, leaseDurationSeconds, renewTime: now };
    if (lease === undefined) {
      await this.#create({ ...own, acquireTime: now, leaseTransitions: 0 });
      this.#transition = 0;
      return true;
    }
    const holder = lease.spec?.holderIdentity ?? "";
    if (holder === identity) {
      await this.#write(lease, { ...lease.spec, ...own });
      this.#transition = lease.spec?.leaseTransitions ?? 0;
      return true;
    }
    this.#isTaken = holder !== "";
    const isFree = holder === "" || this.#options.isHolderSilent?.() === true;
    if (!this.#isExpired(lease) && !isFree) return false;
    // Whoever leads does not take from another one: it yields.
    if (this.#isLeader && holder !== "") return false;
    const leaseTransitions = (lease.spec?.leaseTransitions ?? 0) + 1;
    await this.#write(lease, { ...own, acquireTime: now, leaseTransitions });
    this.#transition = leaseTransitions;
    this.#isTaken = false;
    return true;
  }

  #isExpired(lease: LeaseObject): boolean {
    const version = lease.metadata.resourceVersion ?? "";
    const nowMs = this.#options.clock.nowMs();
    if (this.#seen?.version !== version) this.#seen = { version, sinceMs: nowMs };
    const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
    return nowMs - this.#seen.sinceMs >= Math.max(durationMs, this.#options.times.leaseMs);
  }

  async #read(): Promise<LeaseObject | undefined> {
    const { api, name, namespace } = this.#options;
    const { retryMs } = this.#options.times;
    const path = pathOf(LEASE, { namespace, name });
    try {
      return await api.call<LeaseObject>({ method: "GET", path, timeoutMs: retryMs * 2 });
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  async #create(spec: NonNullable<LeaseObject["spec"]>): Promise<void> {
    const { api, name, namespace, owners, times } = this.#options;
    const ownerReferences = owners?.() ?? [];
    const body = {
      apiVersion: LEASE.apiVersion,
      kind: "Lease",
      metadata: { name, namespace, ...(ownerReferences.length > 0 && { ownerReferences }) },
      spec,
    };
    const path = pathOf(LEASE, { namespace });
    await api.call({ method: "POST", path, body, timeoutMs: times.retryMs * 2 });
  }

  async #write(lease: LeaseObject, spec: NonNullable<LeaseObject["spec"]>): Promise<void> {
    const { api, name, namespace, times } = this.#options;
    const path = pathOf(LEASE, { namespace, name });
    const body = { ...lease, spec };
    await api.call({ method: "PUT", path, body, timeoutMs: times.retryMs * 2 });
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const { clock, times } = this.#options;
    const waiting = new AbortController();
    const either = AbortSignal.any([signal, waiting.signal]);
    const slept = clock.sleep(times.retryMs * (0.8 + 0.4 * clock.random()), either);
    await Promise.race([slept, this.#nudged.promise]);
    waiting.abort();
    this.#nudged = Promise.withResolvers<void>();
  }
}

/** RFC 3339 with six digits, as a MicroTime must have. */
export function microTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace("Z", "000Z");
}
