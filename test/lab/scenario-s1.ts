/**
 * S1: three bad uplinks make one good one. First the broken set-up, one uplink that loses 5 %
 * each way; then the same tunnel with every packet sent over all three, and with parity 10+3 over
 * them, for what it leaves lost and for its bytes. One TCP stream (cubic) through each. Then, without
 * loss, an uplink is cut silently under a stream: with Duplicate nothing is lost, with Failover the
 * stream goes on within the probes' patience.
 */
import { join } from "node:path";
import { DATA_V2_AEAD_BYTES } from "../../sidecar/wire/mss-clamp.ts";
import type { Network } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { pause } from "../support/wait.ts";
import type { LabResult } from "./lab-result.ts";
import type { Screen } from "./screen.ts";
import {
  buildUplinkHosts,
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

const LOSS_PERCENT = 5;
const ECHO_INTERVAL_MS = 2;
const CUT_ECHOES = 3000;
/** 1-(1-0.05^3)^2 is 0.025 %; a short run is given room for chance. */
const DUPLICATE_PERCENT_MAX = { short: 0.15, long: 0.05 };
/**
 * 10+3 leaves 0.2 %, in clumps; blocks that a busy machine closes short have less parity. A short
 * run is given room for both.
 */
const FEC_PERCENT_MAX = { short: 1.5, long: 0.3 };
const FEC_BANDWIDTH_MAX = { short: 1.6, long: 1.35 };
const FEC_ECHO_BYTES = 1000;
const LONG_ECHOES = 50_000;
/** Of the stream through each set-up: a few seconds show what loss does to it. */
const STREAM_SECONDS = { short: 3, long: 8 };
const FAILOVER_GAP_MS_MAX = 300;

/** What S1 found. */
export interface S1Result extends LabResult {
  readonly scenario: "S1";
  readonly peer: string;
  readonly brokenFailed: boolean;
  readonly echoes: number;
  readonly singleLostPercent: number;
  readonly duplicateLostPercent: number;
  readonly fecLostPercent: number;
  /** Bytes sent for each byte of data packets, both ways. */
  readonly fecBandwidth: number;
  readonly fecRecovered: number;
  /** One TCP stream with cubic, Mbit/s, through each. */
  readonly singleStreamMbits: number;
  readonly duplicateStreamMbits: number;
  readonly fecStreamMbits: number;
  readonly cutDuplicateLost: number;
  readonly cutFailoverGapMs: number;
  readonly cutFailoverLost: number;
}

interface Measured extends Echoes {
  /** Bytes sent for each byte of data packets. */
  readonly bandwidth: number;
  readonly recovered: number;
  readonly streamMbits: number;
}

/** Runs S1 in hosts of its own; `echoes` for each measured stream. */
export async function runS1(
  network: Network,
  options: { readonly folder: string; readonly screen: Screen; readonly echoes: number },
): Promise<S1Result> {
  const { screen, echoes } = options;
  const hosts = await buildUplinkHosts(network);
  const devices = UPLINKS.map((uplink) => uplink.interface);
  for (const host of [hosts.gateway, hosts.box]) await loseOn(host, devices, LOSS_PERCENT);
  screen.step(`S1, broken first: one uplink, ${LOSS_PERCENT} % lost each way`);
  const count = { count: echoes, intervalMs: ECHO_INTERVAL_MS };
  const length = echoes >= LONG_ECHOES ? "long" : "short";
  const streamSeconds = STREAM_SECONDS[length];
  const single = await measure(hosts, options.folder, {
    set: uplinkSetOf(1, "Failover"),
    count,
    streamSeconds,
  });
  screen.step(`  ${single.lost} of ${single.sent} echoes lost, ${single.lostPercent} %`);
  screen.step("S1, right: every packet over three such uplinks");
  const duplicate = await measure(hosts, options.folder, {
    set: uplinkSetOf(3, "Duplicate"),
    count,
    streamSeconds,
  });
  screen.step(`  ${duplicate.lost} of ${duplicate.sent} echoes lost, ${duplicate.lostPercent} %`);
  screen.step("S1, right: parity 10+3 over three such uplinks");
  const fec = await measure(hosts, options.folder, {
    set: uplinkSetOf(3, "Fec"),
    count: { ...count, bytes: FEC_ECHO_BYTES },
    streamSeconds,
  });
  screen.step(
    `  ${fec.lost} of ${fec.sent} echoes lost, ${fec.lostPercent} %, ${fec.bandwidth}x bytes`,
  );
  const streams = [single, duplicate, fec].map((run) => run.streamMbits);
  screen.step(`  a TCP stream: single, Duplicate, Fec ${streams.join(", ")} Mbit/s`);
  const cutDuplicate = await cut(hosts, options, "Duplicate");
  const cutFailover = await cut(hosts, options, "Failover");
  const brokenFailed = single.lostPercent > LOSS_PERCENT;
  return {
    scenario: "S1",
    peer: "fairlead",
    brokenFailed,
    frames: duplicate.sent - duplicate.lost,
    pass:
      brokenFailed &&
      duplicate.lostPercent <= DUPLICATE_PERCENT_MAX[length] &&
      fec.lostPercent <= FEC_PERCENT_MAX[length] &&
      fec.bandwidth <= FEC_BANDWIDTH_MAX[length] &&
      duplicate.streamMbits > single.streamMbits &&
      fec.streamMbits > single.streamMbits &&
      cutDuplicate.lost === 0 &&
      cutFailover.gapMsMax <= FAILOVER_GAP_MS_MAX,
    echoes,
    singleLostPercent: single.lostPercent,
    duplicateLostPercent: duplicate.lostPercent,
    fecLostPercent: fec.lostPercent,
    fecBandwidth: fec.bandwidth,
    fecRecovered: fec.recovered,
    singleStreamMbits: single.streamMbits,
    duplicateStreamMbits: duplicate.streamMbits,
    fecStreamMbits: fec.streamMbits,
    cutDuplicateLost: cutDuplicate.lost,
    cutFailoverGapMs: cutFailover.gapMsMax,
    cutFailoverLost: cutFailover.lost,
  };
}

async function measure(
  hosts: UplinkHosts,
  folder: string,
  what: {
    readonly set: ReturnType<typeof uplinkSetOf>;
    readonly count: {
      readonly count: number;
      readonly intervalMs: number;
      readonly bytes?: number;
    };
    /** 0: no stream. */
    readonly streamSeconds: number;
  },
  during?: () => Promise<void>,
): Promise<Measured> {
  await using tunnel = await startUplinkTunnel(hosts, join(folder), what.set);
  // Paths are opened and checked by the first probes.
  await pause(1000);
  const before = await bytesOf(tunnel);
  const echoes = await echo(hosts, what.count, during);
  const after = await bytesOf(tunnel);
  const ratio = (after.sent - before.sent) / Math.max(1, after.sealed - before.sealed);
  const streamMbits = what.streamSeconds === 0 ? 0 : await tcpStream(hosts, what.streamSeconds);
  return {
    ...echoes,
    bandwidth: Math.round(ratio * 1000) / 1000,
    recovered: after.recovered - before.recovered,
    streamMbits,
  };
}

/** What went out at both ends so far: of data packets, and in all. */
async function bytesOf(
  tunnel: UplinkTunnel,
): Promise<{ sealed: number; sent: number; recovered: number }> {
  const sums = { sealed: 0, sent: 0, recovered: 0 };
  for (const peer of [tunnel.box, tunnel.gateway]) {
    const status = await peer.tunnel();
    if (status === undefined) continue;
    const { counters, tap } = status;
    sums.sealed += tap.bytesIn + (counters["tap.framesRead"] ?? 0) * DATA_V2_AEAD_BYTES;
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

/** One uplink, the one in use, goes silent in the middle of a stream of 1,000 echoes a second. */
async function cut(
  hosts: UplinkHosts,
  options: { readonly folder: string; readonly screen: Screen },
  policy: "Failover" | "Duplicate",
): Promise<Echoes> {
  const first = UPLINKS[0].interface;
  for (const host of [hosts.gateway, hosts.box]) await loseOn(host, [], 0);
  const count = { count: CUT_ECHOES, intervalMs: 1 };
  const what = { set: uplinkSetOf(3, policy), count, streamSeconds: 0 };
  const echoes = await measure(hosts, options.folder, what, async () => {
    await pause(CUT_ECHOES / 2);
    for (const host of [hosts.gateway, hosts.box]) await loseOn(host, [first], 100);
  });
  const figures = `${echoes.lost} lost, longest gap ${echoes.gapMsMax} ms`;
  options.screen.step(`S1, ${first} cut silently with ${policy}: ${figures}`);
  return echoes;
}
