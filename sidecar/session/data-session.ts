/**
 * One peer as the data plane knows it: which keys open and seal its packets, the next packet id,
 * the replay windows, when it was last heard. One invariant: a packet id is used once per
 * sending key; `takeId` hands out each number of 1 to 2^32-1 and then says no.
 */

import { Opcode } from "../wire/control-packet.ts";

/** Key ids of OpenVPN are three bits. */
export const KEY_IDS = 8;
/** What `takeId` gives when the sending key's ids are used up. */
export const NO_ID = 0;
/** A new key is asked for here: 2^28 ids before the end, minutes at any rate. */
const ID_SOON_EXHAUSTED = 0xf000_0000;
/** 7/8 of the AES-GCM limit of 2^36 blocks and packets (openvpn-interop, 2.7's own margin). */
const BLOCKS_MAX = 2 ** 36 * (7 / 8);

/** What a session asks of a receive window; the replay stage has the real one. */
export interface Window {
  mayAccept(high: number, low: number, nowMs: number): number;
  accept(high: number, low: number, nowMs: number): number;
}

/** A native key slot and the generation of its content. */
export interface SlotName {
  readonly slot: number;
  readonly generation: number;
}

/** The data plane's state of one peer. Row `index` of the path table is its path. */
export class DataSession {
  /** Session number, switch port and path row; from 1. */
  readonly index: number;
  readonly pingIntervalMs: number;
  readonly timeoutMs: number;
  /** Native key slot and generation to open with, by key id; slot -1 for none. */
  readonly openSlots: Int32Array = new Int32Array(KEY_IDS).fill(-1);
  readonly openGenerations: Int32Array = new Int32Array(KEY_IDS);
  readonly windows: (Window | undefined)[] = new Array<Window | undefined>(KEY_IDS).fill(undefined);
  /** The same for sealing; `sealSlot` is the one in use. */
  readonly sealSlots: Int32Array = new Int32Array(KEY_IDS).fill(-1);
  readonly sealGenerations: Int32Array = new Int32Array(KEY_IDS);
  sealSlot = -1;
  sealGeneration = 0;
  /** Opcode, key id and peer-id of every packet sent with the current key. */
  opcodeWord = 0;
  lastHeardMs: number;
  lastSentMs: number;
  hasSaidSilent = false;
  hasAskedForKey = false;
  readonly #peerId: number;
  /** The next packet id, and blocks sealed with the key: doubles, so outside the object. */
  readonly #usage: Float64Array = new Float64Array(2);

  constructor(options: {
    readonly index: number;
    readonly peerId: number;
    readonly pingIntervalMs: number;
    readonly timeoutMs: number;
    readonly nowMs: number;
  }) {
    this.index = options.index;
    this.#peerId = options.peerId & 0xff_ffff;
    this.pingIntervalMs = options.pingIntervalMs;
    this.timeoutMs = options.timeoutMs;
    this.lastHeardMs = options.nowMs;
    this.lastSentMs = options.nowMs;
  }

  /** Receives with a key from now on; seals with it once `sendWith` says so. */
  installKey(
    keyId: number,
    key: { readonly open: SlotName; readonly seal: SlotName; readonly window: Window },
  ): void {
    const { open, seal, window } = key;
    this.openSlots[keyId] = open.slot;
    this.openGenerations[keyId] = open.generation;
    this.sealSlots[keyId] = seal.slot;
    this.sealGenerations[keyId] = seal.generation;
    this.windows[keyId] = window;
  }

  /** Seals with the key of this id from now on, from packet id 1 (or a later one, near the end). */
  sendWith(keyId: number, firstId = 1): void {
    this.sealSlot = this.sealSlots[keyId] as number;
    this.sealGeneration = this.sealGenerations[keyId] as number;
    this.opcodeWord = (Opcode.dataV2 << 27) | (keyId << 24) | this.#peerId | 0;
    this.#usage[0] = firstId;
    this.#usage[1] = 0;
    this.hasAskedForKey = false;
  }

  /** Forgets a key id, for receiving and, if it still is the one, for sending. */
  retireKey(keyId: number): void {
    if (this.sealSlot === this.sealSlots[keyId]) this.sealSlot = -1;
    this.openSlots[keyId] = -1;
    this.sealSlots[keyId] = -1;
    this.windows[keyId] = undefined;
  }

  /** The next packet id of the sending key for a frame of so many bytes, or NO_ID. */
  takeId(bytes: number): number {
    // HOT PATH
    const id = this.#usage[0] as number;
    if (id > 0xffff_ffff) return NO_ID;
    this.#usage[0] = id + 1;
    this.#usage[1] = (this.#usage[1] as number) + ((bytes + 15) >>> 4) + 1;
    return id;
  }

  /** True once when the sending key comes near the end of its ids or its cipher's limit. */
  needsNewKey(): boolean {
    // HOT PATH
    if (this.hasAskedForKey) return false;
    if ((this.#usage[0] as number) < ID_SOON_EXHAUSTED && (this.#usage[1] as number) < BLOCKS_MAX) {
      return false;
    }
    this.hasAskedForKey = true;
    return true;
  }
}
