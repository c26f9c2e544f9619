/**
 * S3, the second half: who gets a group. A stock client is beside the workload, joins and leaves
 * with unmodified programs in each version of IGMP and MLD, and captures say what reached it; then
 * the same LAN with a stock OpenVPN in the middle, where a host that never joined gets everything.
 */
import { type Group, MulticastReceiver, MulticastSender } from "../support/multicast.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import { pause, waitFor } from "../support/wait.ts";
import type { FairleadSegment } from "./fairlead-segment.ts";
import { Capture, type Guest } from "./guest.ts";
import type { LabContext } from "./lab-context.ts";
import { startStockSegment } from "./stock-segment.ts";
import { buildTopology, LAB } from "./topology.ts";

const SEND_INTERVAL_MS = 5;
/** What is sent to a group that the host in question has not joined. */
const UNJOINED: readonly Group[] = [
  { family: 4, address: "239.1.3.20", port: 5120 },
  { family: 6, address: "ff15::1:320", port: 5121 },
];
/** Groups for (S,G), and a second source beside the LAN host's own address. */
const SOURCE_CASES = {
  4: { group: "232.1.1.1", source: LAB.lanHost, other: "10.20.0.8", bits: 24 },
  6: { group: "ff3e::8000:304", source: LAB.lanHost6, other: "fd20::8", bits: 64 },
} as const;
const IPERF_GROUPS = { 4: "239.1.3.9", 6: "ff15::1:309" } as const;
const LISTEN_MS = 2000;

/** One join and leave, as captures at the guest saw it. */
export interface JoinFigures {
  readonly protocol: string;
  readonly group: string;
  /** Data at the guest while only another had joined. */
  readonly framesBefore: number;
  readonly frames: number;
  readonly firstPacketMs: number;
  /** From the report of the leave to the last packet. */
  readonly stoppedAfterMs: number;
  /** What the workload, which stays, missed while the guest came and went. */
  readonly othersLost: number;
}

/** What the second half found. */
export interface GroupFigures {
  readonly joins: readonly JoinFigures[];
  /** (S,G) by smcroute: frames of the source asked for, and of the other. */
  readonly sourceFrames: number;
  readonly otherSourceFrames: number;
  /** The same by MLDv2. */
  readonly sourceFrames6: number;
  readonly otherSourceFrames6: number;
  readonly iperfBytes: number;
  readonly iperfBytes6: number;
  /** Multicast of both families at a host that never joined. */
  readonly nonMemberBytes: number;
  readonly nonMemberBytesStock: number;
  readonly sentBytes: number;
  readonly queriers: readonly string[];
  readonly pass: boolean;
}

interface JoinCase {
  readonly protocol: string;
  readonly group: Group;
  readonly force?: readonly [string, string];
}

const CASES: readonly JoinCase[] = [
  { protocol: "IGMPv3", group: { family: 4, address: "239.1.3.3", port: 5103 } },
  {
    protocol: "IGMPv2",
    group: { family: 4, address: "239.1.3.2", port: 5102 },
    force: ["net.ipv4.conf", "force_igmp_version=2"],
  },
  { protocol: "MLDv2", group: { family: 6, address: "ff15::1:302", port: 5112 } },
  { protocol: "MLDv2, ff3x", group: { family: 6, address: "ff3e::8000:303", port: 5113 } },
  {
    protocol: "MLDv1",
    group: { family: 6, address: "ff15::1:301", port: 5111 },
    force: ["net.ipv6.conf", "force_mld_version=1"],
  },
];

/** Runs it with the workload attached. */
export async function runGroups(context: LabContext, guest: Guest): Promise<GroupFigures> {
  await ensureCommands(["tcpdump", "iperf", "smcroutectl"]);
  const segment = context.segment as FairleadSegment;
  const { screen } = context;
  // Until hosts have answered the first query, groups are flooded.
  await waitFor("somebody to ask for memberships", async () =>
    ((await segment.status())?.queriers.length ?? 0) > 0 ? true : undefined,
  );
  await pause(LISTEN_MS);
  const [joins4, joins6] = await inBothFamilies((family) => joinAll(context, guest, family));
  const joins = [...joins4, ...joins6];
  const [sources, sources6] = await inBothFamilies((family) => joinSource(context, guest, family));
  for (const [name, { other, wanted }] of [
    ["IGMPv3", sources],
    ["MLDv2", sources6],
  ] as const) {
    screen.step(
      `  (S,G) by ${name}: ${wanted} frames of the source asked for, ${other} of another`,
    );
  }
  const [iperfBytes, iperfBytes6] = await inBothFamilies((family) => iperf(context, guest, family));
  const [bystander, nonMemberBytesStock] = await Promise.all([
    nonMember(context, guest),
    stockNonMember(context),
  ]);
  screen.step(
    `  a host that never joined got ${bystander.bytes} of ${bystander.sentBytes} bytes, ` +
      `${nonMemberBytesStock} with stock openvpn in the middle; iperf 2 got ${iperfBytes} and ${iperfBytes6} bytes`,
  );
  const queriers = (await segment.status())?.queriers ?? [];
  const pass =
    joins.every(isRight) &&
    sources.wanted > 0 &&
    sources.other === 0 &&
    sources6.wanted > 0 &&
    sources6.other === 0 &&
    iperfBytes > 0 &&
    iperfBytes6 > 0 &&
    bystander.bytes === 0 &&
    nonMemberBytesStock > 0;
  return {
    joins,
    sourceFrames: sources.wanted,
    otherSourceFrames: sources.other,
    sourceFrames6: sources6.wanted,
    otherSourceFrames6: sources6.other,
    iperfBytes,
    iperfBytes6,
    nonMemberBytes: bystander.bytes,
    nonMemberBytesStock,
    sentBytes: bystander.sentBytes,
    queriers: queriers.map(({ family, where }) => `${family === 4 ? "IGMP" : "MLD"}: ${where}`),
    pass,
  };
}

