/**
 * What crossed each path of each session, in memory that the main thread reads when it is asked. One
 * invariant: the data path's thread alone writes, and adding is one addition to a double.
 */

import assert from "node:assert/strict";
import { SESSIONS_MAX } from "./limits.ts";
import { PATHS_MAX } from "./session/path-set.ts";

/** What is counted of a path; a row of the path table has one of each. */
export const PathCount = {
  packetsIn: 0,
  bytesIn: 1,
  packetsOut: 2,
  bytesOut: 3,
  /** No other path brought them, though others were in use. */
  savedPackets: 4,
  /** Dropped: they had come before. */
  duplicatePackets: 5,
  /** Later ones had come before them. */
  latePackets: 6,
  /** Lost packets that parity which came by it made again. */
  recoveredPackets: 7,
} as const;
export type PathCount = (typeof PathCount)[keyof typeof PathCount];

/** The counts of one path by name, as status shows them. */
export type PathFigures = Readonly<Record<keyof typeof PathCount, number>>;

const WORDS = 8;
const ROWS: number = (SESSIONS_MAX + 1) * PATHS_MAX;
const NAMES = Object.keys(PathCount) as (keyof typeof PathCount)[];

/** The counts of all paths; also what parity could not bring back, of which no path is known. */
export class PathCounts {
  readonly memory: SharedArrayBuffer;
  readonly #values: Float64Array;

  /** Over memory of its own, or over another thread's. */
  constructor(memory?: SharedArrayBuffer) {
    const bytes = (ROWS * WORDS + SESSIONS_MAX + 1) * 8;
    this.memory = memory ?? new SharedArrayBuffer(bytes);
    assert(this.memory.byteLength === bytes, "the memory is that of a table of paths");
    this.#values = new Float64Array(this.memory);
  }

  /** A packet came by the path in `row` of the path table, or left by it. */
  addIn(row: number, bytes: number): void {
    // HOT PATH
    this.add(row, PathCount.packetsIn, 1);
    this.add(row, PathCount.bytesIn, bytes);
  }

  addOut(row: number, bytes: number): void {
    // HOT PATH
    this.add(row, PathCount.packetsOut, 1);
    this.add(row, PathCount.bytesOut, bytes);
  }

  add(row: number, count: PathCount, amount: number): void {
    // HOT PATH
    const at = row * WORDS + count;
    this.#values[at] = (this.#values[at] as number) + amount;
  }

  /** Parity came, but too little. */
  addLost(session: number, packets: number): void {
    const at = ROWS * WORDS + session;
    this.#values[at] = (this.#values[at] as number) + packets;
  }

  /** A path is another one from now on. */
  clear(row: number): void {
    this.#values.fill(0, row * WORDS, (row + 1) * WORDS);
  }

  clearSession(session: number): void {
    const from = session * PATHS_MAX * WORDS;
    this.#values.fill(0, from, from + PATHS_MAX * WORDS);
    this.#values[ROWS * WORDS + session] = 0;
  }

  figures(session: number, path: number): PathFigures {
    const from = (session * PATHS_MAX + path) * WORDS;
    const pairs = NAMES.map((name) => [name, this.#values[from + PathCount[name]] as number]);
    return Object.fromEntries(pairs) as PathFigures;
  }

  /** Packets of a session that parity could not bring back. */
  lost(session: number): number {
    return this.#values[ROWS * WORDS + session] as number;
  }
}
