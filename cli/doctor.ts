/** `fairlead doctor`: what is wrong with the tunnels of a cluster, why, and what to do about it. */
import { type ClusterFlags, openCluster, readFacts } from "./cluster-facts.ts";
import { diagnose, type Finding } from "./diagnoses.ts";
import { ExitStatus } from "./exit-status.ts";
import { UsageError } from "./process-state.ts";

/** The options as commander hands them over. */
export interface DoctorFlags extends ClusterFlags {
  readonly output: string;
}

/** Prints the findings; the status says whether there are any. */
export async function run(flags: DoctorFlags): Promise<ExitStatus> {
  if (flags.output !== "text" && flags.output !== "json")
    throw new UsageError("-o is text or json");
  const cluster = openCluster(flags);
  try {
    const facts = await readFacts(cluster);
    const findings = diagnose(facts, Date.now());
    for (const what of facts.hidden) {
      process.stderr.write(`fairlead: ${what} may not be read: what they would show is left out\n`);
    }
    process.stdout.write(
      flags.output === "json"
        ? `${JSON.stringify({ findings, hidden: facts.hidden }, undefined, 2)}\n`
        : textOf(findings, facts.tunnels.length),
    );
    return findings.length === 0 ? ExitStatus.Fine : ExitStatus.ProblemsFound;
  } finally {
    cluster.api.close();
  }
}

function textOf(findings: readonly Finding[], tunnels: number): string {
  if (findings.length === 0) return `${tunnels} tunnels: nothing is wrong\n`;
  return findings
    .map(
      ({ about, cause, code, step }) => `${code}  ${about}\n  cause: ${cause}\n  next:  ${step}\n`,
    )
    .join("\n");
}
