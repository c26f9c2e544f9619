/**
 * What a session costs to establish: the same clients connect to our server and to stock OpenVPN's,
 * round about, on one machine. Both servers are up all the time, each in a pair of hosts of its own.
 */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { listenDocuments, writeDocuments } from "../support/documents.ts";
import { printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { stockClientConfig, stockServerConfig } from "../support/stock-config.ts";
import { pause } from "../support/wait.ts";
import type { Pair } from "./contender.ts";
import { makePair } from "./echoes.ts";
import { type ClientsWish, HANDSHAKE_CLIENTS } from "./handshake-clients.ts";
import { cpuSecondsOf, medians } from "./measure.ts";

/** Sessions of one round. */
export interface HandshakeFigures {
  readonly sessionsPerSecond: number;
  /** The server's process, all threads, user and system. */
  readonly serverCpuMsPerSession: number;
}

/** Clients at once. */
const LANES = 8;
/** A round: both packets of each before its session is known fit our rate for strangers. */
const SESSIONS = 80;
const SESSIONS_WARM = 60;
/** Until that rate is there in full again. */
const REST_MS = 1500;
const ADDRESSES = 20;
const PORT = 1194;
const ROUND_MS_MAX = 60_000;

/** A server, and what its clients need. */
interface Server {
  readonly pid: number;
  readonly profiles: readonly string[];
}

const SERVERS: Readonly<
  Record<string, (pair: Pair, stack: AsyncDisposableStack) => Promise<Server>>
> = { "fairlead-tap": startOurs, "openvpn-tap": startStock };

/** Medians of so many rounds, by contender. */
export async function compareHandshakes(
  names: readonly string[],
  options: { readonly runs: number; readonly folder: string; readonly say: (text: string) => void },
): Promise<Readonly<Record<string, HandshakeFigures>>> {
  await using stack = new AsyncDisposableStack();
  const sides = [];
  for (const name of names) {
    const pair = await makePair(stack, join(options.folder, name));
    await mkdir(pair.folder, { recursive: true });
    const addresses = Array.from({ length: ADDRESSES }, (_, index) => `192.0.2.${10 + index}`);
    await pair.far.addresses("up0", ...addresses.map((address) => `${address}/24`));
    const start = SERVERS[name];
    assert(start !== undefined, `${name} has a server`);
    const server = await start(pair, stack);
    const clients = stack.use(pair.far.start([process.execPath, HANDSHAKE_CLIENTS]));
    const { profiles } = server;
    const wish = { server: { address: pair.nearUnderlay, port: PORT }, profiles, addresses };
    clients.write(`${JSON.stringify(wish satisfies ClientsWish)}\n`);
    await clients.waitForOutput(/ready/);
    sides.push({ name, server, clients, figures: [] as HandshakeFigures[], rounds: 0 });
  }
  for (let round = 0; round <= options.runs; round++) {
    for (const side of sides) {
      const isWarm = round === 0;
      const count = isWarm ? SESSIONS_WARM : SESSIONS;
      await pause(REST_MS);
      const before = cpuSecondsOf(side.server.pid);
      side.rounds += 1;
      side.clients.write(`${count}\n`);
      const pattern = new RegExp(`(?:round ([\\d.]+)\\s+){${side.rounds}}`);
      const match = await side.clients.waitForOutput(pattern, ROUND_MS_MAX);
      const seconds = Number(match[1]);
      const cpuMs = (cpuSecondsOf(side.server.pid) - before) * 1000;
      const sessionsPerSecond = count / seconds;
      const figures = { sessionsPerSecond, serverCpuMsPerSession: cpuMs / count };
      if (!isWarm) side.figures.push(figures);
      const text = `${sessionsPerSecond.toFixed(0)} sessions/s, ${figures.serverCpuMsPerSession.toFixed(2)} ms`;
      options.say(`handshakes ${isWarm ? "warm" : `round ${round}`}, ${side.name}: ${text}`);
    }
  }
  return Object.fromEntries(sides.map(({ name, figures }) => [name, medians(figures)]));
}

async function startOurs(pair: Pair, stack: AsyncDisposableStack): Promise<Server> {
  const peers = laneNames();
  const documents = listenDocuments({
    peers,
    advertise: [{ host: pair.nearUnderlay }],
    security: { controlWrap: "TlsCrypt", dataCiphers: ["AES-256-GCM"] },
  });
  const file = await writeDocuments(join(pair.folder, "server.yaml"), documents);
  const place = { folder: join(pair.folder, "server") };
  const ours = stack.use(await startFairlead(pair.near, [file], place));
  await ours.waitUntilUp();
  const profiles: string[] = [];
  for (const peer of peers) profiles.push(await printProfile(peer, file, place));
  return { pid: ours.pid, profiles };
}

async function startStock(pair: Pair, stack: AsyncDisposableStack): Promise<Server> {
  const authority = await TestAuthority.create(join(pair.folder, "authority"));
  const wrapKey = makeStaticKey();
  const keys = async (commonName: string, use: "server" | "client") => ({
    authority: authority.certificate,
    identity: await authority.issue({ commonName, use }),
    wrap: "tls-crypt" as const,
    wrapKey,
  });
  // Its own bound is a hundred first packets in ten seconds.
  const lines = ["data-ciphers AES-256-GCM", "connect-freq-initial 100000 1"];
  const stock = stack.use(
    await OpenvpnPeer.start({
      namespace: pair.near,
      folder: join(pair.folder, "server"),
      config: stockServerConfig(await keys("server", "server"), lines),
    }),
  );
  await stock.waitUntilUp();
  const profiles: string[] = [];
  for (const peer of laneNames()) {
    profiles.push(stockClientConfig(await keys(peer, "client"), [pair.nearUnderlay]));
  }
  return { pid: stock.pid, profiles };
}

function laneNames(): string[] {
  return Array.from({ length: LANES }, (_, index) => `client-${index}`);
}
