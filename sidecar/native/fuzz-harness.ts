/**
 * A lane for throwing rubbish at: memory with canaries around every view and a shadow of the slab.
 * One invariant: after a call only the bytes that rows granted to it may differ from the shadow.
 */

import assert from "node:assert/strict";
import { DESCRIPTOR_WORDS, PathWord, Word } from "./layout.ts";
import { type Lane, laneOpen } from "./native.ts";

/** Bytes in front of and behind each view. */
const GUARD_BYTES = 4096;
const SLAB_BYTES = 32_768;
/** Whole rows of each table; half a row stands behind them. */
export const FUZZ_ROWS = 40;
const TABLE_WORDS = FUZZ_ROWS * DESCRIPTOR_WORDS + DESCRIPTOR_WORDS / 2;
const CANARY = 0xa5;
const CANARY_WORD = 0xa5a5a5a5 | 0;

/** Numbers at the edges of what a call may take, and far beyond. */
export const EDGES: readonly number[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -0,
  0.5,
  -1,
  0,
  1,
  2,
  7,
  8,
  39,
  40,
  41,
  255,
  256,
  257,
  4095,
  4096,
  32_767,
  32_768,
  65_535,
  65_536,
  2 ** 30,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  -(2 ** 31) - 1,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  Number.MAX_VALUE,
];

/** What sealing adds at most: opcode, epoch packet id and tag. */
const SEALED_BYTES_MAX = 28;

/** Bytes of the slab. */
interface Span {
  readonly start: number;
  readonly length: number;
}

/** A small generator (mulberry32), so that a seed repeats a run. */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A table of words in the middle of canaries. */
class GuardedTable {
  readonly #all: Int32Array;
  readonly view: Int32Array;

