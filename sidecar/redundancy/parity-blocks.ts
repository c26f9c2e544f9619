/**
 * Blocks of which parity arrived before all of their packets did. One invariant: memory is bounded
 * by blocks and by shards; what gives way is the oldest block, and its missing packets are counted
 * as lost. Only authenticated parity comes in here. No I/O, no clock.
 */

import { PARITY_DATA_MAX, PARITY_MAX, type ParityFields } from "../wire/redundancy.ts";
import { type KeptPackets, NOT_KEPT } from "./kept-packets.ts";

/** Blocks remembered for a session, complete ones included. */
export const BLOCKS_MAX = 32;
/** Parity shards kept for a session. */
export const SHARDS_MAX = 64;
/** A block is given up when it is incomplete for so long: paths differ by less. */
export const BLOCK_LIFETIME_MS = 1000;

/** What `take` says besides the slot that a shard is to be put into. */
export const ParityVerdict = {
  /** Nothing of its block is missing, or this very parity is here. */
  unneeded: -1,
  /** It contradicts other parity of its block. */
  misfit: -2,
} as const;

/** One block. */
export class WaitingBlock {
  isUsed = false;
  /** Complete, or made complete. */
  isDone = false;
  keyId = 0;
  firstHigh = 0;
  firstLow = 0;
  dataCount = 0;
  dataMax = 0;
  parityMax = 0;
  shardBytes = 0;
  sinceMs = 0;
  readonly offsets: Int32Array = new Int32Array(PARITY_DATA_MAX);
  /** 1 for packets that were kept here at any time. */
  readonly heard: Uint8Array = new Uint8Array(PARITY_DATA_MAX);
  /** Slot of each parity shard; -1 for none. */
  readonly slots: Int32Array = new Int32Array(PARITY_MAX).fill(-1);
  /** The paths that parity came by, in the order in which it came: each stands in for one packet. */
  readonly #paths: Uint8Array = new Uint8Array(PARITY_MAX);
  parityCount = 0;

  /** A shard came by a path. */
  addParity(index: number, slot: number, path: number): void {
    this.slots[index] = slot;
    this.#paths[this.parityCount] = path;
    this.parityCount += 1;
  }

  /** The path of the parity that stands in for the `nth` packet that is missing, from 0. */
  pathOf(nth: number): number {
    return this.#paths[nth] as number;
  }

  /** Low word of the id of packet `at`. */
  lowOf(at: number): number {
    return (this.firstLow + (this.offsets[at] as number)) | 0;
  }

  /** High word, with the carry where the ids of the block cross 2^32. */
  highOf(at: number): number {
    const low = this.lowOf(at) >>> 0;
    return low < this.firstLow >>> 0 ? (this.firstHigh + 1) | 0 : this.firstHigh;
  }
}

