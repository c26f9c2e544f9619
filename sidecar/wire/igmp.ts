/**
 * IGMPv1, v2 and v3 as a switch reads and asks it. One invariant: a message is taken only with a
 * right checksum, TTL 1 and, in version 3, a router alert (RFC 3376, 4; RFC 2236, 2; RFC 4541,
 * 2.1.1); a truncated one leaves nothing behind.
 */

import { EtherType, writeEthernet } from "./ethernet.ts";
import {
  floatCode,
  GroupKind,
  type GroupMessage,
  GroupRefusal,
  hasWholeRecords,
} from "./group-message.ts";
import { type IpPacket, onesSum, Protocol } from "./ip-packet.ts";

const IgmpType = {
  query: 0x11,
  report1: 0x12,
  report2: 0x16,
  leave2: 0x17,
  report3: 0x22,
} as const;
const HEADER_BYTES = 8;
const QUERY3_BYTES = 12;
/** A version 1 query says nothing about the time: hosts take ten seconds. */
const RESPONSE1_MS = 10_000;

/** Reads the IGMP message in a packet that says it is one. */
export function readIgmp(view: DataView, packet: IpPacket, into: GroupMessage): GroupRefusal {
  const { payloadAt: at, payloadLimit: limit } = packet;
  if (packet.version !== 4 || packet.protocol !== Protocol.igmp) return GroupRefusal.notOurs;
  if (packet.isFragment || limit - at < HEADER_BYTES) return GroupRefusal.malformed;
  if (onesSum(view, at, limit, 0) !== 0xffff) return GroupRefusal.malformed;
  into.family = 4;
  into.groupAt = at + 4;
  into.listCount = 0;
  switch (view.getUint8(at)) {
    case IgmpType.query:
      return readQuery(view, packet, into);
    case IgmpType.report1:
    case IgmpType.report2:
      into.kind = GroupKind.join;
      into.version = view.getUint8(at) === IgmpType.report1 ? 1 : 2;
      break;
    case IgmpType.leave2:
      into.kind = GroupKind.leave;
      into.version = 2;
      break;
    case IgmpType.report3:
      into.kind = GroupKind.records;
      into.version = 3;
      into.listAt = at + HEADER_BYTES;
      into.listCount = view.getUint16(at + 6);
      if (!hasWholeRecords(view, into, limit)) return GroupRefusal.malformed;
      break;
    default:
      return GroupRefusal.notOurs;
  }
  return localRefusal(packet, into);
}

function readQuery(view: DataView, packet: IpPacket, into: GroupMessage): GroupRefusal {
  const { payloadAt: at, payloadLimit: limit } = packet;
  const code = view.getUint8(at + 1);
  into.kind = GroupKind.query;
  into.hasGroup = view.getInt32(at + 4) !== 0;
  into.isSuppressed = false;
  // The length tells the version (RFC 3376, 7.1).
  if (limit - at === HEADER_BYTES) {
    into.version = code === 0 ? 1 : 2;
    into.responseMs = code === 0 ? RESPONSE1_MS : code * 100;
    return localRefusal(packet, into);
  }
  if (limit - at < QUERY3_BYTES) return GroupRefusal.malformed;
  into.version = 3;
  into.responseMs = floatCode(code, 4) * 100;
  into.isSuppressed = (view.getUint8(at + 8) & 8) !== 0;
  into.listAt = at + QUERY3_BYTES;
  into.listCount = view.getUint16(at + 10);
  if (into.listCount * 4 > limit - into.listAt) return GroupRefusal.malformed;
  return localRefusal(packet, into);
}

/** Old hosts send no router alert: it is asked for in version 3 only. */
function localRefusal(packet: IpPacket, message: GroupMessage): GroupRefusal {
  const isLocal = packet.hopLimit === 1 && (message.version < 3 || packet.hasRouterAlert);
  return isLocal ? GroupRefusal.none : GroupRefusal.notLocal;
}

/** What a query of ours asks. */
export interface QueryOptions {
  readonly macHigh: number;
  readonly macLow: number;
  /** 0: untagged. */
  readonly vlan: number;
  /** Address that asks, as words. */
  readonly source: Int32Array;
  /** All zero: about every group. */
  readonly group: Int32Array;
  readonly responseMs: number;
  /** 2: an 8-byte query for old queriers' segments; 3: with sources. */
  readonly version: 2 | 3;
  /** Words of the sources asked for, four each; only in version 3. */
  readonly sources: Int32Array;
  readonly sourceCount: number;
}

const ALL_SYSTEMS = 0xe000_0001 | 0;
const IP_HEADER_BYTES = 24;
const ROUTER_ALERT = 0x9404_0000 | 0;
/** Internetwork control, as routers send it. */
const TOS_INTERNETWORK_CONTROL = 0xc0;
const ROBUSTNESS = 2;
const INTERVAL_SECONDS = 125;

/** Writes a query as a whole frame at `start`; returns its bytes. */
export function writeIgmpQuery(view: DataView, start: number, query: QueryOptions): number {
  const group = query.group[3] as number;
  const target = group === 0 ? ALL_SYSTEMS : group;
  const at = writeEthernet(view, start, {
    targetHigh: 0x0100,
    targetLow: 0x5e00_0000 | (target & 0x7f_ffff),
    sourceHigh: query.macHigh,
    sourceLow: query.macLow,
    vlan: query.vlan,
    type: EtherType.ipv4,
  });
  const sourceCount = query.version === 3 ? query.sourceCount : 0;
  const igmpBytes = query.version === 3 ? QUERY3_BYTES + sourceCount * 4 : HEADER_BYTES;
  view.setUint16(at, 0x4600 | TOS_INTERNETWORK_CONTROL);
  view.setUint16(at + 2, IP_HEADER_BYTES + igmpBytes);
  view.setUint32(at + 4, 0);
  view.setUint32(at + 8, (1 << 24) | (Protocol.igmp << 16));
  view.setInt32(at + 12, query.source[3] as number);
  view.setInt32(at + 16, target);
  view.setInt32(at + 20, ROUTER_ALERT);
  view.setUint16(at + 10, ~onesSum(view, at, at + IP_HEADER_BYTES, 0) & 0xffff);
  const igmp = at + IP_HEADER_BYTES;
  view.setUint32(igmp, (IgmpType.query << 24) | ((query.responseMs / 100) << 16));
  view.setInt32(igmp + 4, group);
  if (query.version === 3) {
    view.setUint32(igmp + 8, (ROBUSTNESS << 24) | (INTERVAL_SECONDS << 16) | sourceCount);
    for (let index = 0; index < sourceCount; index++) {
      view.setInt32(igmp + QUERY3_BYTES + index * 4, query.sources[index * 4 + 3] as number);
    }
  }
  view.setUint16(igmp + 2, ~onesSum(view, igmp, igmp + igmpBytes, 0) & 0xffff);
  return igmp + igmpBytes - start;
}
