/**
 * A lane with its memory for the addon's tests: slots of a known size, rows by name, a canary
 * around what a call may touch. One invariant: every slot starts filled with the canary byte.
 */

import assert from "node:assert/strict";
import { DESCRIPTOR_WORDS, PathWord, Verdict, Word } from "./layout.ts";
import { type Lane, laneOpen, type UdpOpenResult, type UdpWish, udpOpen } from "./native.ts";

/** Bytes of a slot here. */
export const SLOT_BYTES = 2048;
/** Rows of each table and slots of the slab. */
export const ROWS = 512;
/** What untouched memory holds. */
export const CANARY = 0xa5;

/** One end of a path, as text. */
export interface PathWish {
  readonly remote: string;
  readonly port: number;
  readonly local?: string;
  readonly interfaceIndex?: number;
  readonly scope?: number;
  readonly socket: number;
}

function table(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(ROWS * DESCRIPTOR_WORDS * 4));
}

/** The 16 bytes of an address; IPv4 is v4-mapped. */
export function addressBytes(text: string): Uint8Array {
  if (!text.includes(":")) {
    return Uint8Array.from([...new Array(10).fill(0), 255, 255, ...text.split(".").map(Number)]);
  }
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const zeros = new Array(8 - front.length - back.length).fill("0");
  return Uint8Array.from(
    [...front, ...zeros, ...back].flatMap((group) => {
      const value = Number.parseInt(group, 16);
      return [value >> 8, value & 255];
    }),
  );
}

/** A lane, its slab and its tables. */
export class Harness {
  readonly slab: Uint8Array = new Uint8Array(new SharedArrayBuffer(ROWS * SLOT_BYTES));
  readonly received: Int32Array = table();
  readonly arrivals: Int32Array = table();
  readonly frames: Int32Array = table();
  readonly orders: Int32Array = table();
  readonly writes: Int32Array = table();
  readonly paths: Int32Array = table();
  /** Over all of these. */
  readonly lane: Lane = laneOpen(this);

  constructor() {
    this.slab.fill(CANARY);
  }

  /** Opens a socket on an address and attaches it; what was opened and its index. */
  open(wish: Partial<UdpWish>): UdpOpenResult & { index: number } {
    const socket = udpOpen({
      address: "",
      port: 0,
      family: 4,
      receiveBufferBytes: 4 << 20,
      sendBufferBytes: 4 << 20,
      ...wish,
    });
    assert.equal(socket.errno, 0, socket.operation);
    const index = this.lane.attachSocket(socket.handle);
    assert.ok(index >= 0);
    return { ...socket, index };
  }

  /** Writes a row of the path table. */
  setPath(row: number, wish: PathWish): void {
    const at = row * DESCRIPTOR_WORDS;
    this.paths.fill(0, at, at + DESCRIPTOR_WORDS);
    this.#setIp(at + PathWord.remoteIp, addressBytes(wish.remote));
    this.paths[at + PathWord.remotePort] = wish.port;
    this.paths[at + PathWord.remoteScope] = wish.scope ?? 0;
    if (wish.local !== undefined) this.#setIp(at + PathWord.localIp, addressBytes(wish.local));
    this.paths[at + PathWord.interfaceIndex] = wish.interfaceIndex ?? 0;
    this.paths[at + PathWord.socket] = wish.socket;
  }

  #setIp(at: number, ip: Uint8Array): void {
    const view = new DataView(ip.buffer, ip.byteOffset, 16);
    for (let part = 0; part < 4; part++) this.paths[at + part] = view.getInt32(part * 4);
  }

  /** Sets words of a row; the others stay. */
  set(rows: Int32Array, row: number, words: Partial<Record<keyof typeof Word, number>>): void {
    for (const [name, value] of Object.entries(words)) {
      rows[row * DESCRIPTOR_WORDS + Word[name as keyof typeof Word]] = value;
    }
  }

  /** Copies bytes into a slot and sets the row to them, to be sent as they are by path 0. */
  place(rows: Int32Array, row: number, bytes: Uint8Array): void {
    const start = row * SLOT_BYTES;
    this.slab.set(bytes, start);
    this.set(rows, row, {
      start,
      length: bytes.length,
      key: -1,
      verdict: Verdict.none,
      path: 0,
      trafficClass: -1,
    });
  }

  /** Gives `count` received rows their slots from row `first` on. */
  grant(rows: Int32Array, first: number, count: number): void {
    for (let row = first; row < first + count; row++) {
      this.set(rows, row, { start: row * SLOT_BYTES, length: SLOT_BYTES });
    }
  }

  word(rows: Int32Array, row: number, name: keyof typeof Word): number {
    return rows[row * DESCRIPTOR_WORDS + Word[name]] ?? 0;
  }

  /** The bytes that a row names. */
  bytes(rows: Int32Array, row: number): Uint8Array {
    const start = this.word(rows, row, "start");
    return this.slab.slice(start, start + this.word(rows, row, "length"));
  }

  /** An address in the arrival table, as its 16 bytes. */
  arrivalIp(row: number, word: number): Uint8Array {
    const view = new DataView(new ArrayBuffer(16));
    for (let part = 0; part < 4; part++) {
      view.setInt32(part * 4, this.arrivals[row * DESCRIPTOR_WORDS + word + part] ?? 0);
    }
    return new Uint8Array(view.buffer);
  }

  arrival(row: number, word: number): number {
    return this.arrivals[row * DESCRIPTOR_WORDS + word] ?? 0;
  }

  /** Waits for and receives datagrams until `count` are there; fails after 2 s of silence. */
  receive(socket: number, count: number): void {
    this.grant(this.received, 0, count);
    for (let got = 0; got < count; ) {
      assert.notEqual(this.lane.wait(2000), 0, `only ${got} of ${count} datagrams came`);
      const more = this.lane.udpReceive(socket, got, count - got);
      assert.ok(more > 0, `udpReceive: ${more}`);
      got += more;
    }
  }
}
