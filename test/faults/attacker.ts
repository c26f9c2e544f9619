/**
 * Throws datagrams at a server: random ones, and captured ones as they were, mutated, cut and
 * grown, from several ports. Runs as a program, with the captured datagrams in hex on its input:
 *
 *     node attacker.ts ADDRESS PORT COUNT PER-SECOND SEED
 *
 * and prints how many the kernel took. The same seed throws the same datagrams.
 */
import assert from "node:assert/strict";
import { constants } from "node:os";
import { text as readAll } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { DESCRIPTOR_WORDS, PathWord, Verdict, Word } from "../../sidecar/native/layout.ts";
import { type Lane, laneOpen, udpOpen } from "../../sidecar/native/native.ts";
import { pathTo } from "../../sidecar/uplink/address-words.ts";
import { Dice } from "./dice.ts";

/** This file, as a program to start. */
export const ATTACKER: string = import.meta.filename;
const SOCKETS = 6;
const BATCH = 64;
const SLOT_BYTES = 65_536;
const SMALL_BYTES_MAX = 1600;
const DATAGRAM_BYTES_MAX = 65_507;
/** One in so many is larger than any packet. */
const HUGE_EVERY = 2000;

/** Writes one datagram into a slot; its length. */
type Maker = (slot: Uint8Array, dice: Dice, captured: readonly Buffer[]) => number;

const copy: Maker = (slot, dice, captured) => {
  const original = captured[dice.below(captured.length)] as Buffer;
  slot.set(original);
  return original.length;
};

const MAKERS: readonly Maker[] = [
  function random(slot, dice) {
    const length = dice.below(4) === 0 ? dice.below(24) : dice.below(SMALL_BYTES_MAX);
    // Fresh bytes in front; behind them what was there before is as random.
    dice.fill(slot.subarray(0, Math.min(length, 64)));
    return length;
  },
  function randomBehindOpcode(slot, dice) {
    const length = 1 + dice.below(SMALL_BYTES_MAX);
    dice.fill(slot.subarray(0, Math.min(length, 64)));
    slot[0] = (dice.below(12) << 3) | dice.below(8);
    return length;
  },
  function dataOfSomebody(slot, dice) {
    dice.fill(slot.subarray(0, 64));
    slot.set([(9 << 3) | dice.below(8), 0, 0, dice.below(4)]);
    return 24 + dice.below(SMALL_BYTES_MAX - 24);
  },
  copy,
  function flipped(slot, dice, captured) {
    const length = copy(slot, dice, captured);
    for (let flips = 1 + dice.below(8); flips > 0; flips--) {
      const at = dice.below(length);
      slot[at] = (slot[at] as number) ^ (1 << dice.below(8));
    }
    return length;
  },
  function cut(slot, dice, captured) {
    return dice.below(copy(slot, dice, captured));
  },
  function grown(slot, dice, captured) {
    return copy(slot, dice, captured) + 1 + dice.below(SMALL_BYTES_MAX);
  },
];

class Attack {
  readonly #slab = new Uint8Array(new SharedArrayBuffer(BATCH * SLOT_BYTES));
  readonly #orders = rows(BATCH);
  readonly #lane: Lane;
  readonly #dice: Dice;
  readonly #captured: readonly Buffer[];

  constructor(remote: { address: string; port: number }, seed: number, captured: Buffer[]) {
    const paths = rows(SOCKETS);
    const unused = { received: rows(1), arrivals: rows(1), frames: rows(1), writes: rows(1) };
    this.#lane = laneOpen({ slab: this.#slab, ...unused, orders: this.#orders, paths });
    const wish = { address: "", port: 0, family: 4, sendBufferBytes: 4 << 20 } as const;
    for (let socket = 0; socket < SOCKETS; socket++) {
      const opened = udpOpen({ ...wish, receiveBufferBytes: 65_536 });
      assert.equal(opened.errno, 0);
      const row = pathTo(remote);
      row[PathWord.socket] = this.#lane.attachSocket(opened.handle);
      paths.set(row, socket * DESCRIPTOR_WORDS);
    }
    this.#dice = new Dice(seed);
    this.#captured = captured;
  }

  /** Sends so many datagrams; how many of them the kernel took. */
  throwBatch(count: number): number {
    for (let index = 0; index < count; index++) {
      const slot = this.#slab.subarray(index * SLOT_BYTES, (index + 1) * SLOT_BYTES);
      const make = MAKERS[this.#dice.below(MAKERS.length)] as Maker;
      const usual = make(slot, this.#dice, this.#captured);
      const isHuge = this.#dice.below(HUGE_EVERY) === 0;
      const row = index * DESCRIPTOR_WORDS;
      this.#orders[row + Word.start] = index * SLOT_BYTES;
      this.#orders[row + Word.length] = isHuge ? this.#dice.below(DATAGRAM_BYTES_MAX) : usual;
      this.#orders[row + Word.key] = -1;
      this.#orders[row + Word.path] = this.#dice.below(SOCKETS);
      this.#orders[row + Word.trafficClass] = -1;
    }
    this.#lane.send(count);
    let sent = 0;
    for (let index = 0; index < count; index++) {
      const verdict = this.#orders[index * DESCRIPTOR_WORDS + Word.verdict];
      if (verdict === Verdict.done) sent += 1;
      else assert.equal(verdict, -constants.errno.EAGAIN, "only a full buffer keeps one back");
    }
    return sent;
  }
}

function rows(count: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(count * DESCRIPTOR_WORDS * 4));
}

async function runAttack([address = "", ...numbers]: readonly string[]): Promise<void> {
  const [port = 0, count = 0, perSecond = 0, seed = 0] = numbers.map(Number);
  const lines = (await readAll(process.stdin)).split("\n").filter((line) => line !== "");
  const captured = lines.map((line) => Buffer.from(line, "hex"));
  const attack = new Attack({ address, port }, seed, captured);
  const startMs = performance.now();
  let sent = 0;
  while (sent < count) {
    sent += attack.throwBatch(Math.min(BATCH, count - sent));
    const aheadMs = (sent / perSecond) * 1000 - (performance.now() - startMs);
    if (aheadMs > 1) await sleep(aheadMs);
  }
  const seconds = (performance.now() - startMs) / 1000;
  process.stdout.write(`${JSON.stringify({ sent, seconds })}\n`);
}

if (import.meta.main) await runAttack(process.argv.slice(2));
