/**
 * Addresses that were given on this segment, and who else uses one: heard in ARP and neighbour
 * discovery. One invariant: an address has one owner, a port; whoever uses it behind another port is
 * told with its MAC address, and nobody's frames are touched. While an address is only being asked
 * for, somebody else's probe for it counts as well (RFC 5227, 2.1.1).
 */

import assert from "node:assert/strict";

const ROW_WORDS = 8;
const Row = { owner: 4, isTentative: 5, isUsed: 6 } as const;

/** What was heard last, and how often since it was told. */
export interface AddressConflict {
  count: number;
  readonly address: Int32Array;
  high: number;
  low: number;
  port: number;
  owner: number;
}

interface Given {
  readonly address: Int32Array;
  readonly owner: number;
  readonly isTentative: boolean;
}

/** The addresses of one switch. */
export class AddressWatch {
  readonly conflict: AddressConflict = {
    count: 0,
    address: new Int32Array(4),
    high: 0,
    low: 0,
    port: 0,
    owner: 0,
  };
  /** How many are being asked for. */
  tentativeCount = 0;
  /** Each address by its text; the rows are made from these. */
  readonly #given = new Map<string, Given>();
  readonly #rows: Int32Array;
  readonly #mask: number;
  readonly #addressesMax: number;

  constructor(addressesMax: number) {
    assert(addressesMax > 0, "something can be watched");
    const count = 2 ** Math.ceil(Math.log2(2 * addressesMax));
    this.#rows = new Int32Array(count * ROW_WORDS);
    this.#mask = count - 1;
    this.#addressesMax = addressesMax;
  }

  get count(): number {
    return this.#given.size;
  }

  /** Watches an address from now on; false: as many as may be are watched. */
  give(address: Int32Array, owner: number, isTentative: boolean): boolean {
    const name = address.join();
    if (!this.#given.has(name) && this.#given.size === this.#addressesMax) return false;
    this.#given.set(name, { address: Int32Array.from(address), owner, isTentative });
    this.#rebuild();
    return true;
  }

  /** Nobody has the address any more. */
  forget(address: Int32Array): void {
    if (this.#given.delete(address.join())) this.#rebuild();
  }

  /** The addresses of a port that ended. */
  forgetPort(port: number): void {
    const before = this.#given.size;
    for (const [name, { owner }] of this.#given) if (owner === port) this.#given.delete(name);
    if (this.#given.size !== before) this.#rebuild();
  }

  /** A station behind a port has, or with `isProbe` would like to have, an address. */
  heard(
    address: Int32Array,
    station: { readonly high: number; readonly low: number; readonly port: number },
    isProbe: boolean,
  ): void {
    // HOT PATH
    // Addresses of another VLAN are another segment's.
    if (station.high >>> 16 !== 0) return;
    const at = this.#find(address);
    if (at < 0) return;
    const rows = this.#rows;
    if (rows[at + Row.owner] === station.port) return;
    if (isProbe && rows[at + Row.isTentative] === 0) return;
    const { conflict } = this;
    conflict.count += 1;
    for (let word = 0; word < 4; word++) conflict.address[word] = address[word] as number;
    conflict.high = station.high;
    conflict.low = station.low;
    conflict.port = station.port;
    conflict.owner = rows[at + Row.owner] as number;
  }

  #find(address: Int32Array): number {
    // HOT PATH
    const rows = this.#rows;
    for (let place = this.#home(address); ; place = (place + 1) & this.#mask) {
      const at = place * ROW_WORDS;
      if (rows[at + Row.isUsed] === 0) return -1;
      if (
        rows[at + 3] === address[3] &&
        rows[at + 2] === address[2] &&
        rows[at + 1] === address[1] &&
        rows[at] === address[0]
      ) {
        return at;
      }
    }
  }

  /** Peers come and go rarely: the rows are filled anew. */
  #rebuild(): void {
    const rows = this.#rows.fill(0);
    this.tentativeCount = 0;
    for (const { address, owner, isTentative } of this.#given.values()) {
      let place = this.#home(address);
      while (rows[place * ROW_WORDS + Row.isUsed] !== 0) place = (place + 1) & this.#mask;
      rows.set(address, place * ROW_WORDS);
      rows[place * ROW_WORDS + Row.owner] = owner;
      rows[place * ROW_WORDS + Row.isTentative] = isTentative ? 1 : 0;
      rows[place * ROW_WORDS + Row.isUsed] = 1;
      if (isTentative) this.tentativeCount += 1;
    }
  }

  #home(address: Int32Array): number {
    // HOT PATH
    let hash = 0;
    for (let word = 0; word < 4; word++) {
      hash = Math.imul(hash ^ (address[word] as number), 0x9e37_79b1);
      hash ^= hash >>> 15;
    }
    return hash & this.#mask;
  }
}
