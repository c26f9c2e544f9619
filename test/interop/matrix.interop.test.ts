/**
 * The interoperation matrix. Each cell connects, carries 10 MB each way, renews its keys twice
 * under a stream of pings, moves to another address where it can, and ends cleanly; the run writes
 * docs/interop.md. Cells run side by side: they wait more than they work. FAIRLEAD_CELLS chooses
 * some of them (`chosenCells`).
 */
import assert from "node:assert/strict";
import { after, suite, test } from "node:test";
import { exchange } from "../support/exchange.ts";
import { IS_FULL } from "../support/full.ts";
import { PingStream, UPLINK } from "../support/hosts.ts";
import type { Namespace } from "../support/netns.ts";
import { waitFor } from "../support/wait.ts";
import {
  allCells,
  type Cell,
  canMove,
  cellName,
  chosenCells,
  coverCells,
  formatText,
  listens,
} from "./cells.ts";
import { createLink, type Link } from "./links.ts";
import { type CellResult, writeReport } from "./report.ts";

const BYTES = 10_000_000;
/** Requests and replies: 200 packets a second each way while keys change and ends move. */
const STREAM_SECONDS = 0.005;
/**
 * Ours takes no less. Stock goes on with the old key for half of its time, in whole seconds: of 3 s
 * nothing may be left, and what it sends before this end has the new key is lost.
 */
const RENEW_SECONDS = { stock: 6, ours: 5 } as const;
const RENEWALS = 2;
/** A reply that was on its way to an address that is gone has nowhere to go. */
const FLOAT_LOSSES_MAX = 5;
/** A goodbye is heard at once; without one the other end waits for its keepalive's 5 s or more. */
const GOODBYE_MS_MAX = 2000;

const which = process.env["FAIRLEAD_CELLS"];
const every = IS_FULL ? allCells() : coverCells();
const cells = which === undefined ? every : chosenCells(every, which);
const results: CellResult[] = [];

suite("cells", { concurrency: 4 }, () => {
  for (const cell of cells) {
    test(cellName(cell), { timeout: 180_000 }, async (context) => {
      const result = { cell, version: "", isPassed: false };
      results.push(result);
      context.diagnostic(await runCell(cell, (version) => Object.assign(result, { version })));
      result.isPassed = true;
    });
  }
});

after(async () => await writeReport(results, { cells, isShort: !IS_FULL && which === undefined }));

async function runCell(cell: Cell, tellVersion: (version: string) => void): Promise<string> {
  await using link = await createLink(optionsOf(cell));
  tellVersion(assertVersion(link, cell));
  await assertAgreed(link, cell);
  const { oursHost, stockHost, oursAddress, stockAddress } = link;
  const isServer = listens(cell);
  const [from, to] = isServer ? [stockHost, oursAddress] : [oursHost, stockAddress];
  await exchange({ from: stockHost, to: oursHost, address: oursAddress, bytes: BYTES });
  await using stream = new PingStream(from, to, STREAM_SECONDS);
  await waitFor("the stream to flow", () => stream.received > 0);
  const keys = keysOf(link);
  await waitFor("two renewals", () => keysOf(link) >= keys + RENEWALS, 60_000);
  const renewed = stream.received;
  await waitFor("the stream to flow on with the new key", () => stream.received > renewed + 10);
  assert.deepEqual(stream.missing(), [], `nothing is lost: ${stream.received} pings came back`);
  const floatText = canMove(cell) ? await float(link, cell, stream) : "cannot move";
  await stream.finish();
  const goodbyeMs = cell.leaver === "ours" ? await oursLeaves(link) : await stockLeaves(link);
  assert(goodbyeMs < GOODBYE_MS_MAX, `the goodbye took ${goodbyeMs} ms`);
  return `${keysOf(link)} keys, ${renewed} pings; ${floatText}; goodbye in ${goodbyeMs.toFixed(0)} ms`;
}

