/**
 * The uplinks of a dialling end: which interface and address each one is now, and a socket
 * bound to it. One invariant: an uplink is usable only while its interface is up, has an
 * address of the family and a route that reaches out by it; a forced interface without a route
 * would make Linux take the whole world for on-link, and lose packets silently.
 */

import { isIPv4 } from "node:net";
import type { UplinkConfig } from "../control/tunnel-config.ts";
import type { AddressEntry, Link, Route, UdpOpenResult, UdpWish } from "../native/native.ts";
import { isInNetwork } from "./address-words.ts";
import { openEitherFamily } from "./open-socket.ts";
import { isSameWay, placeUplinks, type UplinkPlaces } from "./uplink-places.ts";
import type { UplinkRoutes, Way } from "./uplink-routes.ts";

/** What the kernel says of this machine's network, all at one moment. */
export interface NetworkView {
  readonly links: readonly Link[];
  readonly addresses: readonly AddressEntry[];
  readonly routes: readonly Route[];
}

/** One uplink as it is now. */
export interface UplinkState {
  readonly name: string;
  readonly isUsable: boolean;
  /** Why it is as it is: "address 203.0.113.4", "link down", "no route". */
  readonly cause: string;
  readonly interfaceName: string;
  readonly interfaceIndex: number;
  /** The address that packets leave from; "" while there is none. */
  readonly address: string;
}

/** Sockets as the worker opens them. */
export interface UplinkSockets {
  readonly open: (wish: UdpWish) => UdpOpenResult;
  readonly attach: (handle: number) => number;
  readonly detach: (index: number) => number;
  readonly close: (handle: number) => number;
}

/** Judges an uplink by what the kernel says; pure. `family` is that of the remote address. */
export function judgeUplink(
  config: UplinkConfig,
  network: NetworkView,
  family: 4 | 6,
): UplinkState {
  const own = network.addresses.filter((entry) => (isIPv4(entry.address) ? 4 : 6) === family);
  const entry = own.find((candidate) => isMatch(config, candidate, network));
  const link = linkOf(config, network, entry);
  const base = {
    name: config.name,
    interfaceName: link?.name ?? "",
    interfaceIndex: link?.index ?? 0,
  };
  const unusable = (cause: string): UplinkState => ({
    ...base,
    isUsable: false,
    cause,
    address: "",
  });
  if (link === undefined) {
    return unusable("interface" in config ? "no such interface" : NO_ADDRESS_IN_RANGE);
  }
  if (!link.isUp) return unusable("interface is down");
  if (!link.hasCarrier) return unusable("no carrier");
  if (entry === undefined) return unusable(NO_ADDRESS);
  const hasRoute =
    gatewayFor(config, family) !== undefined ||
    network.routes.some(
      (route) =>
        route.index === link.index && route.family === family && route.table === MAIN_TABLE,
    );
  if (!hasRoute) return unusable("no route");
  return { ...base, isUsable: true, cause: `address ${entry.address}`, address: entry.address };
}

/** The gateway that is declared, if it is of this family. */
function gatewayFor({ gateway }: UplinkConfig, family: 4 | 6): string | undefined {
  return gateway !== undefined && (isIPv4(gateway) ? 4 : 6) === family ? gateway : undefined;
}

const MAIN_TABLE = 254;
const NO_ADDRESS = "no address";
const NO_ADDRESS_IN_RANGE = "no address in its range";
const LINK_LOCAL = "fe80::/10";

function isMatch(config: UplinkConfig, entry: AddressEntry, network: NetworkView): boolean {
  if (isInNetwork(entry.address, LINK_LOCAL)) return false;
  if ("sourceAddress" in config) return isInNetwork(entry.address, config.sourceAddress);
  const link = network.links.find((candidate) => candidate.index === entry.index);
  return link?.name === config.interface;
}

function linkOf(
  config: UplinkConfig,
  network: NetworkView,
  entry: AddressEntry | undefined,
): Link | undefined {
  if ("interface" in config) return network.links.find((link) => link.name === config.interface);
  return network.links.find((link) => link.index === entry?.index);
}

/** The table that an uplink is to have; undefined: it names no gateway, or has nothing to send from. */
function wayOf(config: UplinkConfig, state: UplinkState, family: 4 | 6): Way | undefined {
  const gateway = gatewayFor(config, family);
  if (gateway === undefined || !state.isUsable) return undefined;
  const { interfaceName, interfaceIndex, address } = state;
  return { interfaceName, interfaceIndex, address, gateway };
}

function refusedBy(state: UplinkState, cause: string): UplinkState {
  return { ...state, isUsable: false, cause, address: "" };
}

interface Bound {
  readonly handle: number;
  readonly socket: number;
  readonly interfaceName: string;
  readonly interfaceIndex: number;
}

/** An uplink that nobody has looked at. */
function unseen(name: string): UplinkState {
  const cause = "not looked at yet";
  return { name, isUsable: false, cause, interfaceName: "", interfaceIndex: 0, address: "" };
}

/** All uplinks of a tunnel and their sockets, by their numbers; used by the worker. */
export class Uplinks {
  #places: UplinkPlaces;
  readonly #sockets: UplinkSockets;
  readonly #bufferBytes: number;
  readonly #routes: UplinkRoutes | undefined;
  readonly #states: (UplinkState | undefined)[] = [];
  readonly #bound: (Bound | undefined)[] = [];
  readonly #changes: string[] = [];

