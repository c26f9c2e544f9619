/**
 * The one face of the addon: system calls, AEAD over batches and netlink. Nothing here throws but
 * `laneOpen` over memory that is not shared, and a call with a value of another type than is
 * declared. Numbers of any value are safe: what is out of range is refused with EINVAL or EBADF.
 *
 * errno is positive and 0 when all went well; functions that return a count return -errno.
 */

import { createRequire } from "node:module";
import type {
  Address,
  AddressEntry,
  Link,
  LinkChange,
  Route,
  RouteWish,
  Rule,
} from "./network-entries.ts";

export type { Address, AddressEntry, Link, LinkChange, Route, RouteWish, Rule };

/** Whether a call succeeded. */
export interface Result {
  /** 0, or the positive errno. */
  readonly errno: number;
}

/** A descriptor kept in the addon's table, named by a small positive integer. */
export interface HandleResult extends Result {
  /** Valid only when errno is 0. */
  readonly handle: number;
}

/** What became of opening something in several steps. */
export interface OpenResult extends HandleResult {
  /** The call that failed, such as "TUNSETIFF" or "bind"; empty when none did. */
  readonly operation: string;
}

/** An opened tap or tun device. */
export interface TapOpenResult extends OpenResult {
  /** The interface's name as the kernel made it. */
  readonly name: string;
}

/** An opened UDP socket. */
export interface UdpOpenResult extends OpenResult {
  /** The port it is bound to. */
  readonly port: number;
}

/** A tap device to open; `name` may be empty or hold `%d`, then the kernel chooses. */
export interface TapWish {
  readonly name: string;
  readonly mode: "tap" | "tun";
}

/** A UDP socket to open. */
export interface UdpWish {
  /** Address to bind to, with `%interface` behind a link-local one; "" for any. */
  readonly address: string;
  /** 0 lets the kernel choose. */
  readonly port: number;
  /** 6 carries IPv4 as well when `address` is "". */
  readonly family: 4 | 6;
  /** Interface to bind to, for sending and receiving. */
  readonly interface?: string;
  /** 0 leaves the kernel's default; past the system's limit only with CAP_NET_ADMIN. */
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
}

/** TCP as a carrier of packets: a socket to listen with, or the place of one that dials. */
export interface TcpWish {
  /** To listen on, with any address; 0 lets the kernel choose. Absent: to dial. */
  readonly port?: number;
  /** 6 carries IPv4 as well. */
  readonly family: 4 | 6;
  /** Send buffer of each connection: what waits for a slow reader; 0 leaves the kernel's default. */
  readonly sendBufferBytes: number;
}

/** Ciphers of the data channel, by their names in OpenVPN. */
export type Cipher = "AES-256-GCM" | "AES-128-GCM" | "CHACHA20-POLY1305";

/** A key of one direction and where it goes. The addon copies it; the caller wipes its own. */
export interface KeyWish {
  /** 0 to KEY_SLOTS - 1. */
  readonly slot: number;
  /** Rows name it beside the slot; any integer of 32 bits. */
  readonly generation: number;
  readonly cipher: Cipher;
  readonly key: Uint8Array;
  /** 8 bytes for the short format, 12 for the epoch format. */
  readonly implicitIv: Uint8Array;
  readonly format: "short" | "epoch";
}

/**
 * One thread's sockets, taps and epoll, over memory laid out as `layout.ts` says. Used only by
 * the thread that made it. Rows behind a table's last whole row do not exist.
 */
