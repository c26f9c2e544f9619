/**
 * How long this machine kept programs waiting for a processor: the kernel's own sum (PSI, "some" of
 * /proc/pressure/cpu) and what the machine beneath took (steal, proc_stat(5)). A test whose claim is a
 * time allows for that much more: nothing on a machine at rest, all of it on a busy one.
 */
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

const PRESSURE = "/proc/pressure/cpu";
/** Where the kernel does not count, a test cannot tell a slow machine from a slow program. */
const UNKNOWN_MS = 1_000;
const TICKS_PER_SECOND = 100;

/** Watches from its making on. */
export class StallWatch {
  readonly #startMs: number = waitedMs();

  /** Milliseconds since then in which somebody waited for a processor. */
  get stalledMs(): number {
    return existsSync(PRESSURE) ? waitedMs() - this.#startMs : UNKNOWN_MS;
  }
}

function waitedMs(): number {
  if (!existsSync(PRESSURE)) return 0;
  const [, some = "0"] = /^some .*total=(\d+)$/m.exec(readFileSync(PRESSURE, "utf8")) ?? [];
  const ticks = Number(readFileSync("/proc/stat", "utf8").split(/\s+/)[8]);
  return Number(some) / 1000 + (ticks * 1000) / TICKS_PER_SECOND / availableParallelism();
}
