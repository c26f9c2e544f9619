/** What S1 measures of one set-up: lost echoes, and the bytes that it took. */
import { DATA_V2_AEAD_BYTES, DATA_V2_EPOCH_BYTES } from "../../sidecar/wire/mss-clamp.ts";
import type { Fields } from "../support/documents.ts";
import { pause } from "../support/wait.ts";
import { startNestedStock } from "./nested-stock.ts";
import { type StreamTurn, streamOnce } from "./s1-streams.ts";
import {
  type Echoes,
  echo,
  loseOn,
  startUplinkTunnel,
  UPLINKS,
  type UplinkHosts,
  type UplinkTunnel,
  uplinkSetOf,
} from "./uplink-hosts.ts";

const ECHO_INTERVAL_MS = 2;
/** After a moment in which nothing ran, ping sends what it owes, 40 ms at the most. */
const ECHO_BURST = 20;
const CUT_ECHOES = 3000;

/** What is sent through a set-up. */
export interface Load {
  readonly echoes: number;
  readonly bytes?: number;
  /** A TCP stream through the same programs, after the echoes. */
  readonly streamSeconds?: number;
}

/** What it came to. */
export interface SetUpFigures extends Pick<Echoes, "sent" | "lost" | "lostPercent"> {
  readonly stream?: StreamTurn;
}

/** The same of ours, which counts its bytes. */
export interface OwnFigures extends SetUpFigures {
  /** Bytes sent for each byte of sealed data packets, both ways. */
  readonly bandwidth: number;
  readonly recovered: number;
}

/** Measures a tunnel of ours over the uplinks of `set`. */
export async function measureOurs(
  hosts: UplinkHosts,
  folder: string,
  set: Fields,
  load: Load,
): Promise<OwnFigures> {
  await using tunnel = await startUplinkTunnel(hosts, folder, set);
  // Paths are opened and checked by the first probes.
  await pause(1000);
  const before = await bytesOf(tunnel);
  const echoes = await stream(hosts, load);
  const after = await bytesOf(tunnel);
  const ratio = (after.sent - before.sent) / Math.max(1, after.sealed - before.sealed);
  return {
    ...echoes,
    bandwidth: Math.round(ratio * 1000) / 1000,
    recovered: after.recovered - before.recovered,
    ...(await tcpStream(hosts, load)),
  };
}

/** Measures the classic set-up of stock parts. */
export async function measureNested(
  hosts: UplinkHosts,
  folder: string,
  load: Load,
): Promise<SetUpFigures> {
  await using _tunnels = await startNestedStock(hosts, folder);
  await pause(1000);
  return { ...(await stream(hosts, load)), ...(await tcpStream(hosts, load)) };
}

/** One uplink, the one in use, goes silent in the middle of a stream of 1,000 echoes a second. */
export async function cutUnderLoad(
  hosts: UplinkHosts,
  folder: string,
  policy: "Failover" | "Duplicate",
): Promise<Echoes> {
  const first = UPLINKS[0].interface;
  for (const host of [hosts.gateway, hosts.box]) await loseOn(host, [], 0);
  await using _tunnel = await startUplinkTunnel(hosts, folder, uplinkSetOf(3, policy));
  await pause(1000);
  const count = { count: CUT_ECHOES, intervalMs: 1, burst: ECHO_BURST };
  return await echo(hosts, count, async () => {
    await pause(CUT_ECHOES / 2);
    for (const host of [hosts.gateway, hosts.box]) await loseOn(host, [first], 100);
  });
}

async function tcpStream(
  hosts: UplinkHosts,
  { streamSeconds }: Load,
): Promise<Pick<SetUpFigures, "stream">> {
  return streamSeconds === undefined ? {} : { stream: await streamOnce(hosts, streamSeconds) };
}

async function stream(hosts: UplinkHosts, { echoes, bytes }: Load): Promise<SetUpFigures> {
  const size = bytes === undefined ? {} : { bytes };
  const options = { count: echoes, intervalMs: ECHO_INTERVAL_MS, burst: ECHO_BURST };
  const { sent, lost, lostPercent } = await echo(hosts, { ...options, ...size });
  return { sent, lost, lostPercent };
}

/** What went out at both ends so far: of data packets as they are sealed, and in all. */
async function bytesOf(
  tunnel: UplinkTunnel,
): Promise<{ sealed: number; sent: number; recovered: number }> {
  const sums = { sealed: 0, sent: 0, recovered: 0 };
  for (const peer of [tunnel.box, tunnel.gateway]) {
    const status = await peer.tunnel();
    if (status === undefined) continue;
    const { counters, tap, peers } = status;
    const hasEpochs = peers[0]?.key?.epoch !== undefined;
    const aroundBytes = hasEpochs ? DATA_V2_EPOCH_BYTES : DATA_V2_AEAD_BYTES;
    sums.sealed += tap.bytesIn + (counters["tap.framesRead"] ?? 0) * aroundBytes;
    sums.sent += counters["tx.bytes"] ?? 0;
    sums.recovered += counters["fec.recovered"] ?? 0;
  }
  return sums;
}
