/**
 * The `fairlead` command: one subcommand per way of running. Each one's code is loaded only when
 * it is called, so that `--help` and `--version` answer at once.
 */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { ExitStatus } from "./exit-status.ts";
import { NotPermittedError, UsageError } from "./process-state.ts";

async function main(argv: readonly string[]): Promise<number> {
  const program = new Command("fairlead")
    .description("Carries an isolated testbed LAN into a Kubernetes cluster, multicast included.")
    .version(packageVersion(), "-V, --version", "print the version")
    .exitOverride()
    .showHelpAfterError("(fairlead --help lists what there is)")
    .addHelpText("after", EXAMPLES);
  let status: number = ExitStatus.Fine;
  const settle = async (outcome: Promise<number>): Promise<void> => {
    status = await outcome;
  };
  addLab(program, settle);
  addTest(program, settle);
  addBench(program, settle);
  try {
    await program.parseAsync(argv);
    return status;
  } catch (error) {
    return statusOf(error);
  }
}

type Settle = (outcome: Promise<number>) => Promise<void>;

function addLab(program: Command, settle: Settle): void {
  program
    .command("lab")
    .description("run the whole thing on this machine: gateway, testbed, LAN and workload")
    .option("--seconds <n>", "end by itself after this long")
    .option("--peer <kind>", "the testbed's end: fairlead, openvpn, or openvpn-only", "fairlead")
    .option("--scenario <name>", "run one acceptance scenario, the broken set-up first (S3)")
    .option("--json", "end with one JSON line on standard output")
    .addHelpText("after", LAB_EXAMPLES)
    .action((flags) => settle(import("./lab.ts").then((module) => module.run(flags))));
}

function addTest(program: Command, settle: Settle): void {
  program
    .command("test")
    .description("run the project's tests, all of them or the parts named")
    .argument("[part...]", "check, unit, native, netns, interop, lab; full: the long versions too")
    .addHelpText("after", TEST_EXAMPLES)
    .action((parts) => settle(import("./test.ts").then((module) => module.run(parts))));
}

function addBench(program: Command, settle: Settle): void {
  program
    .command("bench")
    .description("compare throughput, CPU, latency and memory with stock OpenVPN")
    .option("--seconds <n>", "length of one throughput run", "5")
    .option("--runs <n>", "runs per contender, of which the median counts", "3")
    .option("--contender <name...>", "only these contenders")
    .option("--json", "end with one JSON line on standard output")
    .addHelpText("after", BENCH_EXAMPLES)
    .action((flags) => settle(import("./bench.ts").then((module) => module.run(flags))));
}

function packageVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}

function statusOf(error: unknown): number {
  if (error instanceof CommanderError) {
    return error.exitCode === 0 ? ExitStatus.Fine : ExitStatus.Usage;
  }
  if (error instanceof UsageError || error instanceof NotPermittedError) {
    process.stderr.write(`fairlead: ${error.message}\n`);
    return error instanceof UsageError ? ExitStatus.Usage : ExitStatus.NotPermitted;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`fairlead: ${text}\n`);
  return ExitStatus.Internal;
}

const EXAMPLES = `
Examples:
  fairlead lab                        watch multicast cross a tunnel, all on this machine
  fairlead test                       run every test
  fairlead <command> --help           more about one command`;

const LAB_EXAMPLES = `
Needs root: it makes network namespaces, and removes them again.

Examples:
  fairlead lab                                          watch until Ctrl-C
  fairlead lab --seconds 10 --peer openvpn              stock OpenVPN at the testbed's end
  fairlead lab --scenario S3 --peer openvpn --json      one acceptance scenario, one JSON line`;

const TEST_EXAMPLES = `
Examples:
  fairlead test                everything but the long versions
  fairlead test check unit     formatting, types, rules; then the unit tests
  fairlead test full           everything, with the long versions`;

const BENCH_EXAMPLES = `
Needs root. Contenders take turns in the same namespaces.

Examples:
  fairlead bench --json
  fairlead bench --seconds 10 --runs 5 --contender openvpn-tap`;

process.exit(await main(process.argv));
