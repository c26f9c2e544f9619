/** The chart on the lab's node, and a container of a pod as a place where programs run. */
import { join } from "node:path";
import type { ClusterNode } from "../cluster/node.ts";
import { ensurePrograms, programPath } from "../cluster/programs.ts";
import type { Place } from "../support/multicast.ts";
import { Program, type RunOptions, runFine, type StartOptions } from "../support/process.ts";

const CHART = join(import.meta.dirname, "..", "..", "charts", "fairlead");
const RELEASE = "fairlead";
const HELM_TIMEOUT_MS = 150_000;

/** Namespace of the release. */
export const SYSTEM_NAMESPACE = "fairlead-system";
/** Namespace of the tunnels in `examples/`. */
export const LAB_NAMESPACE = "lab";

/** Helm against the node's API server. */
export class Helm {
  readonly #node: ClusterNode;
  readonly #folder: string;

  constructor(node: ClusterNode, folder: string) {
    this.#node = node;
    this.#folder = folder;
  }

  /** Runs helm in the release's namespace; it must succeed. */
  async run(...parameters: readonly string[]): Promise<string> {
    await ensurePrograms(["helm"], () => undefined);
    const { plane } = this.#node;
    const command = [programPath("helm"), "--namespace", SYSTEM_NAMESPACE, ...parameters];
    const environment = { KUBECONFIG: plane.kubeconfig, HELM_CACHE_HOME: this.#folder };
    return await runFine(plane.inside(command), { environment, timeoutMs: HELM_TIMEOUT_MS });
  }

  /** Installs the chart with its own values and waits until the operator is ready. */
  async install(...options: readonly string[]): Promise<string> {
    const wait = ["--create-namespace", "--wait", "--timeout", "120s"];
    return await this.run("install", RELEASE, CHART, ...wait, ...options);
  }

  async uninstall(): Promise<string> {
    return await this.run("uninstall", RELEASE, "--wait", "--timeout", "120s");
  }
}

/** Makes the namespace of the tunnels; gateways and sidecars need NET_ADMIN. */
export async function makeLabNamespace({ plane }: ClusterNode): Promise<void> {
  await plane.kubectl("create", "namespace", LAB_NAMESPACE);
  const label = "pod-security.kubernetes.io/enforce=privileged";
  await plane.kubectl("label", "namespace", LAB_NAMESPACE, label);
}

/** A container of a pod in the namespace of the tunnels. */
export class PodPlace implements Place {
  readonly label: string;
  readonly #node: ClusterNode;
  readonly #container: string;

  constructor(node: ClusterNode, pod: string, container: string) {
    this.#node = node;
    this.label = pod;
    this.#container = container;
  }

  async run(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return await runFine(this.#inside(command), options);
  }

  start(command: readonly string[], options: StartOptions = {}): Program {
    return Program.start(this.#inside(command), options);
  }

  #inside(command: readonly string[]): readonly string[] {
    const where = ["-n", LAB_NAMESPACE, "exec", "-i", this.label, "-c", this.#container];
    return this.#node.plane.kubectlCommand(...where, "--", ...command);
  }
}