function isRight(figures: JoinFigures): boolean {
  const { framesBefore, frames, stoppedAfterMs, othersLost } = figures;
  return framesBefore === 0 && frames > 0 && stoppedAfterMs < 1000 && othersLost === 0;
}

/** The two families do not hear each other: what is done in one can be done in the other meanwhile. */
async function inBothFamilies<T>(work: (family: 4 | 6) => Promise<T>): Promise<[T, T]> {
  return await Promise.all([work(4), work(6)]);
}

/** The cases of one family, one after the other: an old version is forced upon the whole device. */
async function joinAll(
  context: LabContext,
  guest: Guest,
  family: 4 | 6,
): Promise<readonly JoinFigures[]> {
  const joins: JoinFigures[] = [];
  for (const one of CASES.filter(({ group }) => group.family === family)) {
    const figures = await joinAndLeave(context, guest, one);
    context.screen.step(
      `  ${one.protocol} ${one.group.address}: ${figures.framesBefore} frames before the join, first after ` +
        `${figures.firstPacketMs} ms, last ${figures.stoppedAfterMs} ms after the leave`,
    );
    joins.push(figures);
  }
  return joins;
}

/** What tcpdump calls the messages of each family's hosts. */
const REPORTS = {
  4: { join: /igmp .*report/i, leave: /igmp .*(report|leave)/i },
  6: { join: /multicast listener report/i, leave: /multicast listener (report|done)/i },
} as const;

async function joinAndLeave(
  context: LabContext,
  guest: Guest,
  one: JoinCase,
): Promise<JoinFigures> {
  const { lan, workload } = context.topology;
  const { group } = one;
  await forceVersion(guest, one, true);
  await using stays = await MulticastReceiver.start(workload, group);
  await pause(300);
  const filter = `igmp or icmp6 or host ${group.address}`;
  await using capture = await Capture.start(guest.namespace, guest.device, filter);
  await using sender = await MulticastSender.start(lan, group, SEND_INTERVAL_MS);
  await pause(LISTEN_MS / 2);
  const data = new RegExp(`> ${group.address.replaceAll(".", "\\.")}\\.${group.port}:`);
  const framesBefore = capture.matching(data).length;
  const startSeconds = Date.now() / 1000;
  let leaveSeconds: number;
  {
    await using joined = await MulticastReceiver.start(guest.namespace, group);
    await waitFor("a packet at the guest", () => joined.frames > 0 || undefined);
    await pause(LISTEN_MS / 2);
    leaveSeconds = Date.now() / 1000;
  }
  await pause(LISTEN_MS);
  await sender.finish();
  await pause(300);
  await forceVersion(guest, one, false);
  const seen = capture.matching(data);
  const report = capture
    .matching(REPORTS[group.family].join)
    .find(({ seconds }) => seconds >= startSeconds);
  const joinSeconds = report?.seconds ?? startSeconds;
  // Hosts report a leave up to a second late (RFC 3376, 5.1): what counts is when we heard it.
  const left = capture
    .matching(REPORTS[group.family].leave)
    .find(({ seconds }) => seconds >= leaveSeconds);
  const leftSeconds = left?.seconds ?? leaveSeconds;
  const first = seen.find(({ seconds }) => seconds >= joinSeconds);
  return {
    protocol: one.protocol,
    group: group.address,
    framesBefore,
    frames: seen.length,
    firstPacketMs: round(((first?.seconds ?? Number.NaN) - joinSeconds) * 1000),
    stoppedAfterMs: round(Math.max(0, (seen.at(-1)?.seconds ?? leftSeconds) - leftSeconds) * 1000),
    othersLost: sender.frames - stays.frames,
  };
}

/** Makes the guest's kernel speak the case's old version, or its own again. */
async function forceVersion(guest: Guest, one: JoinCase, isForced: boolean): Promise<void> {
  if (one.force === undefined) return;
  const [folder, setting] = one.force;
  const value = isForced ? setting : setting.replace(/=.*/, "=0");
  await guest.namespace.run(["sysctl", "-q", "-w", `${folder}.${guest.device}.${value}`]);
}

