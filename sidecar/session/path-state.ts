/**
 * One path of a session: what is known of it and what was measured on it. No I/O, no clock. One
 * invariant: a figure that nobody has measured yet is absent, never 0.
 */

import type { ProbeSettings } from "./path-settings.ts";

/** Probes over which loss is told, unless the resource says otherwise. */
const LOSS_WINDOW = 200;

/** A reply is overdue after so many intervals. */
const DOUBT_INTERVALS = 1.5;

/** One path, as status shows it. */
export interface PathView {
  readonly path: number;
  readonly isUsable: boolean;
  readonly isAlive: boolean;
  readonly isActive: boolean;
  /** Smoothed, milliseconds; undefined before the first reply. */
  readonly rttMs?: number;
  /** Of probes (out) and replies (back) over the last window; undefined before there are any. */
  readonly lossOutPercent?: number;
  readonly lossBackPercent?: number;
}

/** What the reply to a probe says. */
export interface ProbeReply {
  readonly rttMs: number;
  /** Probes that the other end has received. */
  readonly receivedThere: number;
  readonly nowMs: number;
}

/** What becomes of a path for want of replies; a doubtful one is asked again and again. */
export type ReplyCheck = "fine" | "doubtful" | "dead";

/** One path. */
export class PathState {
  isKnown = false;
  isUsable = false;
  isAlive = false;
  /** The dialling end says that it sends here (listening end). */
  isWanted = false;
  /** Its uplink is no longer declared: used only while nothing else works. */
  isLeaving = false;
  priority = 0;
  weight = 1;
  heardMs = 0;
  /** When the last reply to a probe came: only that shows that both directions work. */
  repliedMs = 0;
  /** What the peer has to answer before packets go there; 0: nothing is asked. */
  challenge = 0;
  challengedMs = 0;
  repliesInRow = 0;
  sequence = 0;
  /** Probes (listening) or replies (dialling) received. */
  received = 0;
  rttMs = -1;
  /** Counts at the start of the loss window: probes sent, heard there, replies got here. */
  #windowSent = 0;
  #windowThere = 0;
  #windowHere = 0;
  lossOutPercent = -1;
  lossBackPercent = -1;

  /** A reply came back: its round trip, and the loss over the last window once that is full. */
  measure(reply: ProbeReply): void {
    this.repliedMs = reply.nowMs;
    this.received = (this.received + 1) >>> 0;
    this.rttMs = this.rttMs < 0 ? reply.rttMs : this.rttMs + (reply.rttMs - this.rttMs) / 8;
    const sent = (this.sequence - this.#windowSent) >>> 0;
    if (sent < LOSS_WINDOW) return;
    const there = (reply.receivedThere - this.#windowThere) >>> 0;
    const here = (this.received - this.#windowHere) >>> 0;
    this.lossOutPercent = percentLost(sent, there);
    this.lossBackPercent = percentLost(there, here);
    this.#windowSent = this.sequence;
    this.#windowThere = reply.receivedThere;
    this.#windowHere = this.received;
  }

  /**
   * Whether replies are overdue, whatever else arrives: a peer goes on sending by a path on which it
   * hears nothing.
   */
  checkReplies({ intervalMs, downAfter }: ProbeSettings, nowMs: number): ReplyCheck {
    const doubtMs = intervalMs * DOUBT_INTERVALS;
    // Further away than that, the answer to a question of this moment would come too late to count.
    const farMs = Math.max(0, this.rttMs - doubtMs);
    const silentMs = (nowMs - this.repliedMs) | 0;
    if (silentMs >= intervalMs * downAfter + farMs) return "dead";
    return silentMs >= doubtMs ? "doubtful" : "fine";
  }

  view(path: number, isActive: boolean): PathView {
    return {
      path,
      isUsable: this.isUsable,
      isAlive: this.isAlive,
      isActive,
      ...(this.rttMs < 0 ? {} : { rttMs: Math.round(this.rttMs * 10) / 10 }),
      ...(this.lossOutPercent < 0
        ? {}
        : { lossOutPercent: this.lossOutPercent, lossBackPercent: this.lossBackPercent }),
    };
  }
}

function percentLost(sent: number, received: number): number {
  if (sent === 0) return 0;
  return Math.max(0, Math.round((1 - received / sent) * 1000) / 10);
}
