/**
 * The `fairlead` command: one subcommand per way of running. Each one's code is loaded only when
 * it is called, so that `--help` and `--version` answer at once.
 */
import { Command, CommanderError } from "commander";
import { OperatingError } from "../common/operating-error.ts";
import { ExitStatus } from "./exit-status.ts";
import { packageVersion } from "./package-version.ts";
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
  addUp(program, settle);
  addAttach(program, settle);
  addStatus(program, settle);
  addCapture(program, settle);
  addDoctor(program, settle);
  addProfile(program, settle);
  addPassword(program, settle);
  addOperator(program, settle);
  addGateway(program, settle);
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

function addPassword(program: Command, settle: Settle): void {
  program
    .command("password")
    .description("print a user's line for the list of users of a listening tunnel")
    .argument("<name>", "the username")
    .addHelpText("after", PASSWORD_EXAMPLES)
    .action((name) => settle(import("./password.ts").then((module) => module.run(name))));
}

type Settle = (outcome: Promise<number>) => Promise<void>;

function addUp(program: Command, settle: Settle): void {
  program
    .command("up")
    .description("run the tunnels of some resource files on this host, in the foreground")
    .option("-f, --file <path...>", "resource files, or folders of them")
    .option("--profile <file>", "an OpenVPN client file to run, instead of or beside resources")
    .option("--interface <name>", "with --profile: name of the tap")
    .option("--bridge <name>", "with --profile: bridge or network card that the tap joins")
    .option("--auth-user-pass <file>", "with --profile: username and password, one line each")
    .option("--state <folder>", "where keys and given addresses are kept", STATE_FOLDER)
    .option("--run <folder>", "where the status socket is made", RUN_FOLDER)
    .option("--keep-trying", "never give up, also on a tunnel that was never up")
    .option("--metrics <place>", "serve /metrics for Prometheus: port, or address:port")
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .addHelpText("after", UP_EXAMPLES)
    .action((flags) => settle(import("./up.ts").then((module) => module.run(flags))));
}

function addAttach(program: Command, settle: Settle): void {
  program
    .command("attach")
    .description("hold the interface of an attached pod; the operator puts it into pods")
    .requiredOption("-f, --file <path>", "the documents of the pod's peer")
    .option("--metrics <place>", "serve /metrics for Prometheus: port, or address:port")
    .option("--run <folder>", "where the status socket is made", RUN_FOLDER)
    .action((flags) => settle(import("./attach.ts").then((module) => module.run(flags))));
  program
    .command("ready")
    .description("succeed once a frame has crossed each tunnel of this host both ways")
    .option("--run <folder>", "where the status sockets are", RUN_FOLDER)
    .action((flags) => settle(import("./ready.ts").then((module) => module.run(flags))));
}

function addStatus(program: Command, settle: Settle): void {
  program
    .command("status")
    .description("show peers, stations and drops of the tunnels that run on this host")
    .option("-o, --output <form>", "table or json", "table")
    .option("-w, --watch", "again every second, until Ctrl-C")
    .option("--counters", "every counter that is not zero, not only the drops")
    .option("--run <folder>", "where the status sockets are", RUN_FOLDER)
    .option("-n, --namespace <name>", "of a cluster's tunnels, instead of this host's")
    .option("-A, --all-namespaces", "the same in all namespaces")
    .option("--kubeconfig <file>", "the cluster, instead of kubectl's own")
    .action((flags) => settle(import("./status.ts").then((module) => module.run(flags))));
}

function addCapture(program: Command, settle: Settle): void {
  program
    .command("capture")
    .description("write the frames of a running tunnel, decrypted, at the switch, as pcapng")
    .option("--tunnel <name>", "which tunnel, where several run here")
    .option("--peer <name>", "only what comes from and goes to this peer; tap: this end's own")
    .option("--station <mac>", "only what comes from and goes to this MAC address")
    .option("--group <address>", "only what goes to this multicast group, with IGMP and MLD")
    .option("-w, --write <file>", "where to; - or nothing: standard output")
    .option("--count <n>", "end after so many frames")
    .option("--seconds <n>", "end after so long")
    .option("--bytes <n>", "end before the file is longer than this")
    .option("--snap <n>", "bytes of each frame that are kept", "65535")
    .option("--run <folder>", "where the sockets are", RUN_FOLDER)
    .addHelpText("after", CAPTURE_EXAMPLES)
    .action((flags) => settle(import("./capture.ts").then((module) => module.run(flags))));
}

function addDoctor(program: Command, settle: Settle): void {
  program
    .command("doctor")
    .description(
      "say what is wrong with the tunnels of this host, or of a cluster, why, and what to do",
    )
    .option("-o, --output <form>", "text or json", "text")
    .option("--run <folder>", "where the status sockets are", RUN_FOLDER)
    .option("-n, --namespace <name>", "of a cluster's tunnels, instead of this host's")
    .option("-A, --all-namespaces", "the same in all namespaces")
    .option("--kubeconfig <file>", "the cluster, instead of kubectl's own")
    .addHelpText("after", DOCTOR_EXAMPLES)
    .action((flags) => settle(import("./doctor.ts").then((module) => module.run(flags))));
}

