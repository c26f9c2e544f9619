/**
 * A copy of all objects of one kind, kept by listing (in pages) and watching (with bookmarks), and
 * a call for each key that changed. It never ends by itself: a watch that ends, breaks or falls
 * silent is opened again where it was; a version that is too old (410) means a new list.
 *
 * Invariant: what was told as changed is in the copy already; after a new list every object that
 * differs, came or went has been told.
 */
import type { Api } from "../api/api-client.ts";
import { ApiError } from "../api/api-error.ts";
import { type KubeObject, keyOf, type ObjectKey, pathOf } from "../api/object.ts";
import type { Clock } from "../clock.ts";
import * as limits from "../limits.ts";
import { backOffMs } from "../queue/back-off.ts";
import { listAll } from "./list-all.ts";
import type { Selection } from "./selection.ts";

/** What an informer is made with. */
export interface InformerOptions<Item extends KubeObject> {
  readonly api: Api;
  readonly clock: Clock;
  readonly selection: Selection;
  /** Keeps less of an object in memory; managed fields are always left out. */
  readonly trim?: (item: Item) => Item;
  /** Told of what went wrong; the watch goes on by itself. */
  readonly troubled: (selection: Selection, error: unknown) => void;
}

/** Figures for metrics. */
export interface InformerFigures {
  readonly objects: number;
  readonly lists: number;
  readonly watches: number;
  readonly failures: number;
}

/** Called with the key and both states; `former` absent: new, `current` absent: gone. */
export type Changed<Item> = (
  key: ObjectKey,
  change: { readonly former?: Item; readonly current?: Item },
) => void;

interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: KubeObject & { readonly code?: number; readonly reason?: string };
}

const GONE = 410;

/** The copy and its upkeep. */
export class Informer<Item extends KubeObject> {
  readonly #options: InformerOptions<Item>;
  readonly #items = new Map<ObjectKey, Item>();
  readonly #listeners: Changed<Item>[] = [];
  readonly #synced: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  readonly #attempted: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  #version: string | undefined;
  #lists = 0;
  #watches = 0;
  #failures = 0;

  constructor(options: InformerOptions<Item>) {
    this.#options = options;
  }

  /** Resolves when the first list is in the copy. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  /** Resolves when the first list is in the copy, or could not be had: a kind may not be installed. */
  get attempted(): Promise<void> {
    return this.#attempted.promise;
  }

  get selection(): Selection {
    return this.#options.selection;
  }

  get figures(): InformerFigures {
    const [lists, watches, failures] = [this.#lists, this.#watches, this.#failures];
    return { objects: this.#items.size, lists, watches, failures };
  }

  /** The copy of one object. */
  get(key: ObjectKey): Item | undefined {
    return this.#items.get(key);
  }

  /** All objects. */
  values(): Iterable<Item> {
    return this.#items.values();
  }

  /** Is told of every change from now on. */
  onChange(changed: Changed<Item>): void {
    this.#listeners.push(changed);
  }

  /** Keeps the copy until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, selection, troubled } = this.#options;
    const range = { minMs: limits.WATCH_RETRY_MS_MIN, maxMs: limits.WATCH_RETRY_MS_MAX };
    let failureCount = 0;
    while (!signal.aborted) {
      try {
        if (this.#version === undefined) await this.#list();
        const startedMs = clock.nowMs();
        await this.#watch(signal);
        // A server that closes at once, again and again, is not asked without a pause.
        failureCount = clock.nowMs() - startedMs < range.minMs ? failureCount + 1 : 0;
      } catch (error) {
        if (signal.aborted) return;
        if (isGone(error)) this.#version = undefined;
        failureCount++;
        this.#failures++;
        this.#attempted.resolve();
        troubled(selection, error);
      }
      if (failureCount > 0) {
        await clock.sleep(this.#pauseMs(range, failureCount), signal);
      }
    }
  }

  #pauseMs(range: { minMs: number; maxMs: number }, failureCount: number): number {
    return backOffMs(range, failureCount, this.#options.clock.random());
  }

  async #list(): Promise<void> {
    const { api, selection } = this.#options;
    const { items, resourceVersion } = await listAll<Item>(api, selection);
    this.#lists++;
    this.#version = resourceVersion;
    const gone = new Set(this.#items.keys());
    for (const item of items) {
      gone.delete(keyOf(item));
      this.#place(item);
    }
    for (const key of gone) this.#remove(key);
    this.#synced.resolve();
    this.#attempted.resolve();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { api, clock, selection } = this.#options;
    const span = limits.WATCH_SECONDS_MAX - limits.WATCH_SECONDS_MIN;
    const silence = new AbortController();
    const silent = (): void => silence.abort(new Error("the watch fell silent"));
    let cancel = clock.after(limits.WATCH_SILENT_MS_MAX, silent);
    const query = {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: this.#version,
      timeoutSeconds: limits.WATCH_SECONDS_MIN + Math.floor(clock.random() * span),
      labelSelector: selection.labelSelector,
      fieldSelector: selection.fieldSelector,
    };
    const call = { method: "GET", path: pathOf(selection.kind, selection), query } as const;
    this.#watches++;
    try {
      for await (const line of api.lines(call, AbortSignal.any([signal, silence.signal]))) {
        cancel();
        cancel = clock.after(limits.WATCH_SILENT_MS_MAX, silent);
        if (line !== "") this.#handle(JSON.parse(line) as WatchEvent);
      }
    } finally {
      cancel();
    }
  }

  #handle(event: WatchEvent): void {
    if (event.type === "ERROR") {
      const { code = 0, reason = "Unknown" } = event.object;
      throw new ApiError("watch", { status: code, reason, message: "the watch was ended" });
    }
    if (event.type === "DELETED") this.#remove(keyOf(event.object));
    else if (event.type !== "BOOKMARK") this.#place(event.object as KubeObject as Item);
    // Last, so that what a broken line left out is asked for again.
    this.#version = event.object.metadata.resourceVersion ?? this.#version;
  }

  #place(item: Item): void {
    const key = keyOf(item);
    const former = this.#items.get(key);
    if (former?.metadata.resourceVersion === item.metadata.resourceVersion && former) return;
    const current = this.#trimmed(item);
    this.#items.set(key, current);
    this.#tell(key, former === undefined ? { current } : { former, current });
  }

  #remove(key: ObjectKey): void {
    const former = this.#items.get(key);
    if (former === undefined) return;
    this.#items.delete(key);
    this.#tell(key, { former });
  }

  #trimmed(item: Item): Item {
    const { managedFields: _, ...metadata } = item.metadata as Item["metadata"] & {
      readonly managedFields?: unknown;
    };
    const slim = { ...item, metadata };
    return this.#options.trim?.(slim) ?? slim;
  }

  #tell(key: ObjectKey, change: { readonly former?: Item; readonly current?: Item }): void {
    for (const listener of this.#listeners) listener(key, change);
  }
}

function isGone(error: unknown): boolean {
  return error instanceof ApiError && (error.status === GONE || error.reason === "Expired");
}
