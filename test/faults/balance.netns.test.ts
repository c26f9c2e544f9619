/**
 * Flows over two uplinks of different rates: by weight alone the slow one is overloaded; once it was,
 * both ends know what it carries, and give new flows to the other. In both directions.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  buildUplinkHosts,
  SEGMENT_GATEWAY,
  startUplinkTunnel,
  UPLINKS,
} from "../lab/uplink-hosts.ts";
import type { FairleadPeer } from "../support/fairlead-peer.ts";
import { isRoot, type Namespace, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";
import { MANY_FLOWS } from "./many-flows.ts";

/** Of the two uplinks, in Mbit/s: a third of what is sent by it does not fit the slow one. */
const RATES_MBIT = [4, 16] as const;
/** One of them is 1.1 Mbit/s outside. */
const FLOW_PACKETS_PER_SECOND = 125;
const PORT = 5001;
/** Flows that were silent for so long are no load any more (`FLOW_ACTIVE_MS`, and one look). */
const CALM_MS = 3500;
/** For so long new flows run. */
const MEASURE_MS = 4000;

interface Ends {
  readonly from: Namespace;
  readonly to: Namespace;
  readonly target: string;
}

/** Starts flows, lets `during` look on, and says which share of them was lost. */
async function flows(
  ends: Ends,
  wish: { first: number; count: number },
  during: Promise<unknown>,
): Promise<number> {
  const program = [process.execPath, MANY_FLOWS];
  await using receiver = ends.to.start([...program, "receive", String(PORT)]);
  await receiver.waitForOutput(/ready/);
  const { first, count } = wish;
  const words = [ends.target, PORT, first, count, FLOW_PACKETS_PER_SECOND].map(String);
  await using sender = ends.from.start([...program, "send", ...words]);
  await sender.waitForOutput(/ready/);
  await during;
  sender.signal("SIGTERM");
  await sender.waitForEnd();
  // What waits in the slow one's queue still comes.
  await sleep(500);
  receiver.signal("SIGTERM");
  await receiver.waitForEnd();
  const [sent, received] = [sender, receiver].map((one) => Number(one.stdout.split("\n")[1]));
  return 1 - (received ?? 0) / Math.max(1, sent ?? 0);
}

async function bytesBy(namespace: Namespace, device: string): Promise<number> {
  return (await namespace.interfaceCounters()).get(device)?.sentBytes ?? 0;
}

for (const direction of ["out", "back"] as const) {
  test(`new flows go by what the uplinks were seen to carry, ${direction}`, {
    skip: !isRoot(),
  }, async (t) => {
    await using network = await Network.create();
    await using scratch = await Scratch.create();
    const hosts = await buildUplinkHosts(network);
    const sender = direction === "out" ? hosts.box : hosts.gateway;
    for (const [at, rate] of RATES_MBIT.entries()) {
      const line = `tc qdisc add dev up${at} root tbf rate ${rate}mbit burst 8kb latency 60ms`;
      await sender.run(line.split(" "));
    }
    const uplinks = UPLINKS.slice(0, 2).map(({ name, interface: device }) => {
      return { name, interface: device, priority: 1 };
    });
    await using tunnel = await startUplinkTunnel(hosts, scratch.path, {
      ...{ uplinks, policy: "Balance" },
    });
    const boxAddress = await addressOf(tunnel.box, hosts.box);
    const ends: Ends =
      direction === "out"
        ? { from: hosts.box, to: hosts.gateway, target: SEGMENT_GATEWAY }
        : { from: hosts.gateway, to: hosts.box, target: boxAddress };
    const carried = (path?: { capacityOutMbit?: number; capacityBackMbit?: number }) =>
      direction === "out" ? path?.capacityOutMbit : path?.capacityBackMbit;
    const known = async (): Promise<true | undefined> => {
      const paths = (await tunnel.box.tunnel())?.peers[0]?.paths ?? [];
      const [slow, fast] = paths;
      const isFull = direction === "out" ? slow?.isFullOut : slow?.isFullBack;
      const [slowMbit, fastMbit] = [slow, fast].map((path) => carried(path) ?? 0);
      // The first sample that was full may have begun before the flows did; while they run, later ones say more.
      const isKnown = (slowMbit ?? 0) > RATES_MBIT[0] * 0.6 && (fastMbit ?? 0) >= 9;
      return (isFull === true && isKnown) || undefined;
    };
    const blind = await flows(ends, { first: 20_000, count: 20 }, waitFor("both known", known));
    assert(blind > 0.15, `ten flows each: of the slow uplink's too much is lost, ${blind}`);
    const paths = (await tunnel.box.tunnel())?.peers[0]?.paths ?? [];
    const told = paths.map(carried);
    t.diagnostic(`${blind.toFixed(3)} lost by weight alone; carried ${told} Mbit/s at least`);
    assert((told[0] ?? 0) < RATES_MBIT[0] * 1.1, `${told}`);
    await sleep(CALM_MS);
    const before = await Promise.all([bytesBy(sender, "up0"), bytesBy(sender, "up1")]);
    const wise = await flows(ends, { first: 30_000, count: 10 }, sleep(MEASURE_MS));
    const after = await Promise.all([bytesBy(sender, "up0"), bytesBy(sender, "up1")]);
    const [slow, fast] = after.map((bytes, at) => bytes - (before[at] ?? 0));
    const share = (slow ?? 0) / ((slow ?? 0) + (fast ?? 1));
    t.diagnostic(`${wise.toFixed(3)} lost by capacity; ${share.toFixed(2)} by the slow one`);
    // The queues hold 60 ms: a machine that stands still for longer costs a burst, by weight it is ten times as much.
    assert(wise < 0.05, `${wise} of the new flows is lost`);
    assert(share > 0.05 && share < 0.4, `${share}`);
  });
}

async function addressOf(box: FairleadPeer, namespace: Namespace): Promise<string> {
  const device = (await box.tunnel())?.interface ?? "";
  const text = await namespace.ip(`-4 -o address show dev ${device}`);
  return /inet (\S+)\//.exec(text)?.[1] ?? "";
}
