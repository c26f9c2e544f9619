/**
 * The sessions of one data plane, found by peer-id and never by address. One invariant: a peer-id
 * leads to at most one session. A listening end gives out its own session numbers as peer-ids;
 * a dialling end has one session, under whatever peer-id the server chose; so has one end of a pair.
 */

import assert from "node:assert/strict";
import type { DataSession } from "./data-session.ts";

/** All live sessions of a tunnel. */
export class SessionTable {
  readonly sessionsMax: number;
  readonly #sessions: (DataSession | undefined)[];
  /**
   * A peer-id that stands for one session: of the server's choice where we dial, of both ends' TLS
   * between two peers. -1 where sessions go by their numbers.
   */
  #foreignPeerId = -1;
  #foreignIndex = 0;
  #count = 0;

  constructor(sessionsMax: number) {
    this.sessionsMax = sessionsMax;
    this.#sessions = new Array<DataSession | undefined>(sessionsMax + 1).fill(undefined);
  }

  get count(): number {
    return this.#count;
  }

  /** Adds or replaces a session. `foreignPeerId` is -1 where its number is its peer-id. */
  put(session: DataSession, foreignPeerId: number): void {
    assert(session.index >= 1 && session.index <= this.sessionsMax, "a session has a number");
    if (this.#sessions[session.index] === undefined) this.#count += 1;
    this.#sessions[session.index] = session;
    this.#foreignPeerId = foreignPeerId;
    this.#foreignIndex = session.index;
  }

  remove(index: number): void {
    if (this.#sessions[index] === undefined) return;
    this.#sessions[index] = undefined;
    this.#count -= 1;
  }

  at(index: number): DataSession | undefined {
    // HOT PATH
    return this.#sessions[index];
  }

  /** The session that a data packet's 24-bit peer-id belongs to. */
  byPeerId(peerId: number): DataSession | undefined {
    // HOT PATH
    if (this.#foreignPeerId >= 0)
      return peerId === this.#foreignPeerId ? this.#sessions[this.#foreignIndex] : undefined;
    return peerId <= this.sessionsMax ? this.#sessions[peerId] : undefined;
  }
}
