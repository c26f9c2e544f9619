/**
 * Lowers the MSS that a TCP SYN announces, so that what comes back fits the tunnel. One
 * invariant: any bytes may come in; a frame is changed only if its headers hold together, and
 * then only the MSS and the TCP checksum (incrementally, RFC 1624, 3): a sum that was right stays
 * right, a wrong one stays wrong. MSS option: RFC 9293, 3.7.1.
 */

import * as ethernet from "./ethernet.ts";
import {
  IPV4_HEADER_BYTES_MIN,
  IPV6_HEADER_BYTES,
  ipv4Limit,
  ipv6Limit,
  NO_TCP,
  TCP_FLAG_SYN,
  TCP_FLAGS,
  TCP_HEADER_BYTES_MIN,
  tcpInIpv4,
  tcpInIpv6,
} from "./tcp-header.ts";

/** The most bytes of TCP payload in one segment, by IP version. */
export interface MssMaxima {
  readonly ipv4: number;
  readonly ipv6: number;
}

/** What the outer packet may weigh, and how much of it is ours. */
export interface MssBudget {
  /** Limit of the outer packet in bytes. */
  readonly outerBytesMax: number;
  /** `packet`: the limit is for the whole IP packet (`--mssfix N mtu`); `payload`: UDP payload. */
  readonly outerKind: "packet" | "payload";
  readonly outerFamily: 4 | 6;
  /** Bytes around the inner frame in the UDP payload, as `DATA_V2_AEAD_BYTES`. */
  readonly overheadBytes: number;
  readonly device: "tap" | "tun";
}

/** OpenVPN's default is `--mssfix 1492 mtu`. */
export const MSSFIX_DEFAULT_BYTES = 1492;
/** Opcode and peer id (4), packet id (4), tag (16). */
export const DATA_V2_AEAD_BYTES = 24;
/** The same with epochs: the packet id has eight bytes. */
export const DATA_V2_EPOCH_BYTES = 28;

const UDP_HEADER_BYTES = 8;
/** What is left with a budget too small for anything; the outer packets are then fragmented. */
const MSS_BYTES_MIN = 64;

/** The MSS with which a full segment, tunnelled, just meets the budget. */
export function mssMaxima(budget: MssBudget): MssMaxima {
  const outerIpBytes = budget.outerFamily === 4 ? IPV4_HEADER_BYTES_MIN : IPV6_HEADER_BYTES;
  const outerHeaderBytes = budget.outerKind === "packet" ? outerIpBytes + UDP_HEADER_BYTES : 0;
  const frameHeaderBytes = budget.device === "tap" ? ethernet.ETHERNET_HEADER_BYTES : 0;
  const innerBytes =
    budget.outerBytesMax - outerHeaderBytes - budget.overheadBytes - frameHeaderBytes;
  return {
    ipv4: Math.max(MSS_BYTES_MIN, innerBytes - IPV4_HEADER_BYTES_MIN - TCP_HEADER_BYTES_MIN),
    ipv6: Math.max(MSS_BYTES_MIN, innerBytes - IPV6_HEADER_BYTES - TCP_HEADER_BYTES_MIN),
  };
}

/** The same with so many bytes less. */
export function mssLess(maxima: MssMaxima, bytes: number): MssMaxima {
  return {
    ipv4: Math.max(MSS_BYTES_MIN, maxima.ipv4 - bytes),
    ipv6: Math.max(MSS_BYTES_MIN, maxima.ipv6 - bytes),
  };
}

/** Two stacked VLAN tags (802.1ad) are looked behind. */
const VLAN_TAGS_MAX = 2;

const TCP_CHECKSUM = 16;
const OPTION_END = 0;
const OPTION_NOTHING = 1;
const OPTION_MSS = 2;
const OPTION_MSS_BYTES = 4;

