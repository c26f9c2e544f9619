/**
 * One peer as the data plane knows it: which keys open and seal its packets, the next packet id,
 * the replay windows, when it was last heard. One invariant: a packet id is used once per
 * sending key; `takeId` hands out each number from 1 once and then says no.
 *
 * Places: everything to receive with lies in tables of eight key ids times eight epochs. A key
 * id without epochs has one place only, its first.
 */

import { Opcode } from "../wire/control-packet.ts";
import type { ArrivalBook } from "./arrival-book.ts";
import { KeyUsage } from "./key-usage.ts";
import { PathSet } from "./path-set.ts";

/** Key ids of OpenVPN are three bits. */
export const KEY_IDS = 8;
/** Epochs of one key id side by side: the one before, the one in use, four after it. */
const EPOCH_RING = 8;
const EPOCH_RING_BITS = 3;
const PLACES: number = KEY_IDS * EPOCH_RING;

/** What a session asks of a receive window; the replay stage has the real one. */
export interface Window {
  mayAccept(high: number, low: number, nowMs: number): number;
  accept(high: number, low: number, nowMs: number): number;
  expectLate(lateMs: number): void;
}

/** A native key slot and the generation of its content. */
export interface SlotName {
  readonly slot: number;
  readonly generation: number;
}

/** The data plane's state of one peer. Its paths are rows from `index * PATHS_MAX` of the table. */
export class DataSession {
  /** Session number, switch port and path row; from 1. */
  readonly index: number;
  readonly pingIntervalMs: number;
  readonly timeoutMs: number;
  /** Both ends are ours and understand probes. */
  readonly hasProbes: boolean;
  /** Both ends understand plans and parity. */
  readonly hasParity: boolean;
  readonly paths: PathSet = new PathSet();
  /** The path that the last packet came by. */
  lastPath = 0;
  /** Key and epoch of the packet that is worked on. */
  series = 0;
  /** Which path brought what, of a peer that copies; absent: nobody does. */
  book: ArrivalBook | undefined;
  /** Plans sent at the beginning, and when the last one was (dialling end). */
  plansSent = 0;
  plannedMs = 0;
  /** The policy was changed under this session. */
  hasChangedPlan = false;
  hasSaidNoRoom = false;
  /** How long a TCP segment waits for those before it, at most; 0: frames are handed on as they come. */
  reorderMs = 0;
  /** Probe interval of the dialling end, as its probes say; 0 before the first. */
  probeIntervalMs = 0;
  /** 1 for the key ids whose packets carry epochs. */
  readonly hasEpochs: Int32Array = new Int32Array(KEY_IDS);
  /** Highest epoch of which an authentic packet arrived, by key id. */
  readonly heardEpochs: Int32Array = new Int32Array(KEY_IDS);
  /** Native key slot and generation to open with, by place; slot -1 for none. */
  readonly openSlots: Int32Array = new Int32Array(PLACES).fill(-1);
  readonly openGenerations: Int32Array = new Int32Array(PLACES);
  /** The epoch that a place holds; 0 without epochs. */
  readonly openEpochs: Int32Array = new Int32Array(PLACES);
  readonly windows: (Window | undefined)[] = new Array<Window | undefined>(PLACES).fill(undefined);
  /** The same for sealing; `sealSlot` is the one in use. */
  readonly sealSlots: Int32Array = new Int32Array(KEY_IDS).fill(-1);
  readonly sealGenerations: Int32Array = new Int32Array(KEY_IDS);
  sealSlot = -1;
  sealGeneration = 0;
  /** Epoch of the packets that we send, in the upper half of a word; 0 without epochs. */
  sealEpochWord = 0;
  sealKeyId = 0;
  /** Opcode, key id and peer-id of every packet sent with the current key. */
  opcodeWord = 0;
  /** How late packets may come, as `expectLate` said last; 0: as windows are made. */
  lateMs = 0;
  lastHeardMs: number;
  lastSentMs: number;
  hasSaidSilent = false;
  #hasSent = false;
  hasAskedForKey = false;
  readonly #peerId: number;
  /** The epoch behind the one that we send in, by key id; slot -1 until its key is here. */
  readonly #nextEpochs: Int32Array = new Int32Array(KEY_IDS);
  readonly #sealEpochs: Int32Array = new Int32Array(KEY_IDS);
  readonly #nextSlots: Int32Array = new Int32Array(KEY_IDS).fill(-1);
  readonly #nextGenerations: Int32Array = new Int32Array(KEY_IDS);
  /** Of the sending key: its next packet id among it. */
  readonly usage: KeyUsage;

  constructor(options: {
    readonly index: number;
    readonly peerId: number;
    readonly pingIntervalMs: number;
    readonly timeoutMs: number;
    readonly hasProbes: boolean;
    readonly hasParity?: boolean;
    readonly nowMs: number;
    readonly usage?: KeyUsage;
  }) {
    this.index = options.index;
    this.#peerId = options.peerId & 0xff_ffff;
    this.pingIntervalMs = options.pingIntervalMs;
    this.timeoutMs = options.timeoutMs;
    this.hasProbes = options.hasProbes;
    this.hasParity = options.hasProbes && options.hasParity === true;
    this.lastHeardMs = options.nowMs;
    this.lastSentMs = options.nowMs;
    this.usage = options.usage ?? new KeyUsage();
  }

  /** Receives with a key from now on; seals with it once `sendWith` says so. */
  installKey(
    keyId: number,
    key: { readonly open: SlotName; readonly seal: SlotName; readonly window: Window },
  ): void {
    const { open, seal, window } = key;
    this.hasEpochs[keyId] = 0;
    this.#sealEpochs[keyId] = 0;
    this.#put(keyId * EPOCH_RING, { epoch: 0, open, window });
    this.sealSlots[keyId] = seal.slot;
    this.sealGenerations[keyId] = seal.generation;
  }

