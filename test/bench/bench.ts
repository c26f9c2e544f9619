/**
 * The comparison: contenders take turns in the same run, so that what else the machine does meets all
 * of them; medians count.
 */
import assert from "node:assert/strict";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import type { Contender, Pair } from "./contender.ts";
import { CONTENDERS } from "./contenders.ts";
import { compareEchoes, makePair } from "./echoes.ts";
import { compareHandshakes, type HandshakeFigures } from "./handshakes.ts";
import { KEY_CHANGE_CASES, type KeyChangeFigures, measureKeyChanges } from "./key-changes.ts";
import {
  type MemoryFigures,
  measureMemory,
  measureTcp,
  medians,
  type PingFigures,
  type TcpFigures,
} from "./measure.ts";

/** What can be measured; what is not named otherwise leaves the last one out, which takes minutes. */
export const WORKLOADS = ["throughput", "handshakes", "key-changes"] as const;
export type Workload = (typeof WORKLOADS)[number];

/** What is asked for. */
export interface BenchOptions {
  readonly workloads: readonly Workload[];
  readonly seconds: number;
  readonly runs: number;
  readonly names: readonly string[];
}

/** Workload first, then contender; of key changes, which ends and who asks. */
export interface BenchResult extends Partial<ThroughputResult> {
  readonly handshakes?: Readonly<Record<string, HandshakeFigures>>;
  readonly keyChanges?: Readonly<Record<string, KeyChangeFigures>>;
}

interface ThroughputResult {
  readonly tcp1: Readonly<Record<string, TcpFigures>>;
  readonly ping: Readonly<Record<string, PingFigures>>;
  readonly rss: Readonly<Record<string, MemoryFigures>>;
}

/** A run of the key changes: three renewals or so. */
const KEY_CHANGE_SECONDS = 20;

/** Names of all contenders. */
export function contenderNames(): readonly string[] {
  return CONTENDERS.map((contender) => contender.name);
}

/** Runs the comparison; `signal` ends it early and resolves to undefined. */
export async function runBench(
  options: BenchOptions,
  signal: AbortSignal,
): Promise<BenchResult | undefined> {
  await using stack = new AsyncDisposableStack();
  const stopped = new Promise<undefined>((resolve) => {
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  const work = measure(stack, options);
  // What is still under way when the bench is stopped fails as its hosts vanish.
  work.catch(() => undefined);
  return await Promise.race([work, stopped]);
}

interface Run {
  readonly tcp1: TcpFigures;
  readonly ping: PingFigures;
  readonly rss: MemoryFigures;
}

async function measure(stack: AsyncDisposableStack, options: BenchOptions): Promise<BenchResult> {
  await ensureCommands(["ip", "iperf3", "ping", "openvpn", "openssl"]);
  const { workloads, names, runs } = options;
  let result: BenchResult = {};
  if (workloads.includes("throughput")) result = await compare(stack, options);
  if (workloads.includes("handshakes")) {
    const scratch = stack.use(await Scratch.create());
    const handshakes = await compareHandshakes(names, { runs, folder: scratch.path, say });
    result = { ...result, handshakes };
  }
  if (!workloads.includes("key-changes")) return result;
  const keyChanges: Record<string, KeyChangeFigures> = {};
  for (const one of KEY_CHANGE_CASES) {
    const figures = await measureKeyChanges(one, KEY_CHANGE_SECONDS * runs);
    keyChanges[one.name] = figures;
    say(`key changes, ${one.name}: ${JSON.stringify(figures)}`);
  }
  return { ...result, keyChanges };
}

async function compare(
  stack: AsyncDisposableStack,
  options: BenchOptions,
): Promise<ThroughputResult> {
  const runs = new Map<Contender, Run[]>();
  for (const contender of CONTENDERS) {
    if (!options.names.includes(contender.name)) continue;
    const reason = contender.unavailable();
    if (reason === undefined) runs.set(contender, []);
    else say(`${contender.name} is left out: ${reason}`);
  }
  const scratch = stack.use(await Scratch.create());
  const hosts = await makePair(stack, scratch.file("hosts"));
  for (let round = 1; round <= options.runs; round += 1) {
    const echoes = await compareEchoes([...runs.keys()], `${scratch.file("echoes")}-${round}`);
    for (const [contender, figures] of runs) {
      const pair = { ...hosts, folder: scratch.file(`${contender.name}-${round}`) };
      const ping = echoes.get(contender);
      assert(ping !== undefined, `${contender.name} sent no echo`);
      const run = { ping, ...(await runOnce(contender, pair, options.seconds)) };
      figures.push(run);
      const { tcp1 } = run;
      const speed = `${tcp1.gbps.toFixed(2)} Gb/s, ${tcp1.cpuSecondsPerGB.toFixed(1)} CPU s/GB`;
      say(
        `round ${round}, ${contender.name}: ${speed}, p50 ${ping.p50Ms} ms, p99 ${ping.p99Ms} ms`,
      );
    }
  }
  return {
    tcp1: collect(runs, "tcp1"),
    ping: collect(runs, "ping"),
    rss: collect(runs, "rss"),
  };
}

async function runOnce(
  contender: Contender,
  pair: Pair,
  seconds: number,
): Promise<Omit<Run, "ping">> {
  await using running = await contender.start(pair);
  // A first second warms caches and just-in-time compilers, as in anything that has run a while.
  await measureTcp(pair, running, 1);
  const tcp1 = await measureTcp(pair, running, seconds);
  return { tcp1, rss: measureMemory(running) };
}

function collect<K extends keyof Run>(
  runs: ReadonlyMap<Contender, readonly Run[]>,
  workload: K,
): Readonly<Record<string, Run[K]>> {
  const rows = [...runs].map(([contender, figures]) => [
    contender.name,
    medians(figures.map((run) => run[workload])),
  ]);
  return Object.fromEntries(rows) as Record<string, Run[K]>;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
