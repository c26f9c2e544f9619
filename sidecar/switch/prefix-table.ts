/**
 * Whose an address is: prefixes of both families, the longest match wins. One invariant: the
 * prefixes are cut once into ranges that do not overlap, in order, so a look-up is one binary
 * search and allocates nothing. Of IPv4 it goes over the ranges in the address's /16 only: 8 steps
 * with 256 networks of /24 there, however many there are elsewhere; of IPv6 over all: 15 with 16,384.
 *
 * RFC 4632, 5.1 (longest match). The ranges are plain words: they go to another thread as they are.
 */

import assert from "node:assert/strict";
import { type IpNetwork, networkRange } from "../../crds/ip-network.ts";

/** The owner of an address in no prefix. */
export const NOBODY = -1;

/** One prefix and the number of its owner, 0 or more, or NOBODY to take it out of a longer one. */
export interface PrefixRow {
  readonly network: IpNetwork;
  readonly owner: number;
}

/** The first address of each range, and whose it is: four words each for IPv6. */
export interface PrefixWords {
  readonly starts4: Uint32Array;
  readonly owners4: Int32Array;
  readonly starts6: Uint32Array;
  readonly owners6: Int32Array;
}

/** Cuts prefixes into ranges; of two equal prefixes the later one counts. */
export function prefixWords(rows: readonly PrefixRow[]): PrefixWords {
  const ranges4 = rangesOf(rows, 4);
  const ranges6 = rangesOf(rows, 6);
  return {
    starts4: Uint32Array.from(ranges4, ({ start }) => Number(start)),
    owners4: Int32Array.from(ranges4, ({ owner }) => owner),
    starts6: Uint32Array.from(
      ranges6.flatMap(({ start }) => [96n, 64n, 32n, 0n].map((shift) => wordAt(start, shift))),
    ),
    owners6: Int32Array.from(ranges6, ({ owner }) => owner),
  };
}

/** The look-ups. */
export class PrefixTable {
  readonly #starts4: Uint32Array;
  readonly #owners4: Int32Array;
  readonly #starts6: Uint32Array;
  readonly #owners6: Int32Array;
  /** The range of the first address of each /16, and behind the last one the last range. */
  readonly #firsts4: Int32Array = new Int32Array(2 ** 16 + 1);

  constructor(words: PrefixWords) {
    this.#starts4 = words.starts4;
    this.#owners4 = words.owners4;
    this.#starts6 = words.starts6;
    this.#owners6 = words.owners6;
    assert(this.#owners4.length > 0 && this.#starts4[0] === 0, "every IPv4 address has a range");
    assert(this.#owners6.length > 0, "every IPv6 address has a range");
    assert(this.#starts4.length === this.#owners4.length, "an owner for each IPv4 range");
    assert(this.#starts6.length === 4 * this.#owners6.length, "an owner for each IPv6 range");
    this.#fillFirsts();
  }

  #fillFirsts(): void {
    const starts = this.#starts4;
    let range = 0;
    for (let top = 0; top < 2 ** 16; top++) {
      while (range + 1 < starts.length && (starts[range + 1] as number) <= top * 2 ** 16) range++;
      this.#firsts4[top] = range;
    }
    this.#firsts4[2 ** 16] = starts.length - 1;
  }

  /** Whose the IPv4 address is; `address` is unsigned. */
  lookup4(address: number): number {
    // HOT PATH
    const starts = this.#starts4;
    const top = address >>> 16;
    let low = this.#firsts4[top] as number;
    let high = this.#firsts4[top + 1] as number;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((starts[middle] as number) <= address) low = middle;
      else high = middle - 1;
    }
    return this.#owners4[low] as number;
  }

  /** Whose the IPv6 address at `at` is. */
  lookup6(view: DataView, at: number): number {
    // HOT PATH
    const starts = this.#starts6;
    const a = view.getUint32(at);
    const b = view.getUint32(at + 4);
    const c = view.getUint32(at + 8);
    const d = view.getUint32(at + 12);
    let low = 0;
    let high = this.#owners6.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      const word = middle * 4;
      let order = (starts[word] as number) - a;
      if (order === 0) order = (starts[word + 1] as number) - b;
      if (order === 0) order = (starts[word + 2] as number) - c;
      if (order === 0) order = (starts[word + 3] as number) - d;
      if (order <= 0) low = middle;
      else high = middle - 1;
    }
    return this.#owners6[low] as number;
  }
}

interface Range {
  readonly start: bigint;
  readonly owner: number;
}

function rangesOf(rows: readonly PrefixRow[], family: 4 | 6): Range[] {
  const sorted = rows
    .filter(({ network }) => network.address.family === family)
    .map(({ network, owner }) => ({ ...networkRange(network), owner }))
    .sort((a, b) => compare(a.first, b.first) || compare(b.last, a.last));
  const last = (1n << (family === 4 ? 32n : 128n)) - 1n;
  /** The prefixes that the sweep is inside of, the longest last. */
  const open: { readonly last: bigint; readonly owner: number }[] = [{ last, owner: NOBODY }];
  const ranges: Range[] = [{ start: 0n, owner: NOBODY }];
  const closeBefore = (address: bigint): void => {
    for (let inner = open.at(-1); inner !== undefined && inner.last < address; ) {
      open.pop();
      ranges.push({ start: inner.last + 1n, owner: open.at(-1)?.owner ?? NOBODY });
      inner = open.at(-1);
    }
  };
  for (const row of sorted) {
    closeBefore(row.first);
    ranges.push({ start: row.first, owner: row.owner });
    open.push(row);
  }
  closeBefore(last);
  return merged(ranges);
}

/** Of ranges with one start the last counts; neighbours of one owner are one. */
function merged(ranges: readonly Range[]): Range[] {
  const distinct = ranges.filter(({ start }, index) => ranges[index + 1]?.start !== start);
  return distinct.filter(({ owner }, index) => distinct[index - 1]?.owner !== owner);
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function wordAt(value: bigint, shift: bigint): number {
  return Number((value >> shift) & 0xffff_ffffn);
}
