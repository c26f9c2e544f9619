/**
 * Ten thousand handshakes that are begun and never ended, beside a live session: memory and the number
 * of sessions stay bounded, the session loses nothing, and somebody new still gets in.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HALF_OPEN_MAX } from "../../sidecar/limits.ts";
import { printProfile } from "../support/fairlead-peer.ts";
import { IS_FULL } from "../support/full.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import type { Program } from "../support/process.ts";
import { waitFor } from "../support/wait.ts";
import { rssKib } from "./captured.ts";
import { HALF_OPEN_CLIENTS, type HalfOpenReport } from "./half-open-clients.ts";
import { createStanding, GOOD_PEER, GOOD_PORT, goodDocuments, type Standing } from "./standing.ts";

const PER_SECOND = 2000;
/** More than may be half open at once, and enough to see that memory does not follow. */
const FIRST_COUNT = IS_FULL ? 10_000 : 500;
const SECOND_COUNT = IS_FULL ? 10_000 : HALF_OPEN_MAX + 150;
/** At a hundred a second at the most, two packets each of two hundred. */
const ATTACK_MS_MAX = SECOND_COUNT * 30 + 60_000;
const WITHOUT_END = 1e9;
const NEWCOMER = "newcomer";
/** 256 sessions of 90 kB, and what the collector has not looked at. */
const RSS_GROWTH_KIB_MAX = 96 * 1024;

test("half-open handshakes are bounded, and keep neither an old peer nor a new one out", {
  timeout: ATTACK_MS_MAX * 2 + 60_000,
}, async (context) => {
  await using standing = await createStanding(undefined, goodDocuments([GOOD_PEER, NEWCOMER]));
  const { ours, scratch, stream } = standing;
  const rssBefore = rssKib(ours.pid);
  const first = await endOf(await begin(standing, FIRST_COUNT, "first"));
  const afterFirst = (await ours.tunnel())?.counters ?? {};
  context.diagnostic(`stateless: ${text(first)}, RSS ${rssBefore} to ${rssKib(ours.pid)} KiB`);
  assert.equal(afterFirst["control.halfOpenGone"] ?? 0, 0, "an answer alone makes no session");
  assert.equal((await ours.tunnel())?.peers.length, 2);

  await using attack = await begin(standing, WITHOUT_END, "second");
  const gone = async () => (await ours.tunnel())?.counters["control.halfOpenGone"] ?? 0;
  await waitFor(
    "the places of half-open sessions to be full",
    async () => (await gone()) > 0,
    60_000,
  );
  const startMs = performance.now();
  await using newcomer = await OpenvpnPeer.start({
    namespace: standing.third,
    folder: scratch.file("newcomer"),
    config: `${await printProfile(NEWCOMER, standing.file, standing.place)}\ndev good0\n`,
  });
  await newcomer.waitUntilUp();
  const newcomerMs = performance.now() - startMs;
  assert.equal(attack.status, undefined, "the attack went on meanwhile");
  const isEnough = async () => (await gone()) >= SECOND_COUNT - HALF_OPEN_MAX;
  await waitFor("enough handshakes", isEnough, ATTACK_MS_MAX);
  attack.signal("SIGTERM");
  const second = await endOf(attack);
  const rssAfter = rssKib(ours.pid);
  const counters = (await ours.tunnel())?.counters ?? {};
  context.diagnostic(
    `with cookies: ${text(second)}, ${await gone()} gave way, the newcomer was up after ` +
      `${newcomerMs.toFixed(0)} ms, RSS ${rssAfter} KiB, ${counters["rx.strangerLimited"]} over the rate`,
  );
  assert(rssAfter - rssBefore < RSS_GROWTH_KIB_MAX, `${rssBefore} to ${rssAfter} KiB`);
  const received = stream.received;
  await waitFor("the live session to go on", () => stream.received > received + 20);
  assert.deepEqual(stream.missing(), [], "the live session lost nothing");
  assert.equal((await ours.waitForPeer(NEWCOMER)).state, "Up");
});

/** Starts clients on the host of the live session's peer, with its wrapping key. */
async function begin(
  { other, file, place }: Standing,
  count: number,
  mode: "first" | "second",
): Promise<Program> {
  const words = ["192.0.2.1", GOOD_PORT, count, PER_SECOND, mode].map(String);
  const program = other.start([process.execPath, HALF_OPEN_CLIENTS, ...words]);
  program.write(await printProfile(GOOD_PEER, file, place));
  program.closeInput();
  await program.waitForOutput(/ready/);
  return program;
}

async function endOf(program: Program): Promise<HalfOpenReport> {
  assert.equal(await program.waitForEnd(ATTACK_MS_MAX), 0, program.output);
  return JSON.parse(program.stdout.split("\n")[1] ?? "") as HalfOpenReport;
}

function text({ sent, answered, seconds }: HalfOpenReport): string {
  return `${answered} answered, ${sent} datagrams in ${seconds.toFixed(1)} s`;
}
