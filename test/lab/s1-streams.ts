/**
 * One TCP stream (cubic) through each set-up of S1, in turns: a machine that is slow for a while is slow for
 * all of them, each turn's order is another one, and what is told is the median of the turns.
 */
import type { Fields } from "../support/documents.ts";
import type { Namespace } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { pause } from "../support/wait.ts";
import { startNestedStock } from "./nested-stock.ts";
import { SEGMENT_GATEWAY, startUplinkTunnel, type UplinkHosts } from "./uplink-hosts.ts";

/** Slow start and the compiler's first second are not what is compared. */
const OMITTED_SECONDS = 1;

/** What a set-up's streams came to. */
export interface StreamFigures {
  /** Median of the turns. */
  readonly mbits: number;
  /** Times the nested set-up's. */
  readonly ratio: number;
  /** Each turn's, in their order. */
  readonly turns: readonly number[];
  /** Segments that the sender repeated, of a thousand. */
  readonly repeatedPermille: number;
  /** Segments that came to the receiver's kernel ahead of others, of a thousand. */
  readonly outOfOrderPermille: number;
}

/** One stream. */
export interface StreamTurn {
  readonly mbits: number;
  readonly repeatedPermille: number;
  readonly outOfOrderPermille: number;
}

/** Measures every set-up `turns` times, each with programs of its own. */
export async function measureStreams<Name extends string>(
  hosts: UplinkHosts,
  setUps: Readonly<Record<Name, Fields | "nested">>,
  options: { readonly folder: string; readonly turns: number; readonly seconds: number },
): Promise<Record<Name, StreamFigures>> {
  const names = Object.keys(setUps) as Name[];
  const found = new Map<Name, StreamTurn[]>(names.map((name) => [name, []]));
  for (let turn = 0; turn < options.turns; turn++) {
    for (const place of names.keys()) {
      const name = names[(place + turn) % names.length] as Name;
      const setUp = setUps[name];
      const folder = `${options.folder}/${name}-${turn}`;
      await using _programs =
        setUp === "nested"
          ? await startNestedStock(hosts, folder)
          : await startUplinkTunnel(hosts, folder, setUp);
      // Paths are opened and checked by the first probes.
      await pause(1000);
      found.get(name)?.push(await streamOnce(hosts, options.seconds));
    }
  }
  return compareStreams(found);
}

/** What the turns of each set-up come to, beside those of the one named `nested`. */
export function compareStreams<Name extends string>(
  found: ReadonlyMap<Name, readonly StreamTurn[]>,
): Record<Name, StreamFigures> {
  const nestedMbits = medianOf((found.get("nested" as Name) ?? []).map(({ mbits }) => mbits));
  const figures = [...found].map(([name, turns]) => [name, figuresOf(turns, nestedMbits)] as const);
  return Object.fromEntries(figures) as Record<Name, StreamFigures>;
}

function figuresOf(turns: readonly StreamTurn[], nestedMbits: number): StreamFigures {
  const mbits = medianOf(turns.map((turn) => turn.mbits));
  return {
    mbits,
    ratio: nestedMbits === 0 ? 0 : Math.round((mbits / nestedMbits) * 100) / 100,
    turns: turns.map((turn) => turn.mbits),
    repeatedPermille: medianOf(turns.map((turn) => turn.repeatedPermille)),
    outOfOrderPermille: medianOf(turns.map((turn) => turn.outOfOrderPermille)),
  };
}

/** One stream from the box to the gateway over the segment; all zero when none came about. */
export async function streamOnce(
  { box, gateway }: UplinkHosts,
  seconds: number,
): Promise<StreamTurn> {
  await ensureCommands(["iperf3"]);
  await using server = gateway.start(["iperf3", "-s", "-1", "--forceflush"]);
  await server.waitForOutput(/listening on/, 10_000);
  const before = { box: await tcpCounters(box), gateway: await tcpCounters(gateway) };
  const times = ["-t", String(seconds), "-O", String(OMITTED_SECONDS)];
  const client = ["iperf3", "-c", SEGMENT_GATEWAY, ...times, "-C", "cubic", "-J"];
  const { stdout } = await box.try(client, { timeoutMs: (seconds + 30) * 1000 });
  const after = { box: await tcpCounters(box), gateway: await tcpCounters(gateway) };
  const gain = (end: "box" | "gateway", name: string): number =>
    (after[end].get(name) ?? 0) - (before[end].get(name) ?? 0);
  const permille = (part: number, all: number): number =>
    Math.round((part / Math.max(1, all)) * 1e5) / 100;
  const segments = gain("box", "Tcp.OutSegs");
  return {
    mbits: receivedMbits(stdout),
    repeatedPermille: permille(gain("box", "Tcp.RetransSegs"), segments),
    outOfOrderPermille: permille(gain("gateway", "TcpExt.TCPOFOQueue"), segments),
  };
}

function receivedMbits(report: string): number {
  try {
    const { end } = JSON.parse(report) as {
      end?: { sum_received?: { bits_per_second?: number } };
    };
    return Math.round((end?.sum_received?.bits_per_second ?? 0) / 1e5) / 10;
  } catch {
    return 0;
  }
}

/** The kernel's counters of TCP in a namespace, as in `TcpExt.TCPOFOQueue`. */
async function tcpCounters(namespace: Namespace): Promise<Map<string, number>> {
  const stdout = await namespace.run(["cat", "/proc/net/snmp", "/proc/net/netstat"]);
  const lines = stdout.split("\n").map((line) => line.split(" "));
  const counters = new Map<string, number>();
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const [names = [], values = []] = lines.slice(at, at + 2);
    const group = (names[0] ?? "").replace(":", "");
    for (const [place, name] of names.entries()) {
      if (place > 0) counters.set(`${group}.${name}`, Number(values[place]));
    }
  }
  return counters;
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[middle]];
  return Math.round(((low + high) / 2) * 100) / 100;
}
