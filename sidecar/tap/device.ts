/**
 * This end's interface on the segment: the tap or tun, the bridge it belongs to, addresses and
 * routes. One invariant: whatever is made here carries our mark (link alias, route
 * protocol) or vanishes with the tap, so `close` and the next start's sweep remove all of it
 * and nothing else.
 */

import { writeFileSync } from "node:fs";
import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import type { DeviceConfig } from "../control/tunnel-config.ts";
import * as native from "../native/native.ts";
import { TunnelError } from "../tunnel-error.ts";

/** Route protocol that marks our routes (`ip route` shows it as `proto 250`). */
const ROUTE_PROTOCOL = 250;
/** The kernel keeps its own ff00::/8 entries in table local at metric 256: ours must come first. */
const TABLE_LOCAL = 255;
const IPV6_MULTICAST_METRIC = 100;
const INTERFACE_NAME_BYTES_MAX = 15;

/** An address with its prefix. */
export interface Prefix {
  readonly address: string;
  readonly prefixBits: number;
}

/** A network that is reached through the device. */
export interface RouteTaken {
  /** `10.30.0.0/16`. */
  readonly network: string;
  /** Absent: the kernel's own choice. */
  readonly metric?: number;
}

/** The device of one tunnel. */
export class Device {
  /** The tap's handle in the addon's table, for the data plane's lane. */
  readonly handle: number;
  /** Name of the tap. */
  readonly name: string;
  /** Name of the interface that holds our addresses on the segment: the bridge, or the tap. */
  readonly segmentName: string;
  readonly #tapIndex: number;
  readonly #segmentIndex: number;
  readonly #addresses: Prefix[] = [];
  #routes: readonly RouteTaken[] = [];
  readonly #undo: (() => void)[];

  private constructor(
    tap: { readonly handle: number; readonly name: string; readonly index: number },
    segment: { readonly name: string; readonly index: number },
    undo: (() => void)[],
  ) {
    this.handle = tap.handle;
    this.name = tap.name;
    this.#tapIndex = tap.index;
    this.segmentName = segment.name;
    this.#segmentIndex = segment.index;
    this.#undo = undo;
  }

