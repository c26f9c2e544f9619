/**
 * Which flow a frame or packet belongs to, as a number of 32 bits, and its class. One invariant: pieces
 * of one flow have one number, in whatever order they come; any bytes may come in. IP is looked into
 * as far as ports; all else is told apart by its MAC addresses.
 */

import * as ethernet from "./ethernet.ts";

const VLAN_TAGS_MAX = 2;
const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const IPV4_FRAGMENT_MASK = 0x3fff;
const TCP = 6;
const UDP = 17;
/** What `dscp` says where there is no IP. */
export const NO_CLASS = -1;
/** An odd number with bits all over (the golden ratio's), and what spreads its product. */
const MULTIPLIER = 0x9e3779b1 | 0;

/** One frame's flow, read again and again into the same object. */
export class Flow {
  /** Signed 32 bits. */
  hash = 0;
  /** 0 to 63, or NO_CLASS. */
  dscp: number = NO_CLASS;

  /** Reads an Ethernet frame. */
  readFrame(view: DataView, start: number, limit: number): void {
    // HOT PATH
    this.hash = 0;
    this.dscp = NO_CLASS;
    if (!ethernet.isFrame(start, limit)) return;
    let type = ethernet.headerType(view, start);
    let at = start + ethernet.ETHERNET_HEADER_BYTES;
    for (let tags = 0; tags < VLAN_TAGS_MAX && ethernet.isTagType(type); tags++) {
      if (limit - at < ethernet.VLAN_TAG_BYTES) return;
      type = view.getUint16(at + 2);
      at += ethernet.VLAN_TAG_BYTES;
    }
    const isIp = type === ethernet.EtherType.ipv4 || type === ethernet.EtherType.ipv6;
    if (isIp) this.readPacket(view, at, limit);
    if (this.dscp !== NO_CLASS) return;
    for (let word = 0; word < 3; word++) this.#mix(view.getInt32(start + word * 4));
  }

  /** Reads an IP packet. */
  readPacket(view: DataView, start: number, limit: number): void {
    // HOT PATH
    this.hash = 0;
    this.dscp = NO_CLASS;
    if (limit - start < IPV4_HEADER_BYTES) return;
    const version = view.getUint8(start) >>> 4;
    if (version === 4) this.#readIpv4(view, start, limit);
    else if (version === 6 && limit - start >= IPV6_HEADER_BYTES)
      this.#readIpv6(view, start, limit);
  }

  #readIpv4(view: DataView, start: number, limit: number): void {
    // HOT PATH
    this.dscp = view.getUint8(start + 1) >>> 2;
    const protocol = view.getUint8(start + 9);
    this.#mix(view.getInt32(start + 12));
    this.#mix(view.getInt32(start + 16));
    this.#mix(protocol);
    // Later pieces have no ports: the first one must not be told by them either.
    if ((view.getUint16(start + 6) & IPV4_FRAGMENT_MASK) !== 0) return;
    this.#mixPorts(view, start + (view.getUint8(start) & 15) * 4, limit, protocol);
  }

  #readIpv6(view: DataView, start: number, limit: number): void {
    // HOT PATH
    this.dscp = (view.getUint16(start) >>> 6) & 63;
    const protocol = view.getUint8(start + 6);
    for (let word = 0; word < 8; word++) this.#mix(view.getInt32(start + 8 + word * 4));
    this.#mix(protocol);
    this.#mixPorts(view, start + IPV6_HEADER_BYTES, limit, protocol);
  }

  #mixPorts(view: DataView, at: number, limit: number, protocol: number): void {
    // HOT PATH
    if ((protocol === TCP || protocol === UDP) && limit - at >= 4) this.#mix(view.getInt32(at));
  }

  #mix(word: number): void {
    // HOT PATH
    const product = Math.imul(this.hash ^ word, MULTIPLIER);
    this.hash = product ^ (product >>> 15);
  }
}
