/**
 * Gives each peer an address: its fixed one, the one it had, or the lowest free one of the pool.
 *
 * Invariant: no address is given twice, nor the network's first and last (IPv4) or first (IPv6,
 * the subnet-router anycast address), nor our own; the same question with the same former answer
 * gets the same answer, whatever the order of the peers.
 */

import {
  formatAddress,
  type IpNetwork,
  networkRange,
  parseAddress,
  parseNetwork,
} from "../../crds/ip-network.ts";

/** What there is to give. */
export interface PoolRequest {
  /** `10.20.0.0/24`. */
  readonly segment: string;
  /** `10.20.0.200-10.20.0.239`; absent: only fixed addresses. */
  readonly pool?: string;
  /** Our own address, never given. */
  readonly own?: string;
  readonly peers: readonly { readonly name: string; readonly fixed?: string }[];
  /** What was given before, by peer. */
  readonly former: ReadonlyMap<string, string>;
}

/** Who got what; a peer without an address is in `problems` or there is no pool. */
export interface PoolAnswer {
  readonly given: ReadonlyMap<string, string>;
  readonly problems: readonly { readonly peer?: string; readonly text: string }[];
}

/** A pool is searched at most this far; a segment of more peers is not one segment. */
const POOL_SEARCH_MAX = 65_536;

/** Gives addresses. */
export function assignAddresses(request: PoolRequest): PoolAnswer {
  const given = new Map<string, string>();
  const problems: { peer?: string; text: string }[] = [];
  const segment = parseNetwork(request.segment);
  if (segment === undefined) {
    return {
      given,
      problems: [{ text: `${request.segment} is not a network: correct addresses.segment` }],
    };
  }
  const range = rangeOf(request, segment, problems);
  const taken = new Set<bigint>(reserved(segment, request.own));
  const peers = [...request.peers].sort((a, b) => (a.name < b.name ? -1 : 1));
  const holders = new Map<bigint, string>();
  for (const peer of peers) {
    if (peer.fixed === undefined) continue;
    const { value, problem } = checkFixed(peer.fixed, { segment, taken, holders });
    if (value === undefined) {
      problems.push({ peer: peer.name, text: problem });
      continue;
    }
    taken.add(value);
    holders.set(value, peer.name);
    given.set(peer.name, peer.fixed);
  }
  if (range === undefined) return { given, problems };
  const rest = peers.filter((peer) => peer.fixed === undefined);
  for (const peer of rest) {
    const value = parseAddress(request.former.get(peer.name) ?? "")?.value;
    if (value === undefined || value < range.first || value > range.last || taken.has(value))
      continue;
    taken.add(value);
    given.set(peer.name, formatAddress({ family: segment.address.family, value }));
  }
  let next = range.first;
  for (const peer of rest) {
    if (given.has(peer.name)) continue;
    while (next <= range.last && taken.has(next)) next++;
    if (next > range.last) {
      problems.push({ peer: peer.name, text: exhausted(request.pool ?? "", rest.length) });
      continue;
    }
    taken.add(next);
    given.set(peer.name, formatAddress({ family: segment.address.family, value: next }));
  }
  return { given, problems };
}

function exhausted(pool: string, count: number): string {
  return `no address is left in the pool ${pool} for ${count} peers: widen the pool, or give this peer a fixed address or addressing: None`;
}

function rangeOf(
  request: PoolRequest,
  segment: IpNetwork,
  problems: { text: string }[],
): { readonly first: bigint; readonly last: bigint } | undefined {
  if (request.pool === undefined) return undefined;
  const [first, last] = request.pool.split("-").map((text) => parseAddress(text)?.value);
  const whole = networkRange(segment);
  if (first === undefined || last === undefined || first < whole.first || last > whole.last) {
    problems.push({
      text: `the pool ${request.pool} is not inside ${request.segment}: correct it`,
    });
    return undefined;
  }
  if (first > last) {
    problems.push({
      text: `the pool ${request.pool} ends before it begins: swap its two addresses`,
    });
    return undefined;
  }
  const limit = first + BigInt(POOL_SEARCH_MAX) - 1n;
  return { first, last: last < limit ? last : limit };
}

function reserved(segment: IpNetwork, own: string | undefined): bigint[] {
  const { first, last } = networkRange(segment);
  const ownValue = parseAddress(own ?? "")?.value;
  return [
    first,
    ...(segment.address.family === 4 ? [last] : []),
    ...(ownValue === undefined ? [] : [ownValue]),
  ];
}

function checkFixed(
  fixed: string,
  state: {
    readonly segment: IpNetwork;
    readonly taken: ReadonlySet<bigint>;
    readonly holders: ReadonlyMap<bigint, string>;
  },
): { readonly value?: bigint; readonly problem: string } {
  const address = parseAddress(fixed);
  const { first, last } = networkRange(state.segment);
  if (
    address === undefined ||
    address.family !== state.segment.address.family ||
    address.value < first ||
    address.value > last
  ) {
    return {
      problem: `the fixed address ${fixed} is not inside the tunnel's segment: correct one of them`,
    };
  }
  const holder = state.holders.get(address.value);
  if (holder !== undefined) {
    return {
      problem: `the fixed address ${fixed} belongs to peer ${holder} too: give one of them another`,
    };
  }
  if (state.taken.has(address.value)) {
    return {
      problem: `the fixed address ${fixed} is the gateway's own or the network's: choose another`,
    };
  }
  return { value: address.value, problem: "" };
}
