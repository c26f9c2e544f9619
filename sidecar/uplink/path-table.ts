/**
 * Paths: where a session's packets come from and go to, as rows of words that the addon reads
 * (`native/layout.ts`). One invariant: a row changes only by an order of the control thread or
 * by an authenticated packet.
 */

import { DESCRIPTOR_WORDS, PathWord } from "../native/layout.ts";

/** First 10 bits of fe80::/10: an address that means nothing without its interface. */
const LINK_LOCAL_PREFIX = 0xfe80_0000 >>> 22;
/** Words that tell one path from another: remote address, port, scope, local address. */
const COMPARED_WORDS = PathWord.interfaceIndex;

/** Whether the datagram that arrived in row `arrival` used the path in row `path`. */
export function isSamePath(
  arrivals: Int32Array,
  arrival: number,
  paths: Int32Array,
  path: number,
): boolean {
  // HOT PATH
  const from = arrival * DESCRIPTOR_WORDS;
  const to = path * DESCRIPTOR_WORDS;
  for (let word = 0; word < COMPARED_WORDS; word++) {
    if (arrivals[from + word] !== paths[to + word]) return false;
  }
  return arrivals[from + PathWord.socket] === paths[to + PathWord.socket];
}

/** Whether the datagram in row `arrival` came from the remote address of row `path`, by its socket. */
export function isSameRemote(
  arrivals: Int32Array,
  arrival: number,
  paths: Int32Array,
  path: number,
): boolean {
  // HOT PATH
  const from = arrival * DESCRIPTOR_WORDS;
  const to = path * DESCRIPTOR_WORDS;
  for (let word = 0; word <= PathWord.remotePort; word++) {
    if (arrivals[from + word] !== paths[to + word]) return false;
  }
  return arrivals[from + PathWord.socket] === paths[to + PathWord.socket];
}

/** Answers on the path of an arrival from now on: from the address that was contacted. */
export function answerOn(
  arrivals: Int32Array,
  arrival: number,
  paths: Int32Array,
  path: number,
): void {
  const from = arrival * DESCRIPTOR_WORDS;
  const to = path * DESCRIPTOR_WORDS;
  for (let word = 0; word < DESCRIPTOR_WORDS; word++) {
    paths[to + word] = arrivals[from + word] as number;
  }
  freeInterface(paths, to);
}

/**
 * Leaves the interface of the row that begins at word `at` to routing, unless the remote address is
 * link-local: Linux takes a forced interface without a route for on-link and loses the packet
 * silently.
 */
export function freeInterface(rows: Int32Array, at: number): void {
  const isLinkLocal = (rows[at] as number) >>> 22 === LINK_LOCAL_PREFIX;
  if (!isLinkLocal) rows[at + PathWord.interfaceIndex] = 0;
}
