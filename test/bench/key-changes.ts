/**
 * What a change of keys does to a stream of a thousand packets a second: both ends' interfaces and the
 * wire between them are captured with the kernel's times. A gap is the time between two arrivals less
 * the time between their departures, so that neither the sender's unevenness nor its pauses count.
 * Gaps around the moments at which an end asks for a new key or begins to send with one are compared
 * with gaps of windows as long in between, where the machine alone is to blame, and with those of two stock ends.
 */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { PingStream, UPLINK } from "../support/hosts.ts";
import { ensureCommands } from "../support/packages.ts";
import { type CapturedFrame, readFrames, startCapture } from "../support/pcap.ts";
import { Scratch } from "../support/scratch.ts";
import { pause, waitFor } from "../support/wait.ts";
import { type KeyChangeCase, openEnds } from "./key-change-ends.ts";

/** What was seen of one case. */
export interface KeyChangeFigures {
  readonly sent: number;
  readonly lost: number;
  /** Moments at which an end asked for a new key, or began to send with one. */
  readonly moments: number;
  readonly gapMsP50: number;
  readonly gapMsP99: number;
  readonly gapMsMax: number;
  /** Of windows as long without a change. */
  readonly quietMsP50: number;
  readonly quietMsP99: number;
}

const STREAM_SECONDS = 0.001;
/** Either side of the moment. */
const WINDOW_MS = 250;
/** A frame header, an IP header and an ICMP echo's first 8 bytes. */
const SNAP = { ip: 14, icmp: 34, sequence: 40, echo: 42 } as const;
const UDP_PAYLOAD = 42;
const DATA_V2 = 9;
const SOFT_RESET = 3;

/** Every pair of ends with each initiator, and stock with itself before them. */
export const KEY_CHANGE_CASES: readonly KeyChangeCase[] = [
  ...(["2.6", "2.7"] as const).map((release) => ({
    name: `stock ${release} with itself, both ask`,
    release,
    ours: "neither" as const,
    initiator: "both" as const,
  })),
  ...(["server", "client"] as const).flatMap((ours) =>
    (["2.6", "2.7"] as const).flatMap((release) =>
      (["ours", "stock", "both"] as const).map((initiator) => ({
        name: `our ${ours}, stock ${release}, ${initiator} ${initiator === "both" ? "ask" : "asks"}`,
        release,
        ours,
        initiator,
      })),
    ),
  ),
];

/** Streams for so many seconds and looks at each change of keys. */
export async function measureKeyChanges(
  wish: KeyChangeCase,
  seconds: number,
): Promise<KeyChangeFigures> {
  await ensureCommands(["tcpdump", "ping"]);
  await using stack = new AsyncDisposableStack();
  const scratch = stack.use(await Scratch.create());
  const { near, far, devices, address } = await openEnds(wish, stack);
  const file = (what: string): string => join(scratch.path, `${what}.pcap`);
  const capture = async (host: typeof near, what: string, device: string, filter: string) =>
    await startCapture(host, { device, file: file(what), filter });
  let lost = 0;
  {
    await using _near = await capture(near, "near", devices.near, "icmp");
    await using _far = await capture(far, "far", devices.far, "icmp");
    await using _wire = await capture(near, "wire", UPLINK, "udp port 1194");
    await using stream = new PingStream(near, address, STREAM_SECONDS);
    await waitFor("the stream", () => stream.received > 100, 20_000);
    await pause(seconds * 1000);
    lost = stream.missing().length;
    await stream.finish();
  }
  const [nearFrames, farFrames, wireFrames] = [
    readFrames(file("near")),
    readFrames(file("far")),
    readFrames(file("wire")),
  ];
  for (const what of ["near", "far", "wire"]) await rm(file(what));
  const lines = [
    lineOf(nearFrames, farFrames, "request"),
    lineOf(farFrames, nearFrames, "reply"),
  ] as const;
  return { ...figuresOf(lines, momentsOf(wireFrames)), lost };
}

/** Departures and arrivals of one direction, in order; what was not captured twice is NaN. */
interface Line {
  readonly departMs: readonly number[];
  readonly arriveMs: readonly number[];
}

