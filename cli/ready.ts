/**
 * `fairlead ready`: whether a frame crossed each tunnel both ways, as the startup probe of an
 * attached pod asks. Between two ends of ours every path is probed by authenticated packets, so a
 * round trip that was measured is a frame that crossed and came back.
 */
import type { TunnelStatus } from "../sidecar/control/status.ts";
import { ExitStatus } from "./exit-status.ts";
import { readProcesses } from "./status.ts";

/** The options as commander hands them over. */
export interface ReadyFlags {
  readonly run: string;
}

/** Says on standard error what is missing: the kubelet shows it as the probe's failure. */
export async function run(flags: ReadyFlags): Promise<ExitStatus> {
  const processes = await readProcesses(flags.run);
  const problem = problemOf(processes.flatMap(({ tunnels }) => tunnels));
  if (problem === undefined) return ExitStatus.Fine;
  const refused = processes.flatMap((one) => one.refused.flatMap(({ problems }) => problems));
  process.stderr.write(`fairlead: ${[problem, ...refused].join("; ")}\n`);
  return ExitStatus.NoAnswer;
}

/** What is missing, if anything. */
export function problemOf(
  tunnels: readonly Pick<TunnelStatus, "namespace" | "name" | "peers" | "problem">[],
): string | undefined {
  if (tunnels.length === 0) return "no tunnel runs yet";
  for (const { name, namespace, peers, problem } of tunnels) {
    const subject = `${namespace}/${name}`;
    if (problem !== undefined) return `${subject}: ${problem}`;
    const up = peers.filter(({ state }) => state === "Up");
    if (up.length === 0) return `${subject}: no gateway answers yet`;
    const hasCrossed = up.some(({ paths = [] }) => paths.some(({ rttMs }) => rttMs !== undefined));
    if (!hasCrossed) return `${subject}: connected, but no frame has come back yet`;
  }
  return undefined;
}
