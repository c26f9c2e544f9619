/**
 * The sending half of parity: sealed packets join their session's open block as they leave, and what
 * covers a block is made from copies that the addon puts aside. One invariant: a data packet neither
 * waits nor grows for it.
 */

import { Counter } from "./counters.ts";
import { DESCRIPTOR_WORDS, PARITY_DATA_MAX, PARITY_MAX, Verdict, Word } from "./native/layout.ts";
import type { ParityRoom } from "./parity-memory.ts";
import type { Plane } from "./plane.ts";
import { parityOfShort } from "./redundancy/parity-count.ts";
import type { DataSession } from "./session/data-session.ts";
import { DATA_V2_AEAD_BYTES, DATA_V2_EPOCH_BYTES } from "./wire/mss-clamp.ts";
import { SHARD_LENGTH_BYTES, writeParity } from "./wire/redundancy.ts";

/** Lets the order in `row` join the open block; true when the block is to be closed now. */
export function protect(
  plane: Plane,
  session: DataSession,
  room: ParityRoom,
  row: number,
): boolean {
  // HOT PATH
  const { orders, parity, view } = plane;
  const { open, shape } = room;
  const { id } = parity;
  if (shape === undefined) return false;
  id.keyId = session.sealKeyId;
  id.high = orders[row + Word.idHigh] as number;
  id.low = orders[row + Word.idLow] as number;
  // Too far behind the last one: it goes without, the next one begins a block.
  if (!open.takes(id.keyId, id.high, id.low)) return true;
  const aroundBytes = id.high === 0 ? DATA_V2_AEAD_BYTES : DATA_V2_EPOCH_BYTES;
  const sealedBytes = (orders[row + Word.length] as number) + aroundBytes;
  const copy = (room.firstSlot + open.count) * plane.slotBytes;
  view.setUint16(copy, sealedBytes);
  orders[row + Word.copy] = copy + SHARD_LENGTH_BYTES;
  const isFull = open.add(id, sealedBytes, shape, plane.nowMs);
  if (open.count === 1 && !isFull) armParity(plane, open.dueMs);
  return isFull;
}

/** Asks to be called back for a block that may stay short. */
function armParity(plane: Plane, dueMs: number): void {
  // HOT PATH
  const { parity } = plane;
  if (parity.isDue && ((dueMs - parity.dueMs) | 0) >= 0) return;
  parity.isDue = true;
  parity.dueMs = dueMs;
}

/** Asks again, for the blocks that are still open. */
export function rearmParity(plane: Plane): void {
  plane.parity.isDue = false;
  for (const { open } of plane.parity.rooms) if (open.count > 0) armParity(plane, open.dueMs);
}

/** Makes the parity messages of the open block, whose copies are there; how many. */
export function encodeBlock(plane: Plane, room: ParityRoom): number {
  const { parity, counters } = plane;
  const { open, shape } = room;
  const { fields } = open;
  if (shape === undefined || open.count === 0) return 0;
  const count = parityOfShort(room.parityCount, fields.dataCount, fields.dataMax);
  for (let at = 0; at < fields.dataMax; at++) {
    const bytes = at < fields.dataCount ? (open.shardBytes[at] as number) : 0;
    setShard(plane, at, (room.firstSlot + at) * plane.slotBytes, bytes);
  }
  for (let at = 0; at < fields.parityMax; at++) {
    fields.index = at;
    const isWanted = at < count;
    const start = isWanted ? writeParity(plane.view, messageStart(plane, at), fields) : 0;
    setShard(plane, fields.dataMax + at, start, isWanted ? fields.shardBytes : 0);
  }
  const made = parity.native.encode(fields.dataMax, fields.parityMax, fields.shardBytes);
  if (made === count) return count;
  counters.add(Counter.fecEncodeFailed, 1);
  return 0;
}

/** Where parity message `at` of the block that was encoded last begins. */
export function messageStart(plane: Plane, at: number): number {
  // HOT PATH
  return (plane.parity.outSlot + at) * plane.slotBytes;
}

/** Bytes of each of its messages. */
export function messageBytes(plane: Plane, room: ParityRoom): number {
  const { dataMax } = room.open.fields;
  const row = dataMax * DESCRIPTOR_WORDS;
  const { shards } = plane.parity;
  const limit = (shards[row + Word.start] as number) + (shards[row + Word.length] as number);
  return limit - messageStart(plane, 0);
}

function setShard(plane: Plane, index: number, start: number, length: number): void {
  // HOT PATH
  const { shards } = plane.parity;
  const row = index * DESCRIPTOR_WORDS;
  if (index >= PARITY_DATA_MAX + PARITY_MAX) return;
  shards[row + Word.start] = start;
  shards[row + Word.length] = length;
  shards[row + Word.verdict] = Verdict.none;
}
