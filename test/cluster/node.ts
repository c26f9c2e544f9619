/**
 * A real Kubernetes node for a test: control plane, containerd, kubelet, kube-proxy and CoreDNS in
 * one network, mount and process namespace. Nothing of it is left: whoever ends the namespace's first
 * process ends every container, and with the namespaces go mounts, bridges and packet filters; the
 * control groups and folders of a run that was killed are removed by the next one.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import type { Namespace, Network } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { Program, run, runFine } from "../support/process.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";
import { makeControlGroup, removeControlGroup } from "./cgroups.ts";
import { ControlPlane } from "./control-plane.ts";
import { addMultus, type NodeSettings, writeNodeFiles } from "./node-files.ts";
import { ensurePrograms, NODE_PROGRAMS, programPath } from "./programs.ts";
import { makeToolImage, TOOL_IMAGE } from "./tool-image.ts";

/** The node's fixed names and addresses. */
const NODE = {
  name: "node-1",
  /** On its loopback: what pods know of it. */
  address: "10.250.0.2",
  pods: "10.244.0.0/24",
  services: "10.96.0.0/16",
} as const;

const READY_MS = 90_000;
const IMPORT_MS = 180_000;

/** A running node, for `await using`. */
export class ClusterNode implements AsyncDisposable {
  /** The node's network; cables go here. */
  readonly namespace: Namespace;
  readonly plane: ControlPlane;
  readonly #scratch: Scratch;
  readonly #init: Program;
  readonly #initPid: number;
  readonly #settings: NodeSettings;
  readonly #programs: Program[] = [];

  private constructor(parts: {
    readonly namespace: Namespace;
    readonly plane: ControlPlane;
    readonly scratch: Scratch;
    readonly init: Program;
    readonly initPid: number;
    readonly settings: NodeSettings;
  }) {
    this.namespace = parts.namespace;
    this.plane = parts.plane;
    this.#scratch = parts.scratch;
    this.#init = parts.init;
    this.#initPid = parts.initPid;
    this.#settings = parts.settings;
  }

  /** Starts a node with the images of some archives; ready when pods can be placed. */
  static async start(network: Network, archives: readonly string[]): Promise<ClusterNode> {
    await ensureCommands([
      ...["containerd", "runc", "nft", "iptables", "busybox", "openssl", "socat", "ip"],
      "/usr/lib/cni/bridge",
    ] as const);
    await ensurePrograms(NODE_PROGRAMS, say);
    await using stack = new AsyncDisposableStack();
    const scratch = stack.use(await Scratch.create());
    const namespace = await network.namespace("node");
    await namespace.ip(`address add ${NODE.address}/32 dev lo`);
    // So that the node's own processes reach Services.
    await namespace.ip(`route add ${NODE.services} dev lo src ${NODE.address}`);
    const inside = (command: readonly string[]): readonly string[] => namespace.inside(command);
    const host = { address: NODE.address, inside };
    const plane = stack.use(await ControlPlane.start({ hasControllers: true, host }));
    const controlGroup = await makeControlGroup();
    stack.defer(removeControlGroup);
    const settings = await settingsOf(scratch, plane, controlGroup);
    writeNodeFiles(settings);
    const init = stack.use(startInit(namespace, scratch));
    const initPid = await firstProcess(init, scratch);
    const node = new ClusterNode({ namespace, plane, scratch, init, initPid, settings });
    await node.#start([await makeToolImage(scratch.path), ...archives]);
    stack.move();
    return node;
  }

