/**
 * What a plane has for OpenVPN's --fragment: how long pieces are, where they are built, where they
 * are put together. One invariant: a piece that waits to be sealed is not written over, since there
 * are more places for pieces than orders between two flushes.
 */

import { randomInt } from "node:crypto";
import { Counter, type Counters } from "./counters.ts";
import * as limits from "./limits.ts";
import { HEADROOM_BYTES } from "./native/layout.ts";
import { PieceVerdict, Reassembly } from "./session/reassembly.ts";
import { FRAGMENT_HEADER_BYTES, PACKET_NUMBERS } from "./wire/fragment-header.ts";
import { DATA_V2_EPOCH_BYTES } from "./wire/mss-clamp.ts";

/** Places for pieces to be sent: one more than there are orders. */
const PIECE_PLACES: number = limits.ORDERS_MAX + 1;

/** The fragments of one plane. */
export interface Fragments {
  /** Longest frame that goes out whole, or piece of one. */
  readonly wholeBytesMax: number;
  readonly reassembly: Reassembly;
  /** The number of each session's next packet that is cut. */
  readonly numbers: Uint8Array;
  readonly piecesStart: number;
  readonly pieceStride: number;
  /** The place of the next piece. */
  nextPiece: number;
}

interface Memory {
  readonly view: DataView;
  readonly slab: Uint8Array;
  /** Where the bytes for fragments begin in the slab. */
  readonly start: number;
  readonly slotBytes: number;
  readonly frameBytesMax: number;
}

/** Bytes of the slab that fragments take. */
export function fragmentsBytes(fragmentBytes: number | undefined, slotBytes: number): number {
  if (fragmentBytes === undefined) return 0;
  return PIECE_PLACES * strideOf(fragmentBytes) + limits.REASSEMBLIES_MAX * slotBytes;
}

/** Makes them; `fragmentBytes` is the largest UDP payload. */
export function createFragments(fragmentBytes: number, memory: Memory): Fragments {
  const pieceStride = strideOf(fragmentBytes);
  const { view, slab, start, slotBytes, frameBytesMax } = memory;
  const numbers = new Uint8Array(limits.PORTS_MAX);
  for (let index = 0; index < numbers.length; index++) numbers[index] = randomInt(PACKET_NUMBERS);
  return {
    wholeBytesMax: fragmentBytes - DATA_V2_EPOCH_BYTES - FRAGMENT_HEADER_BYTES,
    reassembly: new Reassembly({
      view,
      slab,
      firstStart: start + PIECE_PLACES * pieceStride + HEADROOM_BYTES,
      slotBytes,
      packetBytesMax: frameBytesMax,
      slotCount: limits.REASSEMBLIES_MAX,
      sessionSlotsMax: limits.REASSEMBLIES_PER_PEER_MAX,
      sessionsMax: limits.PORTS_MAX,
      ageMs: limits.REASSEMBLY_MS,
    }),
    numbers,
    piecesStart: start,
    pieceStride,
    nextPiece: 0,
  };
}

/** Builds a piece of what is at `start`, behind its header; returns where it is. */
export function buildPiece(
  memory: Pick<Memory, "view" | "slab">,
  fragments: Fragments,
  header: number,
  of: { readonly start: number; readonly bytes: number },
): number {
  const place = fragments.nextPiece;
  fragments.nextPiece = place + 1 === PIECE_PLACES ? 0 : place + 1;
  const target = fragments.piecesStart + place * fragments.pieceStride;
  memory.view.setUint32(target, header);
  memory.slab.copyWithin(target + FRAGMENT_HEADER_BYTES, of.start, of.start + of.bytes);
  return target;
}

/** Takes what is behind the cipher, and counts what was made of it. */
export function reassemble(
  plane: { readonly counters: Pick<Counters, "add">; readonly nowMs: number },
  { reassembly }: Fragments,
  session: number,
  opened: { readonly start: number; readonly length: number },
): PieceVerdict {
  const { counters, nowMs } = plane;
  const verdict = reassembly.take(session, opened.start, opened.length, nowMs);
  if (verdict === PieceVerdict.malformed) counters.add(Counter.rxFragmentMalformed, 1);
  else if (verdict !== PieceVerdict.whole) counters.add(Counter.rxFragments, 1);
  counters.add(Counter.rxFragmentLost, reassembly.lostCount);
  reassembly.lostCount = 0;
  return verdict;
}

function strideOf(fragmentBytes: number): number {
  return Math.ceil(fragmentBytes / 64) * 64;
}