/** The blocks of one session. */
export class ParityBlocks {
  readonly #blocks: readonly WaitingBlock[] = Array.from(
    { length: BLOCKS_MAX },
    () => new WaitingBlock(),
  );
  readonly #free: Int32Array = new Int32Array(SHARDS_MAX);
  #freeCount = SHARDS_MAX;
  /** The next place that a new block takes: the oldest block's. */
  #next = 0;
  #waitingCount = 0;
  #lostCount = 0;

  /** Over `SHARDS_MAX` slots from `firstSlot` on. */
  constructor(firstSlot: number) {
    for (let at = 0; at < SHARDS_MAX; at++) this.#free[at] = firstSlot + at;
  }

  /** Blocks that are not complete. */
  get waitingCount(): number {
    return this.#waitingCount;
  }

  /** Packets of blocks given up since the last call. */
  takeLost(): number {
    const count = this.#lostCount;
    this.#lostCount = 0;
    return count;
  }

  /** Parity arrived: the slot to put its shard into, or a `ParityVerdict`. */
  take(
    fields: ParityFields,
    kept: KeptPackets,
    { nowMs, path }: { readonly nowMs: number; readonly path: number },
  ): number {
    let block = this.#find(fields);
    if (block === undefined) {
      block = this.#begin(fields, nowMs);
      this.#listen(block, kept);
    } else if (!isAlike(block, fields)) return ParityVerdict.misfit;
    if (block.isDone || block.slots[fields.index] !== -1) return ParityVerdict.unneeded;
    const slot = this.#takeSlot(block);
    // Its own block was the oldest one and has given way.
    if (slot < 0) return ParityVerdict.unneeded;
    block.addParity(fields.index, slot, path);
    return slot;
  }

  /** A block whose missing packets can be made now; undefined when there is none. */
  nextRecoverable(kept: KeptPackets): WaitingBlock | undefined {
    if (this.#waitingCount === 0) return undefined;
    for (const block of this.#blocks) {
      if (!block.isUsed || block.isDone) continue;
      const absent = this.#listen(block, kept);
      if (!block.isDone && absent <= block.parityCount) return block;
    }
    return undefined;
  }

  /** A block was made complete, or cannot be. */
  finish(block: WaitingBlock): void {
    if (block.isDone) return;
    block.isDone = true;
    this.#waitingCount -= 1;
    for (let at = 0; at < block.parityMax; at++) {
      const slot = block.slots[at] as number;
      if (slot < 0) continue;
      this.#free[this.#freeCount] = slot;
      this.#freeCount += 1;
      block.slots[at] = -1;
    }
    block.parityCount = 0;
  }

  /** Gives up what has been incomplete for too long. */
  expire(nowMs: number): void {
    if (this.#waitingCount === 0) return;
    for (const block of this.#blocks) {
      const ageMs = (nowMs - block.sinceMs) | 0;
      if (block.isUsed && !block.isDone && ageMs >= BLOCK_LIFETIME_MS) this.#giveUp(block);
    }
  }

  /** Forgets every block, and counts nothing. */
  clear(): void {
    for (const block of this.#blocks) {
      if (block.isUsed) this.finish(block);
      block.isUsed = false;
    }
    this.#lostCount = 0;
  }

  /** Counts a block that could not be made complete, and lets it go. */
  #giveUp(block: WaitingBlock): void {
    for (let at = 0; at < block.dataCount; at++) if (block.heard[at] === 0) this.#lostCount += 1;
    this.finish(block);
  }

  #find(fields: ParityFields): WaitingBlock | undefined {
    return this.#blocks.find(
      (block) =>
        block.isUsed &&
        block.firstLow === fields.firstLow &&
        block.firstHigh === fields.firstHigh &&
        block.keyId === fields.keyId,
    );
  }

  #begin(fields: ParityFields, nowMs: number): WaitingBlock {
    const block = this.#blocks[this.#next] as WaitingBlock;
    this.#next = (this.#next + 1) % BLOCKS_MAX;
    if (block.isUsed && !block.isDone) this.#giveUp(block);
    block.isUsed = true;
    block.isDone = false;
    block.keyId = fields.keyId;
    block.firstHigh = fields.firstHigh;
    block.firstLow = fields.firstLow;
    block.dataCount = fields.dataCount;
    block.dataMax = fields.dataMax;
    block.parityMax = fields.parityMax;
    block.shardBytes = fields.shardBytes;
    block.sinceMs = nowMs;
    block.offsets.set(fields.offsets);
    block.heard.fill(0);
    this.#waitingCount += 1;
    return block;
  }

  /** Marks the packets that are kept; how many bytes are not here. Ends a block that lacks nothing. */
  #listen(block: WaitingBlock, kept: KeptPackets): number {
    let absent = 0;
    let unheard = 0;
    for (let at = 0; at < block.dataCount; at++) {
      if (kept.find(block.keyId, block.highOf(at), block.lowOf(at)) !== NOT_KEPT) {
        block.heard[at] = 1;
        continue;
      }
      absent += 1;
      if (block.heard[at] === 0) unheard += 1;
    }
    if (unheard === 0) this.finish(block);
    return absent;
  }

  /** A free slot for a shard of `block`; older blocks give way to it. */
  #takeSlot(block: WaitingBlock): number {
    for (let step = 0; step < BLOCKS_MAX && this.#freeCount === 0; step++) {
      const oldest = this.#blocks[(this.#next + step) % BLOCKS_MAX] as WaitingBlock;
      if (oldest.isUsed && !oldest.isDone) this.#giveUp(oldest);
    }
    if (block.isDone || this.#freeCount === 0) return -1;
    this.#freeCount -= 1;
    return this.#free[this.#freeCount] as number;
  }
}

function isAlike(block: WaitingBlock, fields: ParityFields): boolean {
  if (
    block.dataCount !== fields.dataCount ||
    block.dataMax !== fields.dataMax ||
    block.parityMax !== fields.parityMax ||
    block.shardBytes !== fields.shardBytes
  ) {
    return false;
  }
  for (let at = 0; at < block.dataCount; at++) {
    if (block.offsets[at] !== fields.offsets[at]) return false;
  }
  return true;
}
