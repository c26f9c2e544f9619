/**
 * S2: the learning switch. First stock OpenVPN in the middle: a station that is known only by a
 * permanent ARP entry is never reached. Then ours: it is reached with the first frame; a storm from
 * one peer leaves the others' pings alone; a host that bridges the LAN a second time is shut out.
 */
import { ping } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import { stormCommand } from "../support/storm.ts";
import { pause, waitFor } from "../support/wait.ts";
import type { FairleadSegment } from "./fairlead-segment.ts";
import { Guest } from "./guest.ts";
import type { LabContext } from "./lab-context.ts";
import { startStockSegment } from "./stock-segment.ts";
import { buildTopology, LAB, type Topology } from "./topology.ts";

/** The quiet hosts, and how the workload's own address in their network is found. */
const QUIET = {
  4: { address: "10.20.0.9", bits: 24, near: /(10\.20\.0\.\d+)\// },
  6: { address: "fd20::9", bits: 64, near: /(fd20::[0-9a-f:]+)\// },
} as const;
const PINGS = 10;
const STORM_MS = 4000;
/** Frames of 1,400 bytes. */
const STORM_PAYLOAD_BYTES: number = 1400 - 14 - 28;
/** What went round is still in the queues of stock clients: so long they may take to run dry. */
const DRAIN_MS_MAX = 20_000;

/** The figures of one run; the last line of the lab's output. */
export interface S2Result {
  readonly scenario: "S2";
  readonly peer: string;
  /** Echoes to the quiet station, of `sent`. */
  readonly sent: number;
  readonly frames: number;
  readonly framesStock: number;
  /** The same by IPv6 and a permanent neighbour entry. */
  readonly frames6: number;
  readonly framesStock6: number;
  readonly stormSentFrames: number;
  readonly stormDroppedFrames: number;
  readonly stormPingsSent: number;
  readonly stormPingsLost: number;
  /** From the loop's first frame to the port shut; absent: no loop was seen. */
  readonly loopShutMs: number | undefined;
  /** From there to the first echo: what went round is in the queues of the stock clients. */
  readonly loopDrainedMs: number | undefined;
  /** Of 20, from that echo on. */
  readonly pingsLostAfterLoop: number;
  readonly pass: boolean;
}

/** Runs the scenario. */
export async function runS2(
  context: LabContext,
  network: Network,
  folder: string,
): Promise<S2Result> {
  const { screen, topology } = context;
  const segment = context.segment as FairleadSegment;
  screen.step("S2, broken first: stock openvpn in the middle, a station that has never spoken");
  const stock = await stockQuiet();
  screen.step(`  ${stock.ipv4} and ${stock.ipv6} of ${PINGS} echoes each by IPv4 and IPv6`);
  screen.step("S2, right: the same station behind our switch");
  await context.attach({ multicastRoutes: true });
  const right = await quietEchoes(network, topology);
  screen.step(`  ${right.ipv4} and ${right.ipv6} of ${PINGS} echoes each by IPv4 and IPv6`);
  await using guest = await Guest.start(network, topology, {
    folder,
    profile: await segment.guestProfile(),
  });
  const storm = await runStorm(context, segment, guest);
  screen.step(
    `  storm: ${storm.sent} frames sent, ${storm.dropped} dropped, ${storm.pingsLost} of ${storm.pingsSent} pings lost`,
  );
  const loop = await closeLoop(network, context, guest);
  screen.step(
    `  loop: shut after ${loop.shutMs} ms, queues dry after ${loop.drainedMs} ms more, then ${loop.pingsLost} pings lost`,
  );
  const isLoopShut = loop.shutMs !== undefined && loop.shutMs < 1000 && loop.pingsLost === 0;
  return {
    scenario: "S2",
    peer: context.peer,
    sent: PINGS,
    frames: right.ipv4,
    framesStock: stock.ipv4,
    frames6: right.ipv6,
    framesStock6: stock.ipv6,
    stormSentFrames: storm.sent,
    stormDroppedFrames: storm.dropped,
    stormPingsSent: storm.pingsSent,
    stormPingsLost: storm.pingsLost,
    loopShutMs: loop.shutMs,
    loopDrainedMs: loop.drainedMs,
    pingsLostAfterLoop: loop.pingsLost,
    pass:
      stock.ipv4 + stock.ipv6 === 0 &&
      right.ipv4 === PINGS &&
      right.ipv6 === PINGS &&
      storm.dropped > 0 &&
      storm.pingsLost === 0 &&
      isLoopShut,
  };
}

interface Echoes {
  readonly ipv4: number;
  readonly ipv6: number;
}

async function quietEchoes(network: Network, topology: Topology): Promise<Echoes> {
  // A host for each family: the second one is as unknown as the first was.
  const ipv4 = await echoesOf(network, topology, 4);
  return { ipv4, ipv6: await echoesOf(network, topology, 6) };
}

/** A host on the LAN that sends nothing by itself and is known by permanent entries only. */
async function echoesOf(network: Network, topology: Topology, family: 4 | 6): Promise<number> {
  const { box, workload } = topology;
  const quiet = await network.namespace(`quiet${family}`);
  await quiet.run(["sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1"]);
  const port = `quiet${family}`;
  await network.cable({ namespace: quiet, interface: "eth0" }, { namespace: box, interface: port });
  await box.ip(`link set ${port} master ${LAB.boxBridge}`);
  await quiet.ip("link set eth0 arp off");
  const { address, bits } = QUIET[family];
  if (family === 6) await silenceIpv6(quiet);
  await quiet.addresses("eth0", `${address}/${bits}`);
  const device = LAB.workloadInterface;
  const shown = await workload.run(["ip", `-${family}`, "-br", "address", "show", device]);
  const [, workloadAddress = ""] = QUIET[family].near.exec(shown) ?? [];
  const workloadMac = await macOf(workload, device);
  const quietMac = await macOf(quiet, "eth0");
  await quiet.ip(`neigh replace ${workloadAddress} lladdr ${workloadMac} dev eth0 nud permanent`);
  await workload.ip(`neigh replace ${address} lladdr ${quietMac} dev ${device} nud permanent`);
  const { received } = await ping(workload, address, { count: PINGS });
  return received;
}

/** Answers echoes and says nothing else: no solicitation, no report of its groups. */
async function silenceIpv6(quiet: Namespace): Promise<void> {
  await ensureCommands(["nft"]);
  const rule = "icmpv6 type != echo-reply drop";
  const table = `table ip6 quiet { chain out { type filter hook output priority 0; ${rule}; }; }\n`;
  await quiet.run(["nft", "-f", "-"], { input: table });
  await quiet.run(["sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=0"]);
}

async function stockQuiet(): Promise<Echoes> {
  await using scratch = await Scratch.create();
  await using network = await Network.create();
  const topology = await buildTopology(network);
  await using segment = await startStockSegment(topology, scratch.path);
  await segment.attachWorkload({ multicastRoutes: false });
  await topology.workload.waitForUsableAddresses(LAB.workloadInterface);
  await waitFor("the stock segment to carry unicast", async () => {
    const { received } = await ping(topology.workload, LAB.lanHost, { count: 1 });
    return received > 0 || undefined;
  });
  return await quietEchoes(network, topology);
}

async function macOf(namespace: Namespace, device: string): Promise<string> {
  return (await namespace.run(["cat", `/sys/class/net/${device}/address`])).trim();
}

/** The guest sends 1,400-byte broadcasts as fast as it can, the workload pings the LAN. */
async function runStorm(
  context: LabContext,
  segment: FairleadSegment,
  guest: Guest,
): Promise<{ sent: number; dropped: number; pingsSent: number; pingsLost: number }> {
  const { workload } = context.topology;
  const dropped = async (): Promise<number> =>
    (await segment.status())?.counters["switch.stormBroadcast"] ?? 0;
  const droppedBefore = await dropped();
  const before = (await guest.namespace.interfaceCounters()).get(guest.device)?.sentFrames ?? 0;
  const storm = stormCommand("10.20.0.255", guest.device, STORM_PAYLOAD_BYTES);
  await using _storm = guest.namespace.start(storm);
  await pause(500);
  const count = STORM_MS / 50;
  const echoes = await ping(workload, LAB.lanHost, { count, intervalSeconds: 0.05 });
  const after = (await guest.namespace.interfaceCounters()).get(guest.device)?.sentFrames ?? 0;
  return {
    sent: after - before,
    dropped: (await dropped()) - droppedBefore,
    pingsSent: echoes.sent,
    pingsLost: echoes.sent - echoes.received,
  };
}

/** The guest bridges its tap with the LAN that the box bridges already. */
async function closeLoop(
  network: Network,
  context: LabContext,
  guest: Guest,
): Promise<{
  readonly shutMs: number | undefined;
  readonly drainedMs: number | undefined;
  readonly pingsLost: number;
}> {
  const { box, workload, lan } = context.topology;
  const segment = context.segment as FairleadSegment;
  await network.cable(
    { namespace: guest.namespace, interface: "lan0" },
    { namespace: box, interface: "lan2" },
  );
  await guest.namespace.bridge("loop", guest.device, "lan0");
  await box.ip(`link set lan2 master ${LAB.boxBridge}`);
  const startMs = performance.now();
  await using _broadcast = lan.start(["ping", "-c1", "-W1", "-b", "10.20.0.255"]);
  const shutMs = await waitFor(
    "the loop to be shut",
    async () => {
      const shut = (await segment.status())?.shut ?? [];
      return shut.length > 0 ? Math.round(performance.now() - startMs) : undefined;
    },
    5_000,
  ).catch(() => undefined);
  const shut = (await segment.status())?.shut ?? [];
  context.screen.step(`  shut: ${shut.join(", ")}`);
  const shutAtMs = performance.now();
  const drainedMs = await waitFor(
    "an echo once the loop is shut",
    async () => {
      const { received } = await ping(workload, LAB.lanHost, { count: 1 });
      return received > 0 ? Math.round(performance.now() - shutAtMs) : undefined;
    },
    DRAIN_MS_MAX,
  ).catch(() => undefined);
  const echoes = await ping(workload, LAB.lanHost, { count: 20, intervalSeconds: 0.05 });
  return { shutMs, drainedMs, pingsLost: echoes.sent - echoes.received };
}
