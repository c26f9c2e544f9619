/** How much each path takes is found by probes, shown, and followed by TCP inside. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  buildUplinkHosts,
  SEGMENT_GATEWAY,
  startUplinkTunnel,
  uplinkSetOf,
} from "../lab/uplink-hosts.ts";
import type { FairleadPeer } from "../support/fairlead-peer.ts";
import { isRoot, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

const PORT = 5001;
const SERVER = `require("net").createServer((s) => s.resume()).listen(${PORT}, "${SEGMENT_GATEWAY}", () => console.log("listening"))`;
const CLIENT = `require("net").connect(${PORT}, "${SEGMENT_GATEWAY}", () => console.log("connected"))`;
/** IP bytes that the second uplink's network lets through; it says nothing of the others. */
const HOLE_BYTES = 1400;
/** IPv4 and UDP headers. */
const OUTER_BYTES = 28;
/** Around a TCP segment inside: packet id and tag, Ethernet, IPv4 and TCP. */
const INNER_BYTES = 28 + 14 + 20 + 20;
/** Timestamps, which TCP takes from its segments. */
const OPTION_BYTES = 12;

async function mtusOf(peer: FairleadPeer): Promise<readonly (number | undefined)[]> {
  return ((await peer.tunnel())?.peers[0]?.paths ?? []).map((path) => path.mtuBytes);
}

test("a path that swallows long packets is found out, and TCP inside fits what is in use", {
  skip: !isRoot(),
}, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  await using parts = new AsyncDisposableStack();
  const hosts = await buildUplinkHosts(network);
  for (const host of [hosts.gateway, hosts.box]) {
    const rules = [
      "table inet hole {",
      "  chain input {",
      "    type filter hook input priority 0; policy accept;",
      `    iifname "up1" meta length > ${HOLE_BYTES} drop`,
      "  }",
      "}",
    ];
    await host.run(["nft", "-f", "-"], { input: `${rules.join("\n")}\n` });
  }
  // The smaller path is the one in use.
  const { uplinks, ...rest } = uplinkSetOf(2, "Failover");
  const [one, two] = uplinks as { priority: number }[];
  const set = { ...rest, uplinks: [{ ...one, priority: 9 }, two] };
  await using tunnel = await startUplinkTunnel(hosts, scratch.path, set);
  const wanted = [1500 - OUTER_BYTES, HOLE_BYTES - OUTER_BYTES].join();
  await waitFor(
    () => `the sizes of both paths: ${wanted}`,
    async () => ((await mtusOf(tunnel.box)).join() === wanted ? true : undefined),
    60_000,
  );
  const isToldToo = async (): Promise<true | undefined> =>
    (await mtusOf(tunnel.gateway)).includes(HOLE_BYTES - OUTER_BYTES) ? true : undefined;
  // With the next look, ten seconds later.
  await waitFor("the same at the other end", isToldToo, 60_000);
  // What follows from it is done once a second.
  await waitFor("connections that fit", async () => {
    const server = hosts.gateway.start([process.execPath, "-e", SERVER]);
    parts.use(server);
    await server.waitForOutput(/listening/);
    const client = hosts.box.start([process.execPath, "-e", CLIENT]);
    parts.use(client);
    await client.waitForOutput(/connected/);
    const text = await hosts.box.run(["ss", "-tin", "dst", SEGMENT_GATEWAY]);
    await client.stop();
    await server.stop();
    const match = / mss:(\d+)/.exec(JSON.stringify(text));
    const mss = Number(match?.[1] ?? 0);
    const most = HOLE_BYTES - OUTER_BYTES - INNER_BYTES;
    return mss <= most && mss >= most - OPTION_BYTES ? true : undefined;
  });
  assert.equal((await tunnel.box.tunnel())?.counters["tx.overMtu"], 0);
});
