/**
 * The webhook of one replica: its keys, by a watch of their Secret, and its server. Every replica
 * serves; only the leader writes the configuration that makes the API server call.
 */
import type { Api } from "../api/api-client.ts";
import { SECRET } from "../api/object.ts";
import type { Clock } from "../clock.ts";
import type { SecretObject } from "../reconcile/secret-data.ts";
import { Informer } from "../watch/informer.ts";
import { readWebhookKeys, renewWebhookKeys } from "./webhook-keys.ts";
import { type Admit, WebhookServer } from "./webhook-server.ts";

/** Where the webhook is, for the API server and for itself. */
export interface WebhookSettings {
  /** Port that this process listens on. */
  readonly port: number;
  /** Where the API server calls: a Service in the operator's namespace, or a URL's host and port. */
  readonly target: { readonly service: string; readonly port: number } | { readonly url: string };
  /** Name of the MutatingWebhookConfiguration. */
  readonly configuration: string;
  /** Name of the Secret with the keys, in the operator's namespace. */
  readonly secret: string;
}

/** What the webhook is made with. */
export interface WebhookOptions {
  readonly api: Api;
  readonly clock: Clock;
  readonly namespace: string;
  readonly settings: WebhookSettings;
  readonly admit: Admit;
  readonly troubled: (error: unknown) => void;
}

/** Keys are looked at this often. */
const RENEW_POLL_MS = 3_600_000;
/** After a write that failed. */
const RETRY_MS = 5_000;

/** Keys and server of one replica. */
export class Webhook {
  readonly #options: WebhookOptions;
  readonly #secret: Informer<SecretObject>;
  readonly #server: WebhookServer;
  #bundlePem: string | undefined;
  #changed: () => void = () => undefined;

  constructor(options: WebhookOptions) {
    const { admit, api, clock, namespace, settings, troubled } = options;
    this.#options = options;
    this.#server = new WebhookServer(settings.port, admit);
    const fieldSelector = `metadata.name=${settings.secret}`;
    this.#secret = new Informer<SecretObject>({
      ...{ api, clock, selection: { kind: SECRET, namespace, fieldSelector } },
      troubled: (_, error) => troubled(error),
    });
  }

  get isServing(): boolean {
    return this.#server.isListening;
  }

  /** The authorities that the API server is to believe. */
  get bundlePem(): string | undefined {
    return this.#bundlePem;
  }

  /** Is told when the bundle is another one. */
  onBundle(changed: () => void): void {
    this.#changed = changed;
  }

  /** Serves until the signal aborts; throws when the port cannot be bound. */
  async run(signal: AbortSignal): Promise<void> {
    let wake = Promise.withResolvers<void>();
    this.#secret.onChange(() => wake.resolve());
    const watched = this.#secret.run(signal);
    await Promise.race([this.#secret.synced, watched]);
    while (!signal.aborted) {
      wake = Promise.withResolvers<void>();
      const delayMs = await this.#renew();
      const waiting = new AbortController();
      const stopped = AbortSignal.any([signal, waiting.signal]);
      await Promise.race([wake.promise, this.#options.clock.sleep(delayMs, stopped)]);
      waiting.abort();
    }
    await watched;
    await this.#server.close();
  }

  async #renew(): Promise<number> {
    const { api, clock, namespace, settings, troubled } = this.#options;
    const secret = this.#secret.get(`${namespace}/${settings.secret}`);
    const keys = await readWebhookKeys(secret);
    if (keys !== undefined) {
      await this.#server.serve(keys);
      if (keys.bundlePem !== this.#bundlePem) {
        this.#bundlePem = keys.bundlePem;
        this.#changed();
      }
    }
    const place = { namespace, name: settings.secret };
    const request = { wallMs: clock.wallMs(), hosts: hostsOf(settings, namespace) };
    try {
      await renewWebhookKeys(api, place, { secret, request });
      return RENEW_POLL_MS;
    } catch (error) {
      troubled(error);
      return RETRY_MS;
    }
  }
}

function hostsOf({ target }: WebhookSettings, namespace: string): readonly string[] {
  if ("url" in target) return [new URL(target.url).hostname];
  return [`${target.service}.${namespace}.svc`];
}
