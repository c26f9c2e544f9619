/**
 * A queue of keys for reconcilers. Invariants: a key waits at most once and is worked on at most
 * once at a time; a key added while it is worked on comes again afterwards; a failure brings it
 * back after a delay that grows per key and is forgotten by the first success.
 */
import assert from "node:assert/strict";
import type { Clock } from "../clock.ts";
import { backOffMs, type DelayRange } from "./back-off.ts";

/** What work on a key came to: done, or look again later. */
export interface WorkResult {
  readonly retryAfterMs?: number;
}

/** What the queue is made with. */
export interface WorkQueueOptions {
  readonly clock: Pick<Clock, "nowMs" | "after" | "random">;
  readonly retry: DelayRange;
  readonly workersMax: number;
  readonly work: (key: string) => Promise<WorkResult>;
  /** Told of each failure; the key is retried after `delayMs`. */
  readonly failed: (key: string, error: unknown, delayMs: number) => void;
}

/** Figures for metrics. */
export interface QueueFigures {
  readonly waiting: number;
  readonly working: number;
  readonly delayed: number;
}

interface Delayed {
  readonly dueMs: number;
  readonly cancel: () => void;
}

/** The queue. Nothing is worked on before `start`. */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #working = new Set<string>();
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  #isStarted = false;
  #isStopped = false;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: WorkQueueOptions) {
    assert(options.workersMax > 0, "a queue has at least one worker");
    this.#options = options;
  }

  get figures(): QueueFigures {
    const [waiting, working] = [this.#waiting.size, this.#working.size];
    return { waiting, working, delayed: this.#delayed.size };
  }

  /** Work on this key as soon as a worker is free. */
  add(key: string): void {
    if (this.#isStopped) return;
    this.#forgetDelay(key);
    if (this.#working.has(key)) this.#again.add(key);
    else this.#waiting.add(key);
    this.#pump();
  }

  /** Work on this key later; an earlier time that was asked for before stands. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isStopped) return;
    const dueMs = this.#options.clock.nowMs() + delayMs;
    const known = this.#delayed.get(key);
    if (known !== undefined && known.dueMs <= dueMs) return;
    this.#forgetDelay(key);
    const cancel = this.#options.clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueMs, cancel });
  }

  /** Begins to work. */
  start(): void {
    this.#isStarted = true;
    this.#pump();
  }

  /** Takes nothing more, and resolves when the work under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#waiting.clear();
    this.#again.clear();
    for (const key of [...this.#delayed.keys()]) this.#forgetDelay(key);
    if (this.#working.size === 0) return;
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
  }

  #pump(): void {
    if (!this.#isStarted) return;
    for (const key of this.#waiting) {
      if (this.#working.size >= this.#options.workersMax) return;
      this.#waiting.delete(key);
      this.#working.add(key);
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    try {
      const { retryAfterMs } = await this.#options.work(key);
      this.#failures.delete(key);
      if (retryAfterMs !== undefined) this.addAfter(key, retryAfterMs);
    } catch (error) {
      this.#retry(key, error);
    }
    this.#working.delete(key);
    if (this.#again.delete(key)) this.add(key);
    if (this.#working.size === 0) this.#idle?.resolve();
    this.#pump();
  }

  #retry(key: string, error: unknown): void {
    const { clock, failed, retry } = this.#options;
    const failureCount = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failureCount);
    const delayMs = backOffMs(retry, failureCount, clock.random());
    failed(key, error, delayMs);
    this.addAfter(key, delayMs);
  }

  #forgetDelay(key: string): void {
    this.#delayed.get(key)?.cancel();
    this.#delayed.delete(key);
  }
}
