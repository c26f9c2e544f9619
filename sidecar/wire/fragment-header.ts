/**
 * The four bytes in front of every packet of a tunnel with OpenVPN's --fragment, inside what is
 * sealed: a whole packet, or a piece of one with its place. One invariant: what cannot be is told
 * from what can before any byte is copied. No document says it; the layout is what 2.6 and 2.7 do:
 * two bits of kind, eight of the packet's number, five of the piece's, and of the last piece, which
 * may be shorter, the others' length in units of four bytes (14 bits).
 */

export const FRAGMENT_HEADER_BYTES = 4;
/** Pieces of one packet at the most. */
const PIECES_MAX = 32;
/** Pieces are this or a multiple of it long, but for the last. */
export const PIECE_UNIT_BYTES = 4;
/** Numbers of packets, round and round. */
export const PACKET_NUMBERS = 256;

/** What a packet is. */
export const FragmentKind = { whole: 0, piece: 1, lastPiece: 2, test: 3 } as const;

const KIND_MASK = 3;
const NUMBER_SHIFT = 2;
const PIECE_SHIFT = 10;
const SIZE_SHIFT = 15;
const SIZE_MASK = 0x3fff;

/** A piece's header; `sizeBytes` is what the pieces before the last one have. */
export function pieceHeader(
  number: number,
  place: number,
  isLast: boolean,
  sizeBytes: number,
): number {
  // HOT PATH
  const kind = isLast ? FragmentKind.lastPiece : FragmentKind.piece;
  const size = isLast ? sizeBytes / PIECE_UNIT_BYTES : 0;
  return ((size << SIZE_SHIFT) | (place << PIECE_SHIFT) | (number << NUMBER_SHIFT) | kind) >>> 0;
}

export function kindOf(header: number): number {
  // HOT PATH
  return header & KIND_MASK;
}

export function numberOf(header: number): number {
  // HOT PATH
  return (header >>> NUMBER_SHIFT) & (PACKET_NUMBERS - 1);
}

export function placeOf(header: number): number {
  // HOT PATH
  return (header >>> PIECE_SHIFT) & (PIECES_MAX - 1);
}

/** Length of the pieces before the last one, by the last one's header. */
export function sizeOf(header: number): number {
  // HOT PATH
  return ((header >>> SIZE_SHIFT) & SIZE_MASK) * PIECE_UNIT_BYTES;
}

/** How long the pieces of a packet are, or 0: it cannot be cut into few enough. */
export function pieceBytes(packetBytes: number, pieceBytesMax: number): number {
  // HOT PATH
  const most = pieceBytesMax - (pieceBytesMax % PIECE_UNIT_BYTES);
  const count = Math.ceil(packetBytes / most);
  if (count > PIECES_MAX) return 0;
  const even = Math.ceil(packetBytes / count / PIECE_UNIT_BYTES) * PIECE_UNIT_BYTES;
  return Math.min(most, even);
}
