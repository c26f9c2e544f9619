/** `fairlead doctor`: what is wrong with the tunnels of this host or of a cluster, why, and what to do. */
import { type ClusterFlags, openCluster, readFacts } from "./cluster-facts.ts";
import { asksCluster } from "./cluster-flags.ts";
import { diagnose } from "./diagnoses.ts";
import { ExitStatus } from "./exit-status.ts";
import { type Finding, findingsText } from "./finding.ts";
import { UsageError } from "./process-state.ts";
import { readProcesses } from "./status.ts";

/** The options as commander hands them over. */
export interface DoctorFlags extends ClusterFlags {
  readonly output: string;
  readonly run: string;
}

interface Findings {
  readonly findings: readonly Finding<string>[];
  /** What may not be read, in words. */
  readonly hidden: readonly string[];
  /** What there was to look at. */
  readonly looked: string;
}

/** Prints the findings; the status says whether there are any. */
export async function run(flags: DoctorFlags): Promise<ExitStatus> {
  if (flags.output !== "text" && flags.output !== "json")
    throw new UsageError("-o is text or json");
  // Without a word about a cluster it is this host's tunnels, if there are any.
  const found = (asksCluster(flags) ? undefined : await ofHost(flags)) ?? (await ofCluster(flags));
  const { findings, hidden, looked } = found;
  for (const what of hidden) {
    process.stderr.write(`fairlead: ${what} may not be read: what they would show is left out\n`);
  }
  process.stdout.write(
    flags.output === "json"
      ? `${JSON.stringify({ findings, hidden }, undefined, 2)}\n`
      : findingsText(findings, looked),
  );
  return findings.length === 0 ? ExitStatus.Fine : ExitStatus.ProblemsFound;
}

/** Undefined where nothing runs here. */
async function ofHost({ run: folder }: DoctorFlags): Promise<Findings | undefined> {
  const processes = await readProcesses(folder);
  if (processes.length === 0) return undefined;
  const { readHostFacts } = await import("./host-facts.ts");
  const { diagnoseHost } = await import("./host-diagnoses.ts");
  const facts = await readHostFacts(processes);
  const count = processes.reduce((sum, { tunnels }) => sum + tunnels.length, 0);
  const findings = diagnoseHost(facts, Date.now());
  return { findings, hidden: facts.hidden, looked: `${count} tunnels of this host` };
}

async function ofCluster(flags: DoctorFlags): Promise<Findings> {
  const cluster = openCluster(flags);
  try {
    const facts = await readFacts(cluster);
    const findings = diagnose(facts, Date.now());
    return { findings, hidden: facts.hidden, looked: `${facts.tunnels.length} tunnels` };
  } finally {
    cluster.api.close();
  }
}
