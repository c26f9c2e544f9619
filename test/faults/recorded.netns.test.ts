/**
 * A whole session between stock OpenVPN and ours, recorded with its handshake and a key change, and
 * played back at both ends with the addresses that it had: as it was, in another order, cut, with
 * wrong bits; while the session lives, and at the one after it. Not one frame comes out that was not
 * sent, none twice, and the session stays what it is.
 */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createLink, type Link, type LinkOptions } from "../interop/links.ts";
import { IS_FULL } from "../support/full.ts";
import { UPLINK } from "../support/hosts.ts";
import type { Namespace } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { readFrames, startCapture } from "../support/pcap.ts";
import type { Program } from "../support/process.ts";
import { Scratch } from "../support/scratch.ts";
import { pause, waitFor } from "../support/wait.ts";
import { Dice } from "./dice.ts";
import { finishUdpFrame, UDP_PAYLOAD_START } from "./injector.ts";
import { Numbered } from "./numbered.ts";
import { PLAYBACK } from "./playback.ts";

/** Numbered frames each way in each of the two halves of the recording. */
const COUNT = IS_FULL ? 1000 : 150;
/** So that keys change between the halves: a key is not renewed before it is four seconds old. */
const RENEGOTIATE_SECONDS = 6;
const PER_SECOND = 1500;
const PLAYBACK_MS_MAX = 120_000;
const BRIDGE = "play";
const OWN_MAC = "020000000003";
const FRAME_BYTES_MAX = 1514;
/** Frames that the hosts' own kernels may send during a playback: neighbours, listeners' reports. */
const KERNEL_FRAMES_MAX = 60;

const CASES: readonly (LinkOptions & { readonly name: string })[] = [
  { name: "our server, stock 2.6", role: "server", release: "2.6", wrap: "tls-crypt" },
  { name: "our client, stock 2.7", role: "client", release: "2.7", wrap: "tls-crypt-v2" },
  ...(IS_FULL
    ? ([
        { name: "our server, stock 2.7", role: "server", release: "2.7", wrap: "tls-auth" },
        { name: "our client, stock 2.6", role: "client", release: "2.6", wrap: "none" },
      ] as const)
    : []),
];

suite("recorded sessions do nothing when they are played back", { concurrency: 2 }, () => {
  for (const { name, ...options } of CASES) {
    test(name, { timeout: 300_000 }, async (context) => {
      const seed = (Math.random() * 2 ** 31) | 0;
      context.diagnostic(`seed ${seed}`);
      await ensureCommands(["tcpdump"]);
      await using scratch = await Scratch.create();
      const file = scratch.file("session.pcap");
      let capture: Program | undefined;
      await using link = await createLink({
        ...options,
        transport: { renegotiateSeconds: RENEGOTIATE_SECONDS },
        prepare: async (client) => {
          const filter = "udp and port 1194";
          capture = await startCapture(client, { device: UPLINK, file, filter });
        },
      });
      await putBridge(link.third);
      await using ours = await Numbered.start(link.oursHost);
      await using stock = await Numbered.start(link.stockHost);
      const ends = { ours, stock };
      await exchange(link, ends, { first: 1, count: COUNT });
      await waitFor("a key change", async () => ((await keyIdOf(link)) ?? 0) >= 1, 40_000);
      await exchange(link, ends, { first: 10_001, count: COUNT });
      await capture?.stop();
      const frames = readFrames(file)
        .map(({ bytes }) => bytes)
        .filter((frame) => frame.length <= FRAME_BYTES_MAX);
      context.diagnostic(countsText(frames));

      const rounds = Object.entries(variants(frames, new Dice(seed)));
      for (const [round, [what, played]] of rounds.entries()) {
        const text = await playBack(link, ends, { played, first: 20_000 + round * 100 });
        context.diagnostic(`${what}: ${text}`);
      }
      await beginAnew(link);
      for (const [round, [what, played]] of rounds.entries()) {
        const text = await playBack(link, ends, { played, first: 30_000 + round * 100 });
        context.diagnostic(`to the next session, ${what}: ${text}`);
      }
    });
  }
});

/** Lets the stock end begin another session. */
async function beginAnew(link: Link): Promise<void> {
  const { since } = await stateOf(link);
  const upCount = () => link.stock.log.match(/Initialization Sequence Completed/g)?.length ?? 0;
  const before = upCount();
  link.stock.signal("SIGUSR1");
  const sinceNow = async () =>
    (await link.ours.tunnel())?.peers.find(({ state }) => state === "Up")?.since ?? since;
  await waitFor("another session", async () => (await sinceNow()) !== since, 40_000);
  await waitFor("the stock end to be up again", () => upCount() > before, 20_000);
}

/** Puts the attacker's cable into a bridge. */
async function putBridge(third: Namespace): Promise<void> {
  await third.ip(`address flush dev ${UPLINK}`);
  await third.bridge(BRIDGE, UPLINK);
}

interface Ends {
  readonly ours: Numbered;
  readonly stock: Numbered;
}

