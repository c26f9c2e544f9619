/**
 * Sealed packets that arrived lately, kept so that parity can stand in for those that did not. One
 * invariant: a slot belongs to one packet or waits for one; keeping a packet swaps its slot with
 * that of the packet it takes the place of, so no bytes are copied twice and none are shared.
 */

/** Packets kept for a session: blocks of 13 that are up to 500 packets apart by the paths' skew. */
export const KEPT_MAX = 512;
/** What `find` gives for a packet that is not here. */
export const NOT_KEPT = -1;
const NO_KEY = -1;

/** The packets of one session. */
export class KeptPackets {
  readonly #slots: Int32Array = new Int32Array(KEPT_MAX);
  readonly #keyIds: Int32Array = new Int32Array(KEPT_MAX).fill(NO_KEY);
  readonly #highs: Int32Array = new Int32Array(KEPT_MAX);
  readonly #lows: Int32Array = new Int32Array(KEPT_MAX);
  readonly #bytes: Int32Array = new Int32Array(KEPT_MAX);

  /** Over `KEPT_MAX` slots from `firstSlot` on. */
  constructor(firstSlot: number) {
    for (let place = 0; place < KEPT_MAX; place++) this.#slots[place] = firstSlot + place;
  }

  /** Forgets every packet; the slots stay. */
  clear(): void {
    this.#keyIds.fill(NO_KEY);
  }

  /** Keeps the packet in `slot`; gives the slot that is free instead. */
  keep(
    id: { readonly keyId: number; readonly high: number; readonly low: number },
    shardBytes: number,
    slot: number,
  ): number {
    // HOT PATH
    const place = id.low & (KEPT_MAX - 1);
    const free = this.#slots[place] as number;
    this.#slots[place] = slot;
    this.#keyIds[place] = id.keyId;
    this.#highs[place] = id.high | 0;
    this.#lows[place] = id.low | 0;
    this.#bytes[place] = shardBytes;
    return free;
  }

  /** Where a packet is, or NOT_KEPT. */
  find(keyId: number, high: number, low: number): number {
    // HOT PATH
    const place = low & (KEPT_MAX - 1);
    const isHere =
      this.#lows[place] === (low | 0) &&
      this.#highs[place] === (high | 0) &&
      this.#keyIds[place] === keyId;
    return isHere ? place : NOT_KEPT;
  }

  slotAt(place: number): number {
    return this.#slots[place] as number;
  }

  shardBytesAt(place: number): number {
    return this.#bytes[place] as number;
  }
}
