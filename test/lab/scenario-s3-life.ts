/**
 * S3, the third part: what happens to a segment in daily life. A receiver's host moves to another
 * place, the gateway is restarted under a receiver that goes on, and programs as Debian ships them
 * use the segment: Avahi across it both ways, a DHCP server on the LAN, a client beside stock OpenVPN.
 */
import assert from "node:assert/strict";
import { type Group, MulticastReceiver, MulticastSender } from "../support/multicast.ts";
import type { Namespace, Network } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { pause, waitFor } from "../support/wait.ts";
import { type FairleadSegment, tapOf } from "./fairlead-segment.ts";
import { Capture, type Guest } from "./guest.ts";
import type { LabContext } from "./lab-context.ts";
import { Avahi } from "./mdns.ts";
import { LAB } from "./topology.ts";

const SEND_INTERVAL_MS = 5;
const SERVICE_PORT = 4711;
const MOVE_GROUP: Group = { family: 4, address: "239.1.3.30", port: 5130 };
const FAILOVER_GROUP: Group = { family: 4, address: "239.1.3.31", port: 5131 };
/** A move to another peer may take as long as a leave. */
const STOP_MS_MAX = 1000;

/** What the third part found. */
export interface LifeFigures {
  /** The receiver's host leaves one peer and is heard behind another. */
  readonly move: {
    /** From the first frame at the new place to the group's first packet there. */
    readonly firstPacketMs: number;
    /** From there to the last packet at the old place. */
    readonly oldPlaceStoppedAfterMs: number;
  };
  /** A gateway that comes back asks: nobody joins again by hand. */
  readonly failover: {
    /** From the workload's new session to the group's first packet. */
    readonly firstPacketMs: number;
    /** At the guest, which never joined, once memberships are known again. */
    readonly nonMemberFrames: number;
  };
  /** From the browser's start to the service, resolved; null: never found. */
  readonly mdnsLanToWorkloadMs: number | null;
  readonly mdnsWorkloadToLanMs: number | null;
  /** What a client beside stock OpenVPN got of the LAN's DHCP server. */
  readonly dhcpAddress: string;
  readonly pass: boolean;
}

/** Runs it with the workload attached; the gateway is another process afterwards. */
export async function runLife(
  context: LabContext,
  guest: Guest,
  { network, folder }: { readonly network: Network; readonly folder: string },
): Promise<LifeFigures> {
  await ensureCommands(["busybox", "dnsmasq"]);
  const { screen, topology } = context;
  const mdns = await discover(context, folder);
  screen.step(
    `  Avahi: the LAN's service found after ${mdns.toWorkload} ms, the workload's after ${mdns.toLan} ms`,
  );
  const dhcpAddress = await leaseBeside(topology.lan, guest);
  screen.step(`  DHCP across the segment: ${dhcpAddress}`);
  const move = await moveReceiver(context, network, guest);
  screen.step(
    `  a receiver that moved: first packet after ${move.firstPacketMs} ms, last at its old place after ${move.oldPlaceStoppedAfterMs} ms`,
  );
  const failover = await restartGateway(context, guest);
  screen.step(
    `  gateway restarted: first packet ${failover.firstPacketMs} ms after the new session, ${failover.nonMemberFrames} frames at a non-member`,
  );
  const pass =
    mdns.toWorkload !== undefined &&
    mdns.toLan !== undefined &&
    dhcpAddress === DHCP_ADDRESS &&
    move.oldPlaceStoppedAfterMs < STOP_MS_MAX &&
    Number.isFinite(move.firstPacketMs) &&
    failover.nonMemberFrames === 0;
  return {
    move,
    failover,
    mdnsLanToWorkloadMs: mdns.toWorkload ?? null,
    mdnsWorkloadToLanMs: mdns.toLan ?? null,
    dhcpAddress,
    pass,
  };
}

/** A service on each side, a browser on the other. */
async function discover(
  { topology }: LabContext,
  folder: string,
): Promise<{ readonly toWorkload: number | undefined; readonly toLan: number | undefined }> {
  const { lan, workload } = topology;
  await using onLan = await Avahi.start(lan, LAB.lanInterface, folder);
  await using onWorkload = await Avahi.start(workload, LAB.workloadInterface, folder);
  await using _first = onLan.publish("on-lan", SERVICE_PORT);
  await using _second = onWorkload.publish("on-workload", SERVICE_PORT);
  return {
    toWorkload: await onWorkload.find("on-lan", lan.label, SERVICE_PORT),
    toLan: await onLan.find("on-workload", workload.label, SERVICE_PORT),
  };
}

const DHCP_ADDRESS = "10.20.0.77";

