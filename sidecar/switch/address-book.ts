/**
 * Addresses under which stations can be asked whether they are still there. One invariant: it is a
 * cache: an entry may be lost to a newer one, and then its station just ages as it always did.
 */

/** Places looked at for one station. */
const WINDOW = 4;
const WORDS = 8;
const Row = { high: 0, low: 1, address4: 2, address6: 3, seen: 7 } as const;
const USED = 1 << 29;

/** The addresses of one switch's stations. */
export class AddressBook {
  /** Words of the address that `find` found. */
  readonly found: Int32Array = new Int32Array(4);
  readonly #rows: Int32Array;
  readonly #mask: number;
  readonly #seed: number;

  /** For so many rows, a power of two. */
  constructor(rowCount: number, seed: number) {
    this.#rows = new Int32Array((rowCount + WINDOW) * WORDS);
    this.#mask = rowCount - 1;
    this.#seed = seed;
  }

  /** Notes the address of a station (see `stationHigh`). */
  note(
    high: number,
    low: number,
    address: Int32Array,
    when: { family: 4 | 6; nowMs: number },
  ): void {
    // HOT PATH
    const rows = this.#rows;
    let at = this.#place(high, low);
    if (at < 0) {
      at = this.#oldest(high, low, when.nowMs);
      rows.fill(0, at, at + WORDS);
      rows[at + Row.high] = high | USED;
      rows[at + Row.low] = low | 0;
    }
    rows[at + Row.seen] = when.nowMs;
    if (when.family === 4) rows[at + Row.address4] = address[3] as number;
    else
      for (let word = 0; word < 4; word++) rows[at + Row.address6 + word] = address[word] as number;
  }

  /** Finds an address to ask a station by: 4, 6, or 0 for none; its words are in `found`. */
  find(high: number, low: number): 0 | 4 | 6 {
    const at = this.#place(high, low);
    if (at < 0) return 0;
    const rows = this.#rows;
    const address4 = rows[at + Row.address4] as number;
    if (address4 !== 0) {
      this.found.set([0, 0, 0xffff, address4]);
      return 4;
    }
    this.found.set(rows.subarray(at + Row.address6, at + Row.address6 + 4));
    return this.found[0] === 0 ? 0 : 6;
  }

  /** The first row from `row` on with an IPv4 address, which is in `found`; -1: there is none. */
  next4(row: number): number {
    for (let at = row * WORDS; at < this.#rows.length; at += WORDS) {
      const address4 = this.#rows[at + Row.address4] as number;
      if (this.#rows[at] === 0 || address4 === 0) continue;
      this.found.set([0, 0, 0xffff, address4]);
      return at / WORDS;
    }
    return -1;
  }

  #place(high: number, low: number): number {
    // HOT PATH
    const home = this.#home(high, low);
    for (let at = home; at < home + WINDOW * WORDS; at += WORDS) {
      if (this.#rows[at] === (high | USED) && this.#rows[at + Row.low] === (low | 0)) return at;
    }
    return -1;
  }

  #oldest(high: number, low: number, nowMs: number): number {
    const home = this.#home(high, low);
    let oldest = home;
    let oldestMs = -1;
    for (let at = home; at < home + WINDOW * WORDS; at += WORDS) {
      if (this.#rows[at] === 0) return at;
      const ageMs = (nowMs - (this.#rows[at + Row.seen] as number)) | 0;
      if (ageMs > oldestMs) {
        oldest = at;
        oldestMs = ageMs;
      }
    }
    return oldest;
  }

  #home(high: number, low: number): number {
    // HOT PATH
    let hash = Math.imul((low | 0) ^ this.#seed, 0x9e37_79b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ high, 0x85eb_ca77);
    return ((hash ^ (hash >>> 16)) & this.#mask) * WORDS;
  }
}
