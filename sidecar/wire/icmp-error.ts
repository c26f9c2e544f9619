/**
 * ICMP errors about a packet that was not forwarded. One invariant: nothing is answered that must
 * not be (errors, later fragments, groups, senders that are no single host), and the quoted packet
 * is never longer than what is there. RFC 792; RFC 1122, 3.2.2; RFC 1812, 4.3.2; RFC 4443, 2.4;
 * too big: RFC 1191, 4; RFC 8201.
 */

import { onesSum } from "./ip-packet.ts";

/** Why a packet was not forwarded, by type and code of either family. */
export const IcmpProblem = {
  noRoute: 0,
  hostUnreachable: 1,
  prohibited: 2,
  hopLimit: 3,
  tooBig: 4,
} as const;
export type IcmpProblem = (typeof IcmpProblem)[keyof typeof IcmpProblem];

const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const ICMP_HEADER_BYTES = 8;
/** The whole error: what every IPv4 host takes (RFC 1812, 4.3.2.3), and the least IPv6 MTU. */
const ERROR4_BYTES_MAX = 576;
const ERROR6_BYTES_MAX = 1280;
const HOP_LIMIT = 64;
/** Internetwork control (RFC 1812, 4.3.2.5). */
const TRAFFIC_CLASS = 0xc0;
const DO_NOT_FRAGMENT = 0x4000;
const FRAGMENT_OFFSET_MASK = 0x1fff;
const PROTOCOL_ICMP = 1;
const PROTOCOL_ICMP6 = 58;
const IPV6_FRAGMENT = 44;
const IPV6_EXTENSIONS: readonly number[] = [0, 43, 60];
const IPV6_EXTENSIONS_MAX = 4;

/** Type and code by problem. */
const TYPES4: readonly (readonly [number, number])[] = [
  [3, 0],
  [3, 1],
  [3, 13],
  [11, 0],
  [3, 4],
];
const TYPES6: readonly (readonly [number, number])[] = [
  [1, 0],
  [1, 3],
  [1, 1],
  [3, 0],
  [2, 0],
];

/** What is answered, and from whom. */
export interface IcmpError {
  readonly problem: IcmpProblem;
  /** For `tooBig`: what the next hop takes. */
  readonly mtuBytes: number;
  /** Four words of the sender's address; IPv4 in the last. */
  readonly source: Int32Array;
}

/** Whether an IPv4 packet may be answered with an error; its header has been checked. */
export function mayAnswer4(view: DataView, start: number, limit: number): boolean {
  const source = view.getUint32(start + 12);
  const isHost = source >>> 24 !== 0 && source >>> 24 !== 127 && source >>> 28 < 14;
  if (!isHost || view.getUint32(start + 16) >>> 28 >= 14) return false;
  if ((view.getUint16(start + 6) & FRAGMENT_OFFSET_MASK) !== 0) return false;
  if (view.getUint8(start + 9) !== PROTOCOL_ICMP) return true;
  const at = start + (view.getUint8(start) & 15) * 4;
  if (at >= limit) return false;
  const type = view.getUint8(at);
  // Echo, timestamp and their answers: the others are errors, or of routers.
  return type === 0 || type === 8 || (type >= 13 && type <= 18);
}

/** The same for IPv6. */
export function mayAnswer6(view: DataView, start: number, limit: number): boolean {
  if (view.getUint8(start + 8) === 0xff || view.getUint8(start + 24) === 0xff) return false;
  const isUnspecified = [8, 12, 16, 20].every((at) => view.getInt32(start + at) === 0);
  if (isUnspecified) return false;
  let next = view.getUint8(start + 6);
  let at = start + IPV6_HEADER_BYTES;
  for (let count = 0; count < IPV6_EXTENSIONS_MAX && IPV6_EXTENSIONS.includes(next); count++) {
    if (limit - at < 8) return false;
    next = view.getUint8(at);
    at += (view.getUint8(at + 1) + 1) * 8;
  }
  if (next === IPV6_FRAGMENT) {
    if (limit - at < 8 || view.getUint16(at + 2) >>> 3 !== 0) return false;
    next = view.getUint8(at);
    at += 8;
  }
  if (next !== PROTOCOL_ICMP6) return true;
  return at < limit && view.getUint8(at) >= 128;
}

