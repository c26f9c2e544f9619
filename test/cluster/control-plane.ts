/**
 * A real control plane for one test: etcd, kube-apiserver and, on request, the controller manager
 * and the scheduler, on loopback or on a node, on a port of its own, in a folder of its own. Nothing is left: the
 * processes die with the test's process even by SIGKILL, the folder is swept by the next run.
 */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { Program, run, runFine } from "../support/process.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";
import {
  type ClusterProgram,
  CONTROLLER_PROGRAMS,
  ensurePrograms,
  programPath,
  SERVER_PROGRAMS,
} from "./programs.ts";
import { issueCertificate, makeKubeconfig, makeServerFiles, writeKubeconfig } from "./tls-files.ts";

/** What runs besides etcd and the API server. */
export interface ControlPlaneOptions {
  /** Controllers: service accounts, owner references, ReplicaSets, namespaces. */
  readonly hasControllers?: boolean;
  /** Absent: loopback, and no kubelet is ever asked for logs. */
  readonly host?: PlaneHost;
}

/** The machine that a control plane runs on, when pods are to reach it. */
export interface PlaneHost {
  readonly address: string;
  /** `command` as it is started on that machine. */
  readonly inside: (command: readonly string[]) => readonly string[];
}

const READY_MS = 60_000;
const LOOPBACK = "127.0.0.1";
const SERVICES = "10.96.0.0/16";

