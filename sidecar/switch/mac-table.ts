/**
 * Which station is behind which port: a bounded, aged table from MAC address and VLAN id to port.
 * One invariant: a station is moved or forgotten only by its own frames, its age, its port's end
 * or a declaration, never to make room for another; a full port or table refuses.
 *
 * Open addressing with linear probing over shared memory, at most half full; deletion shifts
 * back what follows, so there are no tombstones and the cost stays flat. One thread writes;
 * `readStations` copies a consistent picture in another (the version word is odd during a change).
 */

import assert from "node:assert/strict";
import { isGroup } from "../wire/ethernet.ts";

/** What became of a source address. Negative: not learnt. */
export const LearnResult = {
  known: 0,
  added: 1,
  moved: 2,
  /** The port has as many stations as it may have. */
  refusedPeerFull: -1,
  refusedTableFull: -2,
  /** Declared for another port: the frame is not this station's. */
  refusedDeclared: -3,
  /** A group or all zero. */
  refusedAddress: -4,
} as const;
export type LearnResult = (typeof LearnResult)[keyof typeof LearnResult];

/** What `lookup` returns for a station that is not known. */
export const NO_PORT = -1;

/** Bounds come from limits.ts. */
export interface MacTableOptions {
  readonly portsMax: number;
  readonly stationsMax: number;
  /** Most stations behind port 0, this end's tap. */
  readonly tapStationsMax: number;
  /** Most stations behind each other port. */
  readonly peerStationsMax: number;
  readonly declaredMax: number;
  readonly ageMs: number;
  /** Secret of the hash, so that nobody can choose addresses that collide. */
  readonly seed: number;
  /** From `stationMemory`, where another thread is to read the stations; absent: its own. */
  readonly memory?: SharedArrayBuffer;
}

/** Makes the memory of a table with these bounds, empty. */
export function stationMemory(
  bounds: Pick<MacTableOptions, "stationsMax" | "declaredMax">,
): SharedArrayBuffer {
  const { stationsMax, declaredMax } = bounds;
  assert(stationsMax > 0 && declaredMax >= 0, "the table is bounded");
  const rowCount = 2 ** Math.ceil(Math.log2(2 * (stationsMax + declaredMax)));
  return new SharedArrayBuffer((HEADER_WORDS + (rowCount << ROW_SHIFT)) * 4);
}

/** One station as status shows it. */
export interface Station {
  readonly macHigh: number;
  readonly macLow: number;
  /** 0: untagged. */
  readonly vlan: number;
  /** NO_PORT: declared, and its peer is not connected. */
  readonly port: number;
  readonly seenMs: number;
  /** A declaration; the same station appears again once it was seen. */
  readonly isDeclared: boolean;
}

const HIGH = 0;
const LOW = 1;
const PORT = 2;
const SEEN = 3;
/** Rows are four words. */
const ROW_SHIFT = 2;

const VERSION = 0;
const HEADER_WORDS = 16;

const VLAN_SHIFT = 16;
/** Where declarations stand in place of a VLAN id: a declared address is so in every VLAN. */
const DECLARED_VLAN = 0x1000;
/** Set in the high word of a row that is in use. */
const USED = 1 << 29;

/** The high word of a station's key; the low word is that of its MAC address. */
export function stationHigh(vlan: number, macHigh: number): number {
  // HOT PATH
  return (vlan << VLAN_SHIFT) | macHigh;
}

/** Stations are noted as ageing this long before their end: a few sweeps go round in it. */
const ASK_BEFORE_MS = 30_000;
/** Stations that one sweep notes; with ten sweeps a second, a full table has its turn in time. */
const AGEING_MAX = 64;

