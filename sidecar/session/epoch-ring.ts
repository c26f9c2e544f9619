/**
 * The epochs of one key id as the main thread keeps them: which slots of the addon's key table
 * hold which epoch, and what to install next. One invariant: the window is the epoch in use,
 * the one before it and four after it to receive with (as OpenVPN 2.7), and the one in use and
 * the next to send with; a slot that leaves the window is released once.
 */

import type { DirectionKey } from "./handshake/data-keys.ts";
import type { EpochChain } from "./handshake/epoch-keys.ts";

/** A native key slot and the generation of its content. */
export interface EpochSlot {
  readonly slot: number;
  readonly generation: number;
}

/** What the ring does with keys, and whom it tells. */
export interface EpochRingHost {
  readonly install: (key: DirectionKey) => EpochSlot | undefined;
  readonly release: (slot: EpochSlot) => void;
  /** Receive packets of this epoch with this slot from now on. */
  readonly receiveWith: (epoch: number, slot: EpochSlot) => void;
  /** Have this slot at hand as the next epoch to send in, or go there at once. */
  readonly sendNext: (epoch: number, slot: EpochSlot, isNow: boolean) => void;
}

/** Epochs ahead of the one in use that are received (OpenVPN 2.7). */
export const EPOCHS_AHEAD = 4;
/** First epoch of every key. */
const FIRST_EPOCH = 1;

/** Both directions of one key id. */
export class EpochRing {
  readonly #send: EpochChain;
  readonly #receive: EpochChain;
  readonly #host: EpochRingHost;
  readonly #opens = new Map<number, EpochSlot>();
  readonly #seals = new Map<number, EpochSlot>();
  #sending = FIRST_EPOCH;
  #receiving = FIRST_EPOCH;

  constructor(chains: { send: EpochChain; receive: EpochChain }, host: EpochRingHost) {
    this.#send = chains.send;
    this.#receive = chains.receive;
    this.#host = host;
  }

  /** Installs the first window; false when there are no slots for it. */
  start(): boolean {
    return this.#fillReceive() && this.#fillSend();
  }

  /** An authentic packet of a later epoch arrived: the window moves there. */
  received(epoch: number): void {
    if (epoch <= this.#receiving || epoch > this.#receiving + EPOCHS_AHEAD) return;
    this.#receiving = epoch;
    this.#drop(this.#opens, epoch - 1);
    this.#fillReceive();
    // We answer in no older epoch than the other end speaks in (openvpn-rfc, "epochkeys").
    while (this.#sending < this.#receiving) {
      this.#sending += 1;
      const slot = this.#seals.get(this.#sending);
      if (slot === undefined) return;
      this.#host.sendNext(this.#sending, slot, true);
      if (!this.#fillSend()) return;
    }
    this.#drop(this.#seals, this.#sending - 1);
  }

  /** The data plane sends in this epoch now. */
  sending(epoch: number): void {
    if (epoch !== this.#sending + 1) return;
    this.#sending = epoch;
    this.#fillSend();
    this.#drop(this.#seals, epoch);
  }

  /** Releases everything. */
  close(): void {
    this.#drop(this.#opens, Infinity);
    this.#drop(this.#seals, Infinity);
    this.#send.destroy();
    this.#receive.destroy();
  }

  #fillReceive(): boolean {
    while (this.#receive.epoch <= this.#receiving + EPOCHS_AHEAD) {
      const key = this.#receive.take();
      if (key === undefined) return true;
      const slot = this.#host.install(key);
      if (slot === undefined) return false;
      this.#opens.set(key.epoch, slot);
      this.#host.receiveWith(key.epoch, slot);
    }
    return true;
  }

  #fillSend(): boolean {
    while (this.#send.epoch <= this.#sending + 1) {
      const key = this.#send.take();
      if (key === undefined) return true;
      const slot = this.#host.install(key);
      if (slot === undefined) return false;
      this.#seals.set(key.epoch, slot);
      this.#host.sendNext(key.epoch, slot, false);
    }
    return true;
  }

  /** Releases the slots of the epochs below `least`. */
  #drop(slots: Map<number, EpochSlot>, least: number): void {
    for (const [epoch, slot] of [...slots]) {
      if (epoch >= least) continue;
      slots.delete(epoch);
      this.#host.release(slot);
    }
  }
}
