/**
 * The machine under a simulated sidecar: interfaces, addresses, sockets, a tap. Invariant checked here:
 * nothing is sent from an address or by an interface that the last look at netlink said is gone.
 */
import assert from "node:assert/strict";
import type {
  AddressEntry,
  Link,
  Route,
  UdpOpenResult,
  UdpWish,
} from "../../sidecar/native/native.ts";
import type { Kernel } from "../../sidecar/network-watch.ts";
import { addressText } from "../../sidecar/uplink/address-words.ts";
import type { Datagram, Host, Network, Uplink } from "./network.ts";
import { type LaneHost, type Leaving, StandInKeys } from "./stand-in-lane.ts";

const EINVAL = 22;
const ENETUNREACH = 101;
const MAIN_TABLE = 254;
/** Datagrams that a socket holds. */
const QUEUE_MAX = 2000;

/** First words of the addresses of a run. */
const NETWORKS: Record<4 | 6, readonly [number, number, number]> = {
  4: [0, 0, 0xffff],
  6: [0x2001_0db8, 0, 0],
};

interface Socket {
  readonly port: number;
  readonly interface: string | undefined;
  readonly queue: Datagram[];
}

/** What a machine tells its sidecar. */
export interface MachineEvents {
  /** Something is ready. */
  readonly wake: () => void;
  /** A datagram is handed over. */
  readonly handed: (datagram: Datagram) => void;
  readonly sent: (leaving: Leaving) => void;
  readonly wrote: (frame: Uint8Array) => void;
  readonly read: (frame: Uint8Array) => void;
}

/** One machine: a dialling end with uplinks, or the listening end with addresses. */
export class Machine implements LaneHost, Host, Kernel {
  readonly family: 4 | 6;
  readonly network: readonly [number, number, number];
  readonly uplinks: Uplink[] = [];
  readonly addressesHeld: number[] = [];
  readonly keys: StandInKeys = new StandInKeys();
  hasChanges = false;
  #events: MachineEvents | undefined;
  readonly #net: Network;
  readonly #sockets = new Map<number, Socket>();
  readonly #frames: Uint8Array[] = [];
  readonly #seenAddresses = new Set<number>();
  readonly #seenUp = new Set<string>();
  readonly #texts = new Map<number, string>();
  #nextHandle = 10;

  constructor(net: Network, family: 4 | 6) {
    this.#net = net;
    this.family = family;
    this.network = NETWORKS[family];
  }

  /** A program starts on it; what an earlier one left is gone. */
  start(events: MachineEvents): void {
    this.#events = events;
    this.#sockets.clear();
    this.#frames.length = 0;
  }

  /** The program is gone; nothing is said to anybody. */
  stop(): void {
    this.#events = undefined;
    this.#sockets.clear();
  }

  get socketCount(): number {
    return this.#sockets.size;
  }

  /** An interface or address changed: netlink says so. */
  changed(): void {
    this.hasChanges = true;
    this.#events?.wake();
  }