/** The table of one switch. */
export class MacTable {
  /** For `readStations` in another thread. */
  readonly memory: SharedArrayBuffer;
  /** The port that the station of the last `LearnResult.moved` came from. */
  movedFrom: number = NO_PORT;
  /** Stations that the last sweep saw near their end: high and low word and port of each. */
  readonly ageing: Int32Array = new Int32Array(AGEING_MAX * 3);
  ageingCount = 0;
  readonly #header: Int32Array;
  readonly #rows: Int32Array;
  readonly #mask: number;
  readonly #options: MacTableOptions;
  readonly #seed: number;
  readonly #askMs: number;
  readonly #portCounts: Int32Array;
  #stationCount = 0;
  #declaredCount = 0;
  #sweepRow = 0;

  constructor(options: MacTableOptions) {
    assert(options.portsMax >= 2, "a switch has two ports");
    assert(options.tapStationsMax <= options.stationsMax, "the tap's share is a share");
    assert(options.peerStationsMax <= options.stationsMax, "a peer's share is a share");
    assert(options.ageMs > 0 && options.ageMs < 2 ** 30, "ages fit int32 arithmetic");
    this.memory = options.memory ?? stationMemory(options);
    this.#header = new Int32Array(this.memory, 0, HEADER_WORDS);
    this.#rows = new Int32Array(this.memory, HEADER_WORDS * 4);
    const rowCount = this.#rows.length >> ROW_SHIFT;
    assert((rowCount & (rowCount - 1)) === 0, "the memory comes from stationMemory");
    assert(rowCount >= 2 * (options.stationsMax + options.declaredMax), "it is at most half full");
    this.#mask = rowCount - 1;
    this.#options = options;
    this.#seed = options.seed | 0;
    this.#askMs = options.ageMs - Math.min(ASK_BEFORE_MS, options.ageMs >> 1);
    this.#portCounts = new Int32Array(options.portsMax);
  }

  get stationCount(): number {
    return this.#stationCount;
  }

  /** Stations learnt behind a port. */
  portStationCount(port: number): number {
    return this.#portCounts[port] ?? 0;
  }

  /** Rows that `sweep` goes round over. */
  get rowCount(): number {
    return this.#mask + 1;
  }