  /**
   * Opens the tap and puts it where the configuration says. Throws a TunnelError that says what is
   * missing; what was made before it is undone.
   */
  static open(config: DeviceConfig, owner: string, mtuBytes: number): Device {
    const undo: (() => void)[] = [];
    sweep(owner);
    try {
      const target = config.bridge === undefined ? undefined : requireLink(config.bridge.interface);
      if (target !== undefined) sweepRoutes(target.index);
      const tap = openTap(config.name ?? nameFor("fl-", owner), config.kind, undo);
      check(native.linkSet({ index: tap.index, alias: aliasOf(owner), mtu: mtuBytes }), tap.name);
      const bridge = target === undefined ? undefined : joinBridge(target, tap, { owner, undo });
      check(native.linkSet({ index: tap.index, isUp: true }), tap.name);
      const device = new Device(tap, bridge ?? tap, undo);
      for (const address of [config.address4, config.address6]) {
        if (address !== undefined) device.addAddress(address);
      }
      for (const route of config.multicastRoutes) device.#addMulticastRoute(route);
      return device;
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
  }

  /** Gives this end an address on the segment, once. */
  addAddress(prefix: Prefix): void {
    const isKnown = this.#addresses.some((known) => known.address === prefix.address);
    if (isKnown) return;
    const wish = { index: this.#segmentIndex, ...prefix };
    const errno = native.addressAdd(wish);
    // There already: ours from a run that was killed, or the administrator's own.
    if (errno !== constants.errno.EEXIST) check(errno, `${this.segmentName}: ${prefix.address}`);
    this.#addresses.push(prefix);
    this.#undo.push(() => native.addressDelete(wish));
  }

  /** Takes an address away that `addAddress` gave. */
  removeAddress(prefix: Prefix): void {
    const place = this.#addresses.findIndex((known) => known.address === prefix.address);
    if (place < 0) return;
    this.#addresses.splice(place, 1);
    native.addressDelete({ index: this.#segmentIndex, ...prefix });
  }

  /** IPv6 addresses by the segment's routers, but no default route: that stays as it is. */
  useRouterAdvertisements(): void {
    const settings = { accept_ra_defrtr: "0", accept_ra: "1", autoconf: "1" };
    for (const [name, value] of Object.entries(settings)) {
      try {
        writeFileSync(`/proc/sys/net/ipv6/conf/${this.segmentName}/${name}`, value);
      } catch (error) {
        // A container without the right to, or a kernel without IPv6: as the administrator set it.
        if (!(error instanceof Error && "code" in error)) throw error;
      }
    }
  }

  /**
   * Routes exactly these networks through the device. Returns those that could not be set, with
   * why; the others are.
   */
  setRoutes(routes: readonly RouteTaken[]): { readonly network: string; readonly why: string }[] {
    const failed: { network: string; why: string }[] = [];
    const kept: RouteTaken[] = [];
    for (const route of this.#routes) {
      if (routes.some((wanted) => isSameRoute(wanted, route))) kept.push(route);
      else native.routeDelete(this.#routeWish(route));
    }
    for (const route of routes) {
      if (kept.some((known) => isSameRoute(known, route))) continue;
      const errno = native.routeAdd(this.#routeWish(route));
      if (errno === 0) kept.push(route);
      else failed.push({ network: route.network, why: whyNoRoute(errno) });
    }
    this.#routes = kept;
    return failed;
  }

  #routeWish({ network, metric }: RouteTaken): native.RouteWish {
    const [destination = "", bits = ""] = network.split("/");
    const index = this.#segmentIndex;
    const wish = { destination, prefixBits: Number(bits), index, protocol: ROUTE_PROTOCOL };
    return metric === undefined ? wish : { ...wish, metric };
  }

  /** Sets the MTU of the tap, bytes of IP in one frame. */
  setMtu(mtuBytes: number): void {
    check(native.linkSet({ index: this.#tapIndex, mtu: mtuBytes }), this.name);
  }

  /** Removes what was made, in reverse order. */
  close(): void {
    for (const step of this.#undo.reverse()) step();
    this.#undo.length = 0;
  }

  /**
   * The step that everybody forgets: without it the join leaves by the default route, and the
   * program hears nothing (scenario S3).
   */
  #addMulticastRoute(network: string): void {
    const [destination = "", bits = ""] = network.split("/");
    const isIpv6 = destination.includes(":");
    const wish = {
      destination,
      prefixBits: Number(bits),
      index: this.#segmentIndex,
      protocol: ROUTE_PROTOCOL,
      ...(isIpv6 ? { table: TABLE_LOCAL, metric: IPV6_MULTICAST_METRIC } : {}),
    };
    const errno = native.routeAdd(wish);
    if (errno === constants.errno.EEXIST) {
      throw new TunnelError(
        "interfaceFailed",
        `a route to ${network} is there already: another tunnel or the administrator set it; take ${network} out of multicast.routes of one of them`,
      );
    }
    check(errno, `route ${network} via ${this.segmentName}`);
    this.#undo.push(() => native.routeDelete(wish));
  }
}

/** Removes what a run of this tunnel left behind that was killed. */
function sweep(owner: string): void {
  const alias = aliasOf(owner);
  for (const link of native.links().links) {
    if (link.alias !== alias) continue;
    sweepRoutes(link.index);
    if (link.kind === "bridge") native.linkDelete(link.index);
  }
}

/** Removes our routes on an interface: one by this tunnel, since a bridge belongs to one. */
function sweepRoutes(index: number): void {
  for (const route of native.routes().routes) {
    if (route.protocol === ROUTE_PROTOCOL && route.index === index) native.routeDelete(route);
  }
}

/** `fairlead:namespace/name`, the mark on every link of a tunnel. */
function aliasOf(owner: string): string {
  return `fairlead:${owner}`;
}

/** An interface name for a tunnel: its own name where that fits, else a short hash of it. */
function nameFor(prefix: string, owner: string): string {
  const plain = `${prefix}${owner.slice(owner.indexOf("/") + 1)}`;
  if (plain.length <= INTERFACE_NAME_BYTES_MAX) return plain;
  let hash = 0;
  for (const character of owner) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) >>> 0;
  return `${plain.slice(0, 9)}-${(hash % 36 ** 5).toString(36).padStart(5, "0")}`;
}

function requireLink(name: string): native.Link {
  const link = native.links().links.find((candidate) => candidate.name === name);
  if (link !== undefined) return link;
  throw new TunnelError(
    "interfaceMissing",
    `gateway.bridge.interface: there is no interface ${name} here; create it first (ip link add ${name} type bridge) or name one that exists (ip link)`,
  );
}

function openTap(
  name: string,
  mode: "tap" | "tun",
  undo: (() => void)[],
): { handle: number; name: string; index: number } {
  const tap = native.tapOpen({ name, mode });
  if (tap.errno !== 0) throw tapError(tap, name);
  undo.push(() => native.handleClose(tap.handle));
  const link = native.links().links.find((candidate) => candidate.name === tap.name);
  if (link === undefined) {
    throw new TunnelError(
      "interfaceFailed",
      `the tap ${tap.name} vanished right after it was made`,
    );
  }
  return { handle: tap.handle, name: tap.name, index: link.index };
}

function tapError(tap: native.TapOpenResult, name: string): TunnelError {
  const { errno } = constants;
  if (tap.errno === errno.ENOENT || tap.errno === errno.ENODEV || tap.errno === errno.ENXIO) {
    return new TunnelError(
      "noTunDevice",
      "/dev/net/tun does not exist: load the module (modprobe tun), or give the container the device",
    );
  }
  if (tap.errno === errno.EPERM || tap.errno === errno.EACCES) {
    const isDevice = tap.operation.startsWith("open");
    return isDevice
      ? new TunnelError(
          "noTunDevice",
          "/dev/net/tun may not be opened: allow the device to this container",
        )
      : new TunnelError("notPermitted", "making an interface needs root or CAP_NET_ADMIN");
  }
  if (tap.errno === errno.EBUSY) {
    return new TunnelError("interfaceFailed", `the interface ${name} is in use by another program`);
  }
  return new TunnelError(
    "interfaceFailed",
    `${tap.operation} for ${name}: ${errnoName(tap.errno)}`,
  );
}

/** Puts the tap into the bridge, or into a bridge of ours together with the NIC that was named. */
function joinBridge(
  target: native.Link,
  tap: { readonly index: number; readonly name: string },
  context: { readonly owner: string; readonly undo: (() => void)[] },
): { name: string; index: number } {
  if (target.kind === "bridge") {
    check(native.linkSet({ index: tap.index, master: target.index }), target.name);
    return target;
  }
  if (target.master !== 0) {
    const bridge = native.links().links.find((link) => link.index === target.master);
    const name = bridge?.name ?? "a bridge";
    throw new TunnelError(
      "interfaceFailed",
      `gateway.bridge.interface: ${target.name} is part of ${name} already; name ${name} instead`,
    );
  }
  const name = nameFor("flbr-", context.owner);
  const bridge = native.linkAdd({ name, kind: "bridge" });
  check(bridge.errno, `bridge ${name}`);
  context.undo.push(() => native.linkDelete(bridge.index));
  check(native.linkSet({ index: bridge.index, alias: aliasOf(context.owner), isUp: true }), name);
  context.undo.push(() => native.linkSet({ index: target.index, master: 0 }));
  check(native.linkSet({ index: target.index, master: bridge.index, isUp: true }), target.name);
  check(native.linkSet({ index: tap.index, master: bridge.index }), name);
  return { name, index: bridge.index };
}

function check(errno: number, what: string): void {
  if (errno === 0) return;
  if (errno === constants.errno.EPERM) {
    throw new TunnelError(
      "notPermitted",
      `${what}: changing interfaces needs root or CAP_NET_ADMIN`,
    );
  }
  throw new TunnelError("interfaceFailed", `${what}: ${errnoName(errno)}`);
}

function isSameRoute(one: RouteTaken, other: RouteTaken): boolean {
  return one.network === other.network && one.metric === other.metric;
}

function whyNoRoute(errno: number): string {
  return errno === constants.errno.EEXIST
    ? "a route to it is there already, set by another tunnel or the administrator: remove it, or leave the network out here"
    : errnoName(errno);
}

function errnoName(errno: number): string {
  return getSystemErrorName(-errno);
}
