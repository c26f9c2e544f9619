/**
 * The traffic class of an IP packet, for the packet around it. One invariant: only the six bits of DSCP are
 * copied. The other two, ECN, stay zero outside: nobody takes marks from the outer header into the
 * inner one, so the outer packet must not say that it understands them (RFC 6040, compatibility mode).
 */

import { ETHERNET_HEADER_BYTES, EtherType, headerType } from "./ethernet.ts";

/** No IP packet: the socket's default. */
export const NO_CLASS = -1;
const DSCP_MASK = 0xfc;
const VLAN_TAG_BYTES = 4;

/** The class of a frame's packet, or of a packet without a frame; NO_CLASS when there is none. */
export function trafficClassOf(
  view: DataView,
  start: number,
  limit: number,
  isFrame: boolean,
): number {
  // HOT PATH
  let at = start;
  if (isFrame) {
    at += ETHERNET_HEADER_BYTES;
    if (at > limit) return NO_CLASS;
    let type = headerType(view, start);
    if (type === EtherType.vlan && at + VLAN_TAG_BYTES <= limit) {
      type = view.getUint16(at + 2);
      at += VLAN_TAG_BYTES;
    }
    if (type !== EtherType.ipv4 && type !== EtherType.ipv6) return NO_CLASS;
  }
  if (at + 2 > limit) return NO_CLASS;
  const word = view.getUint16(at);
  const version = word >>> 12;
  if (version === 4) return word & DSCP_MASK;
  return version === 6 ? (word >>> 4) & DSCP_MASK : NO_CLASS;
}
