/**
 * Network namespaces that a test makes and removes. Names carry the owner
 * (`fairlead-<pid>-<start>-<n>-<label>`), so the next start removes what a killed run left: the
 * marked processes in its namespaces, then the namespaces, and with them every interface.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { isOwnerAlive, ownerOfProcess, ownOwner } from "./owner.ts";
import { ensureCommands } from "./packages.ts";
import {
  type Outcome,
  Program,
  type RunOptions,
  run,
  runFine,
  type StartOptions,
} from "./process.ts";
import { waitFor } from "./wait.ts";

const NAMESPACE_FOLDER = "/run/netns";
const NAME_PATTERN = /^fairlead-(\d+-\d+)-\d+-.+$/;

let networkCount = 0;

/** One test's namespaces, all removed together. */
export class Network implements AsyncDisposable {
  readonly #prefix: string;
  readonly #namespaces: Namespace[] = [];
  #isClosed = false;

  private constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** An empty network; the first one of a process sweeps what dead runs left. */
  static async create(): Promise<Network> {
    assert(isRoot(), "network namespaces need root");
    await ensureCommands(["ip", "setpriv"]);
    if (networkCount === 0) await sweepNamespaces();
    networkCount += 1;
    return new Network(`fairlead-${ownOwner()}-${networkCount}`);
  }

  /** Adds a namespace with its loopback up. */
  async namespace(label: string): Promise<Namespace> {
    // Work that is still under way when a signal closes the network must not leave new ones.
    assert(!this.#isClosed, "the network is closed");
    const name = `${this.#prefix}-${label}`;
    await runFine(["ip", "netns", "add", name]);
    const namespace = new Namespace(label, name);
    this.#namespaces.push(namespace);
    await namespace.ip("link set lo up");
    return namespace;
  }

  /** Joins two namespaces by a veth pair, both ends up. */
  async cable(near: Port, far: Port, mtuBytes = 1500): Promise<void> {
    const mtu = ["mtu", String(mtuBytes)];
    await near.namespace.run([
      ...["ip", "link", "add", near.interface, ...mtu, "type", "veth"],
      ...["peer", "name", far.interface, ...mtu, "netns", far.namespace.name],
    ]);
    await near.namespace.ip(`link set ${near.interface} up`);
    await far.namespace.ip(`link set ${far.interface} up`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const namespace of this.#namespaces.splice(0)) await removeNamespace(namespace.name);
  }
}

/** One end of a cable. */
export interface Port {
  readonly namespace: Namespace;
  readonly interface: string;
}

/** One simulated host. */
export class Namespace {
  readonly label: string;
  readonly name: string;

  constructor(label: string, name: string) {
    this.label = label;
    this.name = name;
  }

  /** `command` as it is started inside this namespace. */
  inside(command: readonly string[]): readonly string[] {
    return ["ip", "netns", "exec", this.name, ...command];
  }

  /** Runs `ip` with blank-separated arguments in here; throws when it fails. */
  async ip(argumentsText: string): Promise<string> {
    return await runFine(["ip", "-n", this.name, ...argumentsText.split(" ")]);
  }

  /** Runs a program in here that must succeed; its standard output. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<string> {
    return await runFine(this.inside(command), options);
  }

  /** Runs a program in here whatever its outcome. */
  async try(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return await run(this.inside(command), options);
  }

  /** Starts a program in here. */
  start(command: readonly string[], options: StartOptions = {}): Program {
    return Program.start(this.inside(command), options);
  }

  /** Gives an interface its addresses (with prefix length); IPv6 is usable at once. */
  async addresses(device: string, ...addresses: readonly string[]): Promise<void> {
    for (const address of addresses) {
      const nodad = address.includes(":") ? " nodad" : "";
      await this.ip(`address add ${address} dev ${device}${nodad}`);
    }
  }

  /** Makes a bridge, up, of existing interfaces. */
  async bridge(name: string, ...ports: readonly string[]): Promise<void> {
    await this.ip(`link add ${name} type bridge`);
    await this.ip(`link set ${name} up`);
    for (const port of ports) await this.ip(`link set ${port} master ${name} up`);
  }

  /** Waits until an interface is there. */
  async waitForInterface(device: string, timeoutMs = 10_000): Promise<void> {
    await waitFor(
      `${device} in ${this.label}`,
      async () => (await this.try(["ip", "link", "show", device])).status === 0,
      timeoutMs,
    );
  }

  /** Waits until an interface has an IPv6 address of its own and all of them passed DAD. */
  async waitForUsableAddresses(device: string, timeoutMs = 10_000): Promise<void> {
    await waitFor(
      `IPv6 addresses of ${device} in ${this.label} past duplicate address detection`,
      async () => {
        const text = await this.ip(`-6 address show dev ${device}`);
        return text.includes("scope global") && !text.includes("tentative");
      },
      timeoutMs,
    );
  }

  /** Counters of the interfaces in here, by name. */
  async interfaceCounters(): Promise<ReadonlyMap<string, InterfaceCounters>> {
    const { stdout } = await run(["ip", "-n", this.name, "-j", "-s", "link"]);
    const links = JSON.parse(stdout || "[]") as readonly LinkJson[];
    return new Map(links.map((link) => [link.ifname, countersOf(link)]));
  }
}

/** Frames and bytes through one interface. */
export interface InterfaceCounters {
  readonly receivedFrames: number;
  readonly receivedBytes: number;
  readonly sentFrames: number;
  readonly sentBytes: number;
}

/** Says whether namespaces can be made here. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Removes the namespaces of runs that are no more; returns how many there were. */
export async function sweepNamespaces(): Promise<number> {
  if (!existsSync(NAMESPACE_FOLDER)) return 0;
  const left = readdirSync(NAMESPACE_FOLDER).filter((name) => {
    const owner = NAME_PATTERN.exec(name)?.[1];
    return owner !== undefined && !isOwnerAlive(owner);
  });
  for (const name of left) await removeNamespace(name);
  return left.length;
}

async function removeNamespace(name: string): Promise<void> {
  const owner = NAME_PATTERN.exec(name)?.[1];
  const { stdout } = await run(["ip", "netns", "pids", name]);
  for (const pid of stdout.split("\n").filter(Boolean).map(Number)) {
    // Only what this run started: someone may be looking around in there with a shell.
    if (ownerOfProcess(pid) === owner) kill(pid);
  }
  await run(["ip", "netns", "delete", name]);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

interface LinkJson {
  readonly ifname: string;
  readonly stats64: {
    readonly rx: { readonly packets: number; readonly bytes: number };
    readonly tx: { readonly packets: number; readonly bytes: number };
  };
}

function countersOf(link: LinkJson): InterfaceCounters {
  return {
    receivedFrames: link.stats64.rx.packets,
    receivedBytes: link.stats64.rx.bytes,
    sentFrames: link.stats64.tx.packets,
    sentBytes: link.stats64.tx.bytes,
  };
}
