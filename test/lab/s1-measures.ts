/** What S1 measures of one set-up: lost echoes, the bytes that it took, and one TCP stream. */
import { DATA_V2_AEAD_BYTES, DATA_V2_EPOCH_BYTES } from "../../sidecar/wire/mss-clamp.ts";
import type { Fields } from "../support/documents.ts";
import { ensureCommands } from "../support/packages.ts";
import { pause } from "../support/wait.ts";
import { startNestedStock } from "./nested-stock.ts";
import {
  type Echoes,
  echo,
  loseOn,
  SEGMENT_GATEWAY,
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
  /** 0: no stream. */
  readonly streamSeconds: number;
}

/** What it came to. */
export interface SetUpFigures extends Pick<Echoes, "sent" | "lost" | "lostPercent"> {
  /** One stream with cubic from the box to the gateway. */
  readonly streamMbits: number;
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
    ...(await finish(hosts, echoes, load)),
    bandwidth: Math.round(ratio * 1000) / 1000,
    recovered: after.recovered - before.recovered,
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
  return await finish(hosts, await stream(hosts, load), load);
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

async function stream(hosts: UplinkHosts, { echoes, bytes }: Load): Promise<Echoes> {
  const size = bytes === undefined ? {} : { bytes };
  const options = { count: echoes, intervalMs: ECHO_INTERVAL_MS, burst: ECHO_BURST };
  return await echo(hosts, { ...options, ...size });
}

async function finish(hosts: UplinkHosts, echoes: Echoes, load: Load): Promise<SetUpFigures> {
  const { sent, lost, lostPercent } = echoes;
  const { streamSeconds } = load;
  const streamMbits = streamSeconds === 0 ? 0 : await tcpStream(hosts, streamSeconds);
  return { sent, lost, lostPercent, streamMbits };
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

/** Mbit/s of one stream from the box to the gateway over the segment; 0 when none came about. */
async function tcpStream(hosts: UplinkHosts, seconds: number): Promise<number> {
  await ensureCommands(["iperf3"]);
  await using server = hosts.gateway.start(["iperf3", "-s", "-1", "--forceflush"]);
  await server.waitForOutput(/listening on/, 10_000);
  const client = ["iperf3", "-c", SEGMENT_GATEWAY, "-t", String(seconds), "-C", "cubic", "-J"];
  const { stdout } = await hosts.box.try(client, { timeoutMs: (seconds + 30) * 1000 });
  try {
    const report = JSON.parse(stdout) as { end?: { sum_received?: { bits_per_second?: number } } };
    return Math.round((report.end?.sum_received?.bits_per_second ?? 0) / 1e5) / 10;
  } catch {
    return 0;
  }
}
