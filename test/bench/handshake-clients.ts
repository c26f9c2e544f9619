/**
 * Clients that connect and leave, many one after another and some side by side: the same program for
 * every server, so that what it costs is the same. Runs as a program with a line of JSON on its input
 * (`ClientsWish`); prints `ready` when its keys are read, begins a round for each further line with
 * a count on it, and prints for each round the seconds until the last one had its keys.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { readProfile } from "../../sidecar/control/profile-config.ts";
import { ClientRole } from "../../sidecar/session/handshake/client-role.ts";
import { ControlSession } from "../../sidecar/session/handshake/control-session.ts";
import {
  type ControlWrap,
  createControlWrap,
} from "../../sidecar/session/handshake/control-wrap.ts";
import { nodeTlsEngines } from "../../sidecar/session/handshake/node-tls-engine.ts";
import type { SessionEvents } from "../../sidecar/session/handshake/session-outcome.ts";
import type { TlsEngineFactory } from "../../sidecar/session/handshake/tls-engine.ts";

/** This file, as a program to start. */
export const HANDSHAKE_CLIENTS: string = import.meta.filename;

/** What it is told. */
export interface ClientsWish {
  readonly server: { readonly address: string; readonly port: number };
  /** Client files; as many clients are under way at once, each with one of its own. */
  readonly profiles: readonly string[];
  /** Addresses of this host that they come from in turn. */
  readonly addresses: readonly string[];
}

/** A goodbye gets so long to leave. */
const LEAVE_MS = 100;

interface Identity {
  readonly wrap: ControlWrap;
  readonly createTls: TlsEngineFactory;
}

function identityOf(profile: string): Identity {
  const reading = readProfile(profile);
  assert(reading.ok, "the client file can be read");
  const { security } = reading.settings;
  const { wrap } = security;
  assert(wrap.kind !== "TlsCryptV2Server");
  return {
    wrap: createControlWrap(wrap, "client"),
    createTls: nodeTlsEngines(security, Date.now),
  };
}

/** One client from its reset to its keys; resolves when it has them, and leaves behind that. */
async function connect(
  { wrap, createTls }: Identity,
  server: ClientsWish["server"],
  localAddress: string,
): Promise<void> {
  const socket = createSocket("udp4").bind(0, localAddress);
  await once(socket, "listening");
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let timer: NodeJS.Timeout | undefined;
  const step = (): void => {
    clearTimeout(timer);
    control.step(performance.now());
    const delayMs = control.nextDueMs - performance.now();
    if (Number.isFinite(delayMs)) timer = setTimeout(step, Math.max(0, delayMs));
  };
  const control = new ControlSession({
    sessionId: randomBytes(8),
    wrap,
    startSeconds: Math.floor(Date.now() / 1000),
    firstPacketId: 1,
    host: {
      createTls,
      send: (datagram) => socket.send(datagram, server.port, server.address),
      wake: () => setImmediate(step),
    },
  });
  const ignore = (): void => undefined;
  const events: SessionEvents = {
    ...{ sendWith: ignore, retireKey: ignore },
    installEpochs: () => resolve(),
    installKeys: () => resolve(),
    ...{ established: ignore, updated: ignore, renegotiated: ignore, notice: ignore },
    ended: (cause, message) => reject(new Error(`${cause}: ${message}`)),
  };
  const ciphers = ["AES-256-GCM"] as const;
  const settings = { version: "bench", ciphers, mtu: "Auto", mtuBytesDefault: 1500 } as const;
  const role = new ClientRole(control, { ...settings, isIpv6: false }, events);
  socket.on("message", (datagram) => {
    control.receive(datagram, performance.now());
    step();
  });
  control.start(role, performance.now());
  step();
  await promise;
  control.sendText("EXIT");
  setTimeout(() => {
    clearTimeout(timer);
    control.close();
    socket.close();
  }, LEAVE_MS);
}

async function main(): Promise<void> {
  let wish: ClientsWish | undefined;
  let identities: readonly Identity[] = [];
  let next = 0;
  for await (const line of createInterface(process.stdin)) {
    if (wish === undefined) {
      wish = JSON.parse(line) as ClientsWish;
      identities = wish.profiles.map(identityOf);
      process.stdout.write("ready\n");
      continue;
    }
    const { server, addresses } = wish;
    let left = Number(line);
    const startMs = performance.now();
    const lane = async (identity: Identity): Promise<void> => {
      while (left > 0) {
        left -= 1;
        next += 1;
        await connect(identity, server, addresses[next % addresses.length] ?? "");
      }
    };
    await Promise.all(identities.map(lane));
    process.stdout.write(`round ${((performance.now() - startMs) / 1000).toFixed(4)}\n`);
  }
}

if (import.meta.main) await main();
