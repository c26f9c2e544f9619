/**
 * Clients that begin a handshake and never end it: each sends its reset, and what follows the server's
 * cookie when that comes back. Real addresses, many ports. Runs as a program, with a client file
 * on its input:
 *
 *     node half-open-clients.ts ADDRESS PORT COUNT PER-SECOND first|second
 *
 * `first` stops behind the reset, so that the server keeps nothing; `second` begins TLS. Two hundred
 * ports have one client each at a time and go on until COUNT were answered or SIGTERM comes. Prints
 * `ready`, and at the end what came of it.
 */
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { text as readAll } from "node:stream/consumers";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import type { ControlWrap } from "../../sidecar/session/handshake/control-wrap.ts";
import { Opcode, SESSION_ID_BYTES } from "../../sidecar/wire/control-packet.ts";
import { packetTo, reset, secondPacket, wrapOf } from "./strangers.ts";

/** This file, as a program to start. */
export const HALF_OPEN_CLIENTS: string = import.meta.filename;

/** What it prints at the end. */
export interface HalfOpenReport {
  /** Datagrams. */
  readonly sent: number;
  /** Clients that got a cookie; in mode `second`, whose TLS hello was acknowledged. */
  readonly answered: number;
  readonly seconds: number;
}

const PORTS = 200;

/** A port and who asks from it. */
interface Place {
  readonly socket: Socket;
  sessionId: Buffer;
  /** What it sends until it is answered. */
  packet: Buffer;
}

async function main(words: readonly string[]): Promise<void> {
  const [address = "", port = "", count = "", perSecond = "", mode = ""] = words;
  const wrap = wrapOf(await readAll(process.stdin));
  let answered = 0;
  const places: Place[] = [];
  for (let index = 0; index < PORTS; index++) {
    const place: Place = { socket: createSocket("udp4"), ...newClient(wrap) };
    place.socket.on("message", (datagram) => {
      const answer = packetTo(wrap, place.sessionId, datagram);
      if (answer?.opcode === Opcode.hardResetServerV2 && mode === "second") {
        place.packet = secondPacket(wrap, place.sessionId, answer);
      } else if (answer !== undefined) {
        answered += 1;
        Object.assign(place, newClient(wrap));
      }
    });
    place.socket.bind(0);
    await once(place.socket, "listening");
    places.push(place);
  }
  let isStopped = false;
  process.on("SIGTERM", () => {
    isStopped = true;
  });
  process.stdout.write("ready\n");
  const startMs = performance.now();
  let sent = 0;
  while (!isStopped && answered < Number(count)) {
    const { socket, packet } = places[sent % PORTS] as Place;
    socket.send(packet, Number(port), address);
    sent += 1;
    const aheadMs = (sent / Number(perSecond)) * 1000 - (performance.now() - startMs);
    // In any case the answers get their turn now and then.
    if (aheadMs > 1) await sleep(aheadMs);
    else if (sent % PORTS === 0) await setImmediate();
  }
  const seconds = (performance.now() - startMs) / 1000;
  process.stdout.write(`${JSON.stringify({ sent, answered, seconds } satisfies HalfOpenReport)}\n`);
  for (const { socket } of places) socket.close();
}

function newClient(wrap: ControlWrap): Pick<Place, "sessionId" | "packet"> {
  const sessionId = randomBytes(SESSION_ID_BYTES);
  return { sessionId, packet: reset(wrap, sessionId) };
}

if (import.meta.main) await main(process.argv.slice(2));
