/**
 * What status says of each path, from packets that a real network loses: whom copies saved, what parity made
 * again, how long round trips are, and what changed last.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PathStatus } from "../../sidecar/control/status.ts";
import {
  buildUplinkHosts,
  loseOn,
  SEGMENT_GATEWAY,
  startUplinkTunnel,
  UPLINKS,
  uplinkSetOf,
} from "../lab/uplink-hosts.ts";
import type { FairleadPeer } from "../support/fairlead-peer.ts";
import { PingStream } from "../support/hosts.ts";
import { isRoot, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

const [FIRST, SECOND] = UPLINKS;
const LOSS_PERCENT = 30;
/** A path that loses so much stays in use. */
const PROBE = { maxLossPercent: 100 };
const ENOUGH = 10;
const PATIENCE_MS = 60_000;

async function pathOf(peer: FairleadPeer, text: string): Promise<PathStatus | undefined> {
  const paths = (await peer.tunnel())?.peers[0]?.paths ?? [];
  return paths.find(({ remote, uplink }) => uplink === text || remote.startsWith(`${text}:`));
}

async function bothActive(peer: FairleadPeer): Promise<true | undefined> {
  const paths = (await peer.tunnel())?.peers[0]?.paths ?? [];
  return paths.filter(({ isActive }) => isActive).length === 2 ? true : undefined;
}

test("what a path saved, brought twice and made again is counted for it", {
  skip: !isRoot(),
}, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const hosts = await buildUplinkHosts(network);
  const copies = { ...uplinkSetOf(2, "Duplicate"), probe: PROBE };
  await using tunnel = await startUplinkTunnel(hosts, scratch.path, copies);
  const { box, gateway } = tunnel;
  await waitFor("both paths in use", () => bothActive(gateway));
  await loseOn(hosts.gateway, [FIRST.interface], LOSS_PERCENT);
  await using _stream = new PingStream(hosts.box, SEGMENT_GATEWAY, 0.02);
  const whole = await waitFor(
    "packets that the second path alone brought",
    async () => {
      const path = await pathOf(gateway, SECOND.box);
      return (path?.savedPackets ?? 0) >= ENOUGH ? path : undefined;
    },
    PATIENCE_MS,
  );
  const losing = await pathOf(gateway, FIRST.box);
  const saved = losing?.savedPackets ?? -1;
  assert(saved >= 0 && saved < ENOUGH, `the one that loses saves nobody: ${saved}`);
  assert((whole.duplicatePackets ?? 0) + (losing?.duplicatePackets ?? 0) > 0, "copies");
  assert((whole.bytesIn ?? 0) > 0 && (whole.packetsOut ?? 0) > 0);
  assert.equal(whole.recoveredPackets, 0);

  const near = await pathOf(box, FIRST.name);
  assert((near?.rttMsP99 ?? -1) >= (near?.rttMsP50 ?? 0), "round trips of the dialling end");
  assert(near?.lastChange !== undefined && Date.parse(near.lastChange.at) > 0);

  await tunnel.change({ ...uplinkSetOf(2, "Fec"), probe: PROBE });
  await waitFor(
    "packets that parity made again",
    async () => {
      const paths = (await gateway.tunnel())?.peers[0]?.paths ?? [];
      const recovered = paths.reduce((sum, path) => sum + (path.recoveredPackets ?? 0), 0);
      return recovered >= ENOUGH ? true : undefined;
    },
    PATIENCE_MS,
  );
  const status = await gateway.tunnel();
  const recovered = status?.counters["fec.recovered"] ?? 0;
  const paths = status?.peers[0]?.paths ?? [];
  const sum = paths.reduce((total, path) => total + (path.recoveredPackets ?? 0), 0);
  assert(sum > 0 && sum <= recovered, `${sum} of ${recovered}`);
  const lost = status?.counters["fec.unrecoverable"] ?? 0;
  assert((status?.peers[0]?.unrecoverablePackets ?? -1) <= lost);
});
