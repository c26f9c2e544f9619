/**
 * What the kernel refuses to send: each refusal has its counter, and when it is over, packets go again. With
 * ICMP, which comes later, `icmp.netns.test.ts` deals.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  buildUplinkHosts,
  GATEWAY_ADDRESS,
  SEGMENT_GATEWAY,
  startUplinkTunnel,
  UPLINKS,
} from "../lab/uplink-hosts.ts";
import type { FairleadPeer } from "../support/fairlead-peer.ts";
import { PingStream } from "../support/hosts.ts";
import { isRoot, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

const [FIRST] = UPLINKS;
/** Kinds of routes and what the kernel says where they lead; `throw` is none at all. */
const REFUSALS = [
  { route: "unreachable", errno: "EHOSTUNREACH", counter: "tx.unreachable" },
  { route: "throw", errno: "ENETUNREACH", counter: "tx.unreachable" },
  { route: "blackhole", errno: "EINVAL", counter: "tx.noAddress" },
] as const;
const INTERVAL_SECONDS = 0.02;

async function count(box: FairleadPeer, name: string): Promise<number> {
  return (await box.tunnel())?.counters[name] ?? 0;
}

test("a packet that the kernel refuses has a counter by the reason, and the next ones go", {
  skip: !isRoot(),
}, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await buildUplinkHosts(network);
  await using tunnel = await startUplinkTunnel(hosts, scratch.path, undefined);
  const { box } = tunnel;
  await using stream = new PingStream(hosts.box, SEGMENT_GATEWAY, INTERVAL_SECONDS);
  const answered = async (what: string): Promise<void> => {
    const until = stream.received + 10;
    await waitFor(what, () => Promise.resolve(stream.received >= until || undefined));
  };
  await answered("echoes");
  for (const { route, errno, counter } of REFUSALS) {
    const before = await count(box, counter);
    await hosts.box.ip(`route add ${route} ${GATEWAY_ADDRESS} metric 0`);
    await waitFor(errno, async () => (await count(box, counter)) > before || undefined);
    await hosts.box.ip(`route delete ${route} ${GATEWAY_ADDRESS} metric 0`);
    await answered(`echoes after ${errno}`);
  }
  assert.equal(await count(box, "tx.socketError"), 0, "none without a reason");
});

test("what an interface's queue has no room for is counted", { skip: !isRoot() }, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await buildUplinkHosts(network);
  await using tunnel = await startUplinkTunnel(hosts, scratch.path, undefined);
  const { box } = tunnel;
  const narrow = `qdisc add dev ${FIRST.interface} root tbf rate 400kbit burst 2kb limit 3000`;
  await hosts.box.run(["tc", ...narrow.split(" ")]);
  await using stream = new PingStream(hosts.box, SEGMENT_GATEWAY, INTERVAL_SECONDS);
  const flood = ["ping", "-n", "-q", "-i", "0.002", "-s", "1200", "-c", "300", "-W", "1"];
  await hosts.box.run(["sh", "-c", `${flood.join(" ")} ${SEGMENT_GATEWAY} || true`]);
  assert((await count(box, "tx.socketFull")) > 0, "ENOBUFS");
  await hosts.box.run(["tc", "qdisc", "delete", "dev", FIRST.interface, "root"]);
  const until = stream.received + 10;
  await waitFor("echoes", () => Promise.resolve(stream.received >= until || undefined));
});
