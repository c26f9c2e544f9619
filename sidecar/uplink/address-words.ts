/**
 * IP addresses as the four words of a path row, most significant first; IPv4 is v4-mapped.
 */

import { BlockList, isIPv4, isIPv6, SocketAddress } from "node:net";
import { DESCRIPTOR_WORDS, PathWord } from "../native/layout.ts";

const V4_MAPPED = 0xffff;

/** A row for a path to `remote`, leaving from wherever routing says. */
export function pathTo(remote: {
  readonly address: string;
  readonly port: number;
  readonly scopeId?: number;
}): Int32Array {
  const row = new Int32Array(DESCRIPTOR_WORDS);
  row.set(addressWords(remote.address), PathWord.remoteIp);
  row[PathWord.remotePort] = remote.port;
  row[PathWord.remoteScope] = remote.scopeId ?? 0;
  row[PathWord.interfaceIndex] = remote.scopeId ?? 0;
  return row;
}

/** The four words of an address in text form. */
export function addressWords(address: string): Int32Array {
  if (isIPv4(address)) {
    const octets = address.split(".").map(Number);
    const word = octets.reduce((sum, octet) => ((sum << 8) | octet) >>> 0, 0);
    return Int32Array.of(0, 0, V4_MAPPED, word);
  }
  if (!isIPv6(address)) throw new TypeError(`${address} is not an IP address`);
  return Int32Array.from(ipv6Words(address));
}

/** Remote address and port of a row, as `192.0.2.1:1194` or `[2001:db8::1]:1194`. */
export function remoteText(row: Int32Array): string {
  return `${bracketed(row, PathWord.remoteIp)}:${row[PathWord.remotePort]}`;
}

/** Local address of a row; undefined when the kernel chose and it is not known. */
export function localText(row: Int32Array): string | undefined {
  const words = row.subarray(PathWord.localIp, PathWord.localIp + 4);
  return words.every((word) => word === 0) ? undefined : addressText(words);
}

/** Text of four words. */
export function addressText(words: Int32Array): string {
  const [a = 0, b = 0, c = 0, d = 0] = words;
  if (a === 0 && b === 0 && c >>> 0 === V4_MAPPED) {
    return [24, 16, 8, 0].map((shift) => (d >>> shift) & 0xff).join(".");
  }
  const groups = [a, b, c, d].flatMap((word) => [(word >>> 16) & 0xffff, word & 0xffff]);
  const full = groups.map((group) => group.toString(16)).join(":");
  // The platform's own short form.
  return new SocketAddress({ address: full, family: "ipv6" }).address;
}

function bracketed(row: Int32Array, at: number): string {
  const text = addressText(row.subarray(at, at + 4));
  return text.includes(":") ? `[${text}]` : text;
}

function ipv6Words(address: string): number[] {
  const plain = address.split("%")[0] ?? address;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(plain);
  const text = dotted === null ? plain : `${dotted[1]}${dottedAsGroups(dotted[2] ?? "")}`;
  const [head = "", tail] = text.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const middle =
    tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill("0");
  const groups = [...left, ...middle, ...right].map((group) => Number.parseInt(group, 16));
  return [0, 2, 4, 6].map((at) => ((groups[at] ?? 0) << 16) | (groups[at + 1] ?? 0));
}

function dottedAsGroups(dotted: string): string {
  const word = addressWords(dotted)[3] ?? 0;
  return `${((word >>> 16) & 0xffff).toString(16)}:${(word & 0xffff).toString(16)}`;
}

/** Whether two rows have the same remote address and port. */
export function isSameRemoteRow(one: Int32Array, other: Int32Array): boolean {
  for (let word = 0; word <= PathWord.remotePort; word++) {
    if (one[word] !== other[word]) return false;
  }
  return true;
}

/** Whether an address lies in a network given as `10.0.0.0/8` or `fe80::/10`. */
export function isInNetwork(address: string, network: string): boolean {
  const [base = "", bits = ""] = network.split("/");
  const family = isIPv4(base) ? "ipv4" : "ipv6";
  if (isIPv4(address) !== (family === "ipv4")) return false;
  const list = new BlockList();
  list.addSubnet(base, Number(bits), family);
  return list.check(address, family);
}