  /** Notes that an authenticated frame of the station (see `stationHigh`) came from the port. */
  learn(high: number, low: number, port: number, nowMs: number): LearnResult {
    // HOT PATH
    const at = this.#find(high, low);
    if (at >= 0 && this.#rows[at + PORT] === port) {
      this.#rows[at + SEEN] = nowMs;
      return LearnResult.known;
    }
    const macHigh = high & 0xffff;
    if (isGroup(macHigh) || (macHigh === 0 && low === 0)) return LearnResult.refusedAddress;
    const declared = this.#find(stationHigh(DECLARED_VLAN, macHigh), low);
    if (declared >= 0 && this.#rows[declared + PORT] !== port) return LearnResult.refusedDeclared;

    const { tapStationsMax, peerStationsMax, stationsMax } = this.#options;
    const portMax = port === 0 ? tapStationsMax : peerStationsMax;
    if ((this.#portCounts[port] as number) >= portMax) return LearnResult.refusedPeerFull;
    if (at >= 0) {
      this.#move(at, port, nowMs);
      return LearnResult.moved;
    }
    if (this.#stationCount >= stationsMax) return LearnResult.refusedTableFull;
    this.#insert(~at, high, low, port);
    this.#rows[~at + SEEN] = nowMs;
    this.#portCounts[port] = (this.#portCounts[port] as number) + 1;
    this.#stationCount += 1;
    return LearnResult.added;
  }

  /** The port behind which the station was seen last, or NO_PORT. */
  lookup(high: number, low: number): number {
    // HOT PATH
    const at = this.#find(high, low);
    return at < 0 ? NO_PORT : (this.#rows[at + PORT] as number);
  }

  /** Forgets what is too old among the next `rowsMax` rows; returns how many stations that was. */
  sweep(nowMs: number, rowsMax: number): number {
    // HOT PATH
    let forgotten = 0;
    this.ageingCount = 0;
    let row = this.#sweepRow;
    for (let count = 0; count < rowsMax; count++) {
      const at = row << ROW_SHIFT;
      const silentMs = (nowMs - (this.#rows[at + SEEN] as number)) | 0;
      const isOld = silentMs >= this.#options.ageMs;
      if (isOld && isLearnt(this.#rows[at + HIGH] as number)) {
        // Another row may have taken the place: look at it again.
        this.#forget(at);
        forgotten += 1;
      } else {
        if (silentMs >= this.#askMs) this.#noteAgeing(at);
        row = (row + 1) & this.#mask;
      }
    }
    this.#sweepRow = row;
    return forgotten;
  }

  #noteAgeing(at: number): void {
    // HOT PATH
    const high = this.#rows[at + HIGH] as number;
    if (!isLearnt(high) || this.ageingCount === AGEING_MAX) return;
    const place = this.ageingCount * 3;
    this.ageing[place] = high & ~USED;
    this.ageing[place + 1] = this.#rows[at + LOW] as number;
    this.ageing[place + 2] = this.#rows[at + PORT] as number;
    this.ageingCount += 1;
  }

  /** Forgets what was learnt behind a port that ends; its declarations stay, without a port. */
  forgetPort(port: number): void {
    for (let at = 0; at < this.#rows.length; ) {
      const high = this.#rows[at + HIGH] as number;
      if (high !== 0 && this.#rows[at + PORT] === port) {
        if (isLearnt(high)) {
          this.#forget(at);
          continue;
        }
        this.#rows[at + PORT] = NO_PORT;
      }
      at += 1 << ROW_SHIFT;
    }
    assert(this.#portCounts[port] === 0, "the port has no station left");
  }

  /**
   * From now on only `port` may use this MAC address, in any VLAN; NO_PORT reserves it for a peer
   * that is not connected. What was learnt of it elsewhere is forgotten. False: no room, or the
   * address is a group or zero.
   */
  declare(macHigh: number, macLow: number, port: number): boolean {
    assert(port >= NO_PORT && port < this.#options.portsMax, "such a port can exist");
    if (isGroup(macHigh) || (macHigh === 0 && macLow === 0)) return false;
    const key = stationHigh(DECLARED_VLAN, macHigh);
    const known = this.#find(key, macLow);
    if (known >= 0) {
      this.#rows[known + PORT] = port;
    } else {
      if (this.#declaredCount >= this.#options.declaredMax) return false;
      this.#insert(~known, key, macLow, port);
      this.#declaredCount += 1;
    }
    this.#forgetElsewhere(macHigh, macLow, port);
    return true;
  }

  /** Anybody may use the address again. */
  undeclare(macHigh: number, macLow: number): void {
    const at = this.#find(stationHigh(DECLARED_VLAN, macHigh), macLow);
    if (at < 0) return;
    this.#remove(at);
    this.#declaredCount -= 1;
  }

  #forgetElsewhere(macHigh: number, macLow: number, port: number): void {
    for (let at = 0; at < this.#rows.length; ) {
      const high = this.#rows[at + HIGH] as number;
      const isSame = (high & 0xffff) === macHigh && this.#rows[at + LOW] === (macLow | 0);
      if (isLearnt(high) && isSame && this.#rows[at + PORT] !== port) this.#forget(at);
      else at += 1 << ROW_SHIFT;
    }
  }

  /** Offset of the station's row, or the complement of the offset at which it belongs. */
  #find(high: number, low: number): number {
    // HOT PATH
    const rows = this.#rows;
    const mask = this.#mask;
    const used = high | USED;
    const lowWord = low | 0;
    let row = this.#home(used, lowWord);
    for (;;) {
      const at = row << ROW_SHIFT;
      const rowHigh = rows[at + HIGH] as number;
      if (rowHigh === used && rows[at + LOW] === lowWord) return at;
      if (rowHigh === 0) return ~at;
      row = (row + 1) & mask;
    }
  }

  /** The row at which the search for a station begins. */
  #home(used: number, lowWord: number): number {
    // HOT PATH
    let hash = Math.imul(lowWord ^ this.#seed, 0x9e37_79b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ used, 0x85eb_ca77);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae3d);
    return (hash ^ (hash >>> 16)) & this.#mask;
  }

  #insert(at: number, high: number, low: number, port: number): void {
    // HOT PATH
    Atomics.add(this.#header, VERSION, 1);
    this.#rows[at + LOW] = low;
    this.#rows[at + PORT] = port;
    this.#rows[at + SEEN] = 0;
    this.#rows[at + HIGH] = high | USED;
    Atomics.add(this.#header, VERSION, 1);
  }

  #move(at: number, port: number, nowMs: number): void {
    // HOT PATH
    const oldPort = this.#rows[at + PORT] as number;
    this.movedFrom = oldPort;
    this.#portCounts[oldPort] = (this.#portCounts[oldPort] as number) - 1;
    this.#portCounts[port] = (this.#portCounts[port] as number) + 1;
    this.#rows[at + PORT] = port;
    this.#rows[at + SEEN] = nowMs;
  }

  /** Removes a learnt station and takes it off its port's count. */
  #forget(at: number): void {
    const port = this.#rows[at + PORT] as number;
    this.#portCounts[port] = (this.#portCounts[port] as number) - 1;
    this.#stationCount -= 1;
    this.#remove(at);
  }

  /** Empties a row and closes the gap for searches that have to pass it. */
  #remove(at: number): void {
    Atomics.add(this.#header, VERSION, 1);
    const rows = this.#rows;
    let gap = at >> ROW_SHIFT;
    let row = (gap + 1) & this.#mask;
    for (;;) {
      const from = row << ROW_SHIFT;
      const high = rows[from + HIGH] as number;
      if (high === 0) break;
      const home = this.#home(high, rows[from + LOW] as number);
      // A row may fill the gap unless its search begins behind the gap.
      if (((row - home) & this.#mask) >= ((row - gap) & this.#mask)) {
        rows.copyWithin(gap << ROW_SHIFT, from, from + (1 << ROW_SHIFT));
        gap = row;
      }
      row = (row + 1) & this.#mask;
    }
    rows[(gap << ROW_SHIFT) + HIGH] = 0;
    Atomics.add(this.#header, VERSION, 1);
  }
}

/** Whether the high word is that of a learnt station, not of a declaration or an empty row. */
function isLearnt(high: number): boolean {
  // HOT PATH
  return high !== 0 && ((high >>> VLAN_SHIFT) & DECLARED_VLAN) === 0;
}

const READ_ATTEMPTS_MAX = 8;

/**
 * Every station and declaration, read from another thread's table; undefined in the rare case
 * that it never held still during a few attempts.
 */
export function readStations(memory: SharedArrayBuffer): Station[] | undefined {
  const header = new Int32Array(memory, 0, HEADER_WORDS);
  const shared = new Int32Array(memory, HEADER_WORDS * 4);
  const rows = new Int32Array(shared.length);
  for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
    const version = Atomics.load(header, VERSION);
    if ((version & 1) !== 0) continue;
    rows.set(shared);
    if (Atomics.load(header, VERSION) === version) return stationsIn(rows);
  }
  return undefined;
}

function stationsIn(rows: Int32Array): Station[] {
  const stations: Station[] = [];
  for (let at = 0; at < rows.length; at += 1 << ROW_SHIFT) {
    const high = rows[at + HIGH] as number;
    if (high === 0) continue;
    const isDeclared = !isLearnt(high);
    stations.push({
      macHigh: high & 0xffff,
      macLow: (rows[at + LOW] as number) >>> 0,
      vlan: isDeclared ? 0 : (high >>> VLAN_SHIFT) & 0xfff,
      port: rows[at + PORT] as number,
      seenMs: rows[at + SEEN] as number,
      isDeclared,
    });
  }
  return stations;
}
