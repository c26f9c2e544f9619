/**
 * What must be true of frames, kept beside the code under test. Invariants: a frame reaches a tap at
 * most once and as it was sent; nothing reaches a tap that nobody sent; and every frame of which an
 * intact copy arrived inside the window is delivered there.
 */
import assert from "node:assert/strict";
import type { Sealed } from "./network.ts";
import { FRAME_MARK, frameNumber, TCP_HEADERS_BYTES } from "./stand-in-lane.ts";

/** Everybody. */
export const EVERYBODY = -1;
const HEADER_BYTES = 14;
const MARK_BYTES = 8;
/** Of no protocol that a switch looks into. */
const ETHER_TYPE = 0x7800;
const IPV4 = 0x0800;
/** One frame in so many is a segment of its sender's stream. */
const TCP_EVERY = 2;
/** Streams begin near the wrap of their sequence numbers. */
const FIRST_SEQUENCE = 2 ** 32 - 5000;
const ACK = 0x10;

/** A frame as it was sent. */
export interface SentFrame {
  readonly origin: number;
  /** Number of a sidecar, or EVERYBODY. */
  readonly target: number;
  /** It may wait for those before it. */
  readonly isTcp: boolean;
  readonly bytes: Uint8Array;
}

/** A replay window as simple as can be. */
interface NaiveWindow {
  highest: number;
  readonly seen: Set<number>;
}

/** All frames of a run. */
export class Ledger {
  readonly #frames = new Map<number, SentFrame>();
  /** Sidecar times 2^32 and frame. */
  readonly #delivered = new Set<number>();
  readonly #windows = new Map<string, NaiveWindow>();
  /** What comes next in the stream from one to another. */
  readonly #sequences = new Map<string, number>();
  #next = 1;

  get sentCount(): number {
    return this.#frames.size;
  }

  get deliveredCount(): number {
    return this.#delivered.size;
  }

  get lastNumber(): number {
    return this.#next - 1;
  }

  /** A new frame's bytes. */
  create(origin: number, target: number, payloadBytes: number): Uint8Array {
    const number = this.#next;
    this.#next += 1;
    const isTcp = number % TCP_EVERY === 0;
    const headerBytes = isTcp ? TCP_HEADERS_BYTES : HEADER_BYTES;
    const bytes = new Uint8Array(headerBytes + MARK_BYTES + payloadBytes);
    bytes.set(target === EVERYBODY ? [255, 255, 255, 255, 255, 255] : macOf(target), 0);
    bytes.set(macOf(origin), 6);
    const view = new DataView(bytes.buffer);
    view.setUint16(12, isTcp ? IPV4 : ETHER_TYPE);
    view.setInt32(headerBytes, FRAME_MARK);
    view.setInt32(headerBytes + 4, number);
    for (let at = headerBytes + MARK_BYTES; at < bytes.length; at++) bytes[at] = number + at;
    if (isTcp) this.#writeHeaders(view, { origin, target }, MARK_BYTES + payloadBytes);
    this.#frames.set(number, { origin, target, isTcp, bytes });
    return bytes;
  }

  #writeHeaders(
    view: DataView,
    ends: { readonly origin: number; readonly target: number },
    payloadBytes: number,
  ): void {
    const stream = `${ends.origin} ${ends.target}`;
    const sequence = this.#sequences.get(stream) ?? FIRST_SEQUENCE;
    this.#sequences.set(stream, sequence + payloadBytes);
    view.setUint8(14, 0x45);
    view.setUint16(16, view.byteLength - HEADER_BYTES);
    view.setUint8(23, 6);
    view.setInt32(26, ends.origin);
    view.setInt32(30, ends.target);
    view.setUint32(38, sequence % 2 ** 32);
    view.setUint8(46, 0x50);
    view.setUint8(47, ACK);
  }

  frame(number: number): SentFrame | undefined {
    return this.#frames.get(number);
  }

  isDelivered(sidecar: number, number: number): boolean {
    return this.#delivered.has(sidecar * 2 ** 32 + number);
  }

  /** A frame came out of a tap. */
  deliver(sidecar: number, bytes: Uint8Array): void {
    const number = frameNumber(bytes);
    if (number < 0) {
      assert(isOwnFrame(bytes), `sidecar ${sidecar}: something came out that nobody sent`);
      return;
    }
    const frame = this.#frames.get(number);
    assert(frame !== undefined, `sidecar ${sidecar}: frame ${number} was never sent`);
    assert(Buffer.from(bytes).equals(frame.bytes), `frame ${number} came out as it was sent`);
    assert.notEqual(frame.origin, sidecar, `frame ${number} came back to its sender`);
    const name = sidecar * 2 ** 32 + number;
    assert(!this.#delivered.has(name), `sidecar ${sidecar}: frame ${number} came out twice`);
    this.#delivered.add(name);
  }

  /**
   * An intact copy arrived at an end that has its key; true when it is the first one and well inside
   * the window, so that it has to be taken.
   */
  arrive(sidecar: number, sealed: Sealed, windowPackets: number): boolean {
    const name = `${sidecar} ${sealed.key}`;
    const window = this.#windows.get(name) ?? { highest: 0, seen: new Set<number>() };
    this.#windows.set(name, window);
    const id = ((sealed.idHigh & 0xffff) >>> 0) * 2 ** 32 + (sealed.idLow >>> 0);
    const isDue = !window.seen.has(id) && id > window.highest - windowPackets;
    window.seen.add(id);
    window.highest = Math.max(window.highest, id);
    return isDue;
  }
}

/** The station behind a sidecar's tap. */
function macOf(sidecar: number): number[] {
  return [0x02, 0x51, 0x4d, 0, 0, sidecar];
}

/** Questions and probes of the switches themselves. */
function isOwnFrame(bytes: Uint8Array): boolean {
  const type = ((bytes[12] ?? 0) << 8) | (bytes[13] ?? 0);
  return type === 0x0806 || type === 0x86dd || type === 0x88b5;
}