/** Clamps an Ethernet frame in place; true when something was lowered. */
export function clampFrameMss(
  view: DataView,
  start: number,
  limit: number,
  maxima: MssMaxima,
): boolean {
  // HOT PATH
  if (!ethernet.isFrame(start, limit)) return false;
  let type = ethernet.headerType(view, start);
  let payload = start + ethernet.ETHERNET_HEADER_BYTES;
  for (let tags = 0; tags < VLAN_TAGS_MAX && ethernet.isTagType(type); tags++) {
    if (limit - payload < ethernet.VLAN_TAG_BYTES) return false;
    type = view.getUint16(payload + 2);
    payload += ethernet.VLAN_TAG_BYTES;
  }
  // A tag takes its bytes out of the same outer packet.
  const tagBytes = payload - start - ethernet.ETHERNET_HEADER_BYTES;
  if (type === ethernet.EtherType.ipv4)
    return clampIpv4(view, payload, limit, maxima.ipv4 - tagBytes);
  if (type === ethernet.EtherType.ipv6)
    return clampIpv6(view, payload, limit, maxima.ipv6 - tagBytes);
  return false;
}

/** Clamps an IP packet in place; true when something was lowered. */
export function clampPacketMss(
  view: DataView,
  start: number,
  limit: number,
  maxima: MssMaxima,
): boolean {
  // HOT PATH
  if (limit <= start) return false;
  const version = view.getUint8(start) >>> 4;
  if (version === 4) return clampIpv4(view, start, limit, maxima.ipv4);
  if (version === 6) return clampIpv6(view, start, limit, maxima.ipv6);
  return false;
}

function clampIpv4(view: DataView, start: number, limit: number, mssMax: number): boolean {
  // HOT PATH
  const at = tcpInIpv4(view, start, limit);
  return at !== NO_TCP && clampTcp(view, at, ipv4Limit(view, start), mssMax);
}

function clampIpv6(view: DataView, start: number, limit: number, mssMax: number): boolean {
  // HOT PATH
  const at = tcpInIpv6(view, start, limit);
  return at !== NO_TCP && clampTcp(view, at, ipv6Limit(view, start), mssMax);
}

function clampTcp(view: DataView, start: number, limit: number, mssMax: number): boolean {
  // HOT PATH
  if (limit - start < TCP_HEADER_BYTES_MIN) return false;
  if ((view.getUint8(start + TCP_FLAGS) & TCP_FLAG_SYN) === 0) return false;
  const optionsLimit = start + (view.getUint8(start + 12) >>> 4) * 4;
  if (optionsLimit > limit) return false;

  let at = start + TCP_HEADER_BYTES_MIN;
  while (at < optionsLimit) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return false;
    if (kind === OPTION_NOTHING) {
      at += 1;
      continue;
    }
    if (optionsLimit - at < 2) return false;
    const bytes = view.getUint8(at + 1);
    if (bytes < 2 || bytes > optionsLimit - at) return false;
    if (kind === OPTION_MSS) {
      return bytes === OPTION_MSS_BYTES && lowerMss(view, start, at + 2, mssMax);
    }
    at += bytes;
  }
  return false;
}

/** Writes `mssMax` at `at` if what stands there is greater, and carries the checksum along. */
function lowerMss(view: DataView, tcpStart: number, at: number, mssMax: number): boolean {
  // HOT PATH
  const mss = view.getUint16(at);
  if (mss <= mssMax) return false;
  view.setUint16(at, mssMax);
  // The sum runs over 16-bit words: at an odd offset (after a single no-operation) both bytes
  // of the MSS count in the other half of their words.
  const isOdd = ((at - tcpStart) & 1) !== 0;
  const oldWord = isOdd ? swapBytes(mss) : mss;
  const newWord = isOdd ? swapBytes(mssMax) : mssMax;
  const checksum = view.getUint16(tcpStart + TCP_CHECKSUM);
  // RFC 1624, equation 3: HC' = ~(~HC + ~m + m')
  let sum = (~checksum & 0xffff) + (~oldWord & 0xffff) + newWord;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(tcpStart + TCP_CHECKSUM, ~sum & 0xffff);
  return true;
}

function swapBytes(word: number): number {
  // HOT PATH
  return ((word & 0xff) << 8) | (word >>> 8);
}
