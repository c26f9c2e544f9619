/** A clock that stands still until a test moves it; timers fire in order of their time. */

interface Timer {
  readonly dueMs: number;
  readonly work: () => void;
}

/** The clock; `random` gives what `randomValue` says. */
export class ManualClock {
  randomValue = 0;
  #nowMs = 0;
  #timers: Timer[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return Date.UTC(2026, 0, 1) + this.#nowMs;
  }

  random(): number {
    return this.randomValue;
  }

  after(delayMs: number, work: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, work };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  async sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.after(delayMs, resolve);
    signal.addEventListener("abort", () => resolve());
    await promise;
    cancel();
  }

  /** Moves on and fires what is due; lets promises settle after each. */
  async advance(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs;
    for (;;) {
      await settled();
      const due = this.#timers.filter((timer) => timer.dueMs <= untilMs);
      const [next] = due.sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.work();
    }
    this.#nowMs = untilMs;
    await settled();
  }
}

async function settled(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setImmediate(resolve);
  await promise;
}
