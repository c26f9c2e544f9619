/**
 * S1: three bad uplinks make one good one. First the broken set-up, one uplink that loses 5 %
 * each way; then the same tunnel with every packet sent over all three. Then, without loss, an
 * uplink is cut silently under a stream: with Duplicate nothing is lost, with Failover the
 * stream goes on within the probes' patience.
 */
import { join } from "node:path";
import type { Network } from "../support/netns.ts";
import { pause } from "../support/wait.ts";
import type { LabResult } from "./lab-result.ts";
import type { Screen } from "./screen.ts";
import {
  buildUplinkHosts,
  type Echoes,
  echo,
  loseOn,
  startUplinkTunnel,
  UPLINKS,
  type UplinkHosts,
  uplinkSetOf,
} from "./uplink-hosts.ts";

const LOSS_PERCENT = 5;
const ECHO_INTERVAL_MS = 2;
const CUT_ECHOES = 3000;
/** 1-(1-0.05^3)^2 is 0.025 %; a short run is given room for chance. */
const DUPLICATE_PERCENT_MAX = { short: 0.15, long: 0.05 };
const LONG_ECHOES = 50_000;
const FAILOVER_GAP_MS_MAX = 300;

/** What S1 found. */
export interface S1Result extends LabResult {
  readonly scenario: "S1";
  readonly peer: string;
  readonly brokenFailed: boolean;
  readonly echoes: number;
  readonly singleLostPercent: number;
  readonly duplicateLostPercent: number;
  readonly cutDuplicateLost: number;
  readonly cutFailoverGapMs: number;
  readonly cutFailoverLost: number;
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
  const single = await measure(hosts, options.folder, { set: uplinkSetOf(1, "Failover"), count });
  screen.step(`  ${single.lost} of ${single.sent} echoes lost, ${single.lostPercent} %`);
  screen.step("S1, right: every packet over three such uplinks");
  const duplicate = await measure(hosts, options.folder, {
    set: uplinkSetOf(3, "Duplicate"),
    count,
  });
  screen.step(`  ${duplicate.lost} of ${duplicate.sent} echoes lost, ${duplicate.lostPercent} %`);
  const cutDuplicate = await cut(hosts, options, "Duplicate");
  const cutFailover = await cut(hosts, options, "Failover");
  const limits = DUPLICATE_PERCENT_MAX;
  const duplicateMax = echoes >= LONG_ECHOES ? limits.long : limits.short;
  const brokenFailed = single.lostPercent > LOSS_PERCENT;
  return {
    scenario: "S1",
    peer: "fairlead",
    brokenFailed,
    frames: duplicate.sent - duplicate.lost,
    pass:
      brokenFailed &&
      duplicate.lostPercent <= duplicateMax &&
      cutDuplicate.lost === 0 &&
      cutFailover.gapMsMax <= FAILOVER_GAP_MS_MAX,
    echoes,
    singleLostPercent: single.lostPercent,
    duplicateLostPercent: duplicate.lostPercent,
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
    readonly count: { readonly count: number; readonly intervalMs: number };
  },
  during?: () => Promise<void>,
): Promise<Echoes> {
  await using _tunnel = await startUplinkTunnel(hosts, join(folder), what.set);
  // Paths are opened and checked by the first probes.
  await pause(1000);
  return await echo(hosts, what.count, during);
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
  const what = { set: uplinkSetOf(3, policy), count };
  const echoes = await measure(hosts, options.folder, what, async () => {
    await pause(CUT_ECHOES / 2);
    for (const host of [hosts.gateway, hosts.box]) await loseOn(host, [first], 100);
  });
  const figures = `${echoes.lost} lost, longest gap ${echoes.gapMsMax} ms`;
  options.screen.step(`S1, ${first} cut silently with ${policy}: ${figures}`);
  return echoes;
}
