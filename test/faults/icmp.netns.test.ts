/**
 * ICMP errors about the packets of a tunnel, from the kernel that really refuses them and from somebody who
 * makes them up: both are counted, and only the answers to probes decide about a path.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  buildUplinkHosts,
  GATEWAY_ADDRESS,
  SEGMENT_GATEWAY,
  startUplinkTunnel,
  UPLINKS,
  uplinkSetOf,
} from "../lab/uplink-hosts.ts";
import type { FairleadPeer } from "../support/fairlead-peer.ts";
import { PingStream } from "../support/hosts.ts";
import { isRoot, Network } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

const PORT = 1194;
const FORGED = 3000;
const INTERVAL_SECONDS = 0.005;
const [FIRST, SECOND] = UPLINKS;
/** Type and code (RFC 792): host unreachable, port unreachable, fragmentation needed. */
const KINDS = [
  [3, 1],
  [3, 3],
  [3, 4],
] as const;
const MTU_BYTES = 1300;

async function activeOf(box: FairleadPeer): Promise<string> {
  const paths = (await box.tunnel())?.peers[0]?.paths ?? [];
  return paths.flatMap(({ isActive, uplink = "" }) => (isActive ? [uplink] : [])).join();
}

async function count(box: FairleadPeer, name: string): Promise<number> {
  return (await box.tunnel())?.counters[name] ?? 0;
}

/** An error about a datagram from the box's port to the gateway, as if it had been seen on the way. */
function forge([type, code]: readonly [number, number], port: number): Buffer {
  const message = Buffer.alloc(8 + 20 + 8);
  message.set([type, code]);
  message.writeUInt16BE(code === 4 ? MTU_BYTES : 0, 6);
  message.set([0x45, 0, 0, 100, 0, 0, 0, 0, 64, 17, 0, 0], 8);
  message.set(FIRST.box.split(".").map(Number), 20);
  message.set(GATEWAY_ADDRESS.split(".").map(Number), 24);
  message.writeUInt16BE(port, 28);
  message.writeUInt16BE(PORT, 30);
  message.writeUInt16BE(80, 32);
  let sum = 0;
  for (let at = 0; at < message.length; at += 2) sum += message.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  message.writeUInt16BE(~sum & 0xffff, 2);
  return message;
}

test("forged ICMP errors are counted, and end nothing, move nothing and lose nothing", {
  skip: !isRoot(),
}, async () => {
  await ensureCommands(["socat"]);
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await buildUplinkHosts(network);
  await using tunnel = await startUplinkTunnel(hosts, scratch.path, uplinkSetOf(2, "Failover"));
  const { box, gateway } = tunnel;
  await waitFor("the first uplink", async () => (await activeOf(box)) === FIRST.name || undefined);
  const since = (await box.tunnel())?.peers[0]?.since;
  const remote = (await gateway.tunnel())?.peers[0]?.remote ?? "";
  const port = Number(/:(\d+)$/.exec(remote)?.[1] ?? 0);
  // By a socket of its own kind: a raw one is handed every forged error too, and has no room for the echoes then.
  await hosts.box.run(["sysctl", "-qw", "net.ipv4.ping_group_range=0 0"]);
  await using stream = new PingStream(hosts.box, SEGMENT_GATEWAY, INTERVAL_SECONDS);
  for (const kind of KINDS) {
    const message = forge(kind, port);
    const many = Buffer.concat(Array.from({ length: FORGED }, () => message));
    const send = `base64 -d | socat -u -b ${message.length} STDIN IP4-SENDTO:${FIRST.box}:1`;
    await hosts.gateway.run(["sh", "-c", send], { input: many.toString("base64") });
  }
  // The queue of errors is bounded, as buffers are.
  await waitFor("both kinds counted", async () => {
    const unreachable = await count(box, "rx.icmpUnreachable");
    const tooBig = await count(box, "rx.icmpTooBig");
    return (unreachable >= FORGED && tooBig >= FORGED / 2) || undefined;
  });
  const until = stream.received + 200;
  await waitFor("echoes after it", () => Promise.resolve(stream.received >= until || undefined));
  await stream.finish();
  const counters = Object.entries((await box.tunnel())?.counters ?? {}).filter(([, n]) => n > 0);
  assert.deepEqual(stream.missing(), [], JSON.stringify(counters));
  assert.equal(await activeOf(box), FIRST.name);
  assert.equal((await box.tunnel())?.peers[0]?.since, since, "the session is the first one");
  assert.equal(await count(box, "tx.tooBig"), 0);
  assert.equal(await count(box, "tx.socketError"), 0);
});

test("a path that ICMP refuses in earnest is left for want of answers, and taken back", {
  skip: !isRoot(),
}, async () => {
  await ensureCommands(["nft"]);
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await buildUplinkHosts(network);
  await using tunnel = await startUplinkTunnel(hosts, scratch.path, uplinkSetOf(2, "Failover"));
  const { box } = tunnel;
  await waitFor("the first uplink", async () => (await activeOf(box)) === FIRST.name || undefined);
  const since = (await box.tunnel())?.peers[0]?.since;
  const table = [
    "table inet refuse {",
    "  chain input {",
    "    type filter hook input priority 0; policy accept;",
    `    iifname "${FIRST.interface}" udp dport ${PORT} reject with icmpx type host-unreachable`,
    "  }",
    "}",
  ];
  await hosts.gateway.run(["nft", "-f", "-"], { input: `${table.join("\n")}\n` });
  await waitFor("the second", async () => (await activeOf(box)) === SECOND.name || undefined);
  assert((await count(box, "rx.icmpUnreachable")) > 0);
  await hosts.gateway.run(["nft", "delete", "table", "inet", "refuse"]);
  await waitFor("the first again", async () => (await activeOf(box)) === FIRST.name || undefined);
  assert.equal((await box.tunnel())?.peers[0]?.since, since, "the session is the first one");
});
