import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type IpAddress, type IpNetwork, networkRange } from "../../crds/ip-network.ts";
import { NOBODY, type PrefixRow, PrefixTable, prefixWords } from "./prefix-table.ts";

const EDGES4 = [0, 1, 8, 15, 16, 17, 30, 31, 32];
const EDGES6 = [0, 1, 31, 32, 33, 63, 64, 65, 95, 96, 97, 126, 127, 128];
const view = new DataView(new ArrayBuffer(32));

function lookup(table: PrefixTable, { family, value }: IpAddress): number {
  if (family === 4) return table.lookup4(Number(value));
  for (let byte = 0; byte < 16; byte++) {
    view.setUint8(3 + byte, Number((value >> BigInt(120 - 8 * byte)) & 255n));
  }
  return table.lookup6(view, 3);
}

/** Every prefix is tried; the longest wins, of equals the last. */
function naive(rows: readonly PrefixRow[], address: IpAddress): number {
  let best: PrefixRow | undefined;
  for (const row of rows) {
    if (row.network.address.family !== address.family) continue;
    const { first, last } = networkRange(row.network);
    if (address.value < first || address.value > last) continue;
    if (best === undefined || row.network.prefixBits >= best.network.prefixBits) best = row;
  }
  return best?.owner ?? NOBODY;
}

/** Addresses from a small set of bit patterns, so that prefixes nest and touch. */
function addresses(family: 4 | 6): fc.Arbitrary<bigint> {
  const bits = family === 4 ? 32 : 128;
  const all = (1n << BigInt(bits)) - 1n;
  const flips = fc.array(fc.integer({ min: 0, max: bits - 1 }), { maxLength: 3 });
  return fc
    .tuple(fc.constantFrom(0n, all, all >> 1n, 1n << BigInt(bits - 1)), flips)
    .map(([base, at]) => at.reduce((value, bit) => value ^ (1n << BigInt(bit)), base));
}

function networks(family: 4 | 6): fc.Arbitrary<IpNetwork> {
  const edges = family === 4 ? EDGES4 : EDGES6;
  return fc
    .tuple(addresses(family), fc.constantFrom(...edges))
    .map(([value, prefixBits]) => ({ address: { family, value }, prefixBits }));
}

for (const family of [4, 6] as const) {
  test(`IPv${family}: the same answers as trying every prefix, at and around every edge`, () => {
    const row = fc.record({ network: networks(family), owner: fc.integer({ min: -1, max: 9 }) });
    const all = (1n << (family === 4 ? 32n : 128n)) - 1n;
    fc.assert(
      fc.property(fc.array(row, { maxLength: 24 }), fc.array(addresses(family)), (rows, others) => {
        const table = new PrefixTable(prefixWords(rows));
        const edges = rows.flatMap(({ network }) => {
          const { first, last } = networkRange(network);
          return [first - 1n, first, first + 1n, last - 1n, last, last + 1n];
        });
        for (const value of [...edges, ...others, 0n, all]) {
          if (value < 0n || value > all) continue;
          const address = { family, value };
          assert.equal(lookup(table, address), naive(rows, address), `${value}`);
        }
      }),
      { numRuns: 400 },
    );
  });
}

test("without any prefix every address is nobody's", () => {
  const table = new PrefixTable(prefixWords([]));
  assert.equal(table.lookup4(0), NOBODY);
  assert.equal(table.lookup4(0xffff_ffff), NOBODY);
  assert.equal(table.lookup6(view, 0), NOBODY);
});

test("prefixes of one owner side by side take one range", () => {
  const rows = Array.from({ length: 256 }, (_, index) => ({
    network: {
      address: { family: 4 as const, value: BigInt(10 * 2 ** 24 + index * 256) },
      prefixBits: 24,
    },
    owner: 1,
  }));
  assert.equal(prefixWords(rows).starts4.length, 3);
});
