/**
 * What a copy costs: processor time of both ends for each packet of a steady UDP stream, over one, two and
 * three uplinks with Duplicate. Sealing is done once whatever the copies, so the difference is what the
 * kernel and the socket take, and at the far end a look at the replay window.
 *
 *     node test/bench/copies-micro.ts [SECONDS]
 */
import {
  buildUplinkHosts,
  SEGMENT_GATEWAY,
  startUplinkTunnel,
  UPLINKS,
  type UplinkHosts,
  uplinkSetOf,
} from "../lab/uplink-hosts.ts";
import { Network } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import { pause, waitFor } from "../support/wait.ts";
import { cpuSecondsOf } from "./measure.ts";

const SECONDS_DEFAULT = 8;
const PAYLOAD_BYTES = 1200;
const MBITS = 100;

/** Microseconds of processor time for each packet of the stream. */
interface CopyCost {
  readonly copies: number;
  readonly packets: number;
  readonly sendingUs: number;
  readonly receivingUs: number;
}

const seconds = Number(process.argv[2] ?? SECONDS_DEFAULT);
await ensureCommands(["iperf3"]);
await using scratch = await Scratch.create();
await using network = await Network.create();
const hosts = await buildUplinkHosts(network);
const costs: CopyCost[] = [];
for (const copies of UPLINKS.keys()) costs.push(await costOf(hosts, copies + 1));
process.stdout.write(`${JSON.stringify(costs)}\n`);

async function costOf({ box, gateway }: UplinkHosts, copies: number): Promise<CopyCost> {
  const set = uplinkSetOf(copies, copies === 1 ? "Failover" : "Duplicate");
  await using tunnel = await startUplinkTunnel({ box, gateway }, scratch.path, set);
  await waitFor("all paths in use", async () => {
    const paths = (await tunnel.box.tunnel())?.peers[0]?.paths ?? [];
    return paths.filter(({ isActive }) => isActive).length === copies;
  });
  await using server = gateway.start(["iperf3", "-s", "-1", "--forceflush"]);
  await server.waitForOutput(/listening on/, 10_000);
  const sizes = ["-l", String(PAYLOAD_BYTES), "-b", `${MBITS}M`];
  const client = box.start([
    "iperf3",
    "-u",
    "-c",
    SEGMENT_GATEWAY,
    "-t",
    String(seconds + 3),
    ...sizes,
  ]);
  await using _client = client;
  // Compilers and caches are warm after a moment.
  await pause(2000);
  const before = await Promise.all([tunnel.box.tunnel(), tunnel.gateway.tunnel()]);
  const start = [cpuSecondsOf(tunnel.box.pid), cpuSecondsOf(tunnel.gateway.pid)];
  await pause(seconds * 1000);
  const end = [cpuSecondsOf(tunnel.box.pid), cpuSecondsOf(tunnel.gateway.pid)];
  const after = await Promise.all([tunnel.box.tunnel(), tunnel.gateway.tunnel()]);
  const packets = (after[0]?.tap.packetsIn ?? 0) - (before[0]?.tap.packetsIn ?? 0);
  const perPacketUs = (at: number): number => {
    return Math.round((((end[at] ?? 0) - (start[at] ?? 0)) / packets) * 1e8) / 100;
  };
  return { copies, packets, sendingUs: perPacketUs(0), receivingUs: perPacketUs(1) };
}
