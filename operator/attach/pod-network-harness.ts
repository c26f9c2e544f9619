/**
 * A pod's network for tests without a node: a namespace that reaches this one, where gateways run, by
 * the names that the cluster's DNS would have, and programs in it with the rights of a sidecar.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Namespace, Network } from "../../test/support/netns.ts";
import { runFine } from "../../test/support/process.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const NODE = join(ROOT, "node_modules/.bin/node");
const MAIN = join(ROOT, "cli/main.ts");

/** The program of the project, as an image would run it. */
export const PROGRAM: readonly string[] = [NODE, MAIN];

/** A pod's network. */
export class PodNetwork implements AsyncDisposable {
  readonly namespace: Namespace;
  readonly #folder: string;

  private constructor(namespace: Namespace, folder: string) {
    this.namespace = namespace;
    this.#folder = folder;
  }

  /** Makes it; replicas of the tunnel's gateway have the addresses 198.51.100.1 and on. */
  static async create(network: Network, tunnel: string, replicas: number): Promise<PodNetwork> {
    const namespace = await network.namespace("pod");
    const far = ["type", "veth", "peer", "eth0", "netns", namespace.name];
    await runFine(["ip", "link", "add", "flat0", ...far]);
    const places = Array.from({ length: replicas }, (_, index) => {
      return { address: `198.51.100.${index + 1}`, host: `${tunnel}-gateway-${index}` };
    });
    for (const { address } of places) {
      await runFine(["ip", "address", "add", `${address}/29`, "dev", "flat0"]);
    }
    await runFine(["ip", "link", "set", "flat0", "up"]);
    await namespace.addresses("eth0", "198.51.100.6/29");
    await namespace.ip("link set eth0 up");
    const folder = join("/etc/netns", namespace.name);
    await mkdir(folder, { recursive: true });
    const lines = places.map(
      ({ address, host }) => `${address} ${host}.${tunnel}-gateway-pods.default.svc\n`,
    );
    await writeFile(join(folder, "hosts"), lines.join(""));
    return new PodNetwork(namespace, folder);
  }

  /** A command of ours with NET_ADMIN alone, and without this process' environment. */
  sidecar(...parameters: readonly string[]): readonly string[] {
    return [
      ...this.namespace.inside(["setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all"]),
      ...["--no-new-privs", "env", "-i", ...PROGRAM, ...parameters],
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
    await runFine(["ip", "link", "delete", "flat0"]);
  }
}
