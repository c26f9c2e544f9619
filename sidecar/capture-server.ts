/**
 * Captures on a Unix socket beside the status socket: a reader says what it wants in one line of
 * JSON and gets frames until it ends its half, decrypted, as they are at the switch. One
 * invariant: a reader that is slow misses frames, which are counted and told; it holds nothing up.
 */

import { once } from "node:events";
import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { monotonicMs } from "./clock.ts";
import {
  CaptureMessage,
  type CaptureNames,
  type CaptureRequest,
  type CaptureTally,
  captureMessage,
  REQUEST_BYTES_MAX,
} from "./control/capture-messages.ts";
import type { CaptureFilter } from "./control/orders.ts";
import type { PlaneCapture } from "./plane-link.ts";
import { type RunSocket, serveRunSocket } from "./run-socket.ts";
import { addressWords } from "./uplink/address-words.ts";
import { parseMac } from "./wire/ethernet.ts";

/** What is captured of a tunnel. */
export interface Capturable {
  capture(filter: CaptureFilter): PlaneCapture | undefined;
  names(): ReadonlyMap<number, string>;
}

/** Readers at once, of all tunnels; more are turned away. */
const CLIENTS_MAX = 16;
/** A reader that says nothing is cut off. */
const REQUEST_MS_MAX = 5000;
/** Frames joined into one write, before the event loop gets its turn. */
const FRAMES_PER_TURN_MAX = 64;
/** How often peers are looked up again and the tally is told. */
const LOOK_MS = 500;
const NO_PORT = -1;
const TAP = "tap";

/** Serves captures in the folder, as `<pid>.capture`. Throws an OperatingError when it cannot. */
export async function serveCapture(
  folder: string,
  tunnel: (name: string) => Capturable | undefined,
): Promise<RunSocket> {
  return await serveRunSocket({
    folder,
    name: `${process.pid}.capture`,
    purpose: "capture",
    clientsMax: CLIENTS_MAX,
    allowHalfOpen: true,
    connected: (socket) => void serve(socket, tunnel),
  });
}

async function serve(
  socket: Socket,
  tunnel: (name: string) => Capturable | undefined,
): Promise<void> {
  socket.setTimeout(REQUEST_MS_MAX, () => socket.destroy());
  const request = await readRequest(socket);
  socket.setTimeout(0);
  if (socket.destroyed) return;
  const problem = request === undefined ? "the request is no line of JSON" : problemOf(request);
  const from = request === undefined ? undefined : tunnel(request.tunnel);
  if (problem !== undefined || request === undefined || from === undefined) {
    const text = problem ?? `no tunnel ${request?.tunnel} runs in this process`;
    refuse(socket, text);
    return;
  }
  const capture = from.capture(filterOf(request, from));
  if (capture === undefined) {
    refuse(socket, "as many captures of this tunnel as may be are running: end one of them");
    return;
  }
  try {
    await relay(socket, { capture, from, request });
  } finally {
    capture.end();
  }
}

function refuse(socket: Socket, problem: string): void {
  say(socket, CaptureMessage.names, { problem, names: [] });
  socket.end();
}

interface Running {
  readonly capture: PlaneCapture;
  readonly from: Capturable;
  readonly request: CaptureRequest;
}

