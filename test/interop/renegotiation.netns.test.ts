/** New keys every ten seconds, or more often, under a stream of a thousand packets a second. */
import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { IS_FULL } from "../support/full.ts";
import { PingStream } from "../support/hosts.ts";
import { pause } from "../support/wait.ts";
import { createLink, type LinkOptions } from "./links.ts";

/** Two renewals in the short run. */
const STREAM_MS = IS_FULL ? 120_000 : 22_000;
const RENEGOTIATE_SECONDS = 10;
/** A thousand are asked for; ping keeps to its interval as well as a busy machine lets it. */
const PINGS_PER_SECOND_MIN = 200;

interface Case extends LinkOptions {
  readonly initiator: "ours" | "stock" | "both";
}

const CASES: readonly Case[] = [
  { role: "server", release: "2.7", initiator: "both" },
  { role: "server", release: "2.6", initiator: "ours" },
  { role: "server", release: "2.7", initiator: "stock" },
  { role: "client", release: "2.7", initiator: "ours" },
  { role: "client", release: "2.6", initiator: "stock" },
];

async function losesNothing(context: TestContext): Promise<void> {
  // All at once: they sleep most of the time.
  await Promise.all(
    CASES.map(async (one) => {
      const { role, release, initiator } = one;
      const name = `our ${role}, stock ${release}, ${initiator} ${initiator === "both" ? "ask" : "asks"}`;
      await using link = await createLink({
        ...one,
        transport: { renegotiateSeconds: initiator === "stock" ? 0 : RENEGOTIATE_SECONDS },
        // Stock adds up to a tenth at random on a server; 0: never by itself.
        stockLines: [`reneg-sec ${initiator === "ours" ? 0 : RENEGOTIATE_SECONDS}`],
      });
      const { stockHost, oursHost, oursAddress, stockAddress, stock } = link;
      // Requests one way and replies the other: each ping is a packet in both directions.
      const [from, to] = role === "server" ? [stockHost, oursAddress] : [oursHost, stockAddress];
      await using stream = new PingStream(from, to, 0.001);
      await pause(STREAM_MS);
      const { sent, received } = await stream.finish();
      // The first key, and one for each renewal.
      const keys = stock.log.match(/Control Channel: TLSv/g)?.length ?? 0;
      const rate = Math.round((sent * 1000) / STREAM_MS);
      const text = `${name}: ${received} of ${sent} pings at ${rate}/s, ${keys} keys`;
      context.diagnostic(text);
      assert.equal(received, sent, `${text}; lost: ${stream.missing().join(" ")}`);
      assert(rate > PINGS_PER_SECOND_MIN, text);
      assert(keys >= 1 + Math.floor((STREAM_MS - 2000) / (RENEGOTIATE_SECONDS * 1000)), name);
    }),
  );
}

/** Packets a second; each is counted twice, as there is an answer to it. */
const LIMITED_PINGS_PER_SECOND = 200;
/** Every five seconds or so: a key is not renewed before it is four seconds old. */
const LIMITED_PACKETS = 2000;
const LIMITED_MS = IS_FULL ? 60_000 : 20_000;

const LIMITED_CASES: readonly Case[] = [
  { role: "server", release: "2.6", initiator: "ours" },
  { role: "server", release: "2.7", initiator: "stock" },
  { role: "client", release: "2.6", initiator: "stock" },
  { role: "client", release: "2.7", initiator: "ours" },
];

async function renewsByAmount(context: TestContext): Promise<void> {
  await Promise.all(
    LIMITED_CASES.map(async (one) => {
      const { role, release, initiator } = one;
      const name = `our ${role}, stock ${release}, ${initiator} asks`;
      const isOurs = initiator === "ours";
      await using link = await createLink({
        ...one,
        transport: {
          renegotiateSeconds: 0,
          // Bytes as a server, packets as a client: 150 bytes make a packet of either.
          ...(isOurs && role === "server" ? { renegotiateBytes: LIMITED_PACKETS * 150 } : {}),
          ...(isOurs && role === "client" ? { renegotiatePackets: LIMITED_PACKETS } : {}),
        },
        stockLines: ["reneg-sec 0", ...(isOurs ? [] : [`reneg-pkts ${LIMITED_PACKETS}`])],
      });
      const { stockHost, oursHost, oursAddress, stockAddress, stock, ours } = link;
      const [from, to] = role === "server" ? [stockHost, oursAddress] : [oursHost, stockAddress];
      await using stream = new PingStream(from, to, 1 / LIMITED_PINGS_PER_SECOND);
      await pause(LIMITED_MS);
      const key = (await ours.tunnel())?.peers[0]?.key;
      const { sent, received } = await stream.finish();
      const keys = stock.log.match(/Control Channel: TLSv/g)?.length ?? 0;
      const text = `${name}: ${received} of ${sent} pings, ${keys} keys`;
      context.diagnostic(text);
      assert.equal(received, sent, `${text}; lost: ${stream.missing().join(" ")}`);
      assert(keys >= 2, text);
      assert((key?.keyId ?? 0) >= 1, `${name}: status shows ${JSON.stringify(key)}`);
      // The old key's overlap is part of it: stock sends with it for a while.
      assert(key !== undefined && key.packets < sent * 2, `${name}: ${JSON.stringify(key)}`);
      if (isOurs) assert(key !== undefined && key.usedPercent > 0.1, `${JSON.stringify(key)}`);
    }),
  );
}

// Both at once: they sleep most of the time.
suite("new keys under a stream", { concurrency: 2 }, () => {
  const room = { timeout: STREAM_MS + 120_000 };
  test("renegotiation loses no packet, whoever asks for it, in both roles", room, losesNothing);
  test(
    "a key that has carried as much as was set is renewed, by either end, without loss",
    room,
    renewsByAmount,
  );
});
