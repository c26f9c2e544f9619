/**
 * Slots of the addon's key table, for the whole process: given out here, filled by the addon,
 * named everywhere else by slot and generation. One invariant: a slot that was released and
 * taken again has another generation, so a row that still names the old key opens nothing.
 */

import type { KeyWish } from "../native/native.ts";
import type { DataKeys, DirectionKey } from "../session/handshake/data-keys.ts";

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
  #generation = 0;

  constructor(table: KeyTable) {
    this.#table = table;
  }

  /** Installs both directions; undefined when no slots are left or the addon refuses. */
  install(keys: DataKeys): { open: SlotName; seal: SlotName } | undefined {
    const open = this.#installOne(keys.receive, keys.cipher);
    const seal = this.#installOne(keys.send, keys.cipher);
    if (open !== undefined && seal !== undefined) return { open, seal };
    if (open !== undefined) this.release(open);
    if (seal !== undefined) this.release(seal);
    return undefined;
  }

  /** Empties a slot; the addon wipes the key. */
  release(name: SlotName): void {
    this.#table.keyRemove(name.slot);
    this.#free.push(name.slot);
  }

  #installOne(direction: DirectionKey, cipher: DataKeys["cipher"]): SlotName | undefined {
    const slot = this.#free.pop();
    if (slot === undefined) {
      wipe(direction);
      return undefined;
    }
    this.#generation = (this.#generation + 1) & 0x7fff_ffff;
    const { key, implicitIv } = direction;
    const generation = this.#generation;
    const errno = this.#table.keyInstall({
      slot,
      generation,
      cipher,
      key,
      implicitIv,
      format: "short",
    });
    wipe(direction);
    if (errno === 0) return { slot, generation };
    this.#free.push(slot);
    return undefined;
  }
}

function wipe(direction: DirectionKey): void {
  direction.key.fill(0);
  direction.implicitIv.fill(0);
}
