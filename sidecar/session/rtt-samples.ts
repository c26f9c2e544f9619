/**
 * The last round trips of a path, for what half of them and nearly all of them were below. No I/O, no
 * clock. One invariant: memory is taken with the first one and bounded.
 */

/** At the default interval the probes of the last 26 s. */
const SAMPLES_MAX = 512;
const RTT_MS_MAX = 0xffff;

/** One path's. */
export class RttSamples {
  #values: Uint16Array | undefined;
  #next = 0;
  #count = 0;

  add(rttMs: number): void {
    this.#values ??= new Uint16Array(SAMPLES_MAX);
    this.#values[this.#next] = Math.max(0, Math.min(rttMs, RTT_MS_MAX));
    this.#next = (this.#next + 1) % SAMPLES_MAX;
    this.#count = Math.min(this.#count + 1, SAMPLES_MAX);
  }

  /** The least round trip that so many of a hundred do not exceed, by nearest rank; none: undefined. */
  percentiles(): { readonly p50: number; readonly p99: number } | undefined {
    const sorted = this.#values?.slice(0, this.#count).sort();
    if (sorted === undefined || sorted.length === 0) return undefined;
    const at = (percent: number): number =>
      sorted[Math.ceil((sorted.length * percent) / 100) - 1] as number;
    return { p50: at(50), p99: at(99) };
  }
}
