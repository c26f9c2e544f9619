/**
 * Finds loops and says which port to shut. A loop shows in stations that move back and forth: then
 * a probe with a random id goes out of the ports concerned, and if it comes back, there is a loop
 * (as in LLDP-free loop detection of Ethernet switches; spanning tree is not carried). One
 * invariant: the tap is never shut, and a port is shut only on our own probe's return. A dialling
 * end waits for the listening one to act, so that one of them does and not both.
 */

import { NO_PORT } from "./mac-table.ts";

/** Moves within one tick that make us ask. */
const MOVES_MIN = 2;
/** Probes go out at each tick for so long after the last suspicion. */
const SUSPICION_MS = 1000;
/** Evidence older than this is of another loop. */
const EVIDENCE_MS = 300;
const SHUT_MS = 30_000;
const SHUT_MS_MAX = 480_000;

/** What changed at a tick. */
export interface LoopChange {
  readonly port: number;
  readonly isShut: boolean;
}

/** The loop guard of one switch. */
export class LoopGuard {
  /** Random; in every probe. */
  readonly idHigh: number;
  readonly idLow: number;
  /** Ports that a probe is due on, at most two; NO_PORT: none. */
  readonly probePorts: Int32Array = Int32Array.of(NO_PORT, NO_PORT);
  readonly #waitMs: number;
  readonly #untilMs = new Map<number, { untilMs: number; lastsMs: number }>();
  #moves = 0;
  #suspectUntilMs = 0;
  #isSuspicious = false;
  #evidencePort = NO_PORT;
  #evidenceSinceMs = 0;
  #evidenceMs = 0;

  constructor(id: { readonly high: number; readonly low: number }, waitMs: number) {
    this.idHigh = id.high | 0;
    this.idLow = id.low | 0;
    this.#waitMs = waitMs;
  }

  /** A station moved from one port to another. */
  moved(from: number, to: number): void {
    // HOT PATH
    this.#moves += 1;
    this.probePorts[0] = from;
    this.probePorts[1] = to;
  }

  /** Our own probe came back: by another port, or there is a loop that we are no part of. */
  returned(sentPort: number, port: number, nowMs: number): void {
    if (sentPort === port) return;
    const isOld = ((nowMs - this.#evidenceMs) | 0) > EVIDENCE_MS;
    if (this.#evidencePort === NO_PORT || isOld) this.#evidenceSinceMs = nowMs;
    this.#evidencePort = Math.max(sentPort, port);
    this.#evidenceMs = nowMs;
  }

  /** Whether probes are due on `probePorts`, to be sent now. Call at each tick. */
  isProbing(nowMs: number): boolean {
    if (this.#moves >= MOVES_MIN) {
      this.#isSuspicious = true;
      this.#suspectUntilMs = (nowMs + SUSPICION_MS) | 0;
    }
    this.#moves = 0;
    if (this.#isSuspicious && ((this.#suspectUntilMs - nowMs) | 0) <= 0) this.#isSuspicious = false;
    return this.#isSuspicious;
  }

  /** What to shut or open now; undefined: nothing. */
  tick(nowMs: number): LoopChange | undefined {
    for (const [port, shut] of this.#untilMs) {
      if (shut.untilMs === 0 || ((shut.untilMs - nowMs) | 0) > 0) continue;
      shut.untilMs = 0;
      return { port, isShut: false };
    }
    const port = this.#evidencePort;
    if (port === NO_PORT || port === 0) return undefined;
    if (((this.#evidenceMs - this.#evidenceSinceMs) | 0) < this.#waitMs) return undefined;
    this.#evidencePort = NO_PORT;
    const before = this.#untilMs.get(port)?.lastsMs ?? SHUT_MS / 2;
    const lastsMs = Math.min(before * 2, SHUT_MS_MAX);
    this.#untilMs.set(port, { untilMs: (nowMs + lastsMs) | 0 || 1, lastsMs });
    return { port, isShut: true };
  }

  /** The port ended. */
  forgetPort(port: number): void {
    this.#untilMs.delete(port);
    if (this.#evidencePort === port) this.#evidencePort = NO_PORT;
  }
}
