/**
 * How fast a dialling end comes back: the gateway of a cluster has several replicas, of which
 * another one answers within two seconds after the active one died. Pure; no clock, no I/O.
 * Invariant: a server that is not ours, one that never was up, and a session that did not last are
 * dialled as patiently as ever, so nobody is flooded.
 */

/** A remote that has not answered the first packet by then is left for the next one. */
const ANSWER_MS = 4000;
/** The same while another replica is expected at any moment, and never below. */
const FAST_ANSWER_MS_MIN = 300;
const FAST_PAUSE_MS = 50;
/** So long after a loss; a replica that was not there by then is waited for patiently. */
const FAST_MS = 10_000;
/** A session that was up for less shows a fault that haste does not cure. */
const LASTED_MS = 2000;
/**
 * Silence of a server of ours after which another replica is tried. Probes and pings are heard each
 * second, so it takes four packets lost in a row for a needless new handshake.
 */
export const REPLICA_SILENT_MS = 2000;

/** When a session was begun, and when it was up. */
export interface SessionTimes {
  readonly begunMs: number;
  readonly upMs: number;
}

/** What is remembered from one session to the next. */
export class Redial {
  #fastUntilMs = Number.NEGATIVE_INFINITY;
  #handshakeMs = ANSWER_MS;
  #lost: string | undefined;

  /** A session ended that was up. */
  lost(
    remote: { readonly name: string; readonly isOurs: boolean },
    times: SessionTimes,
    nowMs: number,
  ): void {
    this.#lost = remote.name;
    this.#handshakeMs = times.upMs - times.begunMs;
    if (remote.isOurs && nowMs - times.upMs >= LASTED_MS) this.#fastUntilMs = nowMs + FAST_MS;
  }

  /** The candidates, those behind the one that was lost first. */
  ordered<Candidate extends { readonly name: string }>(
    candidates: readonly Candidate[],
  ): readonly Candidate[] {
    const at = candidates.findIndex(({ name }) => name === this.#lost);
    if (at < 0) return candidates;
    return [...candidates.slice(at + 1), ...candidates.slice(0, at + 1)];
  }

  /** How long a remote may take to answer: as long as the last whole handshake took, when in haste. */
  answerMs(nowMs: number): number {
    if (nowMs >= this.#fastUntilMs) return ANSWER_MS;
    return Math.min(Math.max(this.#handshakeMs, FAST_ANSWER_MS_MIN), ANSWER_MS);
  }

  /** The pause before the next round. */
  pauseMs(patientMs: number, nowMs: number): number {
    return nowMs >= this.#fastUntilMs ? patientMs : Math.min(FAST_PAUSE_MS, patientMs);
  }
}