async function exchange(
  { oursAddress, stockAddress }: Link,
  { ours, stock }: Ends,
  range: { readonly first: number; readonly count: number },
): Promise<void> {
  await stock.send(ours, oursAddress, range);
  await ours.send(stock, stockAddress, range);
}

/** What is played, by what was done to it; never with the MAC address that the frames had. */
function variants(frames: readonly Buffer[], dice: Dice): Readonly<Record<string, Buffer[]>> {
  const changed = (change: (payload: Buffer) => Buffer): Buffer[] =>
    frames.map((frame) => withPayload(frame, change(Buffer.from(payloadOf(frame)))));
  return {
    "as it was": changed((payload) => payload),
    "in another order": shuffled(
      changed((payload) => payload),
      dice,
    ),
    cut: changed((payload) => payload.subarray(0, dice.below(payload.length))),
    grown: changed((payload) => Buffer.concat([payload, payload.subarray(0, 1 + dice.below(32))])),
    "with wrong bits": [
      ...changed((payload) => flipped(payload, dice)),
      ...changed((payload) => flipped(payload, dice)),
    ],
  };
}

function payloadOf(frame: Buffer): Buffer {
  return frame.subarray(UDP_PAYLOAD_START);
}

function withPayload(frame: Buffer, payload: Buffer): Buffer {
  const made = Buffer.concat([frame.subarray(0, UDP_PAYLOAD_START), payload]);
  made.write(OWN_MAC, 6, "hex");
  finishUdpFrame(made, payload.length);
  return made;
}

function flipped(payload: Buffer, dice: Dice): Buffer {
  for (let flips = 1 + dice.below(4); flips > 0; flips--) {
    const at = dice.below(payload.length);
    payload.writeUInt8(payload.readUInt8(at) ^ (1 << dice.below(8)), at);
  }
  return payload;
}

function shuffled(frames: Buffer[], dice: Dice): Buffer[] {
  for (let at = frames.length - 1; at > 0; at--) {
    const other = dice.below(at + 1);
    [frames[at], frames[other]] = [frames[other] as Buffer, frames[at] as Buffer];
  }
  return frames;
}

/** Plays frames back and looks what came of it. */
async function playBack(
  link: Link,
  ends: Ends,
  { played, first }: { readonly played: readonly Buffer[]; readonly first: number },
): Promise<string> {
  const before = await stateOf(link);
  const gotBefore = { ours: ends.ours.got.length, stock: ends.stock.got.length };
  const output = await link.third.run([process.execPath, PLAYBACK, BRIDGE, String(PER_SECOND)], {
    input: played.map((frame) => `${frame.toString("hex")}\n`).join(""),
    timeoutMs: PLAYBACK_MS_MAX,
  });
  assert.equal(Number(output), played.length, "all were put on the wire");
  await pause(300);
  assert.deepEqual(
    [ends.ours.got.length, ends.stock.got.length],
    [gotBefore.ours, gotBefore.stock],
    "no frame came out",
  );
  await exchange(link, ends, { first, count: 20 });
  for (const { got } of [ends.ours, ends.stock]) {
    assert.equal(new Set(got).size, got.length, "no number came twice");
  }
  const after = await stateOf(link);
  assert.deepEqual([after.since, after.remote], [before.since, before.remote], "the same session");
  assert.equal(after.floats, before.floats, "nobody moved it");
  const frames = after.frames - before.frames;
  assert(frames <= 20 + KERNEL_FRAMES_MAX, `${frames} frames were taken for authentic`);
  const gains = Object.entries(after.counters)
    .map(([name, value]) => [name, value - (before.counters[name] ?? 0)] as const)
    .filter(([name, gain]) => /^(rx|control)\./.test(name) && gain > 0 && name !== "rx.bytes")
    .map(([name, gain]) => `${name} ${gain}`);
  return `${played.length} played; ${gains.join(", ")}`;
}

async function keyIdOf({ ours }: Link): Promise<number | undefined> {
  return (await ours.tunnel())?.peers[0]?.key?.keyId;
}

async function stateOf({ ours }: Link) {
  const tunnel = await ours.tunnel();
  const peer = tunnel?.peers.find(({ state }) => state === "Up");
  assert(tunnel !== undefined && peer !== undefined, "the session is up");
  const { counters } = tunnel;
  const frames = (counters["rx.packets"] ?? 0) - (counters["rx.pings"] ?? 0);
  return {
    since: peer.since,
    remote: peer.remote,
    floats: counters["rx.floats"],
    frames,
    counters,
  };
}

/** How many of which kind were recorded. */
function countsText(frames: readonly Buffer[]): string {
  const counts = new Map<number, number>();
  for (const frame of frames) {
    const opcode = payloadOf(frame).readUInt8(0) >>> 3;
    counts.set(opcode, (counts.get(opcode) ?? 0) + 1);
  }
  assert((counts.get(9) ?? 0) >= COUNT * 4, "the data is in it");
  assert((counts.get(4) ?? 0) >= 8, "and the handshake");
  assert((counts.get(3) ?? 0) >= 2, "and a key change");
  const parts = [...counts].sort(([one], [other]) => one - other);
  return `recorded, by opcode: ${parts.map(([opcode, count]) => `${opcode}: ${count}`).join(", ")}`;
}
