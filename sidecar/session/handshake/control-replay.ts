/**
 * Replay protection of the control channel's long packet ids (counter and time, openvpn-rfc
 * "tlsauth"). One invariant: a pair (time, id) is accepted once; an older time never.
 */
import type { ControlPacketId } from "./control-wrap.ts";

/** Ids kept below the highest: two retransmitted windows, and reordering between them. */
const WINDOW = 128;

/** Which packet ids of one peer's control packets have been seen. */
export class ControlReplay {
  #timeSeconds = 0;
  #highest = 0;
  #seen = new Set<number>();

  /** True once for each fresh id, after its MAC verified. */
  accept(packetId: ControlPacketId): boolean {
    if (packetId.id === 0 || packetId.timeSeconds < this.#timeSeconds) return false;
    if (packetId.timeSeconds > this.#timeSeconds) {
      this.#timeSeconds = packetId.timeSeconds;
      this.#highest = 0;
      this.#seen.clear();
    }
    if (packetId.id <= this.#highest - WINDOW || this.#seen.has(packetId.id)) return false;
    this.#seen.add(packetId.id);
    if (packetId.id > this.#highest) {
      this.#highest = packetId.id;
      for (const id of this.#seen) if (id <= this.#highest - WINDOW) this.#seen.delete(id);
    }
    return true;
  }
}
