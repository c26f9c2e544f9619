/** OpenVPN's --fragment with stock at the other end, in both roles, tap and tun. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exchange } from "../support/exchange.ts";
import type { Namespace } from "../support/netns.ts";
import { createLink } from "./links.ts";

const BYTES = 200_000;
const FRAGMENT_BYTES = 700;
const LINES = [`fragment ${FRAGMENT_BYTES}`, "mssfix 0"];

/** Echoes as long as the tunnel's MTU; every one is in pieces both ways. */
async function pingBig(from: Namespace, address: string): Promise<void> {
  const command = [
    "ping",
    "-nq",
    "-W",
    "2",
    "-c",
    "20",
    "-i",
    "0.05",
    "-s",
    "1472",
    "-M",
    "do",
    address,
  ];
  const { stdout } = await from.try(command, { timeoutMs: 60_000 });
  assert.match(stdout, /20 packets transmitted, 20 received/);
}

for (const [release, role, device] of [
  ["2.6", "server", "tap"],
  ["2.6", "client", "tun"],
  ["2.7", "server", "tun"],
  ["2.7", "client", "tap"],
] as const) {
  const we = role === "server" ? "our server" : "our client";
  test(`${we} and stock ${release} over ${device} with fragment`, async () => {
    await using link = await createLink({
      release,
      role,
      device,
      transport: role === "server" ? { fragmentBytes: FRAGMENT_BYTES, mssFixBytes: 0 } : {},
      stockLines: role === "server" ? [] : LINES,
      profileLines: LINES,
    });
    const { oursHost, stockHost, ours } = link;
    await pingBig(oursHost, link.stockAddress);
    await pingBig(stockHost, link.oursAddress);
    await exchange({ from: stockHost, to: oursHost, address: link.oursAddress, bytes: BYTES });
    const counters = (await ours.tunnel())?.counters ?? {};
    assert((counters["tx.fragments"] ?? 0) >= 120, JSON.stringify(counters));
    assert((counters["rx.fragments"] ?? 0) >= 120);
    assert.equal(counters["rx.fragmentMalformed"], 0);
    assert.equal(counters["rx.fragmentLost"], 0);
    const sent = await stockHost.run(["ip", "-s", "-j", "link", "show", "up0"]);
    assert.equal(JSON.parse(sent)[0].stats64.rx.errors, 0);
  });
}
