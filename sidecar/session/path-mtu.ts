/**
 * Looks for the largest UDP payload that crosses a path both ways, by probes of a size that must not be
 * cut on the way (RFC 8899). No I/O, no clock. One invariant: only an answer raises what is known, and
 * only unanswered probes or the own kernel's word lower it; nobody outside can.
 */

/** Without an answer after this long, and twice the round trip, a probe is lost. */
const ANSWER_MS = 250;
/** So many lost in a row mean that the size does not cross: 5 at 20 % loss are lost once in 3000. */
const TRIES_MAX = 5;
/** What was found is asked for again this often. */
const VERIFY_MS = 10_000;
/** Whether more crosses by now is asked this often (RFC 8899, 5.1.1: 600 s). */
const RAISE_MS = 600_000;
/** Below this nothing is looked for: such a path carries no tunnel. */
const SIZE_MIN = 500;

/** The search on one path. */
export class PathMtu {
  /** The largest payload that is known to cross; 0: none yet. */
  bytes = 0;
  /** The same as it was last exact: what a search under way has not changed yet; 0: not known. */
  settledBytes = 0;
  /** The smallest that is known not to. */
  #tooBig = 0;
  #max = 0;
  #asked = 0;
  #askedMs = 0;
  #tries = 0;
  #verifiedMs = 0;
  #raisedMs = 0;
  /** What the other end was told. */
  #toldBytes = 0;

  /** One byte more does not cross, or is more than is asked for. */
  get isExact(): boolean {
    return this.bytes > 0 && this.bytes + 1 === this.#tooBig;
  }

  /** Forgets everything: the path leaves by another way now. */
  reset(): void {
    this.bytes = 0;
    this.settledBytes = 0;
    this.#toldBytes = 0;
    this.#tooBig = 0;
    this.#max = 0;
    this.#asked = 0;
    this.#tries = 0;
  }

  /** The size to ask for now, 0 for none; `bytesMax` is the most that is of use. */
  next(bytesMax: number, rttMs: number, nowMs: number): number {
    if (bytesMax !== this.#max) this.#begin(bytesMax, nowMs);
    if (this.#asked > 0) {
      if (((nowMs - this.#askedMs) | 0) < ANSWER_MS + 2 * Math.max(0, rttMs)) return 0;
      if (this.#tries >= TRIES_MAX) this.#fail(this.#asked, nowMs);
    }
    if (this.#asked === 0) this.#asked = this.#choose(nowMs);
    if (this.#asked === 0) return 0;
    this.#tries += 1;
    this.#askedMs = nowMs;
    return this.#asked;
  }

  /** The other end answered a probe of this size with as long a one. */
  crossed(bytes: number, nowMs: number): void {
    if (bytes > this.#max || bytes < SIZE_MIN) return;
    if (bytes >= this.bytes) {
      this.bytes = bytes;
      this.#verifiedMs = nowMs;
      if (this.#tooBig <= bytes) this.#tooBig = this.#max + 1;
      if (this.isExact) this.settledBytes = bytes;
    }
    if (bytes >= this.#asked) this.#settle();
  }

  /** The own kernel says that the interface does not take it. */
  refused(bytes: number, nowMs: number): void {
    if (bytes === this.#asked) this.#fail(bytes, nowMs);
  }

  #begin(bytesMax: number, nowMs: number): void {
    this.#max = bytesMax;
    this.#tooBig = bytesMax + 1;
    this.bytes = Math.min(this.bytes, bytesMax);
    this.settledBytes = Math.min(this.settledBytes, bytesMax);
    this.#raisedMs = nowMs;
    this.#settle();
  }

  #settle(): void {
    this.#asked = 0;
    this.#tries = 0;
  }

  /** What crossed until now does not any more: the search begins below it. */
  #fail(bytes: number, nowMs: number): void {
    this.#tooBig = Math.min(this.#tooBig, bytes);
    if (this.bytes >= this.#tooBig) {
      this.bytes = 0;
      this.#toldBytes = 0;
    }
    if (this.settledBytes >= this.#tooBig) this.settledBytes = 0;
    if (this.isExact) this.settledBytes = this.bytes;
    if (this.#tooBig <= SIZE_MIN) {
      // Nothing crosses: the path is dead or wants other means; all of it again in a while.
      this.#tooBig = this.#max + 1;
      this.#verifiedMs = nowMs;
      this.#raisedMs = nowMs;
    }
    this.#settle();
  }

  #choose(nowMs: number): number {
    if (this.bytes > 0 && ((nowMs - this.#raisedMs) | 0) >= RAISE_MS) {
      this.#raisedMs = nowMs;
      this.#tooBig = this.#max + 1;
    }
    if (this.isExact) {
      // At once when it has been found: the other end learns it by the same probe.
      const isNews = this.#toldBytes !== this.bytes;
      this.#toldBytes = this.bytes;
      return isNews || ((nowMs - this.#verifiedMs) | 0) >= VERIFY_MS ? this.bytes : 0;
    }
    // All of it first, as most paths take it; then halves.
    if (this.#tooBig > this.#max) return this.#max;
    const low = Math.max(this.bytes, SIZE_MIN - 1);
    return Math.max(SIZE_MIN, (low + this.#tooBig) >> 1);
  }
}
