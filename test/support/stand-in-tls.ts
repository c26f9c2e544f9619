/**
 * A stand-in for TLS in simulations: the same conversation (client speaks first, two flights, then
 * records in order), no cryptography, every byte from a seed. It secures nothing and is for
 * tests only. Handlers are called from a queue that the simulation empties, as from an event loop.
 */
import { createHmac } from "node:crypto";
import type {
  TlsEngine,
  TlsEngineFactory,
  TlsHandlers,
} from "../../sidecar/session/handshake/tls-engine.ts";

const RANDOM_BYTES = 32;
const HEADER_BYTES = 4;

/** What the engines take from their simulation. */
export interface StandInHost {
  readonly random: () => number;
  /** Runs later, in order. */
  readonly defer: (task: () => void) => void;
  /** Common name of each end, which it shows to the other. */
  readonly names: Readonly<Record<"client" | "server", string>>;
}

/** Engines that speak to each other. */
export function standInTls(host: StandInHost): TlsEngineFactory {
  return (role, handlers) => new StandInTls(role, handlers, host);
}

class StandInTls implements TlsEngine {
  readonly #role: "client" | "server";
  readonly #handlers: TlsHandlers;
  readonly #host: StandInHost;
  readonly #own: Buffer;
  #other: Buffer | undefined;
  #incoming: Buffer = Buffer.alloc(0);
  #isDone = false;

  constructor(role: "client" | "server", handlers: TlsHandlers, host: StandInHost) {
    this.#role = role;
    this.#handlers = handlers;
    this.#host = host;
    this.#own = Buffer.from(Array.from({ length: RANDOM_BYTES }, () => host.random() * 256));
    if (role === "client") this.#send(this.#greeting());
  }

  receive(bytes: Buffer): void {
    this.#incoming = Buffer.concat([this.#incoming, bytes]);
    while (this.#incoming.length >= HEADER_BYTES) {
      const limit = HEADER_BYTES + this.#incoming.readUInt32BE(0);
      if (this.#incoming.length < limit) return;
      const record = Buffer.from(this.#incoming.subarray(HEADER_BYTES, limit));
      this.#incoming = this.#incoming.subarray(limit);
      this.#take(record);
    }
  }

  write(bytes: Buffer): void {
    this.#send(bytes);
  }

  exportKeyingMaterial(bytes: number, label: string): Buffer {
    const { client, server } = this.#randoms();
    const blocks: Buffer[] = [];
    for (let count = 0; count * 32 < bytes; count++) {
      const block = createHmac("sha256", client).update(server).update(`${label}${count}`).digest();
      blocks.push(block);
    }
    return Buffer.concat(blocks).subarray(0, bytes);
  }

  destroy(): void {
    this.#isDone = true;
  }

  #randoms(): { client: Buffer; server: Buffer } {
    const other = this.#other ?? Buffer.alloc(RANDOM_BYTES);
    return this.#role === "client"
      ? { client: this.#own, server: other }
      : { client: other, server: this.#own };
  }

  #take(record: Buffer): void {
    if (this.#other !== undefined) {
      this.#later(() => this.#handlers.plaintext(record));
      return;
    }
    this.#other = record.subarray(0, RANDOM_BYTES);
    if (this.#role === "server") this.#send(this.#greeting());
    const commonName = record.toString("utf8", RANDOM_BYTES);
    this.#later(() => this.#handlers.secure({ commonName, protocol: "TLSv1.3" }));
  }

  #greeting(): Buffer {
    return Buffer.concat([this.#own, Buffer.from(this.#host.names[this.#role])]);
  }

  #send(bytes: Buffer): void {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32BE(bytes.length, 0);
    const record = Buffer.concat([header, bytes]);
    this.#later(() => this.#handlers.ciphertext(record));
  }

  #later(task: () => void): void {
    this.#host.defer(() => {
      if (!this.#isDone) task();
    });
  }
}
