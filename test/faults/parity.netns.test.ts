/** Policy Fec between two programs over three uplinks that lose packets, and towards stock. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  buildUplinkHosts,
  echo,
  loseOn,
  startUplinkTunnel,
  UPLINKS,
  uplinkSetOf,
} from "../lab/uplink-hosts.ts";
import type { FairleadPeer } from "../support/fairlead-peer.ts";
import { isRoot, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

const LOSS_PERCENT = 5;
const COUNT = 2000;
/** One uplink would lose 9.75 %; a machine under load closes blocks short, which costs some. */
const LOST_PERCENT_MAX = 2;

async function counter(peer: FairleadPeer, name: string): Promise<number> {
  return (await peer.tunnel())?.counters[name] ?? 0;
}

test("most of what three uplinks lose comes back from parity, both ways", {
  skip: !isRoot(),
}, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await buildUplinkHosts(network);
  const devices = UPLINKS.map((uplink) => uplink.interface);
  for (const host of [hosts.gateway, hosts.box]) await loseOn(host, devices, LOSS_PERCENT);
  await using tunnel = await startUplinkTunnel(hosts, scratch.path, uplinkSetOf(3, "Fec"));
  await waitFor(
    "the plan and all three paths",
    async () => {
      const active = (await tunnel.gateway.tunnel())?.peers[0]?.paths?.filter(
        (path) => path.isActive,
      );
      const hasPlan = (await counter(tunnel.gateway, "rx.plans")) > 0;
      return hasPlan && active?.length === 3 ? true : undefined;
    },
    20_000,
  );
  const echoes = await echo(hosts, { count: COUNT, intervalMs: 2, bytes: 1000 });
  assert(echoes.lostPercent <= LOST_PERCENT_MAX, `${echoes.lostPercent} % lost`);
  for (const peer of [tunnel.box, tunnel.gateway]) {
    const recovered = await counter(peer, "fec.recovered");
    assert(recovered >= COUNT * 0.02, `${recovered} recovered`);
    assert.equal(await counter(peer, "fec.recoveredWrong"), 0);
    assert.equal(await counter(peer, "rx.authenticationFailed"), 0);
  }
});
