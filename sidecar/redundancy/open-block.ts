/**
 * The sealed packets that the next parity will cover. One invariant: all packets of a block were
 * sealed under one key, with growing ids that lie close together. No I/O, no clock.
 */

import assert from "node:assert/strict";
import {
  PARITY_DATA_MAX,
  PARITY_STEP_MAX,
  ParityFields,
  SHARD_LENGTH_BYTES,
} from "../wire/redundancy.ts";

/** What a block is, as the resource says. */
export interface BlockShape {
  readonly dataPackets: number;
  readonly parityPackets: number;
  readonly maxDelayMs: number;
}

/** One session's block that is being filled. */
export class OpenBlock {
  /** What its parity will say of it, but for the index. */
  readonly fields: ParityFields = new ParityFields();
  /** Bytes of each packet's shard. */
  readonly shardBytes: Int32Array = new Int32Array(PARITY_DATA_MAX);
  /** When it has to be closed even if it is short; means nothing while it is empty. */
  dueMs = 0;
  #lastLow = 0;
  #epoch = 0;

  get count(): number {
    return this.fields.dataCount;
  }

  /** Whether a packet with this id may join. */
  takes(keyId: number, high: number, low: number): boolean {
    // HOT PATH
    if (this.fields.dataCount === 0) return true;
    const step = (low - this.#lastLow) >>> 0;
    if (step === 0 || step > PARITY_STEP_MAX) return false;
    return this.fields.keyId === keyId && this.#epoch === high >>> 16;
  }

  /** Adds a sealed packet that `takes` agreed to; true when the block is full now. */
  add(
    id: { readonly keyId: number; readonly high: number; readonly low: number },
    sealedBytes: number,
    shape: BlockShape,
    nowMs: number,
  ): boolean {
    // HOT PATH
    const { fields } = this;
    const at = fields.dataCount;
    assert(at < shape.dataPackets, "a full block is closed before the next packet");
    if (at === 0) {
      fields.keyId = id.keyId;
      fields.firstHigh = id.high | 0;
      fields.firstLow = id.low | 0;
      fields.dataMax = shape.dataPackets;
      fields.parityMax = shape.parityPackets;
      fields.shardBytes = 0;
      fields.offsets[0] = 0;
      this.#epoch = id.high >>> 16;
      this.dueMs = (nowMs + shape.maxDelayMs) | 0;
    } else {
      const step = (id.low - this.#lastLow) >>> 0;
      fields.offsets[at] = (fields.offsets[at - 1] as number) + step;
    }
    this.#lastLow = id.low;
    const bytes = sealedBytes + SHARD_LENGTH_BYTES;
    this.shardBytes[at] = bytes;
    if (bytes > fields.shardBytes) fields.shardBytes = bytes;
    fields.dataCount = at + 1;
    return fields.dataCount === shape.dataPackets;
  }

  /** Empties it: its parity was made, or its bytes are gone. */
  clear(): void {
    this.fields.dataCount = 0;
  }
}
