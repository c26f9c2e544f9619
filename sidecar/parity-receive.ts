/**
 * The receiving half of parity: sealed bytes are put aside before they are opened in place, kept once
 * they are authentic, and stand in for what was lost. One invariant: only authentic packets and
 * authentic parity reach a session's room; what is made again enters at "session" like any datagram.
 */

import { Counter } from "./counters.ts";
import { DESCRIPTOR_WORDS, Verdict, Word } from "./native/layout.ts";
import type { ParityRoom } from "./parity-memory.ts";
import type { Plane } from "./plane.ts";
import { NOT_KEPT } from "./redundancy/kept-packets.ts";
import { ParityVerdict, type WaitingBlock } from "./redundancy/parity-blocks.ts";
import type { DataSession } from "./session/data-session.ts";
import { Opcode } from "./wire/control-packet.ts";
import { readParity, SHARD_LENGTH_BYTES } from "./wire/redundancy.ts";

/** What `recoverBlock` gives when no block can be made complete. */
export const NOTHING_TO_RECOVER = -1;

/** Puts a datagram aside that is about to be opened in place. */
export function keepAside(plane: Plane, index: number, start: number, length: number): void {
  // HOT PATH
  const at = (plane.parity.staging[index] as number) * plane.slotBytes;
  plane.view.setUint16(at, length);
  plane.slab.copyWithin(at + SHARD_LENGTH_BYTES, start, start + length);
}

/** The datagram put aside for row `index` is authentic, and its id is `parity.id`: keeps it. */
export function keepAuthentic(plane: Plane, room: ParityRoom, index: number, length: number): void {
  // HOT PATH
  const { staging, id } = plane.parity;
  const slot = staging[index] as number;
  staging[index] = room.kept.keep(id, length + SHARD_LENGTH_BYTES, slot);
}

/** An authentic parity message by the session's last path: keeps its shard if it may be of use. */
export function takeParity(
  plane: Plane,
  session: DataSession,
  room: ParityRoom,
  { start, length }: { readonly start: number; readonly length: number },
): void {
  const { parity, counters, view, slab } = plane;
  const { fields } = parity;
  const { shape } = room;
  counters.add(Counter.fecParityReceived, 1);
  if (!readParity(view, start, length, fields) || fields.shardBytes > plane.slotBytes) {
    counters.add(Counter.fecParityMalformed, 1);
    return;
  }
  const isAgreed =
    shape?.dataPackets === fields.dataMax && shape.parityPackets === fields.parityMax;
  const slot = isAgreed
    ? room.blocks.take(fields, room.kept, { nowMs: plane.nowMs, path: session.lastPath })
    : ParityVerdict.misfit;
  countLost(plane, room);
  if (slot === ParityVerdict.unneeded) return;
  if (slot === ParityVerdict.misfit) {
    counters.add(Counter.fecParityMisfit, 1);
    return;
  }
  const { shardStart, shardBytes } = fields;
  slab.copyWithin(slot * plane.slotBytes, shardStart, shardStart + shardBytes);
}

/** Gives up blocks that wait for too long. */
export function expireBlocks(plane: Plane): void {
  for (const room of plane.parity.rooms) {
    room.blocks.expire(plane.nowMs);
    countLost(plane, room);
  }
}

/**
 * Makes the lost packets of one block again, as the first rows of `received`; how many, or
 * NOTHING_TO_RECOVER. The rows' bytes stay until the next call.
 */
export function recoverBlock(plane: Plane, session: DataSession, room: ParityRoom): number {
  const block = room.blocks.nextRecoverable(room.kept);
  if (block === undefined) return NOTHING_TO_RECOVER;
  const { parity, received, counters } = plane;
  fillShards(plane, room, block);
  const made = parity.native.recover(block.dataMax, block.parityMax, block.shardBytes);
  if (made < 0) counters.add(Counter.fecRecoverFailed, 1);
  let count = 0;
  for (let at = 0; made > 0 && at < block.dataCount; at++) {
    const shard = at * DESCRIPTOR_WORDS;
    if (parity.shards[shard + Word.verdict] !== Verdict.opened) continue;
    const start = parity.shards[shard + Word.start] as number;
    const length = plane.view.getUint16(start);
    if (!isPacketOf(plane, session, block, at)) {
      counters.add(Counter.fecRecoveredWrong, 1);
      continue;
    }
    const row = count * DESCRIPTOR_WORDS;
    received[row + Word.start] = start + SHARD_LENGTH_BYTES;
    received[row + Word.length] = length;
    received[row + Word.verdict] = Verdict.none;
    parity.recoveredPaths[count] = block.pathOf(count);
    count += 1;
  }
  room.blocks.finish(block);
  plane.receivedCount = Math.max(plane.receivedCount, count);
  return count;
}

/** Describes a block to the addon: what is here, and where to put what is not. */
function fillShards(plane: Plane, room: ParityRoom, block: WaitingBlock): void {
  const { parity, slotBytes } = plane;
  const { kept } = room;
  const total = block.dataMax + block.parityMax;
  for (let at = 0; at < total; at++) {
    const row = at * DESCRIPTOR_WORDS;
    let start = 0;
    let length = 0;
    let verdict: number = Verdict.none;
    if (at < block.dataCount) {
      const place = kept.find(block.keyId, block.highOf(at), block.lowOf(at));
      const isKept = place !== NOT_KEPT;
      start = (isKept ? kept.slotAt(place) : parity.recoveredSlot + at) * slotBytes;
      length = isKept ? kept.shardBytesAt(place) : slotBytes;
      verdict = isKept ? Verdict.done : Verdict.open;
    } else if (at >= block.dataMax) {
      const slot = block.slots[at - block.dataMax] as number;
      if (slot >= 0) {
        start = slot * slotBytes;
        length = block.shardBytes;
        verdict = Verdict.done;
      }
    }
    parity.shards[row + Word.start] = start;
    parity.shards[row + Word.length] = length;
    parity.shards[row + Word.verdict] = verdict;
  }
}

/** Whether what came out is a data packet of this session under the id that parity names. */
function isPacketOf(plane: Plane, session: DataSession, block: WaitingBlock, at: number): boolean {
  const { view, parity } = plane;
  const shard = (parity.shards[at * DESCRIPTOR_WORDS + Word.start] as number) | 0;
  const length = view.getUint16(shard);
  const hasEpoch = session.hasEpochs[block.keyId] === 1;
  const idBytes = hasEpoch ? 8 : 4;
  if (length + SHARD_LENGTH_BYTES > block.shardBytes || length < 4 + idBytes) return false;
  const start = shard + SHARD_LENGTH_BYTES;
  const header = view.getUint32(start);
  if (header >>> 27 !== Opcode.dataV2 || ((header >>> 24) & 7) !== block.keyId) return false;
  if (plane.sessions.byPeerId(header & 0xff_ffff) !== session) return false;
  if (view.getInt32(start + idBytes) !== block.lowOf(at)) return false;
  return !hasEpoch || view.getInt32(start + 4) === block.highOf(at);
}

function countLost(plane: Plane, room: ParityRoom): void {
  const lost = room.blocks.takeLost();
  if (lost === 0) return;
  plane.counters.add(Counter.fecUnrecoverable, lost);
  plane.pathCounts.addLost(room.session, lost);
}
