/**
 * Puts frames on a wire as they are, whatever sources they name: a tap in the same bridge as the host's
 * cable, so that the kernel has no say in them. One invariant: a batch is written in its order.
 */
import assert from "node:assert/strict";
import { DESCRIPTOR_WORDS, Word } from "../../sidecar/native/layout.ts";
import { type Lane, laneOpen, linkSet, links, tapOpen } from "../../sidecar/native/native.ts";

/** Frames that are written at once. */
export const INJECTED_MAX = 64;
/** What is in front of the payload of a UDP datagram over IPv4. */
export const UDP_PAYLOAD_START: number = 14 + 20 + 8;

const SLOT_BYTES = 2048;
const ETHERNET_BYTES = 14;
const IP_BYTES = 20;
const UDP_BYTES = 8;

/** One tap, in a bridge that is there. */
export class Injector {
  readonly #slab = Buffer.from(new SharedArrayBuffer(INJECTED_MAX * SLOT_BYTES));
  readonly #writes = rows(INJECTED_MAX);
  readonly #lane: Lane;
  readonly #tap: number;

  constructor(bridge: string) {
    const unused = { received: rows(1), arrivals: rows(1), frames: rows(1), orders: rows(1) };
    this.#lane = laneOpen({ slab: this.#slab, ...unused, writes: this.#writes, paths: rows(1) });
    const tap = tapOpen({ name: "inject%d", mode: "tap" });
    assert.equal(tap.errno, 0, tap.operation);
    const indexOf = (name: string) => links().links.find((link) => link.name === name)?.index ?? 0;
    const change = { index: indexOf(tap.name), master: indexOf(bridge), isUp: true };
    assert.equal(linkSet(change), 0);
    this.#tap = this.#lane.attachTap(tap.handle);
  }

  /** Room for frame `slot` of the next batch; what was there stays. */
  frame(slot: number): Buffer {
    return this.#slab.subarray(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES);
  }

  /** Writes a batch of frames of these lengths; how many the kernel took. */
  write(lengths: readonly number[]): number {
    for (const [slot, length] of lengths.entries()) {
      const row = slot * DESCRIPTOR_WORDS;
      this.#writes.fill(0, row, row + DESCRIPTOR_WORDS);
      this.#writes[row + Word.start] = slot * SLOT_BYTES;
      this.#writes[row + Word.length] = length;
      this.#writes[row + Word.port] = this.#tap;
    }
    return Math.max(0, this.#lane.tapWrite(lengths.length));
  }
}

/**
 * Sets the lengths and the IP checksum of a frame with a UDP datagram of so many payload bytes. The
 * datagram's own checksum is left out, as IPv4 allows. The frame's length.
 */
export function finishUdpFrame(frame: Buffer, payloadBytes: number): number {
  const ip = frame.subarray(ETHERNET_BYTES);
  ip.writeUInt16BE(IP_BYTES + UDP_BYTES + payloadBytes, 2);
  ip.writeUInt16BE(0, 10);
  ip.writeUInt16BE(internetChecksum(ip.subarray(0, IP_BYTES)), 10);
  ip.writeUInt16BE(UDP_BYTES + payloadBytes, IP_BYTES + 4);
  ip.writeUInt16BE(0, IP_BYTES + 6);
  return UDP_PAYLOAD_START + payloadBytes;
}

/** RFC 1071. */
function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function rows(count: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(count * DESCRIPTOR_WORDS * 4));
}