  /** A program of the machine sends a frame. */
  frameIn(frame: Uint8Array): void {
    if (this.#events === undefined) return;
    this.#frames.push(frame);
    this.#events.wake();
  }

  arrive(datagram: Datagram, uplink: Uplink | undefined): void {
    for (const socket of this.#sockets.values()) {
      const isBoundElsewhere = socket.interface !== undefined && socket.interface !== uplink?.name;
      if (socket.port !== datagram.target.port || isBoundElsewhere) continue;
      if (socket.queue.length < QUEUE_MAX) socket.queue.push(datagram);
      this.#events?.wake();
      return;
    }
  }

  readonly watchOpen = (): { errno: number; handle: number } => ({ errno: 0, handle: 1 });

  readonly udpOpen = (wish: UdpWish): UdpOpenResult => {
    const handle = this.#nextHandle;
    this.#nextHandle += 1;
    const port = wish.port === 0 ? this.#net.takePort() : wish.port;
    this.#sockets.set(handle, { port, interface: wish.interface, queue: [] });
    return { errno: 0, handle, port, operation: "" };
  };

  readonly handleClose = (handle: number): number => {
    this.#sockets.delete(handle);
    return 0;
  };

  readonly links = (): { errno: number; links: Link[] } => {
    this.#seenUp.clear();
    const common = { kind: "", master: 0, mtu: 1500, mac: "", alias: "" };
    const links = this.uplinks.map(({ name, index, isUp }) => {
      if (isUp) this.#seenUp.add(name);
      return { ...common, name, index, isUp, hasCarrier: isUp };
    });
    return { errno: 0, links };
  };

  readonly addresses = (): { errno: number; addresses: AddressEntry[] } => {
    this.#seenAddresses.clear();
    const held = this.uplinks.filter(({ address }) => address !== 0);
    const addresses = held.map(({ index, address }) => {
      this.#seenAddresses.add(address);
      return { index, address: this.textOf(address), prefixBits: 24, family: this.family };
    });
    return { errno: 0, addresses };
  };

  readonly routes = (): { errno: number; routes: Route[] } => {
    const { family } = this;
    const destination = family === 4 ? "0.0.0.0" : "::";
    const common = {
      destination,
      prefixBits: 0,
      family,
      table: MAIN_TABLE,
      metric: 0,
      protocol: 3,
    };
    const ways = this.uplinks.filter(({ isUp }) => isUp);
    return { errno: 0, routes: ways.map(({ index }) => ({ ...common, index })) };
  };

  /** An address as text. */
  textOf(address: number): string {
    const text = this.#texts.get(address) ?? addressText(Int32Array.of(...this.network, address));
    this.#texts.set(address, text);
    return text;
  }

  received(handle: number): Datagram | undefined {
    const datagram = this.#sockets.get(handle)?.queue.shift();
    if (datagram !== undefined) this.#events?.handed(datagram);
    return datagram;
  }

  hasReceived(handle: number): boolean {
    return (this.#sockets.get(handle)?.queue.length ?? 0) > 0;
  }

  interfaceOf(handle: number): number {
    const name = this.#sockets.get(handle)?.interface;
    return this.uplinks.find((uplink) => uplink.name === name)?.index ?? 2;
  }

  frameRead(): Uint8Array | undefined {
    const frame = this.#frames.shift();
    if (frame !== undefined) this.#events?.read(frame);
    return frame;
  }

  hasFrames(): boolean {
    return this.#frames.length > 0;
  }

  frameWritten(bytes: Uint8Array): void {
    this.#events?.wrote(bytes);
  }

  send(handle: number, leaving: Leaving): number {
    const socket = this.#sockets.get(handle);
    assert(socket !== undefined, "only an open socket is sent by");
    this.#events?.sent(leaving);
    const { bytes, sealed, source, target } = leaving;
    const from = { address: source.address, port: socket.port };
    if (this.uplinks.length === 0) {
      const address = from.address === 0 ? (this.addressesHeld[0] ?? 0) : from.address;
      if (!this.addressesHeld.includes(address)) return EINVAL;
      this.#net.sendBack({ bytes, sealed, source: { ...from, address }, target });
      return 0;
    }
    this.#checkSeen(socket, from.address);
    const uplink = this.uplinks.find((one) =>
      socket.interface === undefined
        ? one.isUp && one.address !== 0
        : one.name === socket.interface,
    );
    if (uplink === undefined || !uplink.isUp || uplink.address === 0) return ENETUNREACH;
    const address = from.address === 0 ? uplink.address : from.address;
    if (!this.uplinks.some((one) => one.address === address)) return EINVAL;
    assert.equal(address, uplink.address, "a packet leaves by the interface of its address");
    this.#net.sendOut(uplink, { bytes, sealed, source: { ...from, address }, target });
    return 0;
  }

  #checkSeen(socket: Socket, address: number): void {
    if (socket.interface === undefined) return;
    const isUp = this.#seenUp.has(socket.interface);
    assert(isUp, `nothing leaves by ${socket.interface}, which netlink said is down`);
    const isThere = address === 0 || this.#seenAddresses.has(address);
    assert(isThere, `nothing leaves from ${this.textOf(address)}, which netlink said is gone`);
  }
}
