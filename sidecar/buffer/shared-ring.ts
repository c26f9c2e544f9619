/**
 * A bounded ring of variable-length records between exactly one producing and one consuming
 * thread, in shared memory. One invariant: bytes between the read and the write position belong
 * to the consumer, all others to the producer; each side moves only its own position.
 *
 * A record is a header (kind and payload length, 32 bits each) and the payload, padded to
 * 8 bytes, always in one piece: where it does not fit before the end, a wrap mark fills the rest.
 * Positions count bytes for ever modulo 2^32, so full and empty differ without a spare byte.
 */

import assert from "node:assert/strict";

const HEADER_BYTES = 8;
const ALIGNMENT_MASK = 7;
/** Kind of the filler before the end of the byte area. Real kinds are not negative. */
const WRAP_KIND = -1;

/** Positions lie on cache lines of their own, so that the threads do not fight over one. */
const WRITE_WORD = 0;
const READ_WORD = 16;
const CONTROL_BYTES = 128;

const CAPACITY_BYTES_MIN = 64;
const CAPACITY_BYTES_MAX = 2 ** 30;
assert((CONTROL_BYTES & ALIGNMENT_MASK) === 0, "the byte area is aligned");

/** A record copied out of the ring. */
export interface SharedRecord {
  readonly kind: number;
  readonly payload: Uint8Array;
}

/** Makes the memory of a ring; `capacityBytes` is a power of two. Hand it to both threads. */
export function sharedRingMemory(capacityBytes: number): SharedArrayBuffer {
  assert(Number.isInteger(capacityBytes), "the capacity is a whole number");
  assert(capacityBytes >= CAPACITY_BYTES_MIN, "the capacity holds a few records");
  assert(capacityBytes <= CAPACITY_BYTES_MAX, "positions stay apart by less than 2^31");
  assert((capacityBytes & (capacityBytes - 1)) === 0, "the capacity is a power of two");
  return new SharedArrayBuffer(CONTROL_BYTES + capacityBytes);
}

/**
 * One end of the ring. A thread uses either the producing methods (`push`, `wake`) or the
 * consuming ones (`next` and `release`, or `take`; `whenPushed`), never both.
 */
export class SharedRing {
  /** Payloads are read here, at the offsets that `next` leaves in `start` and `limit`. */
  readonly bytes: Uint8Array;
  /** Longest payload that `push` accepts: half the ring, so that it fits wherever the wrap is. */
  readonly payloadBytesMax: number;
  /** Shared words; `wakeWord` in them is the write position, which changes with each push. */
  readonly words: Int32Array;
  readonly wakeWord: number = WRITE_WORD;

  /** Kind of the current record, set by `next`. */
  kind = 0;
  /** First payload byte of the current record in `bytes`, set by `next`. */
  start = 0;
  /** First byte behind the payload of the current record in `bytes`, set by `next`. */
  limit = 0;

  readonly #headers: Int32Array;
  readonly #capacityBytes: number;
  readonly #mask: number;
  /** The consumer's position behind the current record; released later. */
  #cursor: number;

  constructor(memory: SharedArrayBuffer) {
    const capacityBytes = memory.byteLength - CONTROL_BYTES;
    assert(capacityBytes >= CAPACITY_BYTES_MIN, "the memory comes from sharedRingMemory");
    assert((capacityBytes & (capacityBytes - 1)) === 0, "the capacity is a power of two");
    this.words = new Int32Array(memory, 0, CONTROL_BYTES / 4);
    this.bytes = new Uint8Array(memory, CONTROL_BYTES, capacityBytes);
    this.payloadBytesMax = capacityBytes / 2 - HEADER_BYTES;
    this.#headers = new Int32Array(memory, CONTROL_BYTES, capacityBytes / 4);
    this.#capacityBytes = capacityBytes;
    this.#mask = capacityBytes - 1;
    this.#cursor = Atomics.load(this.words, READ_WORD);
  }

  /**
   * Producer. Copies `length` bytes from `start` of `bytes` into the ring. False means full, or
   * a payload longer than `payloadBytesMax`: nothing was written, the caller drops and counts.
   */
  push(kind: number, bytes: Uint8Array, start: number, length: number): boolean {
    // Control packets and notices only, not every packet: the one small view below is affordable.
    assert(kind >= 0, "negative kinds are the ring's own");
    assert(start >= 0 && length >= 0 && start + length <= bytes.length, "the payload is in bytes");
    if (length > this.payloadBytesMax) return false;

    const write = Atomics.load(this.words, WRITE_WORD);
    const used = (write - Atomics.load(this.words, READ_WORD)) | 0;
    const recordBytes = HEADER_BYTES + ((length + ALIGNMENT_MASK) & ~ALIGNMENT_MASK);
    const offset = write & this.#mask;
    const bytesToEnd = this.#capacityBytes - offset;
    const skippedBytes = recordBytes > bytesToEnd ? bytesToEnd : 0;
    if (skippedBytes + recordBytes > this.#capacityBytes - used) return false;

    if (skippedBytes > 0) this.#headers[offset >> 2] = WRAP_KIND;
    const target = skippedBytes > 0 ? 0 : offset;
    this.#headers[target >> 2] = kind;
    this.#headers[(target >> 2) + 1] = length;
    this.bytes.set(bytes.subarray(start, start + length), target + HEADER_BYTES);
    Atomics.store(this.words, WRITE_WORD, (write + skippedBytes + recordBytes) | 0);
    return true;
  }

  /**
   * Producer. Wakes the consumer if it waits in `whenPushed`: once after a run of `push`. A
   * consumer that blocks in epoll is woken by its eventfd instead.
   */
  wake(): void {
    Atomics.notify(this.words, WRITE_WORD);
  }

  /**
   * Consumer. Moves on to the next record and describes it in `kind`, `start` and `limit`; false
   * when there is none. The bytes stay valid until `release`.
   */
  next(): boolean {
    // HOT PATH
    const write = Atomics.load(this.words, WRITE_WORD);
    if (this.#cursor === write) return false;
    let offset = this.#cursor & this.#mask;
    if (this.#headers[offset >> 2] === WRAP_KIND) {
      this.#cursor = (this.#cursor + this.#capacityBytes - offset) | 0;
      offset = 0;
    }
    this.kind = this.#headers[offset >> 2] as number;
    const length = this.#headers[(offset >> 2) + 1] as number;
    this.start = offset + HEADER_BYTES;
    this.limit = this.start + length;
    if (this.limit > this.#capacityBytes) assert.fail("a record lies inside the ring");
    this.#cursor =
      (this.#cursor + HEADER_BYTES + ((length + ALIGNMENT_MASK) & ~ALIGNMENT_MASK)) | 0;
    return true;
  }

  /** Consumer. Gives the memory of every record passed so far back to the producer. */
  release(): void {
    Atomics.store(this.words, READ_WORD, this.#cursor);
  }

  /** Consumer, where an allocation does not matter: a copy of the next record, already released. */
  take(): SharedRecord | undefined {
    if (!this.next()) return undefined;
    const record = { kind: this.kind, payload: this.bytes.slice(this.start, this.limit) };
    this.release();
    return record;
  }

  /**
   * Consumer with an event loop. Undefined when a record is there already, else a promise that
   * settles after the producer's next `wake` (or `timeoutMs`). It does not keep the process
   * alive. Drain until `next` is false before waiting again.
   */
  whenPushed(timeoutMs?: number): Promise<"ok" | "timed-out"> | undefined {
    const waiting = Atomics.waitAsync(this.words, WRITE_WORD, this.#cursor, timeoutMs);
    return waiting.async ? waiting.value : undefined;
  }
}