/** A running control plane, for `await using`. */
export class ControlPlane implements AsyncDisposable {
  /** Path of the administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly server: string;
  readonly #scratch: Scratch;
  readonly #port: number;
  readonly #host: PlaneHost | undefined;
  readonly #programs: Program[] = [];
  #apiServer: Program | undefined;

  private constructor(scratch: Scratch, port: number, host: PlaneHost | undefined) {
    this.#scratch = scratch;
    this.#port = port;
    this.#host = host;
    this.server = `https://${host?.address ?? LOOPBACK}:${port}`;
    this.kubeconfig = scratch.file("admin.kubeconfig");
  }

  /** Starts one; builds its programs first when they are missing. */
  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    await ensurePrograms(SERVER_PROGRAMS, say);
    const plane = new ControlPlane(await Scratch.create(), await freePort(), options.host);
    try {
      await plane.#start(options);
    } catch (error) {
      await plane[Symbol.asyncDispose]();
      throw error;
    }
    return plane;
  }

  /** Runs kubectl as the administrator; it must succeed. Returns its output. */
  async kubectl(...parameters: readonly string[]): Promise<string> {
    return await runFine(this.kubectlCommand(...parameters));
  }

  /** kubectl as the administrator, as a command to start. */
  kubectlCommand(...parameters: readonly string[]): readonly string[] {
    return this.inside([
      ...[programPath("kubectl"), "--kubeconfig", this.kubeconfig],
      ...parameters,
    ]);
  }

  /** `command` as it is started where the control plane runs. */
  inside(command: readonly string[]): readonly string[] {
    return this.#host === undefined ? command : this.#host.inside(command);
  }

  /** Runs kubectl with a document on its standard input, whatever comes of it. */
  async kubectlWith(
    input: string,
    ...parameters: readonly string[]
  ): Promise<{ readonly status: number; readonly output: string }> {
    const command = this.kubectlCommand(...parameters);
    const { status, stdout, stderr } = await run(command, { input });
    return { status, output: `${stdout}${stderr}` };
  }

  /** A kubeconfig for a service account, made here with a token of the API server. */
  async serviceAccountConfig(namespace: string, name: string): Promise<string> {
    const token = await this.kubectl("-n", namespace, "create", "token", name);
    const cluster = { server: this.server, "certificate-authority": this.#file("ca.crt") };
    const path = this.#file(`${namespace}-${name}.kubeconfig`);
    return await writeKubeconfig(path, cluster, { token: token.trim() });
  }

  /** A kubeconfig with a client certificate, in the control plane's folder; returns its path. */
  async certificateConfig(file: string, subject: string): Promise<string> {
    return await makeKubeconfig(this.#scratch.path, { file, subject }, this.server);
  }

  /** A server certificate of the cluster's authority, and the authority itself. */
  async serverCertificate(
    file: string,
    names: readonly string[],
  ): Promise<{ readonly certificate: string; readonly key: string; readonly authority: string }> {
    await issueCertificate(this.#scratch.path, { file, subject: `/CN=${file}` }, names);
    return {
      certificate: this.#file(`${file}.crt`),
      key: this.#file(`${file}.key`),
      authority: this.#file("ca.crt"),
    };
  }

  /** Ends the API server, at once or in order. */
  async stopApiServer(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    assert(this.#apiServer !== undefined, "the API server runs");
    this.#apiServer.signal(signal);
    await this.#apiServer.waitForEnd();
  }

  /** Starts the API server again, on the same port and data, and waits until it is ready. */
  async startApiServer(): Promise<void> {
    const file = (name: string): string => this.#file(name);
    const address = this.#host?.address ?? LOOPBACK;
    this.#apiServer = this.#launch("kube-apiserver", [
      ...[`--etcd-servers=unix://${file("etcd.sock")}`, `--secure-port=${this.#port}`],
      ...[`--bind-address=${address}`, `--advertise-address=${address}`],
      `--service-cluster-ip-range=${SERVICES}`,
      ...this.#kubeletParameters(),
      ...[`--tls-cert-file=${file("apiserver.crt")}`, `--client-ca-file=${file("ca.crt")}`],
      ...[`--tls-private-key-file=${file("apiserver.key")}`, "--allow-privileged=true"],
      ...["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"],
      "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
      `--service-account-key-file=${file("sa.pub")}`,
      `--service-account-signing-key-file=${file("sa.key")}`,
    ]);
    const ready = ["get", "--raw", "/readyz", "--request-timeout=2s"];
    await this.#waitFor("the API server", ready);
  }

  /**
   * Starts the controllers. Where a test waits for the garbage collector, that is after the chart was
   * installed: it looks for kinds when it starts and then every 30 seconds.
   */
  async startControllers(): Promise<void> {
    await ensurePrograms(CONTROLLER_PROGRAMS, say);
    const file = (name: string): string => this.#file(name);
    await this.certificateConfig("controllers", "/CN=system:kube-controller-manager");
    await this.certificateConfig("scheduler", "/CN=system:kube-scheduler");
    this.#launch("kube-controller-manager", [
      ...["--secure-port=0", "--leader-elect=false", "--use-service-account-credentials"],
      ...["--kube-api-qps=500", "--kube-api-burst=1000"],
      ...[`--kubeconfig=${file("controllers.kubeconfig")}`, `--root-ca-file=${file("ca.crt")}`],
      `--service-account-private-key-file=${file("sa.key")}`,
    ]);
    this.#launch("kube-scheduler", [
      ...["--secure-port=0", "--leader-elect=false"],
      `--kubeconfig=${file("scheduler.kubeconfig")}`,
    ]);
    await this.#waitFor("the controllers", ["-n", "default", "get", "serviceaccount", "default"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of [...this.#programs].reverse()) program.signal("SIGKILL");
    for (const program of this.#programs) await program.waitForEnd();
    await this.#scratch[Symbol.asyncDispose]();
  }

  /** How logs and exec reach the kubelet; without one, Service `kubernetes` has no endpoint either. */
  #kubeletParameters(): readonly string[] {
    if (this.#host === undefined) return ["--endpoint-reconciler-type=none"];
    const file = (name: string): string => this.#file(name);
    return [
      `--kubelet-certificate-authority=${file("ca.crt")}`,
      `--kubelet-client-certificate=${file("admin.crt")}`,
      `--kubelet-client-key=${file("admin.key")}`,
      "--kubelet-preferred-address-types=InternalIP",
    ];
  }

  async #start(options: ControlPlaneOptions): Promise<void> {
    await makeServerFiles(this.#scratch.path, this.#host?.address ?? LOOPBACK);
    await this.certificateConfig("admin", "/O=system:masters/CN=admin");
    this.#launch("etcd", [
      ...["--name=test", `--data-dir=${this.#file("etcd")}`, "--unsafe-no-fsync"],
      ...["--log-level=warn", "--advertise-client-urls=http://127.0.0.1:1"],
      ...[`--listen-client-urls=unix://${this.#file("etcd.sock")}`],
      ...[`--listen-peer-urls=unix://${this.#file("peer.sock")}`],
      ...["--initial-advertise-peer-urls=http://127.0.0.1:2"],
      ...["--initial-cluster=test=http://127.0.0.1:2"],
    ]);
    await this.startApiServer();
    if (options.hasControllers === true) await this.startControllers();
  }

  async #waitFor(what: string, parameters: readonly string[]): Promise<void> {
    const all = this.kubectlCommand(...parameters);
    const probe = async (): Promise<boolean> => {
      const ended = this.#programs.find((program) => (program.status ?? 137) !== 137);
      assert(ended === undefined, `${ended?.name} ended: ${ended?.output.slice(-2000)}`);
      return (await run(all)).status === 0;
    };
    await waitFor(what, probe, READY_MS);
  }

  #launch(name: ClusterProgram, parameters: readonly string[]): Program {
    const program = Program.start(this.inside([programPath(name), ...parameters]));
    this.#programs.push(program);
    return program;
  }

  #file(name: string): string {
    return this.#scratch.file(name);
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** A TCP port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  assert(typeof address === "object" && address !== null, "a TCP server has an address");
  server.close();
  return address.port;
}
