/**
 * Where things stand in an IP packet, inside an Ethernet frame or bare, for the parts of switch and
 * router that look into it. One invariant: when `read` returns a version, header, addresses
 * and payload lie within the bytes given, and every field says so; any bytes may come in. RFC 791;
 * RFC 8200; router alert: RFC 2113, RFC 2711.
 */

import * as ethernet from "./ethernet.ts";

/** Two stacked VLAN tags (802.1ad) are looked behind. */
const VLAN_TAGS_MAX = 2;
const IPV4_HEADER_BYTES_MIN = 20;
const IPV6_HEADER_BYTES = 40;
const IPV4_FRAGMENT_MASK = 0x3fff;
const IPV4_OPTION_END = 0;
const IPV4_OPTION_NOTHING = 1;
const IPV4_OPTION_ROUTER_ALERT = 148;
const IPV6_HOP_BY_HOP = 0;
const IPV6_OPTION_PAD1 = 0;
const IPV6_OPTION_ROUTER_ALERT = 5;

/** Protocol numbers that the switch knows. */
export const Protocol = { igmp: 2, icmp6: 58, pim: 103 } as const;

/** One packet, read again and again into the same object. Offsets are absolute in the view. */
export class IpPacket {
  /** 4, 6, or 0: not IP, or its headers do not hold together. */
  version: 0 | 4 | 6 = 0;
  /** EtherType behind the VLAN tags; 0 when the frame ends before it. */
  etherType = 0;
  /** First byte behind the EtherType, whatever it is. */
  networkAt = 0;
  sourceAt = 0;
  targetAt = 0;
  /** Behind a hop-by-hop header, if there is one. */
  protocol = 0;
  /** TTL or hop limit. */
  hopLimit = 0;
  hasRouterAlert = false;
  /** Any piece of a fragmented packet. */
  isFragment = false;
  payloadAt = 0;
  /** End of the packet by its own length; Ethernet may have padded behind it. */
  payloadLimit = 0;

  /** Reads the frame; returns `version`. */
  read(view: DataView, start: number, limit: number): 0 | 4 | 6 {
    // HOT PATH
    this.version = 0;
    this.etherType = 0;
    if (!ethernet.isFrame(start, limit)) return 0;
    let type = ethernet.headerType(view, start);
    let at = start + ethernet.ETHERNET_HEADER_BYTES;
    for (let tags = 0; tags < VLAN_TAGS_MAX && ethernet.isTagType(type); tags++) {
      if (limit - at < ethernet.VLAN_TAG_BYTES) return 0;
      type = view.getUint16(at + 2);
      at += ethernet.VLAN_TAG_BYTES;
    }
    this.etherType = type;
    this.networkAt = at;
    if (type === ethernet.EtherType.ipv4) this.#readIpv4(view, at, limit);
    else if (type === ethernet.EtherType.ipv6) this.#readIpv6(view, at, limit);
    return this.version;
  }

  /** Reads a packet that has no frame around it; returns `version`. */
  readBare(view: DataView, start: number, limit: number): 0 | 4 | 6 {
    // HOT PATH
    this.version = 0;
    this.etherType = 0;
    this.networkAt = start;
    if (limit <= start) return 0;
    const version = view.getUint8(start) >>> 4;
    if (version === 4) this.#readIpv4(view, start, limit);
    else if (version === 6) this.#readIpv6(view, start, limit);
    return this.version;
  }

  #readIpv4(view: DataView, at: number, limit: number): void {
    // HOT PATH
    if (limit - at < IPV4_HEADER_BYTES_MIN) return;
    const first = view.getUint8(at);
    const headerBytes = (first & 15) * 4;
    const totalBytes = view.getUint16(at + 2);
    if (first >>> 4 !== 4 || headerBytes < IPV4_HEADER_BYTES_MIN) return;
    if (totalBytes < headerBytes || totalBytes > limit - at) return;
    this.sourceAt = at + 12;
    this.targetAt = at + 16;
    this.protocol = view.getUint8(at + 9);
    this.hopLimit = view.getUint8(at + 8);
    this.isFragment = (view.getUint16(at + 6) & IPV4_FRAGMENT_MASK) !== 0;
    this.payloadAt = at + headerBytes;
    this.payloadLimit = at + totalBytes;
    this.hasRouterAlert =
      headerBytes > IPV4_HEADER_BYTES_MIN &&
      hasIpv4RouterAlert(view, at + IPV4_HEADER_BYTES_MIN, at + headerBytes);
    this.version = 4;
  }

  #readIpv6(view: DataView, at: number, limit: number): void {
    // HOT PATH
    if (limit - at < IPV6_HEADER_BYTES || view.getUint8(at) >>> 4 !== 6) return;
    const payloadBytes = view.getUint16(at + 4);
    if (payloadBytes > limit - at - IPV6_HEADER_BYTES) return;
    this.sourceAt = at + 8;
    this.targetAt = at + 24;
    this.protocol = view.getUint8(at + 6);
    this.hopLimit = view.getUint8(at + 7);
    this.isFragment = false;
    this.hasRouterAlert = false;
    this.payloadAt = at + IPV6_HEADER_BYTES;
    this.payloadLimit = this.payloadAt + payloadBytes;
    if (this.protocol === IPV6_HOP_BY_HOP) {
      if (payloadBytes < 8) return;
      const optionsLimit = this.payloadAt + (view.getUint8(this.payloadAt + 1) + 1) * 8;
      if (optionsLimit > this.payloadLimit) return;
      this.protocol = view.getUint8(this.payloadAt);
      this.hasRouterAlert = hasIpv6RouterAlert(view, this.payloadAt + 2, optionsLimit);
      this.payloadAt = optionsLimit;
    }
    this.version = 6;
  }
}

function hasIpv4RouterAlert(view: DataView, start: number, limit: number): boolean {
  let at = start;
  while (at < limit) {
    const kind = view.getUint8(at);
    if (kind === IPV4_OPTION_END) return false;
    if (kind === IPV4_OPTION_NOTHING) {
      at += 1;
      continue;
    }
    if (limit - at < 2) return false;
    const bytes = view.getUint8(at + 1);
    if (bytes < 2 || bytes > limit - at) return false;
    if (kind === IPV4_OPTION_ROUTER_ALERT) return bytes === 4;
    at += bytes;
  }
  return false;
}

function hasIpv6RouterAlert(view: DataView, start: number, limit: number): boolean {
  let at = start;
  while (at < limit) {
    const kind = view.getUint8(at);
    if (kind === IPV6_OPTION_PAD1) {
      at += 1;
      continue;
    }
    if (limit - at < 2) return false;
    const bytes = view.getUint8(at + 1);
    if (bytes > limit - at - 2) return false;
    if (kind === IPV6_OPTION_ROUTER_ALERT) return bytes === 2;
    at += 2 + bytes;
  }
  return false;
}

/** The Internet checksum's sum over bytes, folded; start from 0 or from another part's sum. */
export function onesSum(view: DataView, start: number, limit: number, from: number): number {
  let sum = from;
  let at = start;
  for (; at + 1 < limit; at += 2) sum += view.getUint16(at);
  if (at < limit) sum += view.getUint8(at) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** The sum of the pseudo header of ICMPv6 (RFC 8200, 8.1). */
export function pseudoSum(view: DataView, packet: IpPacket): number {
  const bytes = packet.payloadLimit - packet.payloadAt;
  const addresses = onesSum(view, packet.sourceAt, packet.sourceAt + 32, 0);
  return addresses + (bytes >>> 16) + (bytes & 0xffff) + packet.protocol;
}
