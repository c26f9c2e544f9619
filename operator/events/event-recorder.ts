/**
 * Events (events.k8s.io/v1) about resources, with cause and next step. Invariants: at most one per
 * object, reason and minute; sending never delays a reconcile; what is too much is dropped and
 * counted, never kept.
 */
import { randomBytes } from "node:crypto";
import type { Api } from "../api/api-client.ts";
import { EVENT, type KubeObject, pathOf, type ResourceKind } from "../api/object.ts";
import type { Clock } from "../clock.ts";
import { microTime } from "../leader/lease-election.ts";
import { EVENT_CAUSES_MAX, EVENT_INTERVAL_MS, EVENTS_WAITING_MAX } from "../limits.ts";

/** What happened. */
export interface Happening {
  readonly type: "Normal" | "Warning";
  /** One word for programs: `CredentialsMade`. */
  readonly reason: string;
  /** What was done: `Reconcile`. */
  readonly action: string;
  /** One sentence for people, with the next step if there is one. */
  readonly note: string;
}

/** What the recorder is made with. */
export interface EventRecorderOptions {
  readonly api: Pick<Api, "call">;
  readonly clock: Clock;
  readonly controller: string;
  readonly instance: string;
  readonly troubled: (error: unknown) => void;
}

const NOTE_LENGTH_MAX = 1024;

/** Records events. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #lastMs = new Map<string, number>();
  #sending: Promise<void> = Promise.resolve();
  #waiting = 0;
  #dropped = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  /** Events that were not sent: too many at once, or too soon after the same one. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Sends an event, unless the same one was sent less than a minute ago. */
  record(kind: ResourceKind, about: KubeObject, happening: Happening): void {
    const cause = `${about.metadata.uid} ${happening.reason}`;
    const nowMs = this.#options.clock.nowMs();
    const lastMs = this.#lastMs.get(cause);
    const isSoon = lastMs !== undefined && nowMs - lastMs < EVENT_INTERVAL_MS;
    if (isSoon || this.#waiting >= EVENTS_WAITING_MAX) {
      this.#dropped++;
      return;
    }
    this.#remember(cause, nowMs);
    this.#waiting++;
    this.#sending = this.#sending.then(async () => {
      await this.#send(kind, about, happening);
      this.#waiting--;
    });
  }

  /** Resolves when everything recorded so far was sent. */
  async drained(): Promise<void> {
    await this.#sending;
  }

  #remember(cause: string, nowMs: number): void {
    this.#lastMs.delete(cause);
    this.#lastMs.set(cause, nowMs);
    if (this.#lastMs.size <= EVENT_CAUSES_MAX) return;
    const [oldest] = this.#lastMs.keys();
    if (oldest !== undefined) this.#lastMs.delete(oldest);
  }

  async #send(kind: ResourceKind, about: KubeObject, happening: Happening): Promise<void> {
    const { api, clock, controller, instance, troubled } = this.#options;
    const { name, namespace = "default", uid, resourceVersion } = about.metadata;
    const { type, reason, action, note } = happening;
    const suffix = randomBytes(8).toString("hex");
    const body = {
      apiVersion: EVENT.apiVersion,
      kind: "Event",
      metadata: { name: `${name.slice(0, 200)}.${suffix}`, namespace },
      eventTime: microTime(clock.wallMs()),
      reportingController: controller,
      reportingInstance: instance,
      regarding: {
        apiVersion: kind.apiVersion,
        kind: kind.kind,
        name,
        namespace,
        uid,
        resourceVersion,
      },
      ...{ type, reason, action, note: note.slice(0, NOTE_LENGTH_MAX) },
    };
    try {
      await api.call({ method: "POST", path: pathOf(EVENT, { namespace }), body });
    } catch (error) {
      troubled(error);
    }
  }
}
