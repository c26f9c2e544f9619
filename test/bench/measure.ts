/** The measurements: one TCP stream, idle echoes, processor time and memory of both ends. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { processStat } from "../support/owner.ts";
import type { Pair, RunningContender } from "./contender.ts";

const IPERF_PORT = 5201;
const CLOCK_TICKS_PER_SECOND = 100;
const USER_TIME_FIELD = 14;
const SYSTEM_TIME_FIELD = 15;

/** One TCP stream from `far` to `near`. */
export interface TcpFigures {
  readonly gbps: number;
  /** Both ends' processes, all threads, user and system. */
  readonly cpuSecondsPerGB: number;
}

/** Echoes over the idle tunnel. */
export interface PingFigures {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly lost: number;
}

/** Resident memory after the load. */
export interface MemoryFigures {
  readonly nearMiB: number;
  readonly farMiB: number;
}

/** Sends one TCP stream for so long. */
export async function measureTcp(
  pair: Pair,
  running: RunningContender,
  seconds: number,
): Promise<TcpFigures> {
  await using server = pair.near.start([
    "iperf3",
    "-s",
    "-1",
    "--forceflush",
    "-p",
    String(IPERF_PORT),
  ]);
  await server.waitForOutput(/listening/);
  const startCpuSeconds = cpuSeconds(running);
  const text = await pair.far.run(
    [
      ...["iperf3", "-J", "-c", running.nearAddress, "-p", String(IPERF_PORT)],
      ...["-t", String(seconds)],
    ],
    { timeoutMs: seconds * 1000 + 30_000 },
  );
  const usedCpuSeconds = cpuSeconds(running) - startCpuSeconds;
  const report = JSON.parse(text) as IperfReport;
  const { bytes, bits_per_second: bitsPerSecond } = report.end.sum_received;
  assert(bytes > 0, "the stream carried nothing");
  return { gbps: bitsPerSecond / 1e9, cpuSecondsPerGB: usedCpuSeconds / (bytes / 1e9) };
}

/** Sends so many echoes, one every 2 ms, over the tunnel, which is idle otherwise; round trips in ms. */
export async function sendEchoes(
  { far }: Pair,
  { nearAddress }: RunningContender,
  count: number,
): Promise<readonly number[]> {
  const { stdout } = await far.try([
    ...["ping", "-i", "0.002", "-c", String(count), "-W", "1", nearAddress],
  ]);
  return [...stdout.matchAll(/time=([\d.]+) ms/g)].map((match) => Number(match[1]));
}

/** What is said of the round trips of `sent` echoes. */
export function echoFigures(timesMs: readonly number[], sent: number): PingFigures {
  assert(timesMs.length > sent / 2, `only ${timesMs.length} of ${sent} echoes came back`);
  const sorted = timesMs.toSorted((left, right) => left - right);
  const quantile = (fraction: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99), lost: sent - timesMs.length };
}

/** Reads the resident memory of both ends. */
export function measureMemory(running: RunningContender): MemoryFigures {
  return { nearMiB: residentMiB(running.pids.near), farMiB: residentMiB(running.pids.far) };
}

/** Median of each figure over the runs, rounded to four significant digits. */
export function medians<T extends object>(runs: readonly T[]): T {
  const first = runs[0];
  assert(first !== undefined, "a median needs a run");
  const names = Object.keys(first) as (keyof T)[];
  const figures = names.map((name) => [name, median(runs.map((run) => Number(run[name])))]);
  return Object.fromEntries(figures) as T;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  const lower = sorted.length % 2 === 1 ? upper : (sorted[middle - 1] ?? Number.NaN);
  return Number(((lower + upper) / 2).toPrecision(4));
}

interface IperfReport {
  readonly end: {
    readonly sum_received: { readonly bytes: number; readonly bits_per_second: number };
  };
}

/** Seconds of both ends' processes. */
function cpuSeconds({ pids }: RunningContender): number {
  return cpuSecondsOf(pids.near) + cpuSecondsOf(pids.far);
}

/** Processor time of a process so far: utime and stime include all of its threads. */
export function cpuSecondsOf(pid: number): number {
  const stat = processStat(pid);
  assert(stat !== undefined, `process ${pid} of the tunnel has ended`);
  // proc(5) counts fields from 1; the list starts with an empty one.
  return (Number(stat[USER_TIME_FIELD]) + Number(stat[SYSTEM_TIME_FIELD])) / CLOCK_TICKS_PER_SECOND;
}

function residentMiB(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) / 1024;
}
