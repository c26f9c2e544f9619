/**
 * Multicast by unmodified programs. The receiver is socat, which joins with the interface left
 * open, as most programs do: the kernel takes the one that its route to the group names. That is
 * what fails when nobody routed the group into the segment.
 */
import { ensureCommands } from "./packages.ts";
import type { Program, RunOptions, StartOptions } from "./process.ts";
import { waitFor } from "./wait.ts";

/** Where a program runs: a host of the lab, or a container of a pod. */
export interface Place {
  readonly label: string;
  /** Runs a program that must succeed; its standard output. */
  run(command: readonly string[], options?: RunOptions): Promise<string>;
  start(command: readonly string[], options?: StartOptions): Program;
}

/** Where the datagrams go. */
export interface Group {
  readonly family: 4 | 6;
  readonly address: string;
  readonly port: number;
  /** For programs that are told their interface; absent: the kernel takes the one of its route. */
  readonly interface?: string;
  /** Hops that datagrams may take; absent: the kernel's default, one. */
  readonly hops?: number;
}

/** A receiver that counts what it really got. */
export class MulticastReceiver implements AsyncDisposable {
  readonly #program: Program;
  readonly #group: Group;
  readonly #place: Place;
  #seen = new Set<string>();
  #duplicateCount = 0;

  private constructor(place: Place, group: Group) {
    this.#group = group;
    this.#place = place;
    this.#program = place.start(receiverCommand(group), {
      onLine: (line) => {
        if (this.#seen.has(line)) this.#duplicateCount += 1;
        else this.#seen.add(line);
      },
    });
  }

  /** Starts the program and waits until the kernel lists the membership. */
  static async start(place: Place, group: Group): Promise<MulticastReceiver> {
    await ensureCommands(["socat"]);
    const receiver = new MulticastReceiver(place, group);
    await waitFor(
      () => `the membership in ${group.address}; ${receiver.#program.output}`,
      async () => (await receiver.joinedInterface()) ?? false,
    );
    return receiver;
  }

  /** Different datagrams received so far. */
  get frames(): number {
    return this.#seen.size;
  }

  /** Datagrams received more than once. */
  get duplicates(): number {
    return this.#duplicateCount;
  }

  /** The interface by which the kernel joined the group, from its own tables. */
  async joinedInterface(): Promise<string | undefined> {
    const text = await this.#place.run(["ip", "-j", "maddress", "show"]);
    const links = JSON.parse(text) as readonly MembershipJson[];
    return links.find((link) => link.maddr.some((entry) => entry.address === this.#group.address))
      ?.ifname;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.stop();
  }
}

/** A sender of numbered datagrams at a steady pace. */
export class MulticastSender implements AsyncDisposable {
  readonly #program: Program;
  readonly #timer: NodeJS.Timeout;
  #sentCount = 0;

  private constructor(place: Place, group: Group, intervalMs: number) {
    this.#program = place.start(senderCommand(group));
    this.#timer = setInterval(() => {
      this.#sentCount += 1;
      this.#program.write(`${place.label} ${this.#sentCount}\n`);
    }, intervalMs);
  }

  static async start(place: Place, group: Group, intervalMs: number): Promise<MulticastSender> {
    await ensureCommands(["socat"]);
    return new MulticastSender(place, group, intervalMs);
  }

  /** Datagrams sent so far. */
  get frames(): number {
    return this.#sentCount;
  }

  /** Ends the sender once it has sent everything it was given. */
  async finish(): Promise<void> {
    clearInterval(this.#timer);
    this.#program.closeInput();
    await this.#program.waitForEnd();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#program.stop();
  }
}

interface MembershipJson {
  readonly ifname: string;
  readonly maddr: readonly { readonly address?: string }[];
}

function receiverCommand(group: Group): readonly string[] {
  const source =
    group.family === 4
      ? `UDP4-RECV:${group.port},reuseaddr,ip-add-membership=${group.address}:${group.interface ?? "0.0.0.0"}`
      : `UDP6-RECV:${group.port},reuseaddr,ipv6-join-group=[${group.address}]:${group.interface ?? 0}`;
  return ["socat", "-u", source, "STDOUT"];
}

function senderCommand(group: Group): readonly string[] {
  const target =
    group.family === 4
      ? `UDP4-DATAGRAM:${group.address}:${group.port}`
      : `UDP6-DATAGRAM:[${group.address}]:${group.port}`;
  const { family, hops, interface: device } = group;
  const options = [
    ...(device === undefined ? [] : [`so-bindtodevice=${device}`]),
    ...(hops === undefined ? [] : [family === 4 ? `ip-multicast-ttl=${hops}` : ipv6Hops(hops)]),
  ];
  return ["socat", "-u", "STDIN", [target, ...options].join(",")];
}

/** IPPROTO_IPV6, IPV6_MULTICAST_HOPS: socat has no name for it. */
function ipv6Hops(hops: number): string {
  return `setsockopt-int=41:18:${hops}`;
}