function optionsOf(cell: Cell): Parameters<typeof createLink>[0] {
  const { release, role, device, wrap, tls, cipher, underlay, renewer } = cell;
  const tlsLine = tls === "1.2" ? "tls-version-max 1.2" : "tls-version-min 1.3";
  const seconds = (end: Cell["renewer"]): number => (renewer === end ? RENEW_SECONDS[end] : 0);
  return {
    release,
    role,
    device,
    wrap,
    family: underlay === "IPv6" ? 6 : 4,
    protocol: underlay === "TCP" ? "Tcp" : "Udp",
    transport: { renegotiateSeconds: seconds("ours") },
    stockLines: [tlsLine, `data-ciphers ${cipher}`, `reneg-sec ${seconds("stock")}`],
  };
}

/** The release that runs; 2.6.14 of 2.6. */
function assertVersion({ stock }: Link, { release }: Cell): string {
  const version = /OpenVPN (\d+\.\d+\.\d+)/.exec(stock.log)?.[1] ?? "";
  assert(version.startsWith(`${release}.`), `OpenVPN ${version} is not a ${release}`);
  return version;
}

async function assertAgreed(link: Link, cell: Cell): Promise<void> {
  const { tls, cipher, underlay } = cell;
  const peer = (await link.ours.tunnel())?.peers[0];
  assert.equal(peer?.state, "Up");
  assert.equal(peer.tls, `TLSv${tls}`);
  assert.equal(peer.cipher, cipher);
  assert.match(peer.remote ?? "", underlay === "IPv6" ? /^\[2001:db8::/ : /^192\.0\.2\./);
  // An end of a pair is up before its peer says so.
  await link.stock.waitForLog(/Data Channel: cipher/);
  const hasEpochs = /aead-epoch|epoch=1/.test(link.stock.log);
  assert.equal(hasEpochs ? "epoch" : "plain", formatText(cell), link.stock.log);
}

/** Keys that the stock end has had. */
function keysOf({ stock }: Link): number {
  return stock.log.match(/Control Channel: TLSv/g)?.length ?? 0;
}

/** The end that dials goes on from another address; the session stays the same. */
async function float(link: Link, cell: Cell, stream: PingStream): Promise<string> {
  const keys = keysOf(link);
  const before = (await link.ours.tunnel())?.peers[0];
  await moveHost(listens(cell) ? link.stockHost : link.oursHost, cell);
  const moved = stream.received;
  await waitFor("the stream to flow by the new address", () => stream.received > moved + 20);
  const lost = stream.missing().length;
  assert(lost <= FLOAT_LOSSES_MAX, `${lost} pings lost`);
  const after = (await link.ours.tunnel())?.peers[0];
  assert.equal(after?.since, before?.since, "the session is the same");
  if (listens(cell)) assert.match(after?.remote ?? "", /192\.0\.2\.77:|::77\]:/);
  return `moved with ${lost} lost, ${keysOf(link) - keys} renewals meanwhile`;
}

async function moveHost(host: Namespace, { underlay }: Cell): Promise<void> {
  await host.run(["sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1"]);
  const [to, from] =
    underlay === "IPv6" ? ["2001:db8::77/64", "2001:db8::2/64"] : ["192.0.2.77/24", "192.0.2.2/24"];
  await host.addresses(UPLINK, to);
  await host.ip(`address del ${from} dev ${UPLINK}`);
}

async function oursLeaves({ ours, stock, oursHost }: Link): Promise<number> {
  const startMs = performance.now();
  ours.signal("SIGTERM");
  await stock.waitForLog(/remote-exit|EXIT|exit message received/);
  const goodbyeMs = performance.now() - startMs;
  assert.equal(await ours.waitForEnd(), 0, ours.log);
  const links = await oursHost.run(["ip", "-o", "link"]);
  assert(!links.includes("seg0"), links);
  return goodbyeMs;
}

async function stockLeaves({ ours, stock }: Link): Promise<number> {
  const startMs = performance.now();
  // A handshake that was begun twice has a line of its own.
  const told = ours.log.length;
  stock.signal("SIGTERM");
  const cause = /"cause":"(peer(Left|Restarts)|connectionLost)"/;
  await waitFor(
    () => `the end of the session:\n${ours.log}`,
    () => cause.test(ours.log.slice(told)),
  );
  const goodbyeMs = performance.now() - startMs;
  const tunnel = await ours.tunnel();
  assert(!tunnel?.peers.some((peer) => peer.state === "Up"), JSON.stringify(tunnel?.peers));
  return goodbyeMs;
}