/** Writes the error about the IPv4 packet at `start` to `at`; returns its length. */
export function writeError4(
  view: DataView,
  at: number,
  packet: { readonly start: number; readonly limit: number; readonly bytesMax: number },
  error: IcmpError,
): number {
  const { start, limit, bytesMax } = packet;
  const headers = IPV4_HEADER_BYTES + ICMP_HEADER_BYTES;
  const quoted = Math.min(limit - start, Math.min(bytesMax, ERROR4_BYTES_MAX) - headers);
  const length = headers + quoted;
  const [type = 0, code = 0] = TYPES4[error.problem] ?? [];
  clear(view, at, headers);
  view.setUint8(at, 0x45);
  view.setUint8(at + 1, TRAFFIC_CLASS);
  view.setUint16(at + 2, length);
  view.setUint16(at + 6, DO_NOT_FRAGMENT);
  view.setUint8(at + 8, HOP_LIMIT);
  view.setUint8(at + 9, PROTOCOL_ICMP);
  view.setInt32(at + 12, error.source[3] as number);
  view.setInt32(at + 16, view.getInt32(start + 12));
  view.setUint16(at + 10, ~onesSum(view, at, at + IPV4_HEADER_BYTES, 0) & 0xffff);
  const icmpAt = at + IPV4_HEADER_BYTES;
  view.setUint8(icmpAt, type);
  view.setUint8(icmpAt + 1, code);
  if (error.problem === IcmpProblem.tooBig) view.setUint16(icmpAt + 6, error.mtuBytes);
  copy(view, start, at + headers, quoted);
  view.setUint16(icmpAt + 2, ~onesSum(view, icmpAt, at + length, 0) & 0xffff);
  return length;
}

/** The same for IPv6. */
export function writeError6(
  view: DataView,
  at: number,
  packet: { readonly start: number; readonly limit: number; readonly bytesMax: number },
  error: IcmpError,
): number {
  const { start, limit, bytesMax } = packet;
  const headers = IPV6_HEADER_BYTES + ICMP_HEADER_BYTES;
  const quoted = Math.min(limit - start, Math.min(bytesMax, ERROR6_BYTES_MAX) - headers);
  const [type = 0, code = 0] = TYPES6[error.problem] ?? [];
  const payloadBytes = ICMP_HEADER_BYTES + quoted;
  clear(view, at, headers);
  view.setUint8(at, 0x60);
  view.setUint16(at + 4, payloadBytes);
  view.setUint8(at + 6, PROTOCOL_ICMP6);
  view.setUint8(at + 7, HOP_LIMIT);
  for (let word = 0; word < 4; word++) {
    view.setInt32(at + 8 + word * 4, error.source[word] as number);
    view.setInt32(at + 24 + word * 4, view.getInt32(start + 8 + word * 4));
  }
  const icmpAt = at + IPV6_HEADER_BYTES;
  view.setUint8(icmpAt, type);
  view.setUint8(icmpAt + 1, code);
  if (error.problem === IcmpProblem.tooBig) view.setUint32(icmpAt + 4, error.mtuBytes);
  copy(view, start, at + headers, quoted);
  // The pseudo header of RFC 8200, 8.1: both addresses, length and next header.
  const pseudo = onesSum(view, at + 8, icmpAt, 0) + payloadBytes + PROTOCOL_ICMP6;
  view.setUint16(icmpAt + 2, ~onesSum(view, icmpAt, icmpAt + payloadBytes, pseudo) & 0xffff);
  return IPV6_HEADER_BYTES + payloadBytes;
}

/** Takes one hop off an IPv4 packet and carries the header's checksum along (RFC 1624, 3). */
export function lowerTimeToLive(view: DataView, start: number): void {
  // HOT PATH
  const word = view.getUint16(start + 8);
  view.setUint16(start + 8, word - 0x100);
  let sum = (~view.getUint16(start + 10) & 0xffff) + (~word & 0xffff) + (word - 0x100);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(start + 10, ~sum & 0xffff);
}

function clear(view: DataView, at: number, bytes: number): void {
  for (let byte = 0; byte < bytes; byte++) view.setUint8(at + byte, 0);
}

function copy(view: DataView, from: number, to: number, bytes: number): void {
  for (let byte = 0; byte < bytes; byte++) view.setUint8(to + byte, view.getUint8(from + byte));
}
