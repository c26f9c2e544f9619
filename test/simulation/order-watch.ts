/**
 * Whether TCP segments come out of a tap in the order of their stream, kept beside the code under test.
 * Invariant checked here: what arrived while its stream had not come out further is never overtaken. What
 * arrives later than that (its hole was given up) comes out behind, as it must.
 */
import assert from "node:assert/strict";
import { FLOW_IDLE_MS } from "../../sidecar/redundancy/segment-order.ts";
import { EVERYBODY, type Ledger } from "./ledger.ts";

/** One stream, as long as its session lasts and keeps order. Numbers of frames grow with a stream's. */
interface Stream {
  readonly session: object;
  /** The last one that came out; 0: none did, so nobody knows yet what comes first. */
  delivered: number;
  usedMs: number;
  /** Arrived in time, and not out yet. */
  readonly waiting: Set<number>;
}

/** The streams towards one sidecar. */
export class OrderWatch {
  readonly #sidecar: number;
  readonly #ledger: Pick<Ledger, "frame">;
  readonly #streams = new Map<string, Stream>();
  /** Segments that came out behind later ones that had arrived before them. */
  putInOrder = 0;

  constructor(sidecar: number, ledger: Pick<Ledger, "frame">) {
    this.#sidecar = sidecar;
    this.#ledger = ledger;
  }

  /** An intact frame arrived by a session, which keeps order or does not. */
  arrived(number: number, session: { readonly reorderMs: number }, nowMs: number): void {
    const name = this.#nameOf(number);
    if (name === undefined) return;
    if (session.reorderMs === 0) {
      this.#streams.delete(name);
      return;
    }
    let stream = this.#streams.get(name);
    const isOver = stream === undefined || stream.session !== session;
    if (stream === undefined || isOver || nowMs - stream.usedMs >= FLOW_IDLE_MS / 2) {
      stream = { session, delivered: 0, usedMs: nowMs, waiting: new Set() };
      this.#streams.set(name, stream);
    }
    stream.usedMs = nowMs;
    if (stream.delivered === 0 || stream.delivered > number) return;
    for (const other of stream.waiting) if (other > number) this.putInOrder += 1;
    stream.waiting.add(number);
  }

  /** A frame came out of the tap. */
  delivered(number: number): void {
    const stream = this.#streams.get(this.#nameOf(number) ?? "");
    if (stream === undefined) return;
    stream.waiting.delete(number);
    stream.delivered = Math.max(stream.delivered, number);
    for (const other of stream.waiting) {
      assert(other > number, `segment ${number} came out before ${other}, which was here`);
    }
  }

  /** Of a segment that is for this sidecar. */
  #nameOf(number: number): string | undefined {
    const sent = this.#ledger.frame(number);
    const isForUs = sent?.target === EVERYBODY || sent?.target === this.#sidecar;
    return sent?.isTcp === true && isForUs ? `${sent.origin} ${sent.target}` : undefined;
  }
}