  constructor() {
    const bytes = TABLE_WORDS * 4 + 2 * GUARD_BYTES;
    this.#all = new Int32Array(new SharedArrayBuffer(bytes)).fill(CANARY_WORD);
    this.view = new Int32Array(this.#all.buffer, GUARD_BYTES, TABLE_WORDS);
  }

  check(): void {
    const first = GUARD_BYTES / 4;
    const limit = first + FUZZ_ROWS * DESCRIPTOR_WORDS;
    for (let word = 0; word < this.#all.length; word++) {
      if (word === first) word = limit;
      if (this.#all[word] !== CANARY_WORD) assert.fail(`a word outside the table: ${word}`);
    }
  }
}

/** The lane, its memory and the random choices about them. */
export class FuzzHarness {
  readonly random: () => number;
  readonly received: GuardedTable = new GuardedTable();
  readonly arrivals: GuardedTable = new GuardedTable();
  readonly frames: GuardedTable = new GuardedTable();
  readonly orders: GuardedTable = new GuardedTable();
  readonly writes: GuardedTable = new GuardedTable();
  readonly paths: GuardedTable = new GuardedTable();
  readonly lane: Lane;
  /** How often a number is rubbish; changes from filling to filling. */
  rubbish = 0.4;
  readonly #memory: Uint8Array;
  readonly #shadow: Uint8Array;

  constructor(seed: number) {
    this.random = generator(seed);
    this.#memory = new Uint8Array(new SharedArrayBuffer(SLAB_BYTES + 2 * GUARD_BYTES));
    this.#memory.fill(CANARY);
    this.#shadow = this.#memory.slice();
    this.lane = laneOpen({
      slab: new Uint8Array(this.#memory.buffer, GUARD_BYTES, SLAB_BYTES),
      received: this.received.view,
      arrivals: this.arrivals.view,
      frames: this.frames.view,
      orders: this.orders.view,
      writes: this.writes.view,
      paths: this.paths.view,
    });
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  /** An edge, or any 32 bits, or a number that is probably right. */
  number(usual: number): number {
    const choice = this.random();
    if (choice < this.rubbish * 0.7) return EDGES[this.below(EDGES.length)] ?? 0;
    if (choice < this.rubbish) return (this.random() * 2 ** 32) | 0;
    return this.below(usual);
  }

  /** Fills the rows of a table with words that are mostly right, with rubbish among them. */
  fill(table: GuardedTable): void {
    for (let row = 0; row < FUZZ_ROWS; row++) {
      const at = row * DESCRIPTOR_WORDS;
      for (let word = 0; word < DESCRIPTOR_WORDS; word++) {
        table.view[at + word] = this.number(10);
      }
      table.view[at + Word.start] = this.number(SLAB_BYTES - 2048);
      table.view[at + Word.length] = this.number(2048);
      table.view[at + Word.copy] = this.below(2) * this.number(SLAB_BYTES - 2048);
      table.view[at + Word.path] = this.number(FUZZ_ROWS);
      table.view[at + Word.key] = this.number(4) - 1;
      table.view[at + Word.generation] = this.number(2);
      table.view[at + Word.verdict] = this.number(2);
      table.view[at + Word.port] = this.number(2);
    }
  }

  /** Fills the path table; what it names stays on the loopback or in documentation addresses. */
  fillPaths(port: number): void {
    const words = this.paths.view;
    for (let row = 0; row < FUZZ_ROWS; row++) {
      const at = row * DESCRIPTOR_WORDS;
      for (let word = 0; word < DESCRIPTOR_WORDS; word++) words[at + word] = this.number(3);
      const isV4 = this.random() < 0.7;
      const ip = isV4 ? [0, 0, 0xffff, 0x7f000001] : [0x20010db8, this.below(9), 0, 1];
      for (let part = 0; part < 4; part++) words[at + PathWord.remoteIp + part] = ip[part] ?? 0;
      if (this.random() > this.rubbish) words[at + PathWord.remotePort] = port;
      if (this.random() > this.rubbish) words.fill(0, at + PathWord.localIp, at + PathWord.socket);
    }
  }

  /**
   * Calls, then checks that nothing changed outside of what rows `first` to `first + count - 1`
   * of `table` granted before the call.
   */
  guarded(table: GuardedTable, rows: { first: number; count: number }, call: () => number): number {
    const granted: Span[] = [];
    const last = Math.min(FUZZ_ROWS, rows.first + rows.count);
    for (let row = Math.max(0, rows.first); row < last; row++) {
      const start = table.view[row * DESCRIPTOR_WORDS + Word.start] ?? 0;
      const length = table.view[row * DESCRIPTOR_WORDS + Word.length] ?? 0;
      const isInside = start >= 0 && length >= 0 && start + length <= SLAB_BYTES;
      if (isInside) granted.push({ start, length });
    }
    return this.#compared(granted, call);
  }

  /** As `guarded`, for orders: a sealed packet may be put into the slab where its row says so. */
  sealing(count: number, call: () => number): number {
    const granted: Span[] = [];
    for (let row = 0; row < Math.min(FUZZ_ROWS, count); row++) {
      const at = row * DESCRIPTOR_WORDS;
      const start = this.orders.view[at + Word.copy] ?? 0;
      const length = this.orders.view[at + Word.length] ?? 0;
      if (start !== 0 && length >= 0) granted.push({ start, length: length + SEALED_BYTES_MAX });
    }
    return this.#compared(granted, call);
  }

  #compared(granted: readonly Span[], call: () => number): number {
    const result = call();
    for (const span of granted) {
      if (span.start < 0 || span.length < 0 || span.start >= SLAB_BYTES) continue;
      const start = GUARD_BYTES + span.start;
      const limit = GUARD_BYTES + Math.min(SLAB_BYTES, span.start + span.length);
      this.#shadow.set(this.#memory.subarray(start, limit), start);
    }
    if (Buffer.compare(Buffer.from(this.#memory.buffer), this.#shadow) !== 0) {
      assert.fail(`bytes changed that were not granted; result ${result}`);
    }
    return result;
  }

  /** As `guarded`, for a call that may change no byte of the slab. */
  untouched(call: () => number): number {
    return this.guarded(this.received, { first: 0, count: 0 }, call);
  }

  checkTables(): void {
    for (const table of [this.received, this.arrivals, this.frames, this.orders, this.writes]) {
      table.check();
    }
    this.paths.check();
  }
}

/** Fails on what no call may return: a panic caught inside, or anything but an integer. */
export function assertOrderly(result: number): void {
  if (!Number.isInteger(result) || Math.abs(result) === 131) assert.fail(`returned ${result}`);
}
