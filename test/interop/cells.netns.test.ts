import assert from "node:assert/strict";
import { test } from "node:test";
import { exchange } from "../support/exchange.ts";
import { ping } from "../support/hosts.ts";
import { allCells, CELLS, type Cell, COLUMNS, cellName } from "./cells.ts";
import { createLink, type Link } from "./links.ts";

const BYTES = 400_000;
/** A goodbye is heard at once; without one the other end waits for its keepalive's 5 s or more. */
const GOODBYE_MS_MAX = 2000;
const isFull = process.env["FAIRLEAD_FULL"] === "1";

test("the cells cover every pair of values", () => {
  const valuesOf = (cell: Cell): readonly unknown[] => Object.values(cell);
  COLUMNS.forEach((column, first) => {
    COLUMNS.forEach((other, second) => {
      if (second <= first) return;
      for (const one of column) {
        for (const two of other) {
          const isMet = CELLS.some(
            (cell) => valuesOf(cell)[first] === one && valuesOf(cell)[second] === two,
          );
          assert(isMet, `no cell has ${one} and ${two}`);
        }
      }
    });
  });
});

for (const cell of isFull ? allCells() : CELLS) {
  test(cellName(cell), { timeout: 90_000 }, async (context) => {
    const { release, role, wrap, tls, family, cipher } = cell;
    const tlsLine = tls === "1.2" ? "tls-version-max 1.2" : "tls-version-min 1.3";
    await using link = await createLink({
      release,
      role,
      wrap,
      family,
      stockLines: [tlsLine, `data-ciphers ${cipher}`],
    });
    await assertAgreed(link, cell);
    for (const [from, address] of [
      [link.oursHost, link.stockAddress],
      [link.stockHost, link.oursAddress],
    ] as const) {
      assert.deepEqual(await ping(from, address), { sent: 3, received: 3 });
    }
    const { oursHost, stockHost, oursAddress } = link;
    await exchange({ from: stockHost, to: oursHost, address: oursAddress, bytes: BYTES });
    const goodbyeMs = cell.leaver === "ours" ? await oursLeaves(link) : await stockLeaves(link);
    context.diagnostic(`goodbye heard after ${goodbyeMs.toFixed(0)} ms`);
    assert(goodbyeMs < GOODBYE_MS_MAX, `the goodbye took ${goodbyeMs} ms`);
  });
}

async function assertAgreed(link: Link, { release, tls, cipher, family }: Cell): Promise<void> {
  assert.match(link.stock.log, new RegExp(`OpenVPN ${release}`));
  const peer = (await link.ours.tunnel())?.peers[0];
  assert.equal(peer?.state, "Up");
  assert.equal(peer.tls, `TLSv${tls}`);
  assert.equal(peer.cipher, cipher);
  assert.match(peer.remote ?? "", family === 4 ? /^192\.0\.2\./ : /^\[2001:db8::/);
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
  stock.signal("SIGTERM");
  await ours.waitForLog(/"cause":"peer(Left|Restarts)"/);
  const goodbyeMs = performance.now() - startMs;
  const tunnel = await ours.tunnel();
  assert(!tunnel?.peers.some((peer) => peer.state === "Up"), JSON.stringify(tunnel?.peers));
  return goodbyeMs;
}