function addProfile(program: Command, settle: Settle): void {
  program
    .command("profile")
    .description("print the OpenVPN client file of a VpnPeer; it holds the peer's private key")
    .argument("<peer>", "name of the VpnPeer, or namespace/name")
    .option("-f, --file <path...>", "resource files, or folders of them")
    .option("--state <folder>", "where keys and given addresses are kept", STATE_FOLDER)
    .option("-n, --namespace <name>", "of the VpnPeer in a cluster, instead of files")
    .option("--kubeconfig <file>", "the cluster, instead of kubectl's own")
    .addHelpText("after", PROFILE_EXAMPLES)
    .action((peer, flags) =>
      settle(import("./profile.ts").then((module) => module.run(peer, flags))),
    );
}

function addOperator(program: Command, settle: Settle): void {
  program
    .command("operator")
    .description("carry out the resources of a cluster, as one of several replicas")
    .requiredOption("--image <reference>", "image of the gateways: this program's own")
    .option("--image-pull-policy <policy>", "Always, IfNotPresent or Never", "IfNotPresent")
    .option("--image-pull-secret <name...>", "Secrets that the image is pulled with")
    .option("--namespace <name>", "where the replicas' Lease is", "fairlead-system")
    .option("--host-access <namespace...>", "namespaces whose tunnels may reach the node")
    .option("--multus", "uplinks may be networks of Multus, which are looked up by name")
    .option("--multus-shared-namespace <name...>", "whose networks tunnels of others may use")
    .option("--watch-namespace <name...>", "carry out the resources of these alone, not of all")
    .option("--cert-manager", "make Certificates for tunnels with security.issuerRef")
    .option("--gateway-resources <json>", "of gateways whose tunnel names none", "{}")
    .option("--sidecar-resources <json>", "resources of sidecars, as in a container", "{}")
    .option("--tunnel-metrics-port <port>", "of /metrics in gateways and sidecars; 0: none", "0")
    .option("--tunnel-metrics-from <json>", "who may ask gateways, as in a NetworkPolicy", "[]")
    .option("--webhook-configuration <name>", "attach pods, by this MutatingWebhookConfiguration")
    .option("--webhook-service <name>", "Service by which the API server reaches this program")
    .option("--webhook-url <url>", "the same without a Service: https://<host>:<port>")
    .option("--webhook-port <port>", "port that the webhook is served on", "9443")
    .option("--webhook-secret <name>", "Secret with the webhook's keys", "fairlead-webhook")
    .option("--kubeconfig <file>", "instead of KUBECONFIG, or of the pod's own account")
    .option("--port <port>", "of /healthz, /readyz and /metrics", "8080")
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .addHelpText("after", OPERATOR_EXAMPLES)
    .action((flags) => settle(import("./operator.ts").then((module) => module.run(flags))));
}

function addGateway(program: Command, settle: Settle): void {
  program
    .command("gateway")
    .description("hold one tunnel of a cluster, as one of several replicas; the operator starts it")
    .requiredOption("--namespace <name>", "namespace of the VpnTunnel")
    .requiredOption("--tunnel <name>", "name of the VpnTunnel")
    .option("--kubeconfig <file>", "instead of the pod's own account")
    .option("--heartbeat-port <port>", "UDP port of the replicas' heartbeats", "7194")
    .option("--replica <name...>", "where the replicas are: name, or name:port")
    .option("--metrics <place>", "serve /metrics for Prometheus: port, or address:port")
    .option("--run <folder>", "in memory: documents, keys, status socket", RUN_FOLDER)
    .action((flags) => settle(import("./gateway.ts").then((module) => module.run(flags))));
}

function addLab(program: Command, settle: Settle): void {
  program
    .command("lab")
    .description("run the whole thing on this machine: gateway, testbed, LAN and workload")
    .option("--seconds <n>", "end by itself after this long")
    .option("--peer <kind>", "the testbed's end: fairlead, openvpn, or openvpn-only", "fairlead")
    .option("--scenario <name>", "run one acceptance scenario, the broken set-up first: S0 to S4")
    .option("--cluster", "on a real node, with the image and the chart: minutes the first time")
    .option("--full", "the whole of S0 or S1 with its limits: a quarter of an hour and more")
    .option("--role <end>", "with --cluster: it listens, or it dials a server at the testbed")
    .option("--json", "end with one JSON line on standard output")
    .addHelpText("after", LAB_EXAMPLES)
    .action((flags) => settle(import("./lab.ts").then((module) => module.run(flags))));
}

function addTest(program: Command, settle: Settle): void {
  program
    .command("test")
    .description("run the project's tests, all of them or the parts named")
    .argument(
      "[part...]",
      "check, unit, native, netns, cluster, interop, lab, node; full: the long versions too",
    )
    .option("--json", "with interop: end with one JSON line about its matrix")
    .option("--cells <which>", "with interop: a share of its cells (3/13), or those of that text")
    .addHelpText("after", TEST_EXAMPLES)
    .action((parts, flags) =>
      settle(import("./test.ts").then((module) => module.run(parts, flags))),
    );
}

