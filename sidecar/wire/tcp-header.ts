/**
 * Where the TCP header of an IP packet begins. One invariant: any bytes may come in; where there is a
 * place, the headers in front of it hold together and the whole packet lies in what was given. IPv6
 * headers: RFC 8200, 4.
 */

/** What the functions below give when there is none: another protocol, a fragment, nonsense. */
export const NO_TCP = -1;

export const IPV4_HEADER_BYTES_MIN = 20;
export const IPV6_HEADER_BYTES = 40;
export const TCP_HEADER_BYTES_MIN = 20;
export const TCP_FLAGS = 13;
export const TCP_FLAG_SYN = 0x02;
/** More fragments bit and fragment offset. */
const IPV4_FRAGMENT_MASK = 0x3fff;
const IPV6_HOP_BY_HOP = 0;
const IPV6_ROUTING = 43;
const IPV6_DESTINATION = 60;
/** Nobody has a use for more; such packets are left alone. */
const IPV6_EXTENSIONS_MAX = 4;
const TCP = 6;

/** In an IPv4 packet at `start`. */
export function tcpInIpv4(view: DataView, start: number, limit: number): number {
  // HOT PATH
  if (limit - start < IPV4_HEADER_BYTES_MIN) return NO_TCP;
  const first = view.getUint8(start);
  if (first >>> 4 !== 4 || view.getUint8(start + 9) !== TCP) return NO_TCP;
  if ((view.getUint16(start + 6) & IPV4_FRAGMENT_MASK) !== 0) return NO_TCP;
  const headerBytes = (first & 15) * 4;
  const packetLimit = ipv4Limit(view, start);
  if (headerBytes < IPV4_HEADER_BYTES_MIN || packetLimit > limit) return NO_TCP;
  return start + headerBytes > packetLimit ? NO_TCP : start + headerBytes;
}

/** In an IPv6 packet at `start`, behind a few extension headers. */
export function tcpInIpv6(view: DataView, start: number, limit: number): number {
  // HOT PATH
  if (limit - start < IPV6_HEADER_BYTES || view.getUint8(start) >>> 4 !== 6) return NO_TCP;
  const packetLimit = ipv6Limit(view, start);
  if (packetLimit > limit) return NO_TCP;
  let next = view.getUint8(start + 6);
  let at = start + IPV6_HEADER_BYTES;
  for (let count = 0; next !== TCP; count++) {
    // Fragments end here too: their header is none of these.
    const isPassed = next === IPV6_HOP_BY_HOP || next === IPV6_ROUTING || next === IPV6_DESTINATION;
    if (!isPassed || count === IPV6_EXTENSIONS_MAX || packetLimit - at < 8) return NO_TCP;
    next = view.getUint8(at);
    at += (view.getUint8(at + 1) + 1) * 8;
  }
  return at;
}

/** End of an IPv4 packet by its own length: Ethernet pads short frames. */
export function ipv4Limit(view: DataView, start: number): number {
  // HOT PATH
  return start + view.getUint16(start + 2);
}

/** End of an IPv6 packet by its own length. */
export function ipv6Limit(view: DataView, start: number): number {
  // HOT PATH
  return start + IPV6_HEADER_BYTES + view.getUint16(start + 4);
}
