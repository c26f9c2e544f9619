/**
 * Random data both ways at once over one TCP connection between two hosts, compared by SHA-256.
 * The same file is the program that runs at each end:
 *
 *     node exchange.ts listen|connect ADDRESS PORT BYTES
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { Namespace } from "./netns.ts";
import type { Program } from "./process.ts";

const CHUNK_BYTES = 256 * 1024;
const PORT = 5001;
/** A slow machine moves this much at the least. */
const BYTES_PER_SECOND_MIN = 2_000_000;

/** One end's account. */
interface Account {
  readonly sent: string;
  readonly received: string;
  readonly receivedBytes: number;
}

/** Where an exchange takes place. */
export interface ExchangeOptions {
  readonly from: Namespace;
  readonly to: Namespace;
  /** Address of `to`. */
  readonly address: string;
  /** Bytes each way. */
  readonly bytes: number;
}

/** Exchanges data; throws unless both ends got exactly what the other sent. Returns seconds. */
export async function exchange(options: ExchangeOptions): Promise<number> {
  const { from, to, address, bytes } = options;
  const command = (role: string): readonly string[] => {
    return [process.execPath, import.meta.filename, role, address, String(PORT), String(bytes)];
  };
  const timeoutMs = 15_000 + (bytes / BYTES_PER_SECOND_MIN) * 1000;
  await using listener = to.start(command("listen"));
  await listener.waitForOutput(/listening/);
  const startMs = performance.now();
  await using dialler = from.start(command("connect"));
  const there = await accountOf(listener, timeoutMs);
  const here = await accountOf(dialler, timeoutMs);
  assert.equal(here.receivedBytes, bytes, "every byte came back");
  assert.equal(there.receivedBytes, bytes, "every byte went out");
  assert.equal(there.received, here.sent, "what went out arrived unchanged");
  assert.equal(here.received, there.sent, "what came back arrived unchanged");
  return (performance.now() - startMs) / 1000;
}

async function accountOf(program: Program, timeoutMs: number): Promise<Account> {
  const status = await program.waitForEnd(timeoutMs);
  assert.equal(status, 0, program.output);
  return JSON.parse(program.stdout.trim().split("\n").at(-1) ?? "") as Account;
}

async function runEnd(role: string, address: string, port: number, bytes: number): Promise<void> {
  const socket = role === "listen" ? await acceptOne(address, port) : await dial(address, port);
  const [sent, received] = await Promise.all([sendAll(socket, bytes), receiveAll(socket)]);
  socket.destroy();
  process.stdout.write(`${JSON.stringify({ sent, ...received })}\n`);
}

async function acceptOne(address: string, port: number): Promise<Socket> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(port, address);
  await once(server, "listening");
  process.stdout.write("listening\n");
  const [socket] = (await once(server, "connection")) as [Socket];
  server.close();
  return socket;
}

async function dial(address: string, port: number): Promise<Socket> {
  const socket = connect({ host: address, port, allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

async function sendAll(socket: Socket, bytes: number): Promise<string> {
  const hash = createHash("sha256");
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) {
    const chunk = randomBytes(Math.min(left, CHUNK_BYTES));
    hash.update(chunk);
    if (!socket.write(chunk)) await once(socket, "drain");
  }
  // Only what the kernel has survives the end of this socket.
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.end(() => resolve());
  await promise;
  return hash.digest("hex");
}

async function receiveAll(socket: Socket): Promise<Omit<Account, "sent">> {
  const hash = createHash("sha256");
  let receivedBytes = 0;
  // The usual iterator would close the socket, with what is still to be sent, once the other end is done.
  const chunks: AsyncIterable<Buffer> = socket.iterator({ destroyOnReturn: false });
  for await (const chunk of chunks) {
    hash.update(chunk);
    receivedBytes += chunk.length;
  }
  return { received: hash.digest("hex"), receivedBytes };
}

if (import.meta.main) {
  const [role = "", address = "", port = "", bytes = ""] = process.argv.slice(2);
  await runEnd(role, address, Number(port), Number(bytes));
}
