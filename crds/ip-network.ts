/**
 * IP addresses and networks as numbers: what the CEL functions ip() and cidr() need and what the
 * address pool counts with. RFC 4632 (IPv4 prefixes), RFC 4291 and RFC 5952 (IPv6 and its text).
 *
 * Invariant: an address is its family and a bigint below 2^32 or 2^128; zones and IPv4-mapped IPv6
 * addresses are not addresses here, as in Kubernetes.
 */

import { isIPv4, isIPv6 } from "node:net";

/** One address. */
export interface IpAddress {
  readonly family: 4 | 6;
  readonly value: bigint;
}

/** One network as it was written: the host bits of `address` may be set. */
export interface IpNetwork {
  readonly address: IpAddress;
  readonly prefixBits: number;
}

/** Bits of an address. */
function addressBits(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

/** Reads an address; undefined when it is none. */
export function parseAddress(text: string): IpAddress | undefined {
  if (isIPv4(text)) {
    const value = text.split(".").reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    return { family: 4, value };
  }
  if (!isIPv6(text) || text.includes("%") || text.includes(".")) return undefined;
  const [head = "", tail] = text.split("::");
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = new Array<bigint>(8 - left.length - right.length).fill(0n);
  const value = [...left, ...zeros, ...right].reduce((sum, group) => (sum << 16n) | group, 0n);
  return { family: 6, value };
}

/** Reads `address/bits`; undefined when it is no network. */
export function parseNetwork(text: string): IpNetwork | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const address = parseAddress(match?.[1] ?? "");
  const prefixBits = Number(match?.[2]);
  if (address === undefined || prefixBits > addressBits(address.family)) return undefined;
  return { address, prefixBits };
}

/** First and last address of a network. */
export function networkRange(network: IpNetwork): {
  readonly first: bigint;
  readonly last: bigint;
} {
  const hostBits = BigInt(addressBits(network.address.family) - network.prefixBits);
  const first = (network.address.value >> hostBits) << hostBits;
  return { first, last: first | ((1n << hostBits) - 1n) };
}

/** Whether the address lies in the network. */
export function networkContains(network: IpNetwork, address: IpAddress): boolean {
  if (network.address.family !== address.family) return false;
  const { first, last } = networkRange(network);
  return first <= address.value && address.value <= last;
}

/** Whether `inner` lies in `outer`, or is the same. */
export function containsNetwork(outer: IpNetwork, inner: IpNetwork): boolean {
  return inner.prefixBits >= outer.prefixBits && networkContains(outer, inner.address);
}

/** Prints an address; IPv6 in the form of RFC 5952. */
export function formatAddress(address: IpAddress): string {
  if (address.family === 4) {
    return [24n, 16n, 8n, 0n].map((shift) => String((address.value >> shift) & 255n)).join(".");
  }
  const parts: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) {
    parts.push(((address.value >> shift) & 0xffffn).toString(16));
  }
  return compressed(parts);
}

/** Replaces the first of the longest runs of two or more zero groups by `::`. */
function compressed(parts: readonly string[]): string {
  let best = { start: 0, count: 0 };
  let start = -1;
  for (const [index, part] of parts.entries()) {
    if (part !== "0") start = -1;
    else if (start < 0) start = index;
    const count = start < 0 ? 0 : index - start + 1;
    if (count > best.count) best = { start, count };
  }
  if (best.count < 2) return parts.join(":");
  const head = parts.slice(0, best.start).join(":");
  const tail = parts.slice(best.start + best.count).join(":");
  return `${head}::${tail}`;
}

function groups(text: string): bigint[] {
  return text === "" ? [] : text.split(":").map((group) => BigInt(`0x${group}`));
}
