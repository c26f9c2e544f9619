/**
 * MLDv1 and MLDv2 as a switch reads and asks it. One invariant: a message is taken only with a
 * right checksum, hop limit 1, a router alert and a link-local source (a host that has none yet
 * reports from ::), as RFC 2710, 3 and RFC 3810, 5 ask; a truncated one leaves nothing behind.
 */

import { EtherType, writeEthernet } from "./ethernet.ts";
import {
  floatCode,
  GroupKind,
  type GroupMessage,
  GroupRefusal,
  hasWholeRecords,
} from "./group-message.ts";
import type { QueryOptions } from "./igmp.ts";
import { type IpPacket, onesSum, Protocol, pseudoSum } from "./ip-packet.ts";

const MldType = { query: 130, report1: 131, done1: 132, report2: 143 } as const;
const HEADER1_BYTES = 24;
const HEADER2_BYTES = 8;
const QUERY2_BYTES = 28;

/** Whether an ICMPv6 message is of a type of MLD; its other types are hosts' own affair. */
export function isMldType(type: number): boolean {
  // HOT PATH
  return type === MldType.report2 || (type >= MldType.query && type <= MldType.done1);
}

/** Reads the MLD message in a packet. */
export function readMld(view: DataView, packet: IpPacket, into: GroupMessage): GroupRefusal {
  const { payloadAt: at, payloadLimit: limit } = packet;
  if (packet.version !== 6 || packet.protocol !== Protocol.icmp6) return GroupRefusal.notOurs;
  if (limit - at < 4) return GroupRefusal.malformed;
  const type = view.getUint8(at);
  if (!isMldType(type)) return GroupRefusal.notOurs;
  const headerBytes = type === MldType.report2 ? HEADER2_BYTES : HEADER1_BYTES;
  if (limit - at < headerBytes) return GroupRefusal.malformed;
  if (onesSum(view, at, limit, pseudoSum(view, packet)) !== 0xffff) return GroupRefusal.malformed;
  into.family = 6;
  into.groupAt = at + 8;
  into.listCount = 0;
  into.version = 2;
  if (type === MldType.query) {
    if (!readQuery(view, packet, into)) return GroupRefusal.malformed;
  } else if (type === MldType.report2) {
    into.kind = GroupKind.records;
    into.version = 3;
    into.listAt = at + HEADER2_BYTES;
    into.listCount = view.getUint16(at + 6);
    if (!hasWholeRecords(view, into, limit)) return GroupRefusal.malformed;
  } else {
    into.kind = type === MldType.report1 ? GroupKind.join : GroupKind.leave;
  }
  return isLocal(view, packet, into) ? GroupRefusal.none : GroupRefusal.notLocal;
}

function readQuery(view: DataView, packet: IpPacket, into: GroupMessage): boolean {
  const { payloadAt: at, payloadLimit: limit } = packet;
  const code = view.getUint16(at + 4);
  into.kind = GroupKind.query;
  into.hasGroup = !isZero(view, at + 8);
  into.isSuppressed = false;
  // The length tells the version (RFC 3810, 8.1).
  if (limit - at === HEADER1_BYTES) {
    into.responseMs = code;
    return true;
  }
  if (limit - at < QUERY2_BYTES) return false;
  into.version = 3;
  into.responseMs = floatCode(code, 12);
  into.isSuppressed = (view.getUint8(at + 24) & 8) !== 0;
  into.listAt = at + QUERY2_BYTES;
  into.listCount = view.getUint16(at + 26);
  return into.listCount * 16 <= limit - into.listAt;
}

function isLocal(view: DataView, packet: IpPacket, message: GroupMessage): boolean {
  if (packet.hopLimit !== 1 || !packet.hasRouterAlert) return false;
  if ((view.getUint16(packet.sourceAt) & 0xffc0) === 0xfe80) return true;
  return message.kind !== GroupKind.query && isZero(view, packet.sourceAt);
}

function isZero(view: DataView, at: number): boolean {
  for (let word = 0; word < 16; word += 4) if (view.getInt32(at + word) !== 0) return false;
  return true;
}

const HOP_BY_HOP_BYTES = 8;
const IPV6_HEADER_BYTES = 40;
const ALL_NODES_HIGH = 0xff02_0000 | 0;
/** Next header, length, router alert 0 (MLD), two bytes of padding (RFC 2710, 3). */
const HOP_BY_HOP_LOW = 0x0502_0000;
const HOP_BY_HOP_PADDING = 0x0100;
const ROBUSTNESS = 2;
const INTERVAL_SECONDS = 125;

/** Writes a query as a whole frame at `start`; returns its bytes. */
export function writeMldQuery(view: DataView, start: number, query: QueryOptions): number {
  const isGeneral = query.group.every((word) => word === 0);
  const targetLow = isGeneral ? 1 : (query.group[3] as number);
  const at = writeEthernet(view, start, {
    targetHigh: 0x3333,
    targetLow,
    sourceHigh: query.macHigh,
    sourceLow: query.macLow,
    vlan: query.vlan,
    type: EtherType.ipv6,
  });
  const sourceCount = query.version === 3 ? query.sourceCount : 0;
  const mldBytes = query.version === 3 ? QUERY2_BYTES + sourceCount * 16 : HEADER1_BYTES;
  view.setUint32(at, 0x6000_0000);
  view.setUint32(at + 4, ((HOP_BY_HOP_BYTES + mldBytes) << 16) | 0x0001);
  for (let word = 0; word < 4; word++) {
    const target = isGeneral
      ? word === 0
        ? ALL_NODES_HIGH
        : word === 3
          ? 1
          : 0
      : query.group[word];
    view.setInt32(at + 8 + word * 4, query.source[word] as number);
    view.setInt32(at + 24 + word * 4, target as number);
  }
  const options = at + IPV6_HEADER_BYTES;
  view.setUint16(options, Protocol.icmp6 << 8);
  view.setUint32(options + 2, HOP_BY_HOP_LOW);
  view.setUint16(options + 6, HOP_BY_HOP_PADDING);
  const mld = options + HOP_BY_HOP_BYTES;
  view.setUint32(mld, MldType.query << 24);
  view.setUint32(mld + 4, query.responseMs << 16);
  for (let word = 0; word < 4; word++)
    view.setInt32(mld + 8 + word * 4, query.group[word] as number);
  if (query.version === 3) {
    view.setUint32(mld + 24, (ROBUSTNESS << 24) | (INTERVAL_SECONDS << 16) | sourceCount);
    for (let word = 0; word < sourceCount * 4; word++) {
      view.setInt32(mld + QUERY2_BYTES + word * 4, query.sources[word] as number);
    }
  }
  const pseudo = onesSum(view, at + 8, at + IPV6_HEADER_BYTES, 0) + mldBytes + Protocol.icmp6;
  view.setUint16(mld + 2, ~onesSum(view, mld, mld + mldBytes, pseudo) & 0xffff);
  return mld + mldBytes - start;
}
