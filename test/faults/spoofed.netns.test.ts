/**
 * First packets from many thousand addresses that are not the sender's, at a server with a live
 * session whose keys change meanwhile: at 20,000 a second nothing of it is lost, at the highest rate
 * that the machine makes next to nothing, and memory is flat.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { printProfile } from "../support/fairlead-peer.ts";
import { IS_FULL } from "../support/full.ts";
import { PingStream, UPLINK } from "../support/hosts.ts";
import type { Namespace } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { startCapture } from "../support/pcap.ts";
import type { Program } from "../support/process.ts";
import { pause, waitFor } from "../support/wait.ts";
import { readCapture, rssKib, socketDrops } from "./captured.ts";
import { SPOOFER, type SpooferReport } from "./spoofer.ts";
import { createStanding, GOOD_PEER, GOOD_PORT, goodDocuments, type Standing } from "./standing.ts";
import { reset, wrapOf } from "./strangers.ts";

/** How long each attack lasts at the least: it goes on until keys have changed under it. */
const ATTACK_MS = IS_FULL ? 10_000 : 2000;
const KEY_CHANGE_MS_MAX = 40_000;
const RENEGOTIATE_SECONDS = 5;
const PACED_PER_SECOND = 20_000;
const FLAT_OUT_PER_SECOND = 1e9;
/** A thousand packets a second each way, as well as ping keeps to it on a busy machine. */
const STREAM_SECONDS = 0.001;
/** Of the live stream, at the highest rate that the machine makes. */
const LOSS_MAX = 0.001;
const RSS_GROWTH_KIB_MAX = 64 * 1024;
/** Opcodes of a client's first packet, with the key id 0. */
const RESETS = [7 << 3, 10 << 3];
const STRANGERS = 3;
const BRIDGE = "spoof";

interface Attacked extends Standing {
  readonly captured: readonly string[];
}

test("first packets from invented addresses cost a live session nothing, key changes included", {
  timeout: 180_000,
}, async (context) => {
  const seed = (Math.random() * 2 ** 31) | 0;
  context.diagnostic(`seed ${seed}`);
  await ensureCommands(["tcpdump"]);
  let capture: Program | undefined;
  await using standing = await createStanding(
    async ({ other, scratch }) => {
      const filter = `udp and dst port ${GOOD_PORT}`;
      const where = { device: UPLINK, file: scratch.file("captured.pcap"), filter };
      capture = await startCapture(other, where);
    },
    goodDocuments([GOOD_PEER], { transport: { renegotiateSeconds: RENEGOTIATE_SECONDS } }),
  );
  const { ours, other, host, third, scratch } = standing;
  await capture?.stop();
  const all = readCapture(scratch.file("captured.pcap"));
  const isReset = (hex: string) => RESETS.includes(Number.parseInt(hex.slice(0, 2), 16));
  const own = all.filter(isReset).slice(0, 1);
  assert.equal(own.length, 1, "the client's first packet was captured");
  const wrap = wrapOf(await printProfile(GOOD_PEER, standing.file, standing.place));
  // The live session's own among those of clients that have the key and are nobody yet.
  const captured = [
    ...own,
    ...Array.from({ length: STRANGERS }, () => reset(wrap).toString("hex")),
  ];
  await putBridge(third);
  // Answers go where the sources seem to be: to the attacker, which drops them.
  await host.ip("route add 198.18.0.0/15 via 192.0.2.3");
  await using stream = new PingStream(other, "10.20.0.1", STREAM_SECONDS);
  await waitFor("the live stream", () => stream.received > 100);

  const attacked = { ...standing, stream, captured };
  const paced = await attack(attacked, PACED_PER_SECOND, seed);
  context.diagnostic(paced.text);
  assert.equal(paced.lost, 0, "a session loses nothing while the process keeps up");
  const rssBefore = rssKib(ours.pid);
  const flatOut = await attack(attacked, FLAT_OUT_PER_SECOND, seed + 1);
  context.diagnostic(flatOut.text);
  const share = flatOut.lost / flatOut.pings;
  assert(share <= LOSS_MAX, `${flatOut.lost} of ${flatOut.pings} lost`);
  const rssAfter = rssKib(ours.pid);
  context.diagnostic(`RSS ${rssBefore} KiB before, ${rssAfter} KiB after`);
  assert(rssAfter - rssBefore < RSS_GROWTH_KIB_MAX, "memory does not grow with the attack");
  const tunnel = await ours.tunnel();
  assert.equal(tunnel?.peers.length, 1, "no session came of it");
  assert.equal(ours.status, undefined, "the process lives");
});

