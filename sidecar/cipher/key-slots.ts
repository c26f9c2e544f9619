/**
 * Slots of the addon's key table, for the whole process: given out here, filled by the addon,
 * named everywhere else by slot and generation. One invariant: a slot that was released and
 * taken again has another generation, so a row that still names the old key opens nothing.
 */

import assert from "node:assert/strict";
import type { Cipher, KeyWish } from "../native/native.ts";

/** Key and implicit IV of one direction; wiped once they are in the addon's table. */
export interface SlotKey {
  readonly key: Uint8Array;
  readonly implicitIv: Uint8Array;
}

/** Both directions of one key id, as a session agreed on them. */
export interface SlotKeys {
  readonly cipher: Cipher;
  readonly send: SlotKey;
  readonly receive: SlotKey;
}

/** Name of a key in the addon's table. */
export interface SlotName {
  readonly slot: number;
  readonly generation: number;
}

/** What the slots need of the addon. */
export interface KeyTable {
  readonly keyInstall: (wish: KeyWish) => number;
  readonly keyRemove: (slot: number) => number;
}

/** Slots in the addon's table (KEY_SLOTS in keys.rs). */
export const KEY_SLOTS = 4096;

/** Gives out slots and wipes what goes through. */
export class KeySlots {
  readonly #table: KeyTable;
  readonly #free: number[] = Array.from({ length: KEY_SLOTS }, (_, index) => KEY_SLOTS - 1 - index);
  /** Generation of the key in each slot; 0 for a free one. */
  readonly #held = new Int32Array(KEY_SLOTS);
  #generation = 0;

  constructor(table: KeyTable) {
    this.#table = table;
  }

  /** Installs both directions; undefined when no slots are left or the addon refuses. */
  install(keys: SlotKeys): { open: SlotName; seal: SlotName } | undefined {
    const open = this.installOne(keys.receive, keys.cipher, "short");
    const seal = this.installOne(keys.send, keys.cipher, "short");
    if (open !== undefined && seal !== undefined) return { open, seal };
    if (open !== undefined) this.release(open);
    if (seal !== undefined) this.release(seal);
    return undefined;
  }

  /** Empties a slot; the addon wipes the key. */
  release(name: SlotName): void {
    const isHeld = name.generation !== 0 && this.#held[name.slot] === name.generation;
    assert(isHeld, `slot ${name.slot} is released once, by who took it`);
    this.#held[name.slot] = 0;
    this.#table.keyRemove(name.slot);
    this.#free.push(name.slot);
  }

  /** Slots that nobody has taken. */
  get freeCount(): number {
    return this.#free.length;
  }

  /** Installs one direction's key and wipes it here; undefined when no slot is left. */
  installOne(direction: SlotKey, cipher: Cipher, format: KeyWish["format"]): SlotName | undefined {
    const slot = this.#free.pop();
    if (slot === undefined) {
      wipe(direction);
      return undefined;
    }
    this.#generation = (this.#generation % 0x7fff_ffff) + 1;
    const { key, implicitIv } = direction;
    const generation = this.#generation;
    const errno = this.#table.keyInstall({
      slot,
      generation,
      cipher,
      key,
      implicitIv,
      format,
    });
    wipe(direction);
    if (errno === 0) {
      this.#held[slot] = generation;
      return { slot, generation };
    }
    this.#free.push(slot);
    return undefined;
  }
}

function wipe(direction: SlotKey): void {
  direction.key.fill(0);
  direction.implicitIv.fill(0);
}
