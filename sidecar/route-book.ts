/**
 * Which networks are where in a routed tunnel that listens, and who is told: the router its table,
 * the kernel its routes, each peer what it may reach. One invariant: a peer keeps its owner's number
 * while it is declared, so a table and a port that cross on their way never mean two peers.
 */

import { parseNetwork } from "../crds/ip-network.ts";
import { canonicalNetwork, isInside } from "../crds/routing.ts";
import type { RouteStatus } from "./control/status.ts";
import type {
  ListenConfig,
  PeerConfig,
  RoutingConfig,
  TunnelConfig,
} from "./control/tunnel-config.ts";
import { PUSHED_ROUTES_MAX } from "./limits.ts";
import type { PlaneLink } from "./plane-link.ts";
import { NOBODY, type PrefixRow, prefixWords } from "./switch/prefix-table.ts";
import { OWNER_HERE } from "./switch/router.ts";

type Plane = Pick<PlaneLink, "order" | "setRoutes">;

/** What is told to one peer. */
export interface PushedNetworks {
  readonly networks: readonly string[];
  /** How many are left out since there are too many. */
  readonly leftOutCount: number;
}

/** The routes of one listening tunnel. */
export class RouteBook {
  readonly #config: Pick<TunnelConfig, "device">;
  readonly #role: ListenConfig;
  readonly #routing: RoutingConfig;
  readonly #plane: Plane;
  readonly #owners = new Map<string, number>();
  #peers: readonly PeerConfig[] = [];

  constructor(
    config: Pick<TunnelConfig, "device">,
    routes: { readonly role: ListenConfig; readonly routing: RoutingConfig },
    plane: Plane,
  ) {
    this.#config = config;
    this.#role = routes.role;
    this.#routing = routes.routing;
    this.#plane = plane;
    this.setPeers(routes.role.peers);
  }

  /** Takes the declared peers; the router's table changes at once. */
  setPeers(peers: readonly PeerConfig[]): void {
    this.#peers = peers;
    const names = new Set(peers.map((peer) => peer.commonName));
    for (const name of this.#owners.keys()) if (!names.has(name)) this.#owners.delete(name);
    const taken = new Set(this.#owners.values());
    let next = OWNER_HERE + 1;
    for (const name of names) {
      if (this.#owners.has(name)) continue;
      while (taken.has(next)) next += 1;
      taken.add(next);
      this.#owners.set(name, next);
    }
    this.#plane.setRoutes(prefixWords(this.#rows()));
  }

  /** A peer's session: what is for the peer goes there, and what comes from it must be its own. */
  connected(index: number, commonName: string, mtuBytes: number): void {
    const owner = this.#owners.get(commonName);
    if (owner === undefined) return;
    this.#plane.order({ kind: "ownPort", index, owner, mtuBytes });
  }

  /** What this host's kernel sends into the tunnel, beside the tunnel's own network. */
  kernelRoutes(): readonly { readonly network: string }[] {
    const { toSegment } = this.#routing;
    const declared = this.#peers.flatMap((peer) => peer.networks);
    const wanted = declared.filter(
      (network) => toSegment === undefined || toSegment.some((one) => isInside(network, one)),
    );
    return [...new Set(wanted.map(canonicalNetwork))].map((network) => ({ network }));
  }

  /** What a peer is told to send into the tunnel: this side's networks, and the other peers'. */
  pushedTo(commonName: string): PushedNetworks {
    const { fromSegment, isPeerToPeer } = this.#routing;
    const others = this.#peers.filter((peer) => peer.commonName !== commonName);
    const theirs = isPeerToPeer ? others.flatMap((peer) => peer.networks) : [];
    const own = this.#peers.find((peer) => peer.commonName === commonName)?.networks ?? [];
    const mine = new Set(own.map(canonicalNetwork));
    const all = [...new Set([...fromSegment, ...theirs].map(canonicalNetwork))];
    const networks = all.filter((network) => !mine.has(network));
    return {
      networks: networks.slice(0, PUSHED_ROUTES_MAX),
      leftOutCount: Math.max(0, networks.length - PUSHED_ROUTES_MAX),
    };
  }

  /** What status shows; `isUp` says whether a peer is connected. */
  status(isUp: (name: string) => boolean): RouteStatus[] {
    const here = this.#routing.fromSegment.map((network) => ({ network, behind: "here" }));
    const behind = this.#peers.flatMap((peer) =>
      [...hostNetworks(peer), ...peer.networks].map((network) => ({
        network,
        behind: peer.name,
        isUp: isUp(peer.name),
      })),
    );
    return [...here, ...behind];
  }

  /** The longest match wins; of equal prefixes the later row. */
  #rows(): PrefixRow[] {
    const rows: PrefixRow[] = [];
    const add = (text: string, owner: number): void => {
      const network = parseNetwork(text);
      if (network !== undefined) rows.push({ network, owner });
    };
    for (const segment of [this.#role.segment4, this.#role.segment6]) {
      if (segment !== undefined) add(`${segment.address}/${segment.prefixBits}`, NOBODY);
    }
    for (const network of this.#routing.fromSegment) add(network, OWNER_HERE);
    for (const peer of this.#peers) {
      const owner = this.#owners.get(peer.commonName) ?? NOBODY;
      for (const network of [...hostNetworks(peer), ...peer.networks]) add(network, owner);
    }
    const { address4, address6 } = this.#config.device;
    if (address4 !== undefined) add(`${address4.address}/32`, OWNER_HERE);
    if (address6 !== undefined) add(`${address6.address}/128`, OWNER_HERE);
    return rows;
  }
}

function hostNetworks(peer: PeerConfig): string[] {
  const { address4, address6 } = peer;
  return [
    ...(address4 === undefined ? [] : [`${address4}/32`]),
    ...(address6 === undefined ? [] : [`${address6}/128`]),
  ];
}
