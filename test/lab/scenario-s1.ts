/**
 * S1: three bad uplinks make one good one. First what is broken, one uplink that loses 5 % each way,
 * and the classic hack beside it, stock tunnels nested in a stock tunnel; then ours over the same
 * three: every packet over all of them, and parity 10+3. Lost echoes and bytes, and one TCP stream (cubic)
 * through each in turns. In full the story's own loss as well, 9.75 % each way. At last, without loss, an uplink
 * is cut silently under a stream: with Duplicate nothing is lost, with Failover the stream goes on
 * within the probes' patience.
 */
import { join } from "node:path";
import type { Network } from "../support/netns.ts";
import type { LabResult } from "./lab-result.ts";
import {
  cutUnderLoad,
  type Load,
  measureNested,
  measureOurs,
  type OwnFigures,
  type SetUpFigures,
} from "./s1-measures.ts";
import {
  compareStreams,
  measureStreams,
  type StreamFigures,
  type StreamTurn,
} from "./s1-streams.ts";
import type { Screen } from "./screen.ts";
import {
  buildUplinkHosts,
  loseOn,
  UPLINKS,
  type UplinkHosts,
  uplinkSetOf,
} from "./uplink-hosts.ts";

const LOSS_PERCENT = 5;
/** What the story's 17 % of lost pings come from. */
const STORY_LOSS_PERCENT = 9.75;
const FEC_ECHO_BYTES = 1000;
const FAILOVER_GAP_MS_MAX = 300;

/** What a run has to keep to. A short one is given room for chance and for a busy machine. */
interface Limits {
  readonly duplicatePercent: number;
  readonly fecPercent: number;
  readonly fecBandwidth: number;
  /** Times the nested set-up's stream; never less than the single uplink's. */
  readonly streamRatio: number;
  readonly streamTurns: number;
  readonly streamSeconds: number;
}

/**
 * Copies leave 1-(1-0.05^3)^2, 0.025 %; parity 0.2 %, in clumps; blocks that a busy machine closes
 * short have more parity for their data and do less with it.
 */
const SHORT: Limits = {
  duplicatePercent: 0.15,
  fecPercent: 1.5,
  fecBandwidth: 1.6,
  streamRatio: 0,
  streamTurns: 1,
  streamSeconds: 3,
};
const FULL: Limits = {
  duplicatePercent: 0.05,
  fecPercent: 0.3,
  fecBandwidth: 1.35,
  streamRatio: 3,
  streamTurns: 5,
  streamSeconds: 6,
};
const STORY_DUPLICATE_PERCENT = 0.25;

/** The four set-ups at one loss. */
export interface S1SetUps {
  readonly single: OwnFigures;
  readonly nested: SetUpFigures;
  readonly duplicate: OwnFigures;
  readonly fec: OwnFigures;
}

/** The same for their streams. */
export type S1Streams = Readonly<Record<keyof S1SetUps, StreamFigures>>;

/** What S1 found. */
export interface S1Result extends LabResult {
  readonly scenario: "S1";
  readonly peer: string;
  readonly brokenFailed: boolean;
  readonly echoes: number;
  readonly setUps: S1SetUps;
  /** One stream with cubic from the box to the gateway, through each. */
  readonly streams: S1Streams;
  /** The story's own loss; in full only. */
  readonly story?: Pick<S1SetUps, "single" | "nested" | "duplicate">;
  readonly cutDuplicateLost: number;
  readonly cutFailoverGapMs: number;
  readonly cutFailoverLost: number;
  /** What was not kept to; empty when it passed. */
  readonly missed: readonly string[];
}

interface S1Options {
  readonly folder: string;
  readonly screen: Screen;
  /** Of each measured stream. */
  readonly echoes: number;
  /** With the limits and the variant of the whole scenario. */
  readonly isFull: boolean;
}

/** Runs S1 in hosts of its own. */
export async function runS1(network: Network, options: S1Options): Promise<S1Result> {
  const { screen, echoes, isFull, folder } = options;
  const limits = isFull ? FULL : SHORT;
  const hosts = await buildUplinkHosts(network);
  // In short the stream goes through the programs that carried the echoes.
  const isOneStream = limits.streamTurns === 1;
  const load = { echoes, ...(isOneStream && { streamSeconds: limits.streamSeconds }) };
  await loseEverywhere(hosts, LOSS_PERCENT);
  screen.step(`S1, ${LOSS_PERCENT} % lost each way on every uplink, ${echoes} echoes`);
  const single = await ours(hosts, options, "single", load);
  const nested = await classic(hosts, options, load);
  const duplicate = await ours(hosts, options, "duplicate", load);
  const fec = await ours(hosts, options, "fec", { ...load, bytes: FEC_ECHO_BYTES });
  const setUps = { single, nested, duplicate, fec };
  const streams = isOneStream
    ? compareStreams(streamsOf(setUps))
    : await runStreams(hosts, options, limits);
  tellStreams(screen, streams);
  const story = isFull ? await runStory(hosts, options, load) : undefined;
  const cutDuplicate = await cutUnderLoad(hosts, join(folder, "cut-duplicate"), "Duplicate");
  tell(screen, "cut silently, Duplicate", cutDuplicate);
  const cutFailover = await cutUnderLoad(hosts, join(folder, "cut-failover"), "Failover");
  tell(screen, "cut silently, Failover", cutFailover);
  const brokenFailed = single.lostPercent > LOSS_PERCENT;
  const missed = [
    ...missedBy(setUps, streams, limits),
    ...(brokenFailed ? [] : ["one uplink is to lose more than its loss each way"]),
    ...(cutDuplicate.lost === 0 ? [] : ["a cut with Duplicate loses nothing"]),
    ...(cutFailover.gapMsMax <= FAILOVER_GAP_MS_MAX
      ? []
      : [`a cut with Failover is silent for ${FAILOVER_GAP_MS_MAX} ms at most`]),
    ...((story?.duplicate.lostPercent ?? 0) <= STORY_DUPLICATE_PERCENT
      ? []
      : [`Duplicate at the story's loss: ${STORY_DUPLICATE_PERCENT} % at most`]),
  ];
  return {
    ...{ scenario: "S1", peer: "fairlead", brokenFailed },
    ...{ frames: duplicate.sent - duplicate.lost, pass: missed.length === 0, echoes, setUps },
    streams,
    ...(story && { story }),
    cutDuplicateLost: cutDuplicate.lost,
    cutFailoverGapMs: cutFailover.gapMsMax,
    cutFailoverLost: cutFailover.lost,
    missed,
  };
}

