/**
 * An address of the segment's own DHCP server: BusyBox's udhcpc asks, renews and checks by ARP that
 * nobody else has what it is offered (RFC 2131, 4.4.1); this reads what it finds. One invariant: a
 * client that ends is started again after a while, and none outlives `stop`.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseAddress } from "../../crds/ip-network.ts";

/** A lease as the client tells it. */
export interface DhcpLease {
  readonly address: string;
  readonly prefixBits: number;
  readonly server: string;
  readonly leaseSeconds: number;
}

/** What the owner is told. */
export interface DhcpEvents {
  /** Got one, or the same one or another at renewal. */
  readonly bound: (lease: DhcpLease) => void;
  /** It may not be used any more; `why` for the log. */
  readonly lost: (why: string) => void;
  /** Nobody answers, or the client does not run; it goes on trying. */
  readonly trouble: (why: string) => void;
}

const SCRIPT = join(import.meta.dirname, "dhcp-event.sh");
/** How long an offered address is probed for. */
const ARP_CHECK_MS = 500;
const RESTART_MS = 5000;
const STOP_MS_MAX = 1000;
const SECONDS_MAX = 2 ** 32 - 1;
/** As of `addresses.segment`: a wider network would lead half of the world into the segment. */
const PREFIX_BITS_MIN = 8;
/** First bytes of what is no single host's (RFC 1122, 3.2.1.3). */
const FIRST_GROUP = 224;
const LOOPBACK = 127;

/** The client of one interface. */
export class DhcpClient {
  readonly #interface: string;
  readonly #events: DhcpEvents;
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #isBound = false;
  #isStopped = false;

  constructor(interfaceName: string, events: DhcpEvents) {
    this.#interface = interfaceName;
    this.#events = events;
    this.#start();
  }

  /** Asks the server again at once: the segment may be another one. */
  renew(): void {
    this.#child?.kill("SIGUSR1");
  }

  /** Gives the lease back and ends. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    child.once("close", () => resolve());
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
    await promise;
    clearTimeout(timer);
  }

  #start(): void {
    // setpriv: the client ends when this process is killed.
    const command = [
      ...["--pdeathsig", "KILL", "--", "busybox", "udhcpc"],
      ...["-f", "-R", "-i", this.#interface, "-s", SCRIPT],
      ...[`-a${ARP_CHECK_MS}`, "-t", "4", "-T", "2", "-A", "5"],
    ];
    const child = spawn("setpriv", command, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    let last = "";
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        if (!this.#take(line)) last = line;
      });
    }
    child.on("error", (error) => this.#ended(String(error)));
    child.on("close", (code) => this.#ended(`udhcpc ended with ${code}: ${last}`));
  }

  #ended(why: string): void {
    if (this.#isStopped || this.#child === undefined) return;
    this.#child = undefined;
    this.#lose("the DHCP client ended");
    this.#events.trouble(why);
    this.#restart = setTimeout(() => this.#start(), RESTART_MS);
  }

  /** One line of the client; true: one of our script's. */
  #take(line: string): boolean {
    const event = parseDhcpEvent(line);
    if (event === undefined) return false;
    if (this.#isStopped) return true;
    if (event.kind === "bound" && event.lease !== undefined) {
      this.#isBound = true;
      this.#events.bound(event.lease);
    } else if (event.kind === "trouble") {
      this.#events.trouble(event.why ?? "no DHCP server answers on the segment");
    } else this.#lose("the lease ran out or the server took it back");
    return true;
  }

  #lose(why: string): void {
    if (!this.#isBound) return;
    this.#isBound = false;
    this.#events.lost(why);
  }
}

/** What the client found. */
interface DhcpEvent {
  readonly kind: "bound" | "lost" | "trouble";
  readonly lease?: DhcpLease;
  /** What the trouble is; absent: nobody answers. */
  readonly why?: string;
}

/** What a line of the script means; undefined: it is not the script's. */
export function parseDhcpEvent(line: string): DhcpEvent | undefined {
  const match =
    /^dhcp event=(\w+) address=([\d.]*) prefix=(\d*) server=([\d.]*) seconds=(\d*)$/.exec(line);
  if (match === null) return undefined;
  const [, event, address = "", prefix = "", server = "", seconds = ""] = match;
  if (event === "leasefail") return { kind: "trouble" };
  if (event !== "bound" && event !== "renew") return { kind: "lost" };
  const prefixBits = Number(prefix);
  if (!isHost(address) || !(prefixBits >= PREFIX_BITS_MIN && prefixBits <= 32)) {
    const why = `the segment's DHCP server ${server} offers ${address}/${prefix}, which no host of a segment has`;
    return { kind: "trouble", why };
  }
  const leaseSeconds = Math.min(Number(seconds), SECONDS_MAX);
  return { kind: "bound", lease: { address, prefixBits, server, leaseSeconds } };
}

/** Whether an interface may have it: whoever answers on the segment may say anything. */
function isHost(text: string): boolean {
  const address = parseAddress(text);
  if (address?.family !== 4) return false;
  const first = Number(address.value >> 24n);
  return first > 0 && first < FIRST_GROUP && first !== LOOPBACK;
}
