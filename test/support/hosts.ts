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

/** A ping stream that runs beside other things. */
export class PingStream implements AsyncDisposable {
  readonly #program: ReturnType<Namespace["start"]>;

  constructor(from: Namespace, address: string, intervalSeconds: number) {
    this.#program = from.start(pingCommand(address, 0, intervalSeconds));
  }

  /** Ends the stream and counts; the last reply is waited for. */
  async finish(): Promise<PingCounts> {
    this.#program.signal("SIGINT");
    await this.#program.waitForEnd();
    const counts = readPing(this.#program.output);
    // The last request may be on its way when the signal comes.
    return { ...counts, sent: Math.max(counts.received, counts.sent - 1) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.stop();
  }
}

function pingCommand(address: string, count: number, intervalSeconds: number): readonly string[] {
  const limit = count === 0 ? [] : ["-c", String(count)];
  return ["ping", "-n", "-q", "-W", "2", ...limit, "-i", String(intervalSeconds), address];
}

function readPing(text: string): PingCounts {
  const match = /(\d+) packets transmitted, (\d+) received/.exec(text);
  assert(match !== null, `ping says: ${text.slice(-500)}`);
  return { sent: Number(match[1]), received: Number(match[2]) };
}