/** smcroute joins one source; a second one sends to the same group. */
async function joinSource(
  context: LabContext,
  guest: Guest,
  family: 4 | 6,
): Promise<{ readonly wanted: number; readonly other: number }> {
  const { lan } = context.topology;
  const { bits, group, other, source } = SOURCE_CASES[family];
  const socket = `/run/smcroute-${guest.namespace.name}.sock`;
  await lan.addresses(LAB.lanInterface, `${other}/${bits}`);
  const capture = await Capture.start(guest.namespace, guest.device, `udp and dst host ${group}`);
  await using _capture = capture;
  await using _daemon = guest.namespace.start([
    ...["smcrouted", "-N", "-n", "-f", "/dev/null", "-u", socket],
  ]);
  const control = ["smcroutectl", "-u", socket, "join", guest.device, source, group];
  await waitFor("smcroute's join", async () => {
    return (await guest.namespace.try(control)).status === 0 || undefined;
  });
  await pause(500);
  const bracketed = (address: string): string => (family === 4 ? address : `[${address}]`);
  const from = (address: string): readonly string[] => [
    ...["socat", "-u", "STDIN"],
    `UDP${family}-DATAGRAM:${bracketed(group)}:5200,bind=${bracketed(address)}`,
  ];
  for (let count = 0; count < 20; count++) {
    for (const address of [source, other]) {
      await lan.run(from(address), { input: "frame\n" });
    }
  }
  await pause(500);
  const sentBy = (address: string): number =>
    capture.lines.filter(({ text }) => text.includes(` ${address}.`)).length;
  return { wanted: sentBy(source), other: sentBy(other) };
}

async function iperf(context: LabContext, guest: Guest, family: 4 | 6): Promise<number> {
  const group = IPERF_GROUPS[family];
  const options = family === 4 ? ["-u"] : ["-u", "-V"];
  await using server = guest.namespace.start(["iperf", "-s", ...options, "-B", group, "-y", "C"]);
  await pause(700);
  const { lan } = context.topology;
  await lan.run(["iperf", "-c", group, ...options, "-T", "8", "-t", "2", "-b", "10M"]);
  await pause(1500);
  const fields = server.stdout.trim().split("\n").at(-1)?.split(",") ?? [];
  return Number(fields[7] ?? 0);
}

/** The workload has joined; the guest has not. */
async function nonMember(
  context: LabContext,
  guest: Guest,
): Promise<{ readonly bytes: number; readonly sentBytes: number }> {
  const { lan, workload } = context.topology;
  await using members = new AsyncDisposableStack();
  for (const group of UNJOINED) members.use(await MulticastReceiver.start(workload, group));
  await pause(300);
  return await sendUnjoined(lan, guest.namespace, guest.device);
}

/** The same with stock OpenVPN at all places; its workload is the one that never joined. */
async function stockNonMember(context: LabContext): Promise<number> {
  await using scratch = await Scratch.create();
  await using network = await Network.create();
  const topology = await buildTopology(network);
  await using segment = await startStockSegment(topology, scratch.path);
  context.screen.step("  the same with stock openvpn in the middle");
  await segment.attachWorkload({ multicastRoutes: false });
  await topology.workload.waitForInterface(LAB.workloadInterface);
  await pause(1000);
  const { lan, workload } = topology;
  return (await sendUnjoined(lan, workload, LAB.workloadInterface)).bytes;
}

/** What a host gets of the groups that it has not joined, and what was sent. */
async function sendUnjoined(
  lan: Namespace,
  host: Namespace,
  device: string,
): Promise<{ readonly bytes: number; readonly sentBytes: number }> {
  const filter = UNJOINED.map(({ address }) => `dst host ${address}`).join(" or ");
  await using capture = await Capture.start(host, device, `udp and (${filter})`);
  await using senders = new AsyncDisposableStack();
  const running = [];
  for (const group of UNJOINED) {
    running.push(senders.use(await MulticastSender.start(lan, group, SEND_INTERVAL_MS)));
  }
  await pause(LISTEN_MS);
  for (const sender of running) await sender.finish();
  await pause(300);
  const sentBytes = running.reduce((sum, { frames }) => sum + bytesSent(lan.label, frames), 0);
  return { bytes: bytesIn(capture), sentBytes };
}

/** UDP payload of the numbered lines that a `MulticastSender` sends. */
function bytesSent(label: string, frames: number): number {
  let bytes = 0;
  for (let number = 1; number <= frames; number++) bytes += `${label} ${number}\n`.length;
  return bytes;
}

/** UDP payload of the captured datagrams. */
function bytesIn(capture: Capture): number {
  return capture.lines.reduce(
    (sum, { text }) => sum + Number(/length (\d+)/.exec(text)?.[1] ?? 0),
    0,
  );
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