function lineOf(
  from: readonly CapturedFrame[],
  to: readonly CapturedFrame[],
  kind: "request" | "reply",
): Line {
  const type = kind === "request" ? 8 : 0;
  const echoes = (frames: readonly CapturedFrame[]): Map<number, number> => {
    let highest = 0;
    const times = new Map<number, number>();
    for (const { timeMs, bytes } of frames) {
      if (bytes.length < SNAP.echo || bytes.readUInt8(SNAP.icmp) !== type) continue;
      // Numbers on the wire have 16 bits: here they go on counting.
      highest += ((bytes.readUInt16BE(SNAP.sequence) - highest) << 16) >> 16;
      times.set(highest, timeMs);
    }
    return times;
  };
  const arrivals = echoes(to);
  const departures = [...echoes(from)];
  return {
    departMs: departures.map(([, timeMs]) => timeMs),
    arriveMs: departures.map(([number]) => arrivals.get(number) ?? Number.NaN),
  };
}

/** When an end asked for another key, and when its data packets were first of another key. */
function momentsOf(wire: readonly CapturedFrame[]): readonly number[] {
  const keys = new Map<number, number>();
  const moments: number[] = [];
  for (const { timeMs, bytes } of wire) {
    if (bytes.length <= UDP_PAYLOAD) continue;
    const first = bytes.readUInt8(UDP_PAYLOAD);
    if (first >>> 3 === SOFT_RESET) moments.push(timeMs);
    if (first >>> 3 !== DATA_V2) continue;
    const sender = bytes.readUInt32BE(SNAP.ip + 12);
    const known = keys.get(sender);
    if (known !== undefined && known !== (first & 7)) moments.push(timeMs);
    keys.set(sender, first & 7);
  }
  return moments;
}

function figuresOf(
  lines: readonly Line[],
  moments: readonly number[],
): Omit<KeyChangeFigures, "lost"> {
  const sent = lines.reduce((sum, { departMs }) => sum + departMs.length, 0);
  const first = Math.min(...lines.map(({ departMs }) => departMs[0] ?? Infinity));
  const last = Math.max(...lines.map(({ departMs }) => departMs.at(-1) ?? 0));
  const inside = moments.filter((at) => at > first + WINDOW_MS && at < last - WINDOW_MS);
  const quiet: number[] = [];
  for (let at = first + WINDOW_MS; at < last - WINDOW_MS; at += 2 * WINDOW_MS) {
    if (moments.every((one) => Math.abs(one - at) > 2 * WINDOW_MS)) quiet.push(at);
  }
  const gapsAt = (list: readonly number[]): number[] =>
    list.map((at) => Math.max(...lines.map((line) => longestGap(line, at)))).sort((a, b) => a - b);
  const gaps = gapsAt(inside);
  const quietGaps = gapsAt(quiet);
  return {
    sent,
    moments: inside.length,
    gapMsP50: quantile(gaps, 0.5),
    gapMsP99: quantile(gaps, 0.99),
    gapMsMax: quantile(gaps, 1),
    quietMsP50: quantile(quietGaps, 0.5),
    quietMsP99: quantile(quietGaps, 0.99),
  };
}

/** The most that two neighbours of a line came further apart than they left, around a moment. */
function longestGap({ departMs, arriveMs }: Line, at: number): number {
  let longest = 0;
  let before = -1;
  for (const [index, leftMs] of departMs.entries()) {
    const cameMs = arriveMs[index] as number;
    if (Number.isNaN(cameMs) || Math.abs(leftMs - at) > WINDOW_MS) continue;
    if (before >= 0) {
      const apart = cameMs - (arriveMs[before] as number);
      longest = Math.max(longest, apart - (leftMs - (departMs[before] as number)));
    }
    before = index;
  }
  return longest;
}

/** Of sorted values, rounded to hundredths. */
function quantile(sorted: readonly number[], share: number): number {
  assert(sorted.length > 0, "keys have changed");
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
  return Number(value.toFixed(2));
}
