/**
 * Throws first packets at a server from addresses that are not its own, each from another one. Runs as a program until SIGTERM, with captured first packets in hex on its input:
 *
 *     node spoofer.ts BRIDGE MAC ADDRESS PORT PER-SECOND SEED
 *
 * and prints `ready`, and at the end how many frames the kernel took. Sources are in 198.18.0.0/15
 * (RFC 2544), 131,072 of them.
 */
import { text as readAll } from "node:stream/consumers";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { Dice } from "./dice.ts";
import { finishUdpFrame, INJECTED_MAX, Injector, UDP_PAYLOAD_START } from "./injector.ts";

/** This file, as a program to start. */
export const SPOOFER: string = import.meta.filename;

/** What it prints at the end. */
export interface SpooferReport {
  readonly sent: number;
  readonly seconds: number;
}

const BATCH: number = INJECTED_MAX;
const ETHERNET_BYTES = 14;
const IP_BYTES = 20;
const OWN_MAC = "020000000003";
const SOURCES = 0x2_0000;
const FIRST_SOURCE = 0xc612_0000;

interface Target {
  readonly mac: string;
  readonly address: string;
  readonly port: number;
}

class Spoofer {
  readonly #injector: Injector;
  readonly #dice: Dice;
  readonly #captured: readonly Buffer[];

  constructor(bridge: string, options: { target: Target; seed: number; captured: Buffer[] }) {
    this.#injector = new Injector(bridge);
    this.#dice = new Dice(options.seed);
    this.#captured = options.captured;
    for (let slot = 0; slot < BATCH; slot++) this.#writeHeaders(slot, options.target);
  }

  /** Writes so many frames; how many of them the kernel took. */
  throwBatch(count: number): number {
    return this.#injector.write(Array.from({ length: count }, (_, slot) => this.#fill(slot)));
  }

  #writeHeaders(slot: number, { mac, address, port }: Target): void {
    const frame = this.#injector.frame(slot);
    frame.write(mac.replaceAll(":", "") + OWN_MAC, "hex");
    frame.writeUInt16BE(0x0800, 12);
    const ip = frame.subarray(ETHERNET_BYTES);
    ip.writeUInt16BE(0x4500, 0);
    ip.writeUInt16BE(0x4011, 8);
    ip.set(address.split(".").map(Number), 16);
    ip.writeUInt16BE(port, IP_BYTES + 2);
  }

  /** Another source and another first packet; the frame's length. */
  #fill(slot: number): number {
    const dice = this.#dice;
    const frame = this.#injector.frame(slot);
    const payload = frame.subarray(UDP_PAYLOAD_START);
    const original = this.#captured[dice.below(this.#captured.length)] as Buffer;
    payload.set(original);
    // Half are as they were, so that they verify; of the others one bit is wrong, or all behind the
    // opcode.
    const kind = dice.below(4);
    const at = dice.below(original.length);
    if (kind === 2) payload.writeUInt8(payload.readUInt8(at) ^ (1 << dice.below(8)), at);
    if (kind === 3) dice.fill(payload.subarray(1, original.length));
    const ip = frame.subarray(ETHERNET_BYTES);
    ip.writeUInt32BE(FIRST_SOURCE + dice.below(SOURCES), 12);
    ip.writeUInt16BE(1024 + dice.below(60_000), IP_BYTES);
    return finishUdpFrame(frame, original.length);
  }
}

async function main([bridge = "", mac = "", address = "", ...numbers]: string[]): Promise<void> {
  const [port = 0, perSecond = 0, seed = 0] = numbers.map(Number);
  const lines = (await readAll(process.stdin)).split("\n").filter((line) => line !== "");
  const captured = lines.map((line) => Buffer.from(line, "hex"));
  const spoofer = new Spoofer(bridge, { target: { mac, address, port }, seed, captured });
  let isStopped = false;
  process.on("SIGTERM", () => {
    isStopped = true;
  });
  process.stdout.write("ready\n");
  const startMs = performance.now();
  let sent = 0;
  while (!isStopped) {
    sent += spoofer.throwBatch(BATCH);
    const aheadMs = (sent / perSecond) * 1000 - (performance.now() - startMs);
    if (aheadMs > 1) await sleep(aheadMs);
    else await setImmediate();
  }
  const seconds = (performance.now() - startMs) / 1000;
  process.stdout.write(`${JSON.stringify({ sent, seconds } satisfies SpooferReport)}\n`);
}

if (import.meta.main) await main(process.argv.slice(2));