export interface Lane {
  /** Wakes `wait` when the eventfd is kicked; 0 or errno. */
  attachControl(handle: number): number;
  /** Lets `wait` say when links, addresses or routes changed; 0 or errno. */
  attachWatch(handle: number): number;
  /** The socket's index in this lane, or -errno. It stays open until detached and closed. */
  attachSocket(handle: number): number;
  attachTap(handle: number): number;
  /**
   * Marks the TCP connection that row `path` of the path table names as a session's: nobody ends it
   * to make room. 0, ENOTCONN when it is not there, EBADF for a socket that has no connections.
   */
  streamKeep(path: number): number;
  /** Closes it; no row tells of that. */
  streamClose(path: number): number;
  /** Ends TCP connections that are nobody's after so long; how many, with those that made room. */
  streamSweep(ageMsMax: number): number;
  detachSocket(index: number): number;
  detachTap(index: number): number;
  /** Lets datagrams leave by a socket whole or not at all; EOPNOTSUPP for TCP. */
  dontFragment(socket: number, isOn: boolean): number;
  /**
   * Mask of `Ready` bits, 0 after the time (-1: never) or a signal, or -errno. The thread runs no
   * JavaScript meanwhile; a worker must be kicked before it can be terminated. A device or socket
   * with an error counts as ready, and reading it gives the error.
   */
  wait(timeoutMs: number): number;
  /**
   * Datagrams received (BATCH_MAX at most), -EAGAIN for none; see `layout.ts` for the rows. A TCP
   * socket gives packets in the same way, and a row with the verdict `ended` for a connection that
   * is over; a packet that a row has no room for is `malformed`.
   */
  udpReceive(socket: number, first: number, count: number): number;
  /**
   * What ICMP said about datagrams that left by a UDP socket, since the last call: how often that the
   * other end cannot be reached (bits 0 to 9), that one was too long (10 to 19), or else (20 to 29); or
   * -errno. Anybody who knows both ports may have said it. `wait` tells of it until it was asked for.
   */
  udpErrors(socket: number): number;
  /** Opens rows of `received` whose verdict is `open`, in place; how many were opened. */
  openBatch(first: number, count: number): number;
  /**
   * Seals and sends rows 0 to count - 1 of `orders`; how many left. Each row's verdict becomes
   * `done` or -errno: ENOKEY (126) for a key that is not in the table, EBADF for a socket that is not
   * attached, EMSGSIZE above 65535 bytes. By TCP an address that has no connection is dialled, or is
   * ENOTCONN at a listening socket; a packet leaves whole or not at all. EAGAIN says the socket's buffer is full, and is then
   * the verdict of all later rows for that socket. Order is kept per socket. A row that differs
   * from the one before it only by its path (and traffic class) sends the same bytes, sealed once.
   */
  send(count: number): number;
  /** Frames read, -EAGAIN for none. A frame longer than its row's room is `malformed`. */
  tapRead(tap: number, first: number, count: number): number;
  /** Writes rows 0 to count - 1 of `writes`; how many were written. */
  tapWrite(count: number): number;
}

/** What a lane works on, laid out as `layout.ts` says; views over SharedArrayBuffers. */
export interface LaneMemory {
  readonly slab: Uint8Array;
  readonly received: Int32Array;
  readonly arrivals: Int32Array;
  readonly frames: Int32Array;
  readonly orders: Int32Array;
  readonly writes: Int32Array;
  readonly paths: Int32Array;
}

/** Opens a lane; throws for memory that is not shared. Its functions need no receiver. */
export type LaneOpen = (memory: LaneMemory) => Lane;

/**
 * Reed-Solomon over the slab. Rows 0 to `dataMax - 1` of `shards` are data, the next `parityMax` are
 * parity; `bytes` are those of the longest, behind a shorter one zeros are thought.
 */
export interface Parity {
  /**
   * Computes the parity rows that have a length, which must have room for `bytes`; data rows
   * of length 0 are zero. How many were computed, or -errno: EOPNOTSUPP where `parityUsable` says no.
   */
  encode(dataMax: number, parityMax: number, bytes: number): number;
  /**
   * Data rows whose verdict is `open` are computed from those that are `done`, and become `opened`;
   * `none` is zero for data and absent for parity. How many, or -errno: ENODATA for too few.
   */
  recover(dataMax: number, parityMax: number, bytes: number): number;
}

/** The constructor of `Parity`; both views are over SharedArrayBuffers, or it throws. */
export type ParityConstructor = new (slab: Uint8Array, shards: Int32Array) => Parity;

/** What the Rust side exports. */
interface Addon {
  readonly laneOpen: LaneOpen;
  readonly Parity: ParityConstructor;
  parityUsable(): boolean;
  layout(): Record<string, number>;
  eventOpen(): HandleResult;
  watchOpen(): HandleResult;
  kick(handle: number): number;
  handleClose(handle: number): number;
  tapOpen(name: string, isTap: boolean): TapOpenResult;
  udpOpen(wish: UdpWish): UdpOpenResult;
  tcpOpen(wish: TcpWish): UdpOpenResult;
  keyInstall(wish: KeyWish): number;
  keyRemove(slot: number): number;
  links(): Result & { readonly links: readonly Link[] };
  linkAdd(name: string, kind: string): Result & { readonly index: number };
  linkDelete(index: number): number;
  linkSet(change: LinkChange): number;
  addresses(): Result & { readonly addresses: readonly AddressEntry[] };
  addressAdd(address: Address): number;
  addressDelete(address: Address): number;
  routes(): Result & { readonly routes: readonly Route[] };
  routeAdd(route: RouteWish): number;
  routeDelete(route: RouteWish): number;
  rules(): Result & { readonly rules: readonly Rule[] };
  ruleAdd(rule: Rule): number;
  ruleDelete(rule: Rule): number;
}