function addBench(program: Command, settle: Settle): void {
  program
    .command("bench")
    .description("compare throughput, CPU, latency, memory and handshakes with stock OpenVPN")
    .option("--seconds <n>", "length of one throughput run", "5")
    .option("--runs <n>", "runs per contender, of which the median counts", "3")
    .option("--contender <name...>", "only these contenders")
    .option("--workload <name...>", "of throughput, handshakes, key-changes; else the first two")
    .option("--json", "end with one JSON line on standard output")
    .addHelpText("after", BENCH_EXAMPLES)
    .action((flags) => settle(import("./bench.ts").then((module) => module.run(flags))));
}

function statusOf(error: unknown): number {
  if (error instanceof CommanderError) {
    return error.exitCode === 0 ? ExitStatus.Fine : ExitStatus.Usage;
  }
  if (error instanceof UsageError || error instanceof NotPermittedError) {
    process.stderr.write(`fairlead: ${error.message}\n`);
    return error instanceof UsageError ? ExitStatus.Usage : ExitStatus.NotPermitted;
  }
  if (error instanceof OperatingError) {
    process.stderr.write(`fairlead: ${error.message}\n`);
    return ExitStatus.Internal;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`fairlead: ${text}\n`);
  return ExitStatus.Internal;
}

const STATE_FOLDER = "/var/lib/fairlead";
const RUN_FOLDER = "/run/fairlead";

const PASSWORD_EXAMPLES = `
The password is asked for, or read from standard input:
  fairlead password anna >> users
  kubectl create secret generic segment-users --from-file=users
  and in the tunnel: security: { userPassSecretRef: { name: segment-users } }`;
const UP_EXAMPLES = `
SIGHUP reads the files again; SIGTERM or Ctrl-C stops and removes what was made.
A tunnel that was never up ends with the status of its cause; docs/reference/exit-status.md
lists them. One that was up once is dialled again for ever.

Examples:
  fairlead up -f gateway.yaml
  fairlead up -f tunnels/ --keep-trying
  fairlead up --profile client.ovpn --bridge br0`;

const PROFILE_EXAMPLES = `
Examples:
  fairlead profile box-7 -f gateway.yaml > box-7.ovpn
  openvpn box-7.ovpn`;

const DOCTOR_EXAMPLES = `
Without a word about a cluster it looks at the tunnels that run on this host, and at the cluster of the
kubeconfig where none does. It ends with 30 when it found something.

Examples:
  sudo fairlead doctor
  fairlead doctor -n lab
  kubectl fairlead doctor -A`;

const CAPTURE_EXAMPLES = `
Every frame is noted once, where it came in, with a comment that says where it went or why it was
dropped; with --peer, what goes to that peer as well. Frames that a slow reader missed are counted.

Examples:
  fairlead capture -w lan.pcapng --seconds 10
  fairlead capture --peer box-7 | tshark -r -
  fairlead capture --group 239.1.2.3 | wireshark -k -i -`;

const EXAMPLES = `
Examples:
  fairlead up -f examples/            run the tunnels of these files on this host
  fairlead lab                        watch multicast cross a tunnel, all on this machine
  fairlead test                       run every test
  fairlead <command> --help           more about one command`;

const OPERATOR_EXAMPLES = `
The chart in charts/fairlead runs it in a cluster; outside of one it uses a kubeconfig.

Examples:
  fairlead operator --image registry.example.org/fairlead:1.0.0
  fairlead operator --image fairlead:dev --kubeconfig admin.kubeconfig --namespace default`;

const LAB_EXAMPLES = `
Needs root: it makes network namespaces, and removes them again.

Examples:
  fairlead lab                                          watch until Ctrl-C
  fairlead lab --seconds 10 --peer openvpn              stock OpenVPN at the testbed's end
  fairlead lab --scenario S3 --peer openvpn --json      one acceptance scenario, one JSON line
  fairlead lab --scenario S1 --full --json              all of it: 50,000 echoes for each set-up
  fairlead lab --cluster --role dial --peer openvpn     a real node dials a stock server, pods attached`;

const TEST_EXAMPLES = `
Examples:
  fairlead test                everything but the long versions
  fairlead test check unit     formatting, types, rules; then the unit tests
  fairlead test full           everything, with the long versions
  fairlead test interop --json  every kind of stock peer; writes docs/interop.md
  fairlead test interop full --cells 3/18  the third of eighteen shares of all 1,080 cells`;

const BENCH_EXAMPLES = `
Needs root. Contenders take turns in the same namespaces.

Examples:
  fairlead bench --json
  fairlead bench --seconds 10 --runs 5 --contender openvpn-tap
  fairlead bench --workload key-changes --json`;

process.exit(await main(process.argv));
