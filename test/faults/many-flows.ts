/**
 * UDP flows of one rate, each from a port of its own, and how much of them arrives. Two programs:
 *
 *     node many-flows.ts receive PORT
 *     node many-flows.ts send HOST PORT FIRST-PORT FLOWS PACKETS-PER-SECOND
 *
 * Each prints `ready`, and at SIGTERM how many packets it sent or received.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

/** This file, as a program to start. */
export const MANY_FLOWS: string = import.meta.filename;

const PACKET = Buffer.alloc(1000, 7);
const STEP_MS = 8;
const BUFFER_BYTES = 1 << 22;
/** After a pause of the machine no more than this is made up for at once. */
const LATE_MS_MAX = 50;

let isDone = false;
process.on("SIGTERM", () => {
  isDone = true;
});

async function receive(port: number): Promise<number> {
  let count = 0;
  const socket = createSocket("udp4");
  socket.on("message", () => {
    count += 1;
  });
  socket.bind(port);
  await once(socket, "listening");
  socket.setRecvBufferSize(BUFFER_BYTES);
  console.log("ready");
  while (!isDone) await sleep(STEP_MS);
  socket.close();
  return count;
}

async function send(host: string, ports: readonly number[], perSecond: number): Promise<number> {
  const [port = 0, first = 0, flows = 0] = ports;
  const sockets = Array.from({ length: flows }, () => createSocket("udp4"));
  for (const [at, socket] of sockets.entries()) {
    socket.bind(first + at);
    await once(socket, "listening");
  }
  console.log("ready");
  let sent = 0;
  let owed = 0;
  for (let thenMs = performance.now(); !isDone; await sleep(STEP_MS)) {
    const nowMs = performance.now();
    owed += (Math.min(LATE_MS_MAX, nowMs - thenMs) / 1000) * perSecond;
    thenMs = nowMs;
    for (; owed >= 1; owed--) {
      for (const socket of sockets) socket.send(PACKET, port, host);
      sent += flows;
    }
  }
  for (const socket of sockets) socket.close();
  return sent;
}

if (import.meta.main) {
  const [what, ...words] = process.argv.slice(2);
  const [host = "", ...rest] = words;
  const numbers = rest.map(Number);
  const count =
    what === "receive"
      ? await receive(Number(host))
      : await send(host, numbers.slice(0, 3), numbers[3] ?? 0);
  console.log(count);
}
