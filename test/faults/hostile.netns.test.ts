/** A million datagrams that nobody should send, at a server with a live session. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { COUNTERS } from "../../sidecar/counters.ts";
import { PingStream, UPLINK } from "../support/hosts.ts";
import { ensureCommands } from "../support/packages.ts";
import { startCapture } from "../support/pcap.ts";
import type { Program } from "../support/process.ts";
import { pause, waitFor } from "../support/wait.ts";
import { ATTACKER } from "./attacker.ts";
import { readCapture, rssKib, socketDrops } from "./captured.ts";
import { createStanding, GOOD_PEER, GOOD_PORT, type Standing } from "./standing.ts";

const PACED = { count: 200_000, perSecond: 20_000 };
/** As fast as it goes. */
const FLAT_OUT = { count: 800_000, perSecond: 1e9 };
/** A thousand packets a second each way, as well as ping keeps to it on a busy machine. */
const STREAM_SECONDS = 0.001;
/** Of the live stream, at the highest rate that the machine makes. */
const LOSS_MAX = 0.001;
const RSS_GROWTH_KIB_MAX = 64 * 1024;
/** The session's own keepalives that may be among what a full socket drops, one a second. */
const KEEPALIVES_LOST_MAX = 30;

/** Where a datagram that carries nothing ends up: each has exactly one of these. */
const ENDS: readonly string[] = COUNTERS.filter(({ name, unit, description }) => {
  const isArrival = name.startsWith("rx.") || name.startsWith("control.");
  return isArrival && unit === "packets" && /dropped|refused|answered/.test(description);
}).map(({ name }) => name);

test("a million hostile datagrams are counted, crash nothing and cost no session", {
  timeout: 180_000,
}, async (context) => {
  const seed = (Math.random() * 2 ** 31) | 0;
  context.diagnostic(`seed ${seed}`);
  await ensureCommands(["tcpdump"]);
  let capture: Program | undefined;
  await using standing = await createStanding(async ({ other, scratch }) => {
    const filter = `udp and dst port ${GOOD_PORT}`;
    const where = { device: UPLINK, file: scratch.file("captured.pcap"), filter };
    capture = await startCapture(other, where);
  });
  const { ours, other, scratch } = standing;
  await waitFor("enough captured packets", () => standing.stream.received > 40);
  await capture?.stop();
  const captured = readCapture(scratch.file("captured.pcap"));
  context.diagnostic(`${captured.length} captured datagrams to mutate`);
  const before = await ours.waitForPeer(GOOD_PEER);
  await using stream = new PingStream(other, "10.20.0.1", STREAM_SECONDS);
  await waitFor("the live stream", () => stream.received > 100);

  const lostPaced = await attack({ ...standing, stream }, { ...PACED, seed, captured });
  context.diagnostic(lostPaced.text);
  assert.equal(lostPaced.lost, 0, "a session loses nothing while the process keeps up");

  const rssBefore = rssKib(ours.pid);
  const flatOut = await attack({ ...standing, stream }, { ...FLAT_OUT, seed: seed + 1, captured });
  context.diagnostic(flatOut.text);
  assert(flatOut.lost <= flatOut.pings * LOSS_MAX, `${flatOut.lost} of ${flatOut.pings} lost`);
  const rssAfter = rssKib(ours.pid);
  context.diagnostic(`RSS ${rssBefore} KiB before, ${rssAfter} KiB after`);
  assert(rssAfter - rssBefore < RSS_GROWTH_KIB_MAX, "memory does not grow with the attack");

  assert.equal(ours.status, undefined, "the process lives");
  const after = await ours.waitForPeer(GOOD_PEER);
  assert.deepEqual(
    [after.since, after.port],
    [before.since, before.port],
    "it is the same session",
  );
  assert.equal(after.remote, before.remote, "nobody moved it");
  const received = stream.received;
  await waitFor("the session to flow on", () => stream.received > received + 20, 5000);
  const lines = ours.log.split("\n").length;
  assert(lines < 100, `${lines} lines of log: one per cause and minute is right`);
});

interface AttackOptions {
  readonly count: number;
  readonly perSecond: number;
  readonly seed: number;
  readonly captured: readonly string[];
}

/** Attacks, waits until all is counted, checks the sum; how many pings were lost meanwhile. */
async function attack(
  { ours, host, third, stream }: Standing,
  { count, perSecond, seed, captured }: AttackOptions,
): Promise<{ readonly lost: number; readonly pings: number; readonly text: string }> {
  const total = async (): Promise<number> => {
    const counters = (await ours.tunnel())?.counters ?? {};
    const dropped = await host.run(["cat", "/proc/net/udp6"]);
    return ENDS.reduce((sum, name) => sum + (counters[name] ?? 0), socketDrops(dropped, GOOD_PORT));
  };
  const countersBefore = (await ours.tunnel())?.counters ?? {};
  const dropsBefore = socketDrops(await host.run(["cat", "/proc/net/udp6"]), GOOD_PORT);
  const before = await total();
  const lostBefore = stream.missing().length;
  const receivedBefore = stream.received;
  const words = ["192.0.2.1", GOOD_PORT, count, perSecond, seed].map(String);
  const output = await third.run([process.execPath, ATTACKER, ...words], {
    input: `${captured.join("\n")}\n`,
    timeoutMs: 120_000,
  });
  const { sent, seconds } = JSON.parse(output) as { sent: number; seconds: number };
  let now = 0;
  await waitFor(
    () => `all of ${sent} to be counted; ${now - before} are`,
    async () => {
      now = await total();
      return now - before >= sent;
    },
  );
  await pause(200);
  const surplus = (await total()) - before - sent;
  const drops = socketDrops(await host.run(["cat", "/proc/net/udp6"]), GOOD_PORT) - dropsBefore;
  const received = stream.received;
  await waitFor("a ping's answer", () => stream.received > received);
  const lost = stream.missing().length - lostBefore;
  // A full socket drops the session's own packets as well: its pings and keepalives.
  const ownMax = drops === 0 ? 0 : lost + KEEPALIVES_LOST_MAX;
  assert(surplus <= ownMax, `every datagram is counted once: ${surplus} too many, ${lost} lost`);
  const counters = (await ours.tunnel())?.counters ?? {};
  const shares = ENDS.map(
    (name) => [name, (counters[name] ?? 0) - (countersBefore[name] ?? 0)] as const,
  )
    .filter(([, share]) => share > 0)
    .map(([name, share]) => `${name} ${share}`);
  const rate = Math.round(sent / seconds);
  const text = `${sent} datagrams in ${seconds.toFixed(1)} s (${rate}/s): ${shares.join(", ")}; ${drops} dropped by the full socket; ${lost} of the session's pings lost`;
  return { lost, pings: received - receivedBefore + lost, text };
}
