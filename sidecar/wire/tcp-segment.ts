/**
 * What putting TCP in order needs of a frame or packet: whose it is, its sequence number, how much it
 * carries. One invariant: any bytes may come in; a reader says yes only to a whole segment with payload
 * whose headers hold together, and then every field is set. RFC 9293, 3.1; RFC 7323, 3.2.
 */

import * as ethernet from "./ethernet.ts";
import {
  ipv4Limit,
  ipv6Limit,
  NO_TCP,
  TCP_FLAG_SYN,
  TCP_FLAGS,
  TCP_HEADER_BYTES_MIN,
  tcpInIpv4,
  tcpInIpv6,
} from "./tcp-header.ts";

/** Two stacked VLAN tags (802.1ad) are looked behind. */
const VLAN_TAGS_MAX = 2;
const TCP_SEQUENCE = 4;
const TCP_DATA_OFFSET = 12;
/** FIN, SYN and RST: the stream begins or ends. */
const BOUNDARY_FLAGS = 0x07;
const OPTION_END = 0;
const OPTION_NOTHING = 1;
const OPTION_TIMESTAMP = 8;
const OPTION_TIMESTAMP_BYTES = 10;
/** An odd number with bits all over (the golden ratio's), and what spreads its product. */
const MULTIPLIER = 0x9e3779b1 | 0;

/** Words that name a flow: VLAN ids and IP version, ports, source, target; IPv4 leaves the last six 0. */
export const FLOW_WORDS = 10;
const FlowWord = { version: 0, ports: 1, source: 2 } as const;

/** One segment, read again and again into the same object. */
export class TcpSegment {
  /** Whose it is: one direction of one connection. */
  readonly flow: Int32Array = new Int32Array(FLOW_WORDS);
  /** Of `flow`, signed 32 bits. */
  hash = 0;
  /** Sequence number of its first byte, signed. */
  sequence = 0;
  payloadBytes = 0;
  /** It begins or ends its stream. */
  isBoundary = false;
  /** Of those, the one that begins it. */
  isFirst = false;
  /** When it was sent, by its sender's clock (RFC 7323, 3.2), if it says so. */
  hasTimestamp = false;
  timestamp = 0;

  /** Reads an Ethernet frame; whether there is a segment in it. */
  readFrame(view: DataView, start: number, limit: number): boolean {
    // HOT PATH
    if (!ethernet.isFrame(start, limit)) return false;
    let type = ethernet.headerType(view, start);
    let at = start + ethernet.ETHERNET_HEADER_BYTES;
    let vlans = 0;
    for (let tags = 0; tags < VLAN_TAGS_MAX && ethernet.isTagType(type); tags++) {
      if (limit - at < ethernet.VLAN_TAG_BYTES) return false;
      vlans = (vlans << 12) | (view.getUint16(at) & 0xfff);
      type = view.getUint16(at + 2);
      at += ethernet.VLAN_TAG_BYTES;
    }
    if (type === ethernet.EtherType.ipv4) return this.#readIpv4(view, at, limit, vlans);
    if (type === ethernet.EtherType.ipv6) return this.#readIpv6(view, at, limit, vlans);
    return false;
  }

  /** The same for an IP packet that has no frame around it. */
  readPacket(view: DataView, start: number, limit: number): boolean {
    // HOT PATH
    if (limit <= start) return false;
    const version = view.getUint8(start) >>> 4;
    if (version === 4) return this.#readIpv4(view, start, limit, 0);
    if (version === 6) return this.#readIpv6(view, start, limit, 0);
    return false;
  }

  #readIpv4(view: DataView, start: number, limit: number, vlans: number): boolean {
    // HOT PATH
    const at = tcpInIpv4(view, start, limit);
    if (at === NO_TCP || !this.#readTcp(view, at, ipv4Limit(view, start))) return false;
    const { flow } = this;
    flow[FlowWord.version] = (vlans << 4) | 4;
    flow[FlowWord.ports] = view.getInt32(at);
    flow[FlowWord.source] = view.getInt32(start + 12);
    flow[FlowWord.source + 1] = view.getInt32(start + 16);
    for (let word = FlowWord.source + 2; word < FLOW_WORDS; word++) flow[word] = 0;
    this.hash = 0;
    for (let word = 0; word < FlowWord.source + 2; word++) this.#mix(flow[word] as number);
    return true;
  }

  #readIpv6(view: DataView, start: number, limit: number, vlans: number): boolean {
    // HOT PATH
    const at = tcpInIpv6(view, start, limit);
    if (at === NO_TCP || !this.#readTcp(view, at, ipv6Limit(view, start))) return false;
    const { flow } = this;
    flow[FlowWord.version] = (vlans << 4) | 6;
    flow[FlowWord.ports] = view.getInt32(at);
    for (let word = 0; word < 8; word++) {
      flow[FlowWord.source + word] = view.getInt32(start + 8 + word * 4);
    }
    this.hash = 0;
    for (let word = 0; word < FLOW_WORDS; word++) this.#mix(flow[word] as number);
    return true;
  }

  /** Begins and ends of streams are told even without payload; bare acknowledgements are not. */
  #readTcp(view: DataView, start: number, limit: number): boolean {
    // HOT PATH
    if (limit - start < TCP_HEADER_BYTES_MIN) return false;
    const headerBytes = (view.getUint8(start + TCP_DATA_OFFSET) >>> 4) * 4;
    const payloadBytes = limit - start - headerBytes;
    if (headerBytes < TCP_HEADER_BYTES_MIN || payloadBytes < 0) return false;
    const flags = view.getUint8(start + TCP_FLAGS) & BOUNDARY_FLAGS;
    this.isBoundary = flags !== 0;
    this.isFirst = flags === TCP_FLAG_SYN;
    this.payloadBytes = payloadBytes;
    this.sequence = view.getInt32(start + TCP_SEQUENCE);
    this.#readTimestamp(view, start + TCP_HEADER_BYTES_MIN, start + headerBytes);
    return payloadBytes > 0 || this.isBoundary;
  }

  #readTimestamp(view: DataView, start: number, limit: number): void {
    // HOT PATH
    this.hasTimestamp = false;
    this.timestamp = 0;
    for (let at = start; at < limit; ) {
      const kind = view.getUint8(at);
      if (kind === OPTION_END) return;
      if (kind === OPTION_NOTHING) {
        at += 1;
        continue;
      }
      if (limit - at < 2) return;
      const bytes = view.getUint8(at + 1);
      if (bytes < 2 || bytes > limit - at) return;
      if (kind === OPTION_TIMESTAMP && bytes === OPTION_TIMESTAMP_BYTES) {
        this.hasTimestamp = true;
        this.timestamp = view.getInt32(at + 2);
        return;
      }
      at += bytes;
    }
  }

  #mix(word: number): void {
    // HOT PATH
    const product = Math.imul(this.hash ^ word, MULTIPLIER);
    this.hash = product ^ (product >>> 15);
  }
}
