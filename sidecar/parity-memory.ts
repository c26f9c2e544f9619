/**
 * The memory of parity: slots behind the plane's own, one room for each session that uses it. One
 * invariant: every slot belongs to exactly one place; a packet that is kept and the row that it came
 * by swap theirs.
 */

import { PACKETS_PER_TURN_MAX, PARITY_ROOMS_MAX, PORTS_MAX } from "./limits.ts";
import { DESCRIPTOR_WORDS, PARITY_DATA_MAX, PARITY_MAX } from "./native/layout.ts";
import { Parity as NativeParity, type Parity, parityUsable } from "./native/native.ts";
import { KEPT_MAX, KeptPackets } from "./redundancy/kept-packets.ts";
import { type BlockShape, OpenBlock } from "./redundancy/open-block.ts";
import { ParityBlocks, SHARDS_MAX } from "./redundancy/parity-blocks.ts";
import { PATHS_MAX } from "./session/path-set.ts";
import { LOSS_UNKNOWN, ParityFields } from "./wire/redundancy.ts";

const ROOM_SLOTS: number = PARITY_DATA_MAX + KEPT_MAX + SHARDS_MAX;
const SHARED_SLOTS: number = PACKETS_PER_TURN_MAX + PARITY_MAX + PARITY_DATA_MAX;

/** One session's share: what it sent lately, what it received lately. */
export class ParityRoom {
  /** The session that has it; 0 for nobody. */
  session = 0;
  /** What its blocks are; undefined: no parity either way. */
  shape: BlockShape | undefined;
  isAdaptive = false;
  /** When the shape was set. */
  shapedMs = 0;
  /** Parity of a full block now. */
  parityCount = 0;
  /** Packets of a thousand lost on each path towards the peer. */
  readonly lossPermille: Int32Array = new Int32Array(PATHS_MAX);
  readonly open: OpenBlock = new OpenBlock();
  /** Slots for the packets of the open block. */
  readonly firstSlot: number;
  readonly kept: KeptPackets;
  readonly blocks: ParityBlocks;

  constructor(firstSlot: number) {
    this.firstSlot = firstSlot;
    this.kept = new KeptPackets(firstSlot + PARITY_DATA_MAX);
    this.blocks = new ParityBlocks(firstSlot + PARITY_DATA_MAX + KEPT_MAX);
  }

  /** Forgets everything of the session that had it. */
  clear(session: number): void {
    this.session = session;
    this.shape = undefined;
    this.open.clear();
    this.kept.clear();
    this.blocks.clear();
    this.lossPermille.fill(LOSS_UNKNOWN);
  }
}

/** What the stages keep for parity. */
export interface ParityStage {
  readonly native: Parity;
  readonly shards: Int32Array;
  /** Where each received row's sealed bytes are put aside: slots by row. */
  readonly staging: Int32Array;
  /** First of the slots for parity that leaves, and of those for packets made again. */
  readonly outSlot: number;
  readonly recoveredSlot: number;
  readonly rooms: readonly ParityRoom[];
  /** The room of each session that has one. */
  readonly bySession: (ParityRoom | undefined)[];
  readonly fields: ParityFields;
  /** A packet's id on its way to a table. */
  readonly id: { keyId: number; high: number; low: number };
  /** When the next short block has to be closed; means nothing unless `isDue`. */
  dueMs: number;
  isDue: boolean;
  /** By which path came the parity that each recovered row owes itself to. */
  readonly recoveredPaths: Uint8Array;
  /** The rows worked on are packets made again. */
  isRecovering: boolean;
}

/**
 * Sessions of a plane that can have parity. A dialling end with several uplinks may change its policy
 * while it runs; memory that nobody touches costs nothing.
 */
export function parityRooms(options: {
  readonly isDialling: boolean;
  readonly pathCount: number;
}): number {
  if (!parityUsable()) return 0;
  if (!options.isDialling) return PARITY_ROOMS_MAX;
  return options.pathCount > 0 ? 1 : 0;
}

/** Slots for so many rooms. */
export function paritySlots(rooms: number): number {
  return rooms === 0 ? 0 : SHARED_SLOTS + rooms * ROOM_SLOTS;
}

/** Lays the rooms out in the slab, from `firstSlot` on. */
export function createParityStage(slab: Uint8Array, firstSlot: number, rooms: number): ParityStage {
  const words = (PARITY_DATA_MAX + PARITY_MAX) * DESCRIPTOR_WORDS;
  const shards = new Int32Array(new SharedArrayBuffer(words * 4));
  const roomSlot = firstSlot + SHARED_SLOTS;
  return {
    native: new NativeParity(slab, shards),
    shards,
    staging: Int32Array.from({ length: PACKETS_PER_TURN_MAX }, (_, row) => firstSlot + row),
    outSlot: firstSlot + PACKETS_PER_TURN_MAX,
    recoveredSlot: firstSlot + PACKETS_PER_TURN_MAX + PARITY_MAX,
    rooms: Array.from({ length: rooms }, (_, at) => new ParityRoom(roomSlot + at * ROOM_SLOTS)),
    bySession: new Array<ParityRoom | undefined>(PORTS_MAX).fill(undefined),
    fields: new ParityFields(),
    id: { keyId: 0, high: 0, low: 0 },
    dueMs: 0,
    isDue: false,
    recoveredPaths: new Uint8Array(PARITY_DATA_MAX),
    isRecovering: false,
  };
}