function load(): Addon {
  try {
    return createRequire(import.meta.url)("./fairlead.node");
  } catch (cause) {
    throw new Error(
      "the native addon sidecar/native/fairlead.node cannot be loaded; run ./fairlead, which builds it",
      { cause },
    );
  }
}

const addon: Addon = load();

/** See its type. */
export const laneOpen: LaneOpen = addon.laneOpen;

/** See the interface of the same name. */
export const Parity: ParityConstructor = addon.Parity;

/** Whether this processor has the instructions that the arithmetic of parity was compiled for. */
export function parityUsable(): boolean {
  return addon.parityUsable();
}

/** The constants of the Rust side by their names in `layout.ts`, such as "Word.start". */
export function layout(): Record<string, number> {
  return addon.layout();
}

/** Opens an eventfd, which wakes the lane it is attached to. */
export function eventOpen(): HandleResult {
  return addon.eventOpen();
}

/** Opens a netlink socket that hears of changes in the calling thread's network namespace. */
export function watchOpen(): HandleResult {
  return addon.watchOpen();
}

/** Wakes the lane an eventfd is attached to, from any thread of the process; 0 or errno. */
export function kick(handle: number): number {
  return addon.kick(handle);
}

/** Forgets a handle; its descriptor is closed once no lane has it attached. 0 or errno. */
export function handleClose(handle: number): number {
  return addon.handleClose(handle);
}

/** Opens a tap or tun device in the calling thread's network namespace. */
export function tapOpen(wish: TapWish): TapOpenResult {
  return addon.tapOpen(wish.name, wish.mode === "tap");
}

/** Opens a UDP socket that tells where datagrams arrive. */
export function udpOpen(wish: UdpWish): UdpOpenResult {
  return addon.udpOpen(wish);
}

/** Opens a TCP socket for packets; a lane that it is attached to accepts or dials. */
export function tcpOpen(wish: TcpWish): UdpOpenResult {
  return addon.tcpOpen(wish);
}

/** Puts a key into its slot, in place of what was there; 0 or errno. */
export function keyInstall(wish: KeyWish): number {
  return addon.keyInstall(wish);
}

/** Empties a key slot; 0, or ENOENT when it was empty. */
export function keyRemove(slot: number): number {
  return addon.keyRemove(slot);
}

/** All interfaces of the calling thread's network namespace. */
export function links(): Result & { readonly links: readonly Link[] } {
  return addon.links();
}

/** Adds a bridge; its index. EEXIST when the name is taken. */
export function linkAdd(wish: {
  readonly name: string;
  readonly kind: "bridge";
}): Result & { readonly index: number } {
  return addon.linkAdd(wish.name, wish.kind);
}

/** Deletes an interface; 0 or errno. */
export function linkDelete(index: number): number {
  return addon.linkDelete(index);
}

/** Changes an interface: MAC, MTU, alias, master, state in turn up to the first refusal. */
export function linkSet(change: LinkChange): number {
  return addon.linkSet(change);
}

/** All addresses of the namespace. */
export function addresses(): Result & { readonly addresses: readonly AddressEntry[] } {
  return addon.addresses();
}

/** Adds an address; 0, EEXIST when it is there, or another errno. */
export function addressAdd(address: Address): number {
  return addon.addressAdd(address);
}

/** Deletes an address; 0, EADDRNOTAVAIL when it is not there, or another errno. */
export function addressDelete(address: Address): number {
  return addon.addressDelete(address);
}

/** All routes of all tables but those the kernel makes of addresses (local, broadcast, ...). */
export function routes(): Result & { readonly routes: readonly Route[] } {
  return addon.routes();
}

/** Adds a route; 0, EEXIST when one to this destination is there, or another errno. */
export function routeAdd(route: RouteWish): number {
  return addon.routeAdd(route);
}

/** Deletes the route that is like this; 0, ESRCH when there is none, or another errno. */
export function routeDelete(route: RouteWish): number {
  return addon.routeDelete(route);
}

/** All rules of both families. */
export function rules(): Result & { readonly rules: readonly Rule[] } {
  return addon.rules();
}

/** Adds a rule; 0, EEXIST when it is there, or another errno. */
export function ruleAdd(rule: Rule): number {
  return addon.ruleAdd(rule);
}

/** Deletes the rule that is like this; 0, ENOENT when there is none, or another errno. */
export function ruleDelete(rule: Rule): number {
  return addon.ruleDelete(rule);
}