  /** `command` as it is started with the node's mounts, network and processes. */
  inside(command: readonly string[]): readonly string[] {
    return ["nsenter", "-t", String(this.#initPid), "-m", "-n", "-p", "--", ...command];
  }

  /** Makes the image of an archive known to the container runtime. */
  async load(archive: string): Promise<void> {
    const command = ["ctr", "-n", "k8s.io", "images", "import", archive];
    await runFine(this.inside(command), { timeoutMs: IMPORT_MS });
  }

  /** Installs Multus: pods that are made from now on can have several networks. */
  async installMultus(): Promise<void> {
    await ensurePrograms(["multus"], say);
    addMultus(this.#settings, programPath("multus"));
  }

  /** What the node's programs printed, for the text of a failure. */
  log(): string {
    return this.#programs.map(({ name, output }) => `${name}: ${output.slice(-1500)}`).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#init.signal("SIGKILL");
    await this.#init.waitForEnd();
    for (const program of this.#programs) await program.waitForEnd();
    await removeControlGroup();
    await this.plane[Symbol.asyncDispose]();
    await this.#scratch[Symbol.asyncDispose]();
  }

  async #start(archives: readonly string[]): Promise<void> {
    const file = (name: string): string => this.#scratch.file(name);
    this.#launch("containerd", ["--config", file("containerd.toml")]);
    await this.#waitFor("containerd", this.inside(["ctr", "version"]));
    for (const archive of archives) await this.load(archive);
    this.#launch(programPath("kubelet"), [
      ...["--config", file("kubelet.json"), `--hostname-override=${NODE.name}`],
      ...["--kubeconfig", await this.plane.certificateConfig("kubelet", KUBELET)],
      `--node-ip=${NODE.address}`,
    ]);
    this.#launch(programPath("kube-proxy"), [
      ...["--config", file("kube-proxy.json"), `--hostname-override=${NODE.name}`],
    ]);
    this.#launch(programPath("coredns"), ["-conf", file("Corefile")]);
    const ready = ["wait", "--for=condition=Ready", `node/${NODE.name}`, "--timeout=1s"];
    await this.#waitFor("the node to be ready", this.plane.kubectlCommand(...ready));
  }

  async #waitFor(what: string, command: readonly string[]): Promise<void> {
    await waitFor(
      () => `${what}\n${this.log()}`,
      async () => {
        const ended = this.#programs.find(({ status }) => status !== undefined);
        assert(ended === undefined, `${ended?.name} ended: ${ended?.output.slice(-3000)}`);
        return (await run(command)).status === 0;
      },
      READY_MS,
    );
  }

  #launch(program: string, parameters: readonly string[]): void {
    this.#programs.push(Program.start(this.inside([program, ...parameters])));
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

const KUBELET = `/O=system:nodes/CN=system:node:${NODE.name}`;

async function settingsOf(
  scratch: Scratch,
  plane: ControlPlane,
  controlGroup: string,
): Promise<NodeSettings> {
  const names = [`DNS:${NODE.name}`, `IP:${NODE.address}`];
  return {
    ...{ folder: scratch.path, address: NODE.address, pods: NODE.pods, controlGroup },
    ...(await plane.serverCertificate("kubelet-server", names)),
    pauseImage: TOOL_IMAGE,
    adminKubeconfig: plane.kubeconfig,
    proxyKubeconfig: await plane.certificateConfig("proxy", "/CN=system:kube-proxy"),
  };
}

/** Not by `ip netns exec`: that mounts another /sys, without control groups. */
function startInit(namespace: Namespace, scratch: Scratch): Program {
  return Program.start([
    ...["nsenter", `--net=/run/netns/${namespace.name}`, "--"],
    ...["unshare", "--fork", "--kill-child", "--mount", "--pid", "--mount-proc", "--"],
    ...["sh", scratch.file("init.sh"), scratch.path],
  ]);
}

/** Process id of the namespace's first process, as this machine counts. */
async function firstProcess(init: Program, scratch: Scratch): Promise<number> {
  await waitFor(
    () => `the node's namespaces: ${init.output}`,
    () => {
      assert(init.status === undefined, `the node's namespaces: ${init.output}`);
      return existsSync(scratch.file("ready"));
    },
  );
  const children = readFileSync(`/proc/${init.pid}/task/${init.pid}/children`, "utf8");
  return Number(children.trim());
}
