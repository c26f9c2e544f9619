/**
 * A TCP stream over two uplinks of which one is slower: as packets come, the receiving kernel finds segments
 * ahead of others all the time; put in order, hardly ever. The set is changed while the tunnel runs.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { streamOnce } from "../lab/s1-streams.ts";
import {
  buildUplinkHosts,
  GATEWAY_ADDRESS,
  startUplinkTunnel,
  UPLINKS,
} from "../lab/uplink-hosts.ts";
import type { Fields } from "../support/documents.ts";
import { isRoot, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";
import { delayOn } from "./delay-relay.ts";

const DELAY_MS = 5;
/** Longer than this machine is busy with something else, as a rule. */
const PATIENT_MS = 300;
const SECONDS = 3;
/** Of 1,000 segments; every second one is late. */
const OUT_OF_ORDER_MIN = 100;
/** What is left of it in order, at most. */
const LEFT_SHARE = 0.25;

const [QUICK, SLOW] = UPLINKS;

function setOf(maxDelayMs: number): Fields {
  const uplinks = [QUICK, SLOW].map(({ name, interface: device }) => ({
    ...{ name, interface: device, priority: 1 },
  }));
  return { uplinks, policy: "Fec", reorder: { maxDelayMs } };
}

test("segments that come by a slower uplink are put in order, and were not before", {
  skip: !isRoot(),
}, async (context) => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await buildUplinkHosts(network);
  const slow = { address: GATEWAY_ADDRESS, delayMs: DELAY_MS };
  await using _relay = await delayOn(hosts.gateway, SLOW.interface, slow);
  await using tunnel = await startUplinkTunnel(hosts, scratch.path, setOf(0));
  const { gateway } = tunnel;
  await waitFor("both paths in use", async () => {
    const paths = (await gateway.tunnel())?.peers[0]?.paths ?? [];
    return paths.filter(({ isActive }) => isActive).length === 2 ? true : undefined;
  });
  const counter = async (name: string): Promise<number> =>
    (await gateway.tunnel())?.counters[name] ?? 0;

  const before = await streamOnce(hosts, SECONDS);
  assert(before.outOfOrderPermille >= OUT_OF_ORDER_MIN, `${before.outOfOrderPermille} of 1,000`);
  assert.equal(await counter("reorder.held"), 0);

  const plans = await counter("rx.plans");
  await tunnel.change(setOf(PATIENT_MS));
  await waitFor("another plan", async () =>
    (await counter("rx.plans")) >= plans + 6 ? true : undefined,
  );
  const after = await streamOnce(hosts, SECONDS);
  context.diagnostic(JSON.stringify({ before, after }));
  assert(
    after.outOfOrderPermille <= before.outOfOrderPermille * LEFT_SHARE,
    `${after.outOfOrderPermille} of 1,000 instead of ${before.outOfOrderPermille}`,
  );
  assert((await counter("reorder.filled")) > 0);
});
