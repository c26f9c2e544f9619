/**
 * S3: a developer on the cluster hears the testbed's multicast. First the broken set-up, a tunnel
 * that works for unicast but has no multicast routes at the workload: the join leaves by the
 * cluster's interface and nothing arrives. Then the right one.
 */
import { pause } from "../support/wait.ts";
import { type FlowCount, RunningFlows } from "./flows.ts";
import type { LabContext } from "./lab-context.ts";
import { LAB } from "./topology.ts";

const BROKEN_SECONDS = 2;
/** The last datagrams may still be under way when the counting ends. */
const LOST_FRACTION_MAX = 0.02;

/** The figures of one run; the last line of the lab's output. */
export interface S3Result {
  readonly scenario: "S3";
  readonly peer: string;
  /** The broken set-up was run first, unicast crossed it, and the receivers got nothing. */
  readonly brokenFailed: boolean;
  /** Multicast datagrams that unmodified receivers really got in the right set-up. */
  readonly frames: number;
  readonly pass: boolean;
  readonly brokenFrames: number;
  readonly brokenJoinedBy: readonly string[];
  readonly joinedBy: readonly string[];
  readonly sent: number;
  readonly duplicates: number;
  readonly lanToWorkload4: number;
  readonly lanToWorkload6: number;
  readonly workloadToLan4: number;
  readonly workloadToLan6: number;
  readonly pingMs: number;
  /** The workload's ordinary traffic still uses the cluster's network. */
  readonly clusterReachable: boolean;
}

/** Runs the scenario for about `seconds` in its right half. */
export async function runS3(context: LabContext, seconds: number): Promise<S3Result> {
  const { segment, topology, screen } = context;
  screen.step("S3, broken first: the workload is attached without multicast routes");
  const brokenPingMs = await context.attach({ multicastRoutes: false });
  const broken = await count(context, BROKEN_SECONDS);
  await segment.detachWorkload();
  const brokenFrames = received(broken, "lanToWorkload");
  screen.step(
    `  unicast crosses (${brokenPingMs} ms), the joins left by ` +
      `${joins(broken).join(" and ")}: ${brokenFrames} multicast frames arrived`,
  );

  screen.step("S3, right: the workload is attached with its multicast routes");
  const pingMs = await context.attach({ multicastRoutes: true });
  const counts = await count(context, seconds);
  const cluster = await topology.workload.try(["ping", "-c1", "-W2", LAB.gatewayCluster]);
  const clusterReachable = cluster.status === 0;
  for (const flow of counts) {
    screen.step(`  ${flow.name} ${flow.group}: ${flow.received} of ${flow.sent} frames`);
  }
  return judge(context, { broken, counts, pingMs, clusterReachable });
}

interface Observed {
  readonly broken: readonly FlowCount[];
  readonly counts: readonly FlowCount[];
  readonly pingMs: number;
  readonly clusterReachable: boolean;
}

function judge(context: LabContext, observed: Observed): S3Result {
  const { broken, counts, pingMs, clusterReachable } = observed;
  const of = (name: FlowCount["name"]): number => received(counts, name);
  const brokenFrames = received(broken, "lanToWorkload");
  const brokenFailed = brokenFrames === 0;
  const isComplete = counts.every(
    (flow) => flow.received > 0 && flow.received >= flow.sent * (1 - LOST_FRACTION_MAX),
  );
  const duplicates = sum(counts.map((flow) => flow.duplicates));
  const isJoinedRight = joins(counts).every((name) => name === LAB.workloadInterface);
  return {
    scenario: "S3",
    peer: context.peer,
    brokenFailed,
    frames: sum(counts.map((flow) => flow.received)),
    pass: brokenFailed && isComplete && duplicates === 0 && isJoinedRight && clusterReachable,
    brokenFrames,
    brokenJoinedBy: joins(broken),
    joinedBy: joins(counts),
    sent: sum(counts.map((flow) => flow.sent)),
    duplicates,
    lanToWorkload4: of("lanToWorkload4"),
    lanToWorkload6: of("lanToWorkload6"),
    workloadToLan4: of("workloadToLan4"),
    workloadToLan6: of("workloadToLan6"),
    pingMs,
    clusterReachable,
  };
}

async function count(context: LabContext, seconds: number): Promise<readonly FlowCount[]> {
  await using flows = await RunningFlows.start(context.topology);
  await context.watch(flows, seconds);
  await flows.stopSending();
  await pause(300);
  return flows.counts();
}

/** Interfaces by which the workload's receivers joined. */
function joins(counts: readonly FlowCount[]): readonly string[] {
  const names = counts.filter((flow) => flow.name.startsWith("lanTo")).map((flow) => flow.joinedBy);
  return [...new Set(names)];
}

function received(counts: readonly FlowCount[], namePrefix: string): number {
  return sum(counts.filter((flow) => flow.name.startsWith(namePrefix)).map((f) => f.received));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, value) => total + value, 0);
}