/** Frames from the ring to the socket, until the reader is gone or has ended its half. */
async function relay(socket: Socket, running: Running): Promise<void> {
  const { capture, from, request } = running;
  const { ring } = capture;
  let isEnding = false;
  let told = "";
  let filter = JSON.stringify(filterOf(request, from));
  socket.on("end", () => {
    isEnding = true;
  });
  // What the reader says from here on means nothing, but its end does.
  socket.resume();
  const look = (): void => {
    const names = [...from.names()].map(([port, name]) => ({ port, name }));
    const text = JSON.stringify(names);
    if (text !== told) say(socket, CaptureMessage.names, { names });
    told = text;
    const wanted = filterOf(request, from);
    if (JSON.stringify(wanted) !== filter) capture.setFilter(wanted);
    filter = JSON.stringify(wanted);
    say(socket, CaptureMessage.tally, { missed: capture.missed() });
  };
  look();
  let lookedMs = monotonicMs();
  while (!socket.destroyed) {
    if (monotonicMs() - lookedMs >= LOOK_MS) {
      lookedMs = monotonicMs();
      look();
    }
    const wasEnding = isEnding;
    const parts: Uint8Array[] = [];
    while (parts.length < FRAMES_PER_TURN_MAX && ring.next()) {
      parts.push(captureMessage(ring.kind, ring.bytes.subarray(ring.start, ring.limit)));
    }
    ring.release();
    if (parts.length > 0) await write(socket, Buffer.concat(parts));
    else if (wasEnding) break;
    else await ring.whenPushed(LOOK_MS / 5);
    await setImmediate();
  }
  if (socket.destroyed) return;
  say(socket, CaptureMessage.tally, { missed: capture.missed() });
  socket.end();
}

/** Waits for a slow reader: meanwhile the ring fills, and what does not fit is missed. */
async function write(socket: Socket, bytes: Buffer): Promise<void> {
  if (socket.destroyed || socket.write(bytes)) return;
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  socket.once("close", leave);
  await once(socket, "drain", { signal: gone.signal }).catch(() => undefined);
  socket.off("close", leave);
}

function say(socket: Socket, kind: number, content: CaptureNames | CaptureTally): void {
  if (socket.destroyed) return;
  socket.write(captureMessage(kind, Buffer.from(JSON.stringify(content))));
}

async function readRequest(socket: Socket): Promise<CaptureRequest | undefined> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  const take = (bytes: Buffer): void => {
    text += bytes.toString("utf8");
    if (text.includes("\n") || text.length > REQUEST_BYTES_MAX) resolve(text);
  };
  socket.on("data", take);
  socket.once("close", () => resolve(text));
  const line = (await promise).split("\n")[0] ?? "";
  socket.off("data", take);
  socket.pause();
  return parseRequest(line);
}

function parseRequest(line: string): CaptureRequest | undefined {
  try {
    const value = JSON.parse(line) as Partial<Record<keyof CaptureRequest, unknown>> | null;
    if (typeof value !== "object" || value === null) return undefined;
    const { tunnel, snapBytes } = value;
    if (typeof tunnel !== "string" || typeof snapBytes !== "number") return undefined;
    const text = (field: "peer" | "station" | "group"): Partial<CaptureRequest> =>
      typeof value[field] === "string" ? { [field]: value[field] } : {};
    return { tunnel, snapBytes, ...text("peer"), ...text("station"), ...text("group") };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function problemOf({ station, group, snapBytes }: CaptureRequest): string | undefined {
  if (station !== undefined && parseMac(station) === undefined) {
    return `${station} is not a MAC address such as 02:00:00:00:00:01`;
  }
  if (group !== undefined && groupWords(group) === undefined) {
    return `${group} is not a multicast group such as 239.1.2.3 or ff15::1`;
  }
  return Number.isInteger(snapBytes) && snapBytes > 0 ? undefined : "snapBytes is a number above 0";
}

function filterOf(request: CaptureRequest, from: Pick<Capturable, "names">): CaptureFilter {
  const { peer, station, group, snapBytes } = request;
  const mac = station === undefined ? undefined : parseMac(station);
  const words = group === undefined ? undefined : groupWords(group);
  return {
    snapBytes,
    ...(peer === undefined ? {} : { port: portOf(peer, from.names()) }),
    ...(mac === undefined ? {} : { station: { high: mac.high, low: mac.low | 0 } }),
    ...(words === undefined ? {} : { group: words }),
  };
}

function portOf(peer: string, names: ReadonlyMap<number, string>): number {
  if (peer === TAP) return 0;
  for (const [port, name] of names) if (name === peer && port > 0) return port;
  return NO_PORT;
}

function groupWords(group: string): readonly number[] | undefined {
  try {
    const words = [...addressWords(group)];
    const [first = 0, , , last = 0] = words;
    const isGroup = group.includes(":") ? first >>> 24 === 0xff : last >>> 28 === 14;
    return isGroup ? words : undefined;
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