/** The variant: what the story's users lived with. */
async function runStory(
  hosts: UplinkHosts,
  options: S1Options,
  load: Load,
): Promise<Pick<S1SetUps, "single" | "nested" | "duplicate">> {
  await loseEverywhere(hosts, STORY_LOSS_PERCENT);
  options.screen.step(`S1, the story's own loss: ${STORY_LOSS_PERCENT} % each way`);
  const single = await ours(hosts, options, "single", load);
  const nested = await classic(hosts, options, load);
  const duplicate = await ours(hosts, options, "duplicate", load);
  return { single, nested, duplicate };
}

/** Through each set-up, at the loss that is set. */
async function runStreams(
  hosts: UplinkHosts,
  { folder }: S1Options,
  limits: Limits,
): Promise<S1Streams> {
  const { streamTurns: turns, streamSeconds: seconds } = limits;
  const setUps = { ...SETS, nested: "nested" } as const;
  const where = { folder: join(folder, "streams"), turns, seconds };
  return await measureStreams(hosts, setUps, where);
}

/** Those that were sent after the echoes. */
function streamsOf(setUps: S1SetUps): ReadonlyMap<keyof S1SetUps, readonly StreamTurn[]> {
  const names = Object.keys(setUps) as (keyof S1SetUps)[];
  return new Map(
    names.map((name) => [name, [setUps[name].stream].filter((one) => one !== undefined)]),
  );
}

function tellStreams(screen: Screen, streams: S1Streams): void {
  for (const [name, { mbits, ratio, repeatedPermille, outOfOrderPermille }] of Object.entries(
    streams,
  )) {
    screen.step(
      `  a TCP stream, ${name}: ${mbits} Mbit/s, ${ratio} times the nested one's; of 1,000 segments ${repeatedPermille} repeated, ${outOfOrderPermille} out of order`,
    );
  }
}

function missedBy(setUps: S1SetUps, streams: S1Streams, limits: Limits): readonly string[] {
  const { duplicate, fec } = setUps;
  const mbits = Math.max(streams.single.mbits, limits.streamRatio * streams.nested.mbits);
  const rules: readonly (readonly [string, boolean])[] = [
    [
      `Duplicate: ${limits.duplicatePercent} % lost`,
      duplicate.lostPercent <= limits.duplicatePercent,
    ],
    [`Fec: ${limits.fecPercent} % lost`, fec.lostPercent <= limits.fecPercent],
    [`Fec: ${limits.fecBandwidth} times the bytes`, fec.bandwidth <= limits.fecBandwidth],
    [`a stream with Duplicate: ${mbits} Mbit/s`, streams.duplicate.mbits >= mbits],
    [`a stream with Fec: ${mbits} Mbit/s`, streams.fec.mbits >= mbits],
  ];
  return rules.filter(([, isKept]) => !isKept).map(([rule]) => rule);
}

const SETS = {
  single: uplinkSetOf(1, "Failover"),
  duplicate: uplinkSetOf(3, "Duplicate"),
  fec: uplinkSetOf(3, "Fec"),
} as const;

async function ours(
  hosts: UplinkHosts,
  { folder, screen }: S1Options,
  name: keyof typeof SETS,
  load: Load,
): Promise<OwnFigures> {
  const figures = await measureOurs(hosts, join(folder, name), SETS[name], load);
  tell(screen, `ours, ${name}`, figures);
  return figures;
}

async function classic(
  hosts: UplinkHosts,
  { folder, screen }: S1Options,
  load: Load,
): Promise<SetUpFigures> {
  const figures = await measureNested(hosts, join(folder, "nested"), load);
  tell(screen, "stock tunnels in a stock tunnel", figures);
  return figures;
}

async function loseEverywhere(hosts: UplinkHosts, percent: number): Promise<void> {
  const devices = UPLINKS.map((uplink) => uplink.interface);
  for (const host of [hosts.gateway, hosts.box]) await loseOn(host, devices, percent);
}

function tell(
  screen: Screen,
  what: string,
  figures: Pick<SetUpFigures, "sent" | "lost" | "lostPercent"> & {
    readonly bandwidth?: number;
    readonly gapMsMax?: number;
  },
): void {
  const { sent, lost, lostPercent, bandwidth, gapMsMax } = figures;
  const parts = [
    `${lost} of ${sent} echoes lost, ${lostPercent} %`,
    ...(bandwidth === undefined ? [] : [`${bandwidth} times the bytes`]),
    ...(gapMsMax === undefined ? [] : [`longest gap ${gapMsMax} ms`]),
  ];
  screen.step(`  ${what}: ${parts.join(", ")}`);
}