/** Puts the attacker's cable into a bridge, its address with it. */
async function putBridge(third: Namespace): Promise<void> {
  await third.ip(`address flush dev ${UPLINK}`);
  await third.bridge(BRIDGE, UPLINK);
  await third.addresses(BRIDGE, "192.0.2.3/24");
}

/** Attacks for a while and until the session's key has changed; what its stream lost meanwhile. */
async function attack(
  { ours, host, third, stream, captured }: Attacked,
  perSecond: number,
  seed: number,
): Promise<{ readonly lost: number; readonly pings: number; readonly text: string }> {
  const keyNow = async () => (await ours.tunnel())?.peers[0]?.key?.keyId;
  const drops = async () => socketDrops(await host.run(["cat", "/proc/net/udp6"]), GOOD_PORT);
  const [link] = JSON.parse(await host.ip(`-j link show ${UPLINK}`)) as [{ address: string }];
  const words = [link.address, "192.0.2.1", GOOD_PORT, perSecond, seed].map(String);
  await using spoofer = third.start([process.execPath, SPOOFER, BRIDGE, ...words]);
  const before = { counters: (await ours.tunnel())?.counters ?? {}, drops: await drops() };
  const lostBefore = stream.missing().length;
  const receivedBefore = stream.received;
  const peerBefore = await ours.waitForPeer(GOOD_PEER);
  spoofer.write(`${captured.join("\n")}\n`);
  spoofer.closeInput();
  await spoofer.waitForOutput(/ready/);
  const startMs = performance.now();
  const keyBefore = await keyNow();
  const isChanged = async () => (await keyNow()) !== keyBefore;
  await waitFor("a key change during the attack", isChanged, KEY_CHANGE_MS_MAX);
  await pause(Math.max(500, ATTACK_MS - (performance.now() - startMs)));
  const keyAfter = await keyNow();
  spoofer.signal("SIGTERM");
  assert.equal(await spoofer.waitForEnd(), 0, spoofer.output);
  const received = stream.received;
  await waitFor("the stream to flow on", () => stream.received > received + 20);
  const lost = stream.missing().length - lostBefore;
  const pings = stream.received - receivedBefore + lost;
  const after = await ours.waitForPeer(GOOD_PEER);
  assert.deepEqual([after.since, after.remote], [peerBefore.since, peerBefore.remote]);
  const { sent, seconds } = JSON.parse(spoofer.stdout.split("\n")[1] ?? "") as SpooferReport;
  const counters = (await ours.tunnel())?.counters ?? {};
  const gained = (name: string) => (counters[name] ?? 0) - (before.counters[name] ?? 0);
  const limited = gained("rx.strangerLimited");
  const overflow = (await drops()) - before.drops;
  assert(limited + overflow > sent / 2, `${limited} of ${sent} arrived: the attack is one`);
  const rate = Math.round(sent / seconds);
  const text =
    `${sent} first packets in ${seconds.toFixed(1)} s (${rate}/s): ${gained("control.greeted")} answered, ` +
    `${limited} over the rate, ${overflow} dropped by the full socket; ` +
    `${lost} of ${pings} pings lost; key id ${keyBefore} to ${keyAfter}`;
  return { lost, pings, text };
}