  /** Packets of all keys may come so late from now on. */
  expectLate(lateMs: number): void {
    if (lateMs === this.lateMs) return;
    this.lateMs = lateMs;
    for (const window of this.windows) window?.expectLate(lateMs);
  }

  /** A key id whose packets carry epochs; its keys come by `receiveEpoch` and `sendEpoch`. */
  installEpochs(keyId: number): void {
    this.hasEpochs[keyId] = 1;
    this.heardEpochs[keyId] = 1;
    this.sealSlots[keyId] = -1;
    this.#sealEpochs[keyId] = 1;
    this.#nextSlots[keyId] = -1;
  }

  /** Receives packets of this epoch from now on; the epoch eight before it is forgotten. */
  receiveEpoch(
    keyId: number,
    key: { readonly epoch: number; readonly open: SlotName; readonly window: Window },
  ): void {
    this.#put(this.placeOf(keyId, key.epoch << 16), key);
  }

  /** The first epoch is what `sendWith` begins with; a later one waits for `advanceEpoch`. */
  sendEpoch(keyId: number, epoch: number, seal: SlotName): void {
    if (epoch === 1 && this.sealSlots[keyId] === -1) {
      this.sealSlots[keyId] = seal.slot;
      this.sealGenerations[keyId] = seal.generation;
      return;
    }
    // An epoch is gone to once: going there again would use its packet ids a second time.
    if (epoch <= (this.#sealEpochs[keyId] as number)) return;
    this.#nextEpochs[keyId] = epoch;
    this.#nextSlots[keyId] = seal.slot;
    this.#nextGenerations[keyId] = seal.generation;
  }

  /** Seals in the next epoch, from packet id 1; the epoch, or 0 when its key is not here yet. */
  advanceEpoch(keyId: number): number {
    const slot = this.#nextSlots[keyId] as number;
    if (slot < 0) return 0;
    const epoch = this.#nextEpochs[keyId] as number;
    const generation = this.#nextGenerations[keyId] as number;
    const isInUse = this.sealKeyId === keyId && this.sealSlot >= 0;
    this.#nextSlots[keyId] = -1;
    this.sealSlots[keyId] = slot;
    this.sealGenerations[keyId] = generation;
    this.#sealEpochs[keyId] = epoch;
    if (isInUse) {
      this.#seal(keyId);
      this.usage.beginEpoch(epoch);
    }
    return epoch;
  }

  #put(
    place: number,
    key: { readonly epoch: number; readonly open: SlotName; readonly window: Window },
  ): void {
    this.openSlots[place] = key.open.slot;
    this.openGenerations[place] = key.open.generation;
    this.openEpochs[place] = key.epoch;
    this.windows[place] = key.window;
  }

  /** Where a packet's key and window are; the epoch is the upper half of the id's high word. */
  placeOf(keyId: number, idHigh: number): number {
    // HOT PATH
    return (keyId << EPOCH_RING_BITS) | ((idHigh >>> 16) & (EPOCH_RING - 1));
  }

  /**
   * Seals with the key of this id from now on; false when that is so already. Packet ids never
   * start again under a key.
   */
  beginSending(keyId: number): boolean {
    if (this.#hasSent && this.sealSlot >= 0 && this.sealKeyId === keyId) return false;
    this.sendWith(keyId);
    return true;
  }

  /** An authentic packet under the session's first key: the peer has it, so it may be sent with. */
  hearFirst(keyId: number): void {
    // HOT PATH
    if (this.#hasSent || (this.sealSlots[keyId] as number) < 0) return;
    this.sendWith(keyId);
  }

  /** Seals with the key of this id from now on, from packet id 1 (or a later one, near the end). */
  sendWith(keyId: number, firstId = 1): void {
    this.#hasSent = true;
    this.sealKeyId = keyId;
    this.opcodeWord = (Opcode.dataV2 << 27) | (keyId << 24) | this.#peerId | 0;
    this.#seal(keyId);
    this.usage.begin(keyId, this.#sealEpochs[keyId] as number, firstId);
  }

  #seal(keyId: number): void {
    this.sealSlot = this.sealSlots[keyId] as number;
    this.sealGeneration = this.sealGenerations[keyId] as number;
    this.sealEpochWord = ((this.#sealEpochs[keyId] as number) << 16) | 0;
    this.hasAskedForKey = false;
  }

  /** Forgets a key id, for receiving and, if it still is the one, for sending. */
  retireKey(keyId: number): void {
    if (this.sealSlot === this.sealSlots[keyId]) this.sealSlot = -1;
    this.sealSlots[keyId] = -1;
    this.#nextSlots[keyId] = -1;
    this.hasEpochs[keyId] = 0;
    for (let place = keyId * EPOCH_RING; place < (keyId + 1) * EPOCH_RING; place++) {
      this.openSlots[place] = -1;
      this.windows[place] = undefined;
    }
  }

  /** The next packet id of the sending key for a frame of so many bytes, or NO_ID. */
  takeId(bytes: number): number {
    // HOT PATH
    return this.usage.takeId(bytes);
  }

  /** True once when the sending key comes near a limit; again by `needsNewKeyStill`. */
  needsNewKey(): boolean {
    // HOT PATH
    if (this.hasAskedForKey || !this.usage.isUsed) return false;
    this.hasAskedForKey = true;
    return true;
  }

  /** The same from time to time: whoever asked too early, or only receives, asks here. */
  needsNewKeyStill(): boolean {
    this.hasAskedForKey = false;
    return this.sealSlot >= 0 && this.needsNewKey();
  }
}
