/**
 * A real control plane for one test: etcd, kube-apiserver and, on request, the controller manager
 * and the scheduler, on loopback, on a port of its own, in a folder of its own. Nothing is left: the
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
import { makeKubeconfig, makeServerFiles, writeKubeconfig } from "./tls-files.ts";

/** What runs besides etcd and the API server. */
export interface ControlPlaneOptions {
  /** Controllers: service accounts, owner references, ReplicaSets, namespaces. */
  readonly hasControllers?: boolean;
}

const READY_MS = 60_000;
const SERVICES = "10.96.0.0/16";

/** A running control plane, for `await using`. */
export class ControlPlane implements AsyncDisposable {
  /** Path of the administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly server: string;
  readonly #scratch: Scratch;
  readonly #port: number;
  readonly #programs: Program[] = [];
  #apiServer: Program | undefined;

  private constructor(scratch: Scratch, port: number) {
    this.#scratch = scratch;
    this.#port = port;
    this.server = `https://127.0.0.1:${port}`;
    this.kubeconfig = scratch.file("admin.kubeconfig");
  }

  /** Starts one; builds its programs first when they are missing. */
  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const extra = options.hasControllers === true ? CONTROLLER_PROGRAMS : [];
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    await ensurePrograms([...SERVER_PROGRAMS, ...extra], say);
    const plane = new ControlPlane(await Scratch.create(), await freePort());
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
    return await runFine([programPath("kubectl"), "--kubeconfig", this.kubeconfig, ...parameters]);
  }

  /** Runs kubectl with a document on its standard input, whatever comes of it. */
  async kubectlWith(
    input: string,
    ...parameters: readonly string[]
  ): Promise<{ readonly status: number; readonly output: string }> {
    const command = [programPath("kubectl"), "--kubeconfig", this.kubeconfig, ...parameters];
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

  /** Ends the API server, at once or in order. */
  async stopApiServer(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    assert(this.#apiServer !== undefined, "the API server runs");
    this.#apiServer.signal(signal);
    await this.#apiServer.waitForEnd();
  }

  /** Starts the API server again, on the same port and data, and waits until it is ready. */
  async startApiServer(): Promise<void> {
    const file = (name: string): string => this.#file(name);
    this.#apiServer = this.#launch("kube-apiserver", [
      ...[`--etcd-servers=unix://${file("etcd.sock")}`, `--secure-port=${this.#port}`],
      ...["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"],
      ...[`--service-cluster-ip-range=${SERVICES}`, "--endpoint-reconciler-type=none"],
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

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of [...this.#programs].reverse()) program.signal("SIGKILL");
    for (const program of this.#programs) await program.waitForEnd();
    await this.#scratch[Symbol.asyncDispose]();
  }

  async #start(options: ControlPlaneOptions): Promise<void> {
    await makeServerFiles(this.#scratch.path);
    await this.#kubeconfig("admin", "/O=system:masters/CN=admin");
    this.#launch("etcd", [
      ...["--name=test", `--data-dir=${this.#file("etcd")}`, "--unsafe-no-fsync"],
      ...["--log-level=warn", "--advertise-client-urls=http://127.0.0.1:1"],
      ...[`--listen-client-urls=unix://${this.#file("etcd.sock")}`],
      ...[`--listen-peer-urls=unix://${this.#file("peer.sock")}`],
      ...["--initial-advertise-peer-urls=http://127.0.0.1:2"],
      ...["--initial-cluster=test=http://127.0.0.1:2"],
    ]);
    await this.startApiServer();
    if (options.hasControllers === true) await this.#startControllers();
  }

  async #startControllers(): Promise<void> {
    const file = (name: string): string => this.#file(name);
    await this.#kubeconfig("controllers", "/CN=system:kube-controller-manager");
    await this.#kubeconfig("scheduler", "/CN=system:kube-scheduler");
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

  async #kubeconfig(file: string, subject: string): Promise<void> {
    await makeKubeconfig(this.#scratch.path, { file, subject }, this.server);
  }

  async #waitFor(what: string, parameters: readonly string[]): Promise<void> {
    const all = [programPath("kubectl"), "--kubeconfig", this.kubeconfig, ...parameters];
    const probe = async (): Promise<boolean> => {
      const ended = this.#programs.find((program) => (program.status ?? 137) !== 137);
      assert(ended === undefined, `${ended?.name} ended: ${ended?.output.slice(-2000)}`);
      return (await run(all)).status === 0;
    };
    await waitFor(what, probe, READY_MS);
  }

  #launch(name: ClusterProgram, parameters: readonly string[]): Program {
    const program = Program.start([programPath(name), ...parameters]);
    this.#programs.push(program);
    return program;
  }

  #file(name: string): string {
    return this.#scratch.file(name);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  assert(typeof address === "object" && address !== null, "a TCP server has an address");
  server.close();
  return address.port;
}
