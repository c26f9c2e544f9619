/**
 * The lab: the whole thing on one machine. Builds the hosts and the tunnel, runs a scenario or
 * shows the traffic live, prints one JSON line at the end, and leaves nothing behind.
 */
import { Network, sweepNamespaces } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import { type ClusterRole, runCluster } from "./cluster-lab.ts";
import { type FairleadSegment, startFairleadSegment } from "./fairlead-segment.ts";
import { type FlowCount, RunningFlows } from "./flows.ts";
import { Guest } from "./guest.ts";
import { LabContext } from "./lab-context.ts";
import type { LabResult } from "./lab-result.ts";
import { runS0 } from "./scenario-s0.ts";
import { runS1 } from "./scenario-s1.ts";
import { runS2 } from "./scenario-s2.ts";
import { runS3 } from "./scenario-s3.ts";
import { runGroups } from "./scenario-s3-groups.ts";
import { runLife } from "./scenario-s3-life.ts";
import { runS4 } from "./scenario-s4.ts";
import { Screen } from "./screen.ts";
import type { PeerKind, Segment } from "./segment.ts";
import { startStockSegment } from "./stock-segment.ts";
import { buildTopology, type Topology } from "./topology.ts";

/** The scenarios that can be run by name. */
export const SCENARIOS = ["S0", "S1", "S2", "S3", "S4"] as const;

/** Echoes of one stream of S1 for each second asked for, and in full. */
const ECHOES_PER_SECOND = 500;
const ECHOES_FULL = 50_000;
/** Reconnects of S0 for each way of coming back, in full. */
const RECONNECTS_FULL = 50;

/** A scenario's name. */
export type ScenarioName = (typeof SCENARIOS)[number];

/** What the lab is asked for. */
export interface LabOptions {
  readonly peer: PeerKind | "openvpn-only";
  /** How long frames are counted; Infinity: until stopped. */
  readonly seconds: number;
  readonly scenario?: ScenarioName;
  /** On a real node, with the image and the chart. */
  readonly isCluster?: true;
  /** The whole of a scenario, whatever the seconds. */
  readonly isFull?: true;
  /** Which end the cluster is; absent: it listens. */
  readonly role?: ClusterRole;
}

/** The outcome without a scenario. */
interface TrafficResult extends LabResult {
  readonly peer: string;
  readonly pingMs: number;
  readonly flows: readonly FlowCount[];
}

/** Runs the lab; `signal` ends it early and resolves to undefined. */
export async function runLab(
  options: LabOptions,
  signal: AbortSignal,
): Promise<LabResult | undefined> {
  await using stack = new AsyncDisposableStack();
  const stopped = new Promise<undefined>((resolve) => {
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  const work = runIn(stack, options);
  // What is still under way when the lab is stopped fails as its hosts vanish.
  work.catch(() => undefined);
  return await Promise.race([work, stopped]);
}

async function runIn(stack: AsyncDisposableStack, options: LabOptions): Promise<LabResult> {
  const screen = new Screen(process.stderr);
  const sweptCount = await sweepNamespaces();
  if (sweptCount > 0) screen.step(`removed ${sweptCount} hosts of a lab that was killed`);
  await ensureCommands(["ip", "socat", "ping", "openssl", "openvpn"]);
  const scratch = stack.use(await Scratch.create());
  const network = stack.use(await Network.create());
  if (options.isCluster === true) {
    const peer = options.peer === "fairlead" ? "fairlead" : "openvpn";
    const { role = "listen", seconds } = options;
    return await runCluster(network, { folder: scratch.path, screen, seconds, peer, role });
  }
  if (options.scenario === "S0") {
    const few = Math.max(2, Math.round(options.seconds / 2));
    const reconnects = options.isFull === true ? RECONNECTS_FULL : few;
    const peer = options.peer === "fairlead" ? "fairlead" : "openvpn";
    return await runS0(network, { folder: scratch.path, screen, reconnects, peer });
  }
  if (options.scenario === "S1") {
    const isFull = options.isFull === true;
    const echoes = isFull ? ECHOES_FULL : Math.round(options.seconds * ECHOES_PER_SECOND);
    return await runS1(network, { folder: scratch.path, screen, echoes, isFull });
  }
  if (options.scenario === "S4") return await runS4(network, { folder: scratch.path, screen });
  screen.step("building the hosts gw, tb, lan and app");
  const topology = await buildTopology(network);
  screen.step("starting the tunnel");
  const segment = stack.use(await startSegment(options.peer, topology, scratch.path));
  screen.step(segment.description);
  const context = new LabContext({ topology, segment, screen, peer: options.peer });
  if (options.scenario === "S2") {
    if (options.peer === "openvpn-only")
      throw new TypeError("S2 runs stock openvpn by itself first");
    return await runS2(context, network, scratch.path);
  }
  if (options.scenario === "S3") {
    const result = await runS3(context, options.seconds);
    if (options.peer === "openvpn-only") return result;
    screen.step("S3, who gets a group: a stock client joins, leaves and never joined");
    const folder = scratch.path;
    const profile = await (segment as FairleadSegment).guestProfile();
    await using guest = await Guest.start(network, topology, { folder, profile });
    const groups = await runGroups(context, guest);
    screen.step(
      "S3, daily life: discovery, DHCP, a receiver that moves, a gateway that is restarted",
    );
    const life = await runLife(context, guest, { network, folder });
    const pass = result.pass && groups.pass && life.pass;
    return Object.assign(result, { groups, life, pass });
  }
  return await showTraffic(context, options.seconds);
}

async function showTraffic(context: LabContext, seconds: number): Promise<TrafficResult> {
  const pingMs = await context.attach({ multicastRoutes: true });
  context.screen.step(`the workload reaches the LAN host in ${pingMs} ms; multicast starts`);
  await using flows = await RunningFlows.start(context.topology);
  await context.watch(flows, seconds);
  const counts = flows.counts();
  const frames = counts.reduce((total, flow) => total + flow.received, 0);
  const pass = counts.every((flow) => flow.received > 0);
  return { pass, frames, peer: context.peer, pingMs, flows: counts };
}

async function startSegment(
  peer: LabOptions["peer"],
  topology: Topology,
  folder: string,
): Promise<Segment> {
  if (peer === "openvpn-only") return await startStockSegment(topology, folder);
  return await startFairleadSegment(topology, folder, peer);
}
