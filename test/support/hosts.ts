/**
 * Hosts on one underlay: a namespace each, joined by a switch. Host n has 192.0.2.n and
 * 2001:db8::n on `up0`, in the order in which they are named, from 1.
 */
import assert from "node:assert/strict";
import type { Namespace, Network } from "./netns.ts";

/** The underlay's interface in every host. */
export const UPLINK = "up0";

/** Makes the hosts of these names. */
export async function createHosts<Label extends string>(
  network: Network,
  labels: readonly Label[],
): Promise<Readonly<Record<Label, Namespace>>> {
  const wire = await network.namespace("wire");
  const hosts: Partial<Record<Label, Namespace>> = {};
  const ports: string[] = [];
  for (const [index, label] of labels.entries()) {
    const host = await network.namespace(label);
    const port = `port${index + 1}`;
    await network.cable(
      { namespace: host, interface: UPLINK },
      { namespace: wire, interface: port },
    );
    await host.addresses(UPLINK, `192.0.2.${index + 1}/24`, `2001:db8::${index + 1}/64`);
    hosts[label] = host;
    ports.push(port);
  }
  await wire.bridge("wire", ...ports);
  return hosts as Record<Label, Namespace>;
}

/** What ping counted. */
export interface PingCounts {
  readonly sent: number;
  readonly received: number;
}

/** Pings until the count is reached; a host that is not there counts as lost, not as an error. */
export async function ping(
  from: Namespace,
  address: string,
  options: { readonly count?: number; readonly intervalSeconds?: number } = {},
): Promise<PingCounts> {
  const { count = 3, intervalSeconds = 0.1 } = options;
  const { stdout, stderr } = await from.try(pingCommand(address, count, intervalSeconds), {
    timeoutMs: count * intervalSeconds * 1000 + 30_000,
  });
  return readPing(stdout + stderr);
}

/**
 * A ping stream that runs beside other things. Lost is a request without a reply while a later
 * one has one: what is under way when the stream ends does not count.
 */
export class PingStream implements AsyncDisposable {
  readonly #program: ReturnType<Namespace["start"]>;
  readonly #seen = new Set<number>();
  #highest = 0;

  constructor(from: Namespace, address: string, intervalSeconds: number) {
    const command = ["ping", "-n", "-i", String(intervalSeconds), address];
    this.#program = from.start(command, { onLine: (line) => this.#takeLine(line) });
  }

  /** Replies so far. */
  get received(): number {
    return this.#seen.size;
  }

  /** Ends the stream and counts. */
  async finish(): Promise<PingCounts> {
    this.#program.signal("SIGINT");
    await this.#program.waitForEnd();
    return { sent: this.#highest, received: this.#seen.size };
  }

  /** Numbers of the requests that are lost. */
  missing(): readonly number[] {
    const numbers = Array.from({ length: this.#highest }, (_, index) => index + 1);
    return numbers.filter((number) => !this.#seen.has(number));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.stop();
  }

  /** Numbers on the wire have 16 bits: here they go on counting. */
  #takeLine(line: string): void {
    const match = / icmp_seq=(\d+) .*time=/.exec(line);
    if (match === null) return;
    const distance = ((Number(match[1]) - this.#highest) << 16) >> 16;
    const number = this.#highest + distance;
    this.#seen.add(number);
    this.#highest = Math.max(this.#highest, number);
  }
}

function pingCommand(address: string, count: number, intervalSeconds: number): readonly string[] {
  return ["ping", "-nq", "-W", "2", "-c", String(count), "-i", String(intervalSeconds), address];
}

function readPing(text: string): PingCounts {
  const match = /(\d+) packets transmitted, (\d+) received/.exec(text);
  assert(match !== null, `ping says: ${text.slice(-500)}`);
  return { sent: Number(match[1]), received: Number(match[2]) };
}
