/**
 * The sessions of one data plane, found by peer-id and never by address. One invariant: a peer-id
 * leads to at most one session. A listening end gives out its own session numbers as peer-ids;
 * a dialling end has one session, under whatever peer-id the server chose.
 */

import assert from "node:assert/strict";
import type { DataSession } from "./data-session.ts";

/** All live sessions of a tunnel. */
export class SessionTable {
  readonly sessionsMax: number;
  readonly #sessions: (DataSession | undefined)[];
  /** A peer-id of the server's choice that stands for session 1; -1 on a listening end. */
  #dialledPeerId = -1;
  #count = 0;

  constructor(sessionsMax: number) {
    this.sessionsMax = sessionsMax;
    this.#sessions = new Array<DataSession | undefined>(sessionsMax + 1).fill(undefined);
  }

  get count(): number {
    return this.#count;
  }

  /** Adds or replaces a session. `dialledPeerId` on a dialling end, else -1. */
  put(session: DataSession, dialledPeerId: number): void {
    assert(session.index >= 1 && session.index <= this.sessionsMax, "a session has a number");
    if (this.#sessions[session.index] === undefined) this.#count += 1;
    this.#sessions[session.index] = session;
    this.#dialledPeerId = dialledPeerId;
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
    if (this.#dialledPeerId >= 0)
      return peerId === this.#dialledPeerId ? this.#sessions[1] : undefined;
    return peerId <= this.sessionsMax ? this.#sessions[peerId] : undefined;
  }
}
