/** `fairlead lab`: the whole thing on one machine, in network namespaces. */
import { type LabOptions, runLab, SCENARIOS, type ScenarioName } from "../test/lab/lab.ts";
import { ExitStatus } from "./exit-status.ts";
import { requireRoot, stopSignal, UsageError } from "./process-state.ts";

const PEERS = ["fairlead", "openvpn", "openvpn-only"] as const;
const ROLES = ["listen", "dial"] as const;
const SECONDS_DEFAULT = 10;

/** The options as commander hands them over. */
export interface LabFlags {
  readonly seconds?: string;
  readonly peer: string;
  readonly scenario?: string;
  readonly json?: true;
  readonly cluster?: true;
  readonly full?: true;
  readonly role?: string;
}

/** Scenarios with more to them than a few seconds show. */
const WITH_FULL: readonly string[] = ["S0", "S1"];

/** Runs the lab; the result goes to standard output, progress to standard error. */
export async function run(flags: LabFlags): Promise<ExitStatus> {
  const options = parse(flags);
  requireRoot("the lab makes network namespaces");
  const result = await runLab(options, stopSignal());
  if (result === undefined) return ExitStatus.Fine;
  process.stdout.write(
    flags.json ? `${JSON.stringify(result)}\n` : `${result.frames} frames received\n`,
  );
  return result.pass ? ExitStatus.Fine : ExitStatus.Internal;
}

function parse(flags: LabFlags): LabOptions {
  const peer = PEERS.find((name) => name === flags.peer);
  if (peer === undefined) throw new UsageError(`--peer is one of ${PEERS.join(", ")}`);
  const scenario = SCENARIOS.find((name) => name === flags.scenario);
  if (flags.scenario !== undefined && scenario === undefined) {
    throw new UsageError(`--scenario is one of ${SCENARIOS.join(", ")}`);
  }
  if (flags.cluster && (peer === "openvpn-only" || (scenario ?? "S3") !== "S3")) {
    throw new UsageError("--cluster runs scenario S3, with --peer fairlead or openvpn");
  }
  if (flags.full && !WITH_FULL.includes(scenario ?? "")) {
    throw new UsageError(`--full is for --scenario ${WITH_FULL.join(" or ")}`);
  }
  const role = ROLES.find((name) => name === flags.role);
  if (flags.role !== undefined && (role === undefined || flags.cluster === undefined)) {
    throw new UsageError(`--role is one of ${ROLES.join(", ")}, and belongs to --cluster`);
  }
  return {
    ...{ peer, seconds: seconds(flags, flags.cluster ? "S3" : scenario) },
    ...(scenario && { scenario }),
    ...(flags.cluster && { isCluster: true }),
    ...(flags.full && { isFull: true }),
    ...(role && { role }),
  };
}

function seconds(flags: LabFlags, scenario: ScenarioName | undefined): number {
  if (flags.seconds === undefined) {
    const isWatched = scenario === undefined && process.stderr.isTTY;
    return isWatched ? Number.POSITIVE_INFINITY : SECONDS_DEFAULT;
  }
  const value = Number(flags.seconds);
  if (!(value > 0)) throw new UsageError("--seconds is a number above 0");
  return value;
}
