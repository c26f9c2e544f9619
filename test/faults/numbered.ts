/**
 * Numbered datagrams between two hosts: one of these runs on each. It prints the number of each that
 * arrives, and sends as the lines on its input say: ADDRESS FIRST COUNT, one a millisecond.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { Namespace } from "../support/netns.ts";
import type { Program } from "../support/process.ts";
import { waitFor } from "../support/wait.ts";

const PORT = 7000;
const BYTES = 64;

/** The end of one host. */
export class Numbered implements AsyncDisposable {
  /** Numbers in the order of their arrival. */
  readonly got: number[] = [];
  readonly #program: Program;

  private constructor(host: Namespace) {
    const onLine = (line: string): void => {
      if (line.startsWith("got ")) this.got.push(Number(line.slice(4)));
    };
    this.#program = host.start([process.execPath, import.meta.filename], { onLine });
  }

  static async start(host: Namespace): Promise<Numbered> {
    const numbered = new Numbered(host);
    await numbered.#program.waitForOutput(/ready/);
    return numbered;
  }

  /** Sends so many to an address and waits until the other end has them all. */
  async send(to: Numbered, address: string, { first, count }: Range): Promise<void> {
    this.#program.write(`${address} ${first} ${count}\n`);
    const last = first + count - 1;
    await waitFor(
      () => `numbers ${first} to ${last}: ${to.got.filter((one) => one >= first).length} arrived`,
      () => new Set(to.got.filter((one) => one >= first && one <= last)).size === count,
      30_000,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.stop();
  }
}

/** Numbers from `first` on. */
export interface Range {
  readonly first: number;
  readonly count: number;
}

async function main(): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("message", (datagram) => process.stdout.write(`got ${datagram.readUInt32BE(0)}\n`));
  // A host that is not there yet says so: the next number tries again.
  socket.on("error", () => undefined);
  socket.bind(PORT);
  await once(socket, "listening");
  process.stdout.write("ready\n");
  for await (const line of createInterface(process.stdin)) {
    const [address = "", first = "", count = ""] = line.split(" ");
    for (let index = 0; index < Number(count); index++) {
      const datagram = Buffer.alloc(BYTES);
      datagram.writeUInt32BE(Number(first) + index);
      socket.send(datagram, PORT, address);
      await sleep(1);
    }
  }
}

if (import.meta.main) await main();
