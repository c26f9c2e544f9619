/** New keys every ten seconds, or more often, under a stream of a thousand packets a second. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PingStream } from "../support/hosts.ts";
import { pause } from "../support/wait.ts";
import { createLink, type LinkOptions } from "./links.ts";

const isFull = process.env["FAIRLEAD_FULL"] === "1";
/** Two renewals in the short run. */
const STREAM_MS = isFull ? 120_000 : 22_000;
const RENEGOTIATE_SECONDS = 10;
/** A thousand are asked for; ping keeps to its interval as well as a busy machine lets it. */
const PINGS_PER_SECOND_MIN = 200;

interface Case extends LinkOptions {
  readonly initiator: "ours" | "stock";
}

const CASES: readonly Case[] = [
  { role: "server", release: "2.6", initiator: "ours" },
  { role: "server", release: "2.7", initiator: "stock" },
  { role: "client", release: "2.7", initiator: "ours" },
  { role: "client", release: "2.6", initiator: "stock" },
];

test("renegotiation loses no packet, whoever asks for it, in both roles", {
  timeout: STREAM_MS + 120_000,
}, async (context) => {
  // All at once: they sleep most of the time.
  await Promise.all(
    CASES.map(async (one) => {
      const { role, release, initiator } = one;
      const name = `our ${role}, stock ${release}, ${initiator} asks`;
      await using link = await createLink({
        ...one,
        transport: { renegotiateSeconds: initiator === "ours" ? RENEGOTIATE_SECONDS : 0 },
        // Stock adds up to a tenth at random on a server; 0: never by itself.
        stockLines: [`reneg-sec ${initiator === "stock" ? RENEGOTIATE_SECONDS : 0}`],
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
});
