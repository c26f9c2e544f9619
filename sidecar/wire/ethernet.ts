/**
 * Ethernet II frames as they come from a tap: no preamble, no frame check sequence. One
 * invariant: a caller that has seen `isFrame` say yes may read every field of the header; the
 * functions that look behind it check the limit themselves. Offsets are absolute in the view,
 * `limit` is the first byte behind the frame. IEEE 802.3 3.2, 802.1Q 9.
 */

/** Destination, source, type. */
export const ETHERNET_HEADER_BYTES = 14;
export const VLAN_TAG_BYTES = 4;

/**
 * Offsets in the header. A MAC address is two words: 16 high bits, then 32 low bits. The low
 * word is read signed: an integer above 2^31 would be boxed when it goes through a call.
 */
const EthernetOffset = {
  destinationHigh: 0,
  destinationLow: 2,
  sourceHigh: 6,
  sourceLow: 8,
  type: 12,
  /** Priority and VLAN id, if the type says that there is a tag. */
  tag: 14,
} as const;

export const EtherType = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
  serviceVlan: 0x88a8,
  /** IEEE 802, local experimental 1: the switch's own probes. */
  experimental: 0x88b5,
} as const;

/** The bit of a MAC address's high word that marks a group (first byte, least bit). */
const GROUP_BIT = 0x0100;
const VLAN_ID_MASK = 0x0fff;

/** Whether there are enough bytes for a header. */
export function isFrame(start: number, limit: number): boolean {
  // HOT PATH
  return limit - start >= ETHERNET_HEADER_BYTES;
}

export function destinationHigh(view: DataView, start: number): number {
  // HOT PATH
  return view.getUint16(start + EthernetOffset.destinationHigh);
}

export function destinationLow(view: DataView, start: number): number {
  // HOT PATH
  return view.getInt32(start + EthernetOffset.destinationLow);
}

export function sourceHigh(view: DataView, start: number): number {
  // HOT PATH
  return view.getUint16(start + EthernetOffset.sourceHigh);
}

export function sourceLow(view: DataView, start: number): number {
  // HOT PATH
  return view.getInt32(start + EthernetOffset.sourceLow);
}

/** Whether the high word belongs to a multicast or the broadcast address. */
export function isGroup(high: number): boolean {
  // HOT PATH
  return (high & GROUP_BIT) !== 0;
}

/** Whether the words are those of 01:80:c2:00:00:0x, which bridges keep to themselves (8.6.3). */
export function isReservedGroup(high: number, low: number): boolean {
  // HOT PATH
  return high === 0x0180 && (low & 0xffff_fff0) === (0xc200_0000 | 0);
}

/** The type field of the header itself: a tag's type where there is a tag. */
export function headerType(view: DataView, start: number): number {
  // HOT PATH
  return view.getUint16(start + EthernetOffset.type);
}

export function isTagType(type: number): boolean {
  // HOT PATH
  return type === EtherType.vlan || type === EtherType.serviceVlan;
}

/** VLAN id of the outermost tag; 0 without a tag, with a priority tag and with a cut-off one. */
export function vlanId(view: DataView, start: number, limit: number): number {
  // HOT PATH
  if (!isTagType(headerType(view, start))) return 0;
  if (limit - start < ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES) return 0;
  return view.getUint16(start + EthernetOffset.tag) & VLAN_ID_MASK;
}

/** The parts of an Ethernet header. */
export interface EthernetHeader {
  readonly targetHigh: number;
  readonly targetLow: number;
  readonly sourceHigh: number;
  readonly sourceLow: number;
  readonly vlan: number;
  readonly type: number;
}

/** Writes an Ethernet header, with a tag unless `vlan` is 0; returns the offset behind it. */
export function writeEthernet(view: DataView, start: number, header: EthernetHeader): number {
  view.setUint16(start, header.targetHigh);
  view.setInt32(start + 2, header.targetLow);
  view.setUint16(start + 6, header.sourceHigh);
  view.setInt32(start + 8, header.sourceLow);
  if (header.vlan === 0) {
    view.setUint16(start + 12, header.type);
    return start + ETHERNET_HEADER_BYTES;
  }
  view.setUint16(start + 12, EtherType.vlan);
  view.setUint16(start + 14, header.vlan);
  view.setUint16(start + 16, header.type);
  return start + ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES;
}

/**
 * The words of a MAC address written as `02:00:5e:10:00:07` (also with `-`); undefined when it
 * is none.
 */
export function parseMac(
  text: string,
): { readonly high: number; readonly low: number } | undefined {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text)) return undefined;
  const digits = text.replaceAll(/[:-]/g, "");
  return {
    high: Number.parseInt(digits.slice(0, 4), 16),
    low: Number.parseInt(digits.slice(4), 16),
  };
}

/** A MAC address as people write it. */
export function formatMac(high: number, low: number): string {
  const digits = high.toString(16).padStart(4, "0") + (low >>> 0).toString(16).padStart(8, "0");
  return digits.replaceAll(/..(?=.)/g, "$&:");
}
