/** `fairlead status`: what the running tunnels are doing, read from their status sockets. */
import { readdirSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { ProcessStatus } from "../sidecar/control/status.ts";
import type { ClusterFlags } from "./cluster-facts.ts";
import { asksCluster } from "./cluster-flags.ts";
import { renderCluster } from "./cluster-status.ts";
import { ExitStatus } from "./exit-status.ts";
import { stopSignal, UsageError } from "./process-state.ts";
import { renderStatus } from "./status-table.ts";

/** The options as commander hands them over. */
export interface StatusFlags extends ClusterFlags {
  readonly run: string;
  readonly output: string;
  readonly watch?: true;
  readonly counters?: true;
}

const WATCH_MS = 1000;
const REPLY_MS_MAX = 2000;
const CLEAR_SCREEN = "\u001b[H\u001b[2J";

/** Prints the status once, or again every second until a signal. */
export async function run(flags: StatusFlags): Promise<ExitStatus> {
  if (flags.output !== "table" && flags.output !== "json") {
    throw new UsageError("-o is table or json");
  }
  if (asksCluster(flags)) return await showCluster(flags);
  const signal = flags.watch ? stopSignal() : AbortSignal.abort();
  for (;;) {
    const processes = await readProcesses(flags.run);
    if (processes.length === 0 && !flags.watch) {
      process.stderr.write(
        `fairlead: nothing runs here: no status socket answers in ${flags.run} (start with fairlead up, or name its folder with --run)\n`,
      );
      return ExitStatus.NoAnswer;
    }
    print(processes, flags);
    if (signal.aborted) return ExitStatus.Fine;
    await pause(WATCH_MS, undefined, { signal }).catch(ignoreAbort);
  }
}

/** The tunnels of a cluster, from their status there. */
async function showCluster(flags: StatusFlags): Promise<ExitStatus> {
  const { openCluster, readFacts } = await import("./cluster-facts.ts");
  const cluster = openCluster(flags);
  try {
    const facts = await readFacts(cluster);
    const { peers, tunnels, uplinkSets } = facts;
    process.stdout.write(
      flags.output === "json"
        ? `${JSON.stringify({ tunnels, peers, uplinkSets }, undefined, 2)}\n`
        : renderCluster(facts),
    );
    return ExitStatus.Fine;
  } finally {
    cluster.api.close();
  }
}

function print(processes: readonly ProcessStatus[], flags: StatusFlags): void {
  if (flags.output === "json") {
    const document = { tunnels: processes.flatMap((one) => one.tunnels), processes };
    process.stdout.write(`${JSON.stringify(document, undefined, flags.watch ? 0 : 2)}\n`);
    return;
  }
  const clear = flags.watch && process.stdout.isTTY ? CLEAR_SCREEN : "";
  process.stdout.write(`${clear}${renderStatus(processes, flags.counters === true)}`);
}

/** The status of every process with a socket in the folder; sockets of the dead are removed. */
export async function readProcesses(folder: string): Promise<ProcessStatus[]> {
  const replies = await Promise.all(socketsIn(folder).map(readOne));
  return replies.filter((reply) => reply !== undefined);
}

function socketsIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(".sock"))
      .map((name) => join(folder, name));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

function readOne(path: string): Promise<ProcessStatus | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<ProcessStatus | undefined>();
  const parts: Buffer[] = [];
  const socket = connect(path);
  socket.setTimeout(REPLY_MS_MAX, () => socket.destroy());
  socket.on("data", (bytes: Buffer) => parts.push(bytes));
  socket.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "ECONNREFUSED") removeDead(path);
    else if (error.code !== "ENOENT") reject(error);
    resolve(undefined);
  });
  socket.on("close", () => {
    const text = Buffer.concat(parts).toString("utf8");
    resolve(text.endsWith("\n") ? (JSON.parse(text) as ProcessStatus) : undefined);
  });
  return promise;
}

/** Nobody listens behind it any more: its process was killed. */
function removeDead(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
  }
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === "AbortError")) throw error;
}