  constructor(
    configs: readonly UplinkConfig[],
    sockets: UplinkSockets,
    limits: { readonly bufferBytes: number; readonly uplinksMax: number },
    routes?: UplinkRoutes,
  ) {
    this.#routes = routes;
    this.#sockets = sockets;
    this.#bufferBytes = limits.bufferBytes;
    this.#places = placeUplinks([], configs, limits.uplinksMax);
    for (const [uplink, one] of this.#places.entries()) {
      this.#states[uplink] = one === undefined ? undefined : unseen(one.config.name);
    }
  }

  /** What the last look found to have changed of an uplink, as an event tells it. */
  changeOf(uplink: number): string {
    return this.#changes[uplink] ?? "";
  }

  /** Uplinks by their numbers; undefined: nobody has the number. */
  get states(): readonly (UplinkState | undefined)[] {
    return this.#states;
  }

  get places(): UplinkPlaces {
    return this.#places;
  }

  /** The lane's socket of an uplink; -1 while it has none. */
  socketOf(uplink: number): number {
    return this.#bound[uplink]?.socket ?? -1;
  }

  /** Takes other declarations; what is not declared any more goes on until it is dropped. */
  declare(configs: readonly UplinkConfig[]): void {
    const before = this.#places;
    this.#places = placeUplinks(before, configs, before.length);
    for (const [uplink, one] of this.#places.entries()) {
      if (one === undefined) continue;
      const state = this.#states[uplink];
      const { name } = one.config;
      const former = before[uplink]?.config;
      if (state !== undefined && former !== undefined && isSameWay(former, one.config)) {
        this.#states[uplink] = { ...state, name };
        continue;
      }
      // Whoever had the number and had to give way takes its socket along.
      this.#unbind(uplink);
      this.#states[uplink] = unseen(name);
    }
  }

  /** Closes what a leaving uplink has; its number is free. */
  drop(uplink: number): void {
    this.#unbind(uplink);
    this.#routes?.keep(uplink, undefined, []);
    this.#states[uplink] = undefined;
    this.#places = this.#places.map((one, at) => (at === uplink ? undefined : one));
  }

  /** Looks again; the numbers of the uplinks that changed. */
  refresh(network: NetworkView, family: 4 | 6): number[] {
    return this.#places.flatMap((one, uplink) => {
      if (one === undefined) return [];
      const judged = judgeUplink(one.config, network, family);
      const way = wayOf(one.config, judged, family);
      const problem = this.#routes?.keep(uplink, way, network.routes);
      const routed = problem === undefined ? judged : refusedBy(judged, problem);
      const state = this.#bind(uplink, routed);
      const before = this.#states[uplink];
      const isSame =
        before?.isUsable === state.isUsable &&
        before.address === state.address &&
        before.interfaceIndex === state.interfaceIndex &&
        before.cause === state.cause;
      this.#states[uplink] = state;
      if (isSame) return [];
      this.#changes[uplink] = changeFrom(before, state);
      return [uplink];
    });
  }

  close(): void {
    for (const uplink of this.#places.keys()) this.#unbind(uplink);
    this.#routes?.close();
  }

  #unbind(uplink: number): void {
    const bound = this.#bound[uplink];
    if (bound === undefined) return;
    this.#sockets.detach(bound.socket);
    this.#sockets.close(bound.handle);
    this.#bound[uplink] = undefined;
  }

  /** A socket for the interface; a new one when the interface is another one of that name. */
  #bind(uplink: number, state: UplinkState): UplinkState {
    const bound = this.#bound[uplink];
    const isSameLink =
      bound?.interfaceIndex === state.interfaceIndex && bound.interfaceName === state.interfaceName;
    if (bound !== undefined && isSameLink) return state;
    this.#unbind(uplink);
    if (!state.isUsable) return state;
    const opened = this.#open(state.interfaceName);
    if (opened.errno !== 0)
      return { ...state, isUsable: false, cause: `${opened.operation} failed` };
    const socket = this.#sockets.attach(opened.handle);
    if (socket < 0) {
      this.#sockets.close(opened.handle);
      return { ...state, isUsable: false, cause: "too many sockets" };
    }
    const { interfaceName, interfaceIndex } = state;
    this.#bound[uplink] = { handle: opened.handle, socket, interfaceName, interfaceIndex };
    return state;
  }

  #open(interfaceName: string): UdpOpenResult {
    const bytes = this.#bufferBytes;
    const buffers = { receiveBufferBytes: bytes, sendBufferBytes: bytes };
    return openEitherFamily(this.#sockets.open, { port: 0, interface: interfaceName, ...buffers });
  }
}

/** An address that is gone is named: whoever reads the event may know nothing but that address. */
function changeFrom(before: UplinkState | undefined, after: UplinkState): string {
  if (before === undefined || before.address === "" || before.address === after.address) {
    return after.cause;
  }
  if (after.address !== "") return `address ${before.address} became ${after.address}`;
  const isRemoved = after.cause === NO_ADDRESS || after.cause === NO_ADDRESS_IN_RANGE;
  return isRemoved ? `address ${before.address} removed` : after.cause;
}
