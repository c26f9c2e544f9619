/** `fairlead bench`: ours against stock OpenVPN, in network namespaces on this machine. */
import { type BenchResult, contenderNames, runBench, WORKLOADS } from "../test/bench/bench.ts";
import { ExitStatus } from "./exit-status.ts";
import { requireRoot, stopSignal, UsageError } from "./process-state.ts";

/** The options as commander hands them over. */
export interface BenchFlags {
  readonly seconds: string;
  readonly runs: string;
  readonly contender?: readonly string[];
  readonly workload?: readonly string[];
  readonly json?: true;
}

/** Key changes take minutes. */
const DEFAULT_WORKLOADS: readonly string[] = ["throughput", "handshakes"];

/** Runs the comparison; the result goes to standard output, progress to standard error. */
export async function run(flags: BenchFlags): Promise<ExitStatus> {
  const known = contenderNames();
  const names = flags.contender ?? known;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`there is no contender ${unknown}; there are ${known.join(", ")}`);
  }
  const wished = flags.workload ?? DEFAULT_WORKLOADS;
  const strange = wished.find((name) => !WORKLOADS.some((known) => known === name));
  if (strange !== undefined) {
    throw new UsageError(`there is no workload ${strange}; there are ${WORKLOADS.join(", ")}`);
  }
  const workloads = WORKLOADS.filter((name) => wished.includes(name));
  const seconds = positive("--seconds", flags.seconds);
  const runs = positive("--runs", flags.runs);
  requireRoot("the bench makes network namespaces");
  const result = await runBench({ workloads, seconds, runs, names }, stopSignal());
  if (result === undefined) return ExitStatus.Fine;
  process.stdout.write(flags.json ? `${JSON.stringify(result)}\n` : tables(result));
  return ExitStatus.Fine;
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new UsageError(`${option} is 1 or more`);
  return value;
}

function tables(result: BenchResult): string {
  const lines: string[] = [];
  for (const [workload, contenders] of Object.entries(result)) {
    for (const [name, figures] of Object.entries(contenders as Record<string, object>)) {
      const cells = Object.entries(figures).map(([figure, value]) => `${figure} ${value}`);
      lines.push(`${workload.padEnd(6)} ${name.padEnd(14)} ${cells.join("  ")}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
