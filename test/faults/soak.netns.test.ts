/**
 * A soak: three uplinks that are cut, lose packets, go down and change their addresses at random, under a
 * stream of echoes; ten minutes in the long run, half a minute otherwise. In the end everything flows, by
 * the same session, and neither program has grown. FAIRLEAD_SEED=<n> repeats a run's troubles.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import {
  buildUplinkHosts,
  SEGMENT_GATEWAY,
  startUplinkTunnel,
  UPLINKS,
  type UplinkTunnel,
  uplinkSetOf,
} from "../lab/uplink-hosts.ts";
import { Chance } from "../simulation/timeline.ts";
import { IS_FULL } from "../support/full.ts";
import { PingStream } from "../support/hosts.ts";
import { isRoot, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";
import { rssKib } from "./captured.ts";
import { SoakTroubles } from "./soak.ts";

const SECONDS = IS_FULL ? 600 : 30;
const SEED = Number(process.env["FAIRLEAD_SEED"] ?? Date.now() % 1_000_000);
/** The first part warms caches and compilers and is left out of the comparison. */
const ROUNDS = 3;
/** Heaps breathe, most in their first minute. A leak of one packet in a hundred is more in ten minutes. */
const RSS_GROWTH_KIB_MAX = (IS_FULL ? 40 : 120) * 1024;
const POLICIES = ["Failover", "Duplicate", "Fec"] as const;

/** What a program holds. */
interface Holding {
  readonly rssKib: number;
  readonly descriptors: number;
}

test(`seed ${SEED}: ${SECONDS} s of cuts, loss and changing addresses, and nothing is stuck`, {
  skip: !isRoot(),
}, async (context) => {
  const chance = new Chance(SEED);
  const policy = chance.pick(POLICIES);
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await buildUplinkHosts(network);
  await using tunnel = await startUplinkTunnel(hosts, scratch.path, uplinkSetOf(3, policy));
  await using stream = new PingStream(hosts.box, SEGMENT_GATEWAY, 0.01);
  const troubles = new SoakTroubles(hosts, chance);
  const holdings: Holding[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await troubles.run(performance.now() + (SECONDS * 1000) / ROUNDS);
    await waitUntilWhole(tunnel);
    const { received } = stream;
    await waitFor("echoes to flow again", () => stream.received > received + 10, 30_000);
    holdings.push([tunnel.box, tunnel.gateway].map(({ pid }) => holdingOf(pid)));
  }
  const { sent, received } = await stream.finish();
  context.diagnostic(
    `${policy}, ${troubles.count} troubles, ${sent - received} of ${sent} echoes lost, ${JSON.stringify(holdings)}`,
  );
  const handshakes = tunnel.gateway.log
    .split("\n")
    .filter((line) => line.includes('"peer connected"'));
  assert.equal(handshakes.length, 1, "the session lives through all of it");
  assert(received > sent / 2, "most echoes came back");
  const [, second = [], last = []] = holdings;
  for (const [end, now] of last.entries()) {
    const before = second[end];
    assert(before !== undefined);
    assert.equal(now.descriptors, before.descriptors, "descriptors are given back");
    const grown = now.rssKib - before.rssKib;
    assert(grown < RSS_GROWTH_KIB_MAX, `${grown} KiB more`);
  }
});

/** Until every path lives at both ends. */
async function waitUntilWhole({ box, gateway }: UplinkTunnel): Promise<void> {
  await waitFor(
    () => `all paths to live:\n${box.log.slice(-4000)}`,
    async () => {
      const [near, far] = [await box.tunnel(), await gateway.tunnel()];
      const living = [near, far].map(
        (one) => one?.peers[0]?.paths?.filter(({ isAlive }) => isAlive).length ?? 0,
      );
      return near?.state === "Up" && living.every((count) => count >= UPLINKS.length);
    },
    60_000,
  );
}

function holdingOf(pid: number): Holding {
  return { rssKib: rssKib(pid), descriptors: readdirSync(`/proc/${pid}/fd`).length };
}
