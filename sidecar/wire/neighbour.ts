/**
 * Who has which address: ARP (RFC 826) and neighbour discovery (RFC 4861), as the switch hears
 * them, and its own questions to one station. One invariant: an address is taken only from a
 * frame that lies wholly within its limit. The ARP question has no sender address (RFC 5227, 2.1):
 * it asks without changing anybody's cache.
 */

import { EtherType, headerType, isTagType, writeEthernet } from "./ethernet.ts";
import { readAddress } from "./group-message.ts";
import { type IpPacket, onesSum, Protocol, pseudoSum } from "./ip-packet.ts";

const ARP_BYTES = 28;
const ARP_ETHERNET_IPV4 = 0x0001_0800;
const ARP_SIZES = 0x0604;
const ARP_REQUEST = 1;
const ARP_REPLY = 2;
const SOLICITATION = 135;
const ADVERTISEMENT = 136;
const HOP_LIMIT = 255;

/** Whether it is worth reading: ARP, ICMPv6, or something behind a tag that may be either. */
export function mayBeNeighbour(view: DataView, start: number, limit: number): boolean {
  // HOT PATH
  const type = headerType(view, start);
  if (type === EtherType.ipv6)
    return limit - start > 20 && view.getUint8(start + 20) === Protocol.icmp6;
  return type === EtherType.arp || isTagType(type);
}

/** Reads the sender's IPv4 or IPv6 address of a message; 0: none, 4 or 6: it is in `into`. */
export function readNeighbour(
  view: DataView,
  packet: IpPacket,
  limit: number,
  into: Int32Array,
): 0 | 4 | 6 {
  // HOT PATH
  if (packet.etherType === EtherType.arp) {
    const at = packet.networkAt;
    if (limit - at < ARP_BYTES || view.getUint32(at) !== ARP_ETHERNET_IPV4) return 0;
    const operation = view.getUint16(at + 6);
    if (view.getUint16(at + 4) !== ARP_SIZES) return 0;
    if (operation !== ARP_REQUEST && operation !== ARP_REPLY) return 0;
    if (view.getInt32(at + 14) === 0) return 0;
    readAddress(view, at + 14, 4, into);
    return 4;
  }
  if (packet.version !== 6 || packet.protocol !== Protocol.icmp6) return 0;
  if (packet.hopLimit !== HOP_LIMIT || packet.payloadLimit - packet.payloadAt < 24) return 0;
  const type = view.getUint8(packet.payloadAt);
  if (type !== SOLICITATION && type !== ADVERTISEMENT) return 0;
  if (view.getInt32(packet.sourceAt) === 0) return 0;
  // What hosts throw away teaches us nothing either (RFC 4861, 7.1).
  if (view.getUint8(packet.payloadAt + 1) !== 0) return 0;
  const sum = onesSum(view, packet.payloadAt, packet.payloadLimit, pseudoSum(view, packet));
  if (sum !== 0xffff) return 0;
  readAddress(view, packet.sourceAt, 6, into);
  return 6;
}

/** Reads the address that an ARP probe asks for: somebody would like to have it (RFC 5227, 2.1.1). */
export function readArpProbe(
  view: DataView,
  packet: IpPacket,
  limit: number,
  into: Int32Array,
): boolean {
  const at = packet.networkAt;
  if (packet.etherType !== EtherType.arp || limit - at < ARP_BYTES) return false;
  if (view.getUint32(at) !== ARP_ETHERNET_IPV4 || view.getUint16(at + 4) !== ARP_SIZES)
    return false;
  if (view.getUint16(at + 6) !== ARP_REQUEST || view.getInt32(at + 14) !== 0) return false;
  readAddress(view, at + 24, 4, into);
  return true;
}

/** A question to one station. */
export interface StationQuestion {
  readonly macHigh: number;
  readonly macLow: number;
  readonly vlan: number;
  /** Words of its address. */
  readonly address: Int32Array;
  readonly own: { readonly high: number; readonly low: number; readonly address6: Int32Array };
}

/** Writes a unicast ARP probe as a whole frame; returns its bytes. */
export function writeArpProbe(view: DataView, start: number, question: StationQuestion): number {
  const { own } = question;
  const at = writeHeader(view, start, question, EtherType.arp);
  view.setUint32(at, ARP_ETHERNET_IPV4);
  view.setUint32(at + 4, (ARP_SIZES << 16) | ARP_REQUEST);
  view.setUint16(at + 8, own.high);
  view.setInt32(at + 10, own.low);
  view.setInt32(at + 14, 0);
  view.setUint16(at + 18, 0);
  view.setInt32(at + 20, 0);
  view.setInt32(at + 24, question.address[3] as number);
  return at + ARP_BYTES - start;
}

const SOLICITATION_BYTES = 32;
const IPV6_HEADER_BYTES = 40;

/** Writes a unicast neighbour solicitation as a whole frame; returns its bytes. */
export function writeSolicitation(
  view: DataView,
  start: number,
  question: StationQuestion,
): number {
  const { own } = question;
  const at = writeHeader(view, start, question, EtherType.ipv6);
  view.setUint32(at, 0x6000_0000);
  view.setUint32(at + 4, (SOLICITATION_BYTES << 16) | (Protocol.icmp6 << 8) | HOP_LIMIT);
  const icmp = at + IPV6_HEADER_BYTES;
  view.setUint32(icmp, SOLICITATION << 24);
  view.setUint32(icmp + 4, 0);
  for (let word = 0; word < 4; word++) {
    view.setInt32(at + 8 + word * 4, own.address6[word] as number);
    view.setInt32(at + 24 + word * 4, question.address[word] as number);
    view.setInt32(icmp + 8 + word * 4, question.address[word] as number);
  }
  // Source link-layer address, one unit of eight bytes.
  view.setUint32(icmp + 24, 0x0101_0000 | own.high);
  view.setInt32(icmp + 28, own.low);
  const pseudo = onesSum(view, at + 8, icmp, 0) + SOLICITATION_BYTES + Protocol.icmp6;
  view.setUint16(icmp + 2, ~onesSum(view, icmp, icmp + SOLICITATION_BYTES, pseudo) & 0xffff);
  return icmp + SOLICITATION_BYTES - start;
}

function writeHeader(
  view: DataView,
  start: number,
  question: StationQuestion,
  type: number,
): number {
  return writeEthernet(view, start, {
    targetHigh: question.macHigh,
    targetLow: question.macLow,
    sourceHigh: question.own.high,
    sourceLow: question.own.low,
    vlan: question.vlan,
    type,
  });
}
