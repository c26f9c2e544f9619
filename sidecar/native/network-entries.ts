/** What the kernel's tables of links, addresses, routes and rules say, as netlink gives and takes it. */

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** "bridge", "tun" (taps too), "veth", ...; "" for hardware and the loopback. */
  readonly kind: string;
  /** Index of the bridge it belongs to, 0 for none. */
  readonly master: number;
  readonly mtu: number;
  readonly isUp: boolean;
  readonly hasCarrier: boolean;
  /** Lower case with colons; "" where the link has none. */
  readonly mac: string;
  readonly alias: string;
}

/** What to change of a link; what is absent stays. */
export interface LinkChange {
  readonly index: number;
  readonly isUp?: boolean;
  readonly mtu?: number;
  /** 0 takes it out of its bridge. */
  readonly master?: number;
  readonly mac?: string;
  /** At most 255 bytes. */
  readonly alias?: string;
}

/** An IP address of an interface. */
export interface Address {
  readonly index: number;
  readonly address: string;
  readonly prefixBits: number;
}

/** A route to set or to take away. */
export interface RouteWish {
  /** "0.0.0.0" or "::" with 0 prefix bits is the default route. */
  readonly destination: string;
  readonly prefixBits: number;
  readonly index: number;
  readonly gateway?: string;
  /** Absent: the main table, 254. */
  readonly table?: number;
  /** Absent: 0, which IPv6 takes as 1024. */
  readonly metric?: number;
  /** Who set it; 250 is ours. */
  readonly protocol: number;
}

/** A route that is there. */
export interface Route extends RouteWish {
  readonly family: 4 | 6;
  readonly table: number;
  readonly metric: number;
}

/** An address that is there. */
export interface AddressEntry extends Address {
  readonly family: 4 | 6;
}

/** A rule by which a route is looked up in a table. */
export interface Rule {
  readonly family: 4 | 6;
  /** The least is asked first. */
  readonly priority: number;
  readonly table: number;
  /** Address that packets leave from; absent: any. */
  readonly source?: string;
  /** Name of the interface that packets are bound to; absent: any. */
  readonly interface?: string;
  /** Routes with no longer a prefix than this are passed over. */
  readonly suppressBits?: number;
}