/** A client beside the stock OpenVPN asks the LAN's server. */
async function leaseBeside(lan: Namespace, guest: Guest): Promise<string> {
  await using server = lan.start([
    ...[
      "dnsmasq",
      "--no-daemon",
      "--port=0",
      `--interface=${LAB.lanInterface}`,
      "--bind-interfaces",
    ],
    ...[`--dhcp-range=${DHCP_ADDRESS},${DHCP_ADDRESS},255.255.255.0,1h`, "--leasefile-ro"],
    ...["--user=root", "--conf-file=/dev/null", "--pid-file="],
  ]);
  await server.waitForOutput(/DHCP, IP range/);
  const { stdout, stderr } = await guest.namespace.try([
    ...["busybox", "udhcpc", "-n", "-q", "-f", "-i", guest.device, "-s", "/bin/true", "-t", "5"],
  ]);
  return /lease of ([\d.]+) obtained/.exec(stdout + stderr)?.[1] ?? "none";
}

/**
 * A host with the receiver hangs on the LAN behind the box; then its cable is put into a bridge at
 * the guest, with its MAC address and its program. The workload sends.
 */
async function moveReceiver(
  context: LabContext,
  network: Network,
  guest: Guest,
): Promise<LifeFigures["move"]> {
  const { box, workload } = context.topology;
  const rover = await network.namespace("rover");
  const mac = "02:00:00:00:07:07";
  const plug = async (at: Namespace, port: string, bridge: string): Promise<void> => {
    await network.cable(
      { namespace: rover, interface: "eth0" },
      { namespace: at, interface: port },
    );
    await rover.ip(`link set eth0 address ${mac}`);
    await rover.addresses("eth0", "10.20.0.9/24");
    await rover.ip("route replace 224.0.0.0/4 dev eth0");
    await at.ip(`link set ${port} master ${bridge}`);
  };
  await guest.namespace.bridge("side", guest.device);
  await plug(box, "rover0", LAB.boxBridge);
  await using oldPlace = await Capture.start(box, await tapOf(box), `host ${MOVE_GROUP.address}`);
  const data = new RegExp(`> ${MOVE_GROUP.address.replaceAll(".", "\\.")}\\.${MOVE_GROUP.port}:`);
  await using sender = await MulticastSender.start(workload, MOVE_GROUP, SEND_INTERVAL_MS);
  await using former = await MulticastReceiver.start(rover, MOVE_GROUP);
  await waitFor("packets at the first place", () => former.frames > 20 || undefined);
  // Without a leave: the cable is pulled under the running program.
  await rover.ip("link delete eth0");
  await plug(guest.namespace, "rover1", "side");
  await using newPlace = await Capture.start(
    guest.namespace,
    "rover1",
    `igmp or host ${MOVE_GROUP.address}`,
  );
  await using receiver = await MulticastReceiver.start(rover, MOVE_GROUP);
  await waitFor("packets at the second place", () => receiver.frames > 20 || undefined);
  const joined = newPlace.matching(/igmp .*report/).find(({ text }) => text.includes("10.20.0.9"));
  const first = newPlace.matching(data)[0];
  await pause(STOP_MS_MAX + 1500);
  await sender.finish();
  const old = oldPlace.matching(data);
  assert(old.length > 20, "packets crossed the tunnel to the first place");
  const lastOld = old.at(-1)?.seconds ?? 0;
  const joinedSeconds = joined?.seconds ?? first?.seconds ?? 0;
  return {
    firstPacketMs: Math.max(0, Math.round(((first?.seconds ?? Number.NaN) - joinedSeconds) * 1000)),
    oldPlaceStoppedAfterMs: Math.max(0, Math.round((lastOld - joinedSeconds) * 1000)),
  };
}

/** The receiver at the workload goes on while the gateway is another process. */
async function restartGateway(context: LabContext, guest: Guest): Promise<LifeFigures["failover"]> {
  const segment = context.segment as FairleadSegment;
  const { lan, workload } = context.topology;
  await using receiver = await MulticastReceiver.start(workload, FAILOVER_GROUP);
  await using sender = await MulticastSender.start(lan, FAILOVER_GROUP, SEND_INTERVAL_MS);
  await waitFor("packets before the restart", () => receiver.frames > 20 || undefined);
  await segment.restartGateway();
  const upMs = performance.now();
  const before = receiver.frames;
  await waitFor("packets after the restart", () => receiver.frames > before || undefined, 30_000);
  const firstPacketMs = Math.round(performance.now() - upMs);
  // Until hosts have answered the first query, groups are flooded.
  await waitFor(
    "memberships to be known",
    async () => {
      const groups = (await segment.status())?.groups ?? [];
      return (
        groups.some(
          ({ group, joinedBy }) => group === FAILOVER_GROUP.address && joinedBy.length > 0,
        ) || undefined
      );
    },
    30_000,
  );
  await pause(3000);
  const filter = `udp and dst host ${FAILOVER_GROUP.address}`;
  await using capture = await Capture.start(guest.namespace, guest.device, filter);
  await pause(1000);
  await sender.finish();
  return { firstPacketMs, nonMemberFrames: capture.lines.length };
}
