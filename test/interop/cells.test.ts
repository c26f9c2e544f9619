import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { allCells, cellName, chosenCells, coverCells, EXCLUSIONS, pairsOf } from "./cells.ts";

test("the short run's cells cover every pair of values", () => {
  const met = new Set(coverCells().flatMap(pairsOf));
  for (const pair of new Set(allCells().flatMap(pairsOf))) assert(met.has(pair), pair);
  assert(coverCells().length >= 14);
});

test("no cell is there twice, and each has a name of its own", () => {
  for (const cells of [allCells(), coverCells()]) {
    assert.equal(new Set(cells.map(cellName)).size, cells.length);
  }
});

test("docs/interop.md is about the cells that there are", () => {
  const document = readFileSync(join(import.meta.dirname, "../../docs/interop.md"), "utf8");
  const rows = document.split("\n").filter((line) => line.startsWith("| 2."));
  assert.deepEqual(
    rows.map((row) => row.split(" | ").slice(2, 6)),
    coverCells().map(({ device, wrap, tls, cipher }) => [device, wrap, tls, cipher]),
    "run ./fairlead test interop and commit what it writes",
  );
  for (const text of EXCLUSIONS) assert(document.includes(`- ${text}\n`), text);
});

test("shares of the cells have each cell once, and text chooses by name", () => {
  const all = allCells();
  const shares = Array.from({ length: 13 }, (_, index) => chosenCells(all, `${index + 1}/13`));
  assert.deepEqual(new Set(shares.flat()), new Set(all));
  assert.equal(shares.flat().length, all.length);
  assert(shares.every((share) => share.length >= 60));
  const some = chosenCells(all, "2.7: tap, tls-crypt-v2, TLS 1.3");
  assert(
    some.length > 0 && some.every(({ release, wrap }) => release + wrap === "2.7tls-crypt-v2"),
  );
  for (const none of ["14/13", "0/13", "2.9"])
    assert.throws(() => chosenCells(all, none), RangeError);
});
