/**
 * Counters, gauges and histograms in Prometheus' text form (version 0.0.4). Small on purpose: the
 * operator has a dozen figures. Invariant: label values come from a fixed set, never from names that
 * users choose, so the number of lines is bounded.
 */

/** Labels of one figure. */
export type Labels = Readonly<Record<string, string>>;

interface Histogram {
  readonly counts: number[];
  sum: number;
}

/** Upper bounds in seconds of the one histogram there is, of reconciles. */
const BOUNDS_SECONDS = [0.005, 0.02, 0.1, 0.5, 2, 10] as const;

/** All figures of the process. */
export class Metrics {
  readonly #counters = new Map<string, Map<string, number>>();
  readonly #histograms = new Map<string, Map<string, Histogram>>();
  readonly #gauges: { name: string; read: () => readonly (readonly [Labels, number])[] }[] = [];
  readonly #help = new Map<string, string>();

  /** Says what a figure is; once for each name. */
  describe(name: string, help: string): void {
    this.#help.set(name, help);
  }

  /** Adds to a counter. */
  count(name: string, labels: Labels = {}, amount = 1): void {
    const series = seriesOf(this.#counters, name);
    const key = printLabels(labels);
    series.set(key, (series.get(key) ?? 0) + amount);
  }

  /** Adds a duration to a histogram. */
  observe(name: string, labels: Labels, seconds: number): void {
    const series = seriesOf(this.#histograms, name);
    const key = printLabels(labels);
    const known = series.get(key) ?? { counts: BOUNDS_SECONDS.map(() => 0).concat(0), sum: 0 };
    const place = BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
    const index = place < 0 ? BOUNDS_SECONDS.length : place;
    known.counts[index] = (known.counts[index] ?? 0) + 1;
    known.sum += seconds;
    series.set(key, known);
  }

  /** A figure that is read when it is asked for. */
  gauge(name: string, read: () => readonly (readonly [Labels, number])[]): void {
    this.#gauges.push({ name, read });
  }

  /** Everything, as Prometheus reads it. */
  print(): string {
    const lines: string[] = [];
    for (const [name, series] of this.#counters) {
      lines.push(...this.#head(name, "counter"));
      for (const [labels, value] of series) lines.push(`${name}${braced(labels)} ${value}`);
    }
    for (const { name, read } of this.#gauges) {
      lines.push(...this.#head(name, "gauge"));
      for (const [labels, value] of read()) {
        lines.push(`${name}${braced(printLabels(labels))} ${value}`);
      }
    }
    for (const [name, series] of this.#histograms) {
      lines.push(...this.#head(name, "histogram"));
      for (const [labels, histogram] of series)
        lines.push(...histogramLines(name, labels, histogram));
    }
    return `${lines.join("\n")}\n`;
  }

  #head(name: string, type: string): string[] {
    return [`# HELP ${name} ${this.#help.get(name) ?? name}`, `# TYPE ${name} ${type}`];
  }
}

function histogramLines(name: string, labels: string, histogram: Histogram): string[] {
  const lines: string[] = [];
  let sum = 0;
  for (const [index, count] of histogram.counts.entries()) {
    sum += count;
    const bound = BOUNDS_SECONDS[index] ?? "+Inf";
    const all = [...(labels === "" ? [] : [labels]), `le="${bound}"`].join(",");
    lines.push(`${name}_bucket{${all}} ${sum}`);
  }
  lines.push(`${name}_sum${braced(labels)} ${histogram.sum}`);
  lines.push(`${name}_count${braced(labels)} ${sum}`);
  return lines;
}

function seriesOf<Value>(all: Map<string, Map<string, Value>>, name: string): Map<string, Value> {
  const known = all.get(name);
  if (known !== undefined) return known;
  const made = new Map<string, Value>();
  all.set(name, made);
  return made;
}

function printLabels(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, " ")}"`)
    .join(",");
}

function braced(labels: string): string {
  return labels === "" ? "" : `{${labels}}`;
}
