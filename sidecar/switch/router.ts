/**
 * Which ports an IP packet goes to, in a routed tunnel: port 0 is this host, port n is session n.
 * Like the switch it moves no bytes and reads no clock. One invariant: a peer's packets go nowhere
 * unless their source is the peer's own (RFC 2827), and nothing goes back to where it came from.
 *
 * RFC 1812 and RFC 8200 for what is forwarded from peer to peer: one hop is taken off, and senders
 * hear why a packet did not go on. What is for this host or the networks behind it goes to its
 * kernel as it came: that is the router there. Between two peers it is a wire, without any table.
 * Groups are forwarded where a proxy keeps their memberships (RFC 4605), and else not at all.
 *
 * A packet that must not be cut and is longer than its peer or the way there takes is answered with what
 * they take (RFC 1191, RFC 8201), between two peers as well; IPv6 is never told less than its minimum.
 */

import assert from "node:assert/strict";
import { Counter, type Counters } from "../counters.ts";
import { TAP_PORT } from "../ports.ts";
import { IcmpProblem, lowerTimeToLive } from "../wire/icmp-error.ts";
import type { IcmpAnswers } from "./answers.ts";
import type { GroupProxy } from "./group-proxy.ts";
import { NO_PORT } from "./mac-table.ts";
import { NOBODY, PrefixTable, type PrefixWords, prefixWords } from "./prefix-table.ts";
import type { Switching } from "./switching.ts";

/** The owner number of this host: its addresses and the networks behind it that peers may reach. */
export const OWNER_HERE = 0;
const REFUSED = -1;
const IPV4_HEADER_BYTES_MIN = 20;
const IPV6_HEADER_BYTES = 40;
/** What every link of IPv6 takes (RFC 8200, 5): below it the way underneath has to cut. */
const IPV6_MTU_BYTES_MIN = 1280;
const DO_NOT_FRAGMENT = 0x4000;
/** The first four bits of IPv4 groups, and the first byte of IPv6 ones. */
const GROUP4 = 14;
const GROUP6 = 0xff;
/** No packet is longer. */
const ANYTHING = 0x7fff_ffff;
const PROTOCOL_IGMP = 2;

export interface RouterOptions {
  /** Two peers: packets go straight across. */
  readonly isStraight: boolean;
  /** Whether peers reach each other. */
  readonly isPeerToPeer: boolean;
  readonly portsMax: number;
  /** Numbers of owners: 0 is this host, n a peer. */
  readonly ownersMax: number;
  readonly answers: IcmpAnswers;
  /** Packets are held to what the paths in use take; else longer ones are cut underneath. */
  readonly followsPaths?: boolean;
  /** Absent: groups go nowhere. */
  readonly groups?: GroupProxy;
  readonly counters: Pick<Counters, "add">;
}

/** The decisions of one router. */
export class Router implements Switching {
  readonly targets: Int32Array;
  readonly answers: IcmpAnswers;
  readonly groups: GroupProxy | undefined;
  readonly followsPaths: boolean;
  nowMs = 0;

  readonly #isStraight: boolean;
  readonly #isPeerToPeer: boolean;
  readonly #counters: Pick<Counters, "add">;
  /** The live port of each owner, or NO_PORT; and the owner of each port, or NOBODY. */
  readonly #ports: Int32Array;
  readonly #owners: Int32Array;
  /** What each port's peer takes, and the way there, bytes; 0: not known, anything. */
  readonly #peerBytes: Int32Array;
  readonly #wayBytes: Int32Array;
  /** What follows for packets of each family. */
  readonly #mtu4: Int32Array;
  readonly #mtu6: Int32Array;
  readonly #packet = { start: 0, limit: 0 };
  readonly #about: { problem: IcmpProblem; mtuBytes: number };
  readonly #to = { port: NO_PORT, nowMs: 0 };
  #table = new PrefixTable(prefixWords([]));
  /** The only peer of a straight link. */
  #otherPort: number = NO_PORT;

  constructor(options: RouterOptions) {
    this.targets = new Int32Array(options.portsMax);
    this.answers = options.answers;
    this.groups = options.groups;
    this.followsPaths = options.followsPaths === true;
    this.#isStraight = options.isStraight;
    this.#isPeerToPeer = options.isPeerToPeer;
    this.#counters = options.counters;
    this.#ports = new Int32Array(options.ownersMax).fill(NO_PORT);
    this.#ports[OWNER_HERE] = TAP_PORT;
    this.#owners = new Int32Array(options.portsMax).fill(NOBODY);
    this.#owners[TAP_PORT] = OWNER_HERE;
    this.#peerBytes = new Int32Array(options.portsMax);
    this.#wayBytes = new Int32Array(options.portsMax);
    this.#mtu4 = new Int32Array(options.portsMax).fill(ANYTHING);
    this.#mtu6 = new Int32Array(options.portsMax).fill(ANYTHING);
    this.#about = { problem: IcmpProblem.noRoute, mtuBytes: 0 };
  }

  /** Takes another table; who is behind which port stays. */
  setTable(words: PrefixWords): void {
    this.#table = new PrefixTable(words);
  }

  openPort(port: number): void {
    if (port !== TAP_PORT) this.#otherPort = port;
  }

  closePort(port: number): void {
    if (this.#otherPort === port) this.#otherPort = NO_PORT;
    const owner = this.#owners[port] as number;
    this.groups?.portClosed(port, this.nowMs);
    this.#owners[port] = NOBODY;
    this.#peerBytes[port] = 0;
    this.#wayBytes[port] = 0;
    this.#limit(port);
    if (owner !== NOBODY && this.#ports[owner] === port) this.#ports[owner] = NO_PORT;
  }

  /** The peer behind a port, by its owner number, and what it takes (0: anything). */
  setOwner(port: number, owner: number, mtuBytes: number): void {
    assert(owner > OWNER_HERE && owner < this.#ports.length, "a peer's number");
    this.#owners[port] = owner;
    this.#ports[owner] = port;
    this.#peerBytes[port] = mtuBytes;
    this.#limit(port);
  }

  /** The longest packet that the paths to a port's peer take now; 0: not known, anything. Whether it is new. */
  setWay(port: number, mtuBytes: number): boolean {
    if (this.#wayBytes[port] === mtuBytes) return false;
    this.#wayBytes[port] = mtuBytes;
    this.#limit(port);
    return true;
  }

  #limit(port: number): void {
    const peer = this.#peerBytes[port] || ANYTHING;
    const way = this.#wayBytes[port] || ANYTHING;
    this.#mtu4[port] = Math.min(peer, way);
    this.#mtu6[port] = Math.min(peer, Math.max(way, IPV6_MTU_BYTES_MIN));
  }

  /** Writes the ports of all peers that have an owner to `targets`; returns how many. */
  everyPeer(): number {
    let count = 0;
    for (let port = 0; port < this.#owners.length; port++) {
      if (port === TAP_PORT || this.#owners[port] === NOBODY) continue;
      this.targets[count] = port;
      count += 1;
    }
    return count;
  }

  /** Whether packets can go there. */
  isLive(port: number): boolean {
    return this.#owners[port] !== NOBODY;
  }

  decide(view: DataView, start: number, limit: number, source: number): number {
    // HOT PATH
    if (this.#isStraight) return this.#across(view, start, limit, source);
    if (limit - start < IPV4_HEADER_BYTES_MIN) return this.#refuse(Counter.routerMalformed);
    const version = view.getUint8(start) >>> 4;
    if (version === 4) return this.#route4(view, start, limit, source);
    if (version === 6) return this.#route6(view, start, limit, source);
    return this.#refuse(Counter.routerMalformed);
  }

  sweep(): void {
    // Nothing here grows old.
  }

  #across(view: DataView, start: number, limit: number, source: number): number {
    // HOT PATH
    const target = source === TAP_PORT ? this.#otherPort : TAP_PORT;
    if (target === NO_PORT) return this.#refuse(Counter.routerPeerAbsent);
    if (limit - start > (this.#mtu4[target] as number)) {
      this.#packet.start = start;
      this.#packet.limit = limit;
      if (!this.#goesAcross(view, target, source)) return REFUSED;
    }
    this.targets[0] = target;
    return 1;
  }

  /** Whether a packet longer than the way takes IPv4 packets goes there all the same. */
  #goesAcross(view: DataView, target: number, source: number): boolean {
    const { start, limit } = this.#packet;
    const version = view.getUint8(start) >>> 4;
    if (version === 6) return this.#fits(view, limit - start, target, source);
    const mayCut = (view.getUint16(start + 6) & DO_NOT_FRAGMENT) === 0;
    return version !== 4 || mayCut || this.#fits(view, limit - start, target, source);
  }

  #route4(view: DataView, start: number, limit: number, source: number): number {
    // HOT PATH
    const headerBytes = (view.getUint8(start) & 15) * 4;
    const bytes = view.getUint16(start + 2);
    if (headerBytes < IPV4_HEADER_BYTES_MIN || bytes < headerBytes || bytes > limit - start) {
      return this.#refuse(Counter.routerMalformed);
    }
    const address = view.getUint32(start + 16);
    const isReport = address >>> 28 === GROUP4 && view.getUint8(start + 9) === PROTOCOL_IGMP;
    if (isReport && this.#hear(view, start, start + bytes, source)) return REFUSED;
    if (source !== TAP_PORT) {
      const owner = this.#table.lookup4(view.getUint32(start + 12));
      if (owner === NOBODY || owner !== this.#owners[source]) {
        return this.#refuse(Counter.routerSourceRefused);
      }
    }
    // Groups, and behind them what is no single host's: 255.255.255.255 among them.
    if (address >>> 28 >= GROUP4) {
      const isLinkLocalGroup = (address & 0xffff_ff00) >>> 0 === 0xe000_0000;
      const isRouted = address >>> 28 === GROUP4 && !isLinkLocalGroup;
      return this.#toGroup(view, start, isRouted ? bytes : 0, source);
    }
    this.#packet.start = start;
    this.#packet.limit = start + bytes;
    const target = this.#target(view, this.#table.lookup4(address), source);
    if (target === NO_PORT) return REFUSED;
    const mayCut = (view.getUint16(start + 6) & DO_NOT_FRAGMENT) === 0;
    if (!mayCut && !this.#fits(view, bytes, target, source)) return REFUSED;
    if (source !== TAP_PORT && target !== TAP_PORT) {
      if (view.getUint8(start + 8) <= 1) return this.#expire(view, source);
      lowerTimeToLive(view, start);
      this.#counters.add(Counter.routerForwarded, 1);
    }
    this.targets[0] = target;
    return 1;
  }

  #route6(view: DataView, start: number, limit: number, source: number): number {
    // HOT PATH
    if (limit - start < IPV6_HEADER_BYTES) return this.#refuse(Counter.routerMalformed);
    const bytes = IPV6_HEADER_BYTES + view.getUint16(start + 4);
    if (bytes > limit - start) return this.#refuse(Counter.routerMalformed);
    const isGroup = view.getUint8(start + 24) === GROUP6;
    if (isGroup && this.#hear(view, start, start + bytes, source)) return REFUSED;
    if (isLinkLocal(view, start + 8) || isLinkLocal(view, start + 24)) {
      return this.#refuse(Counter.routerLinkLocal);
    }
    if (source !== TAP_PORT) {
      const owner = this.#table.lookup6(view, start + 8);
      if (owner === NOBODY || owner !== this.#owners[source]) {
        return this.#refuse(Counter.routerSourceRefused);
      }
    }
    if (isGroup) {
      const isRouted = (view.getUint8(start + 25) & 15) > 2;
      return this.#toGroup(view, start, isRouted ? bytes : 0, source);
    }
    this.#packet.start = start;
    this.#packet.limit = start + bytes;
    const target = this.#target(view, this.#table.lookup6(view, start + 24), source);
    if (target === NO_PORT) return REFUSED;
    if (!this.#fits(view, bytes, target, source)) return REFUSED;
    if (source !== TAP_PORT && target !== TAP_PORT) {
      const hopLimit = view.getUint8(start + 7);
      if (hopLimit <= 1) return this.#expire(view, source);
      view.setUint8(start + 7, hopLimit - 1);
      this.#counters.add(Counter.routerForwarded, 1);
    }
    this.targets[0] = target;
    return 1;
  }

  /** Whether it was about memberships: then it has arrived. */
  #hear(view: DataView, start: number, limit: number, source: number): boolean {
    const { groups } = this;
    if (groups === undefined) return false;
    groups.nowMs = this.nowMs;
    return groups.hear(view, start, limit, source);
  }

  /** To a group that is routed; `bytes` 0: it is not. Nobody is told why it did not go on (RFC 1122). */
  #toGroup(view: DataView, start: number, bytes: number, source: number): number {
    // HOT PATH
    const { groups, targets } = this;
    if (groups === undefined || bytes === 0) return this.#refuse(Counter.routerGroup);
    groups.nowMs = this.nowMs;
    const found = groups.members(view, start);
    const isIpv4 = view.getUint8(start) >>> 4 === 4;
    const hopAt = start + (isIpv4 ? 8 : 7);
    const hasHops = source === TAP_PORT || view.getUint8(hopAt) > 1;
    const mayCut = isIpv4 && (view.getUint16(start + 6) & DO_NOT_FRAGMENT) === 0;
    let count = 0;
    let hasPeer = false;
    let why: Counter = Counter.switchGroupUnknown;
    for (let place = 0; place < found; place++) {
      const port = groups.ports[place] as number;
      if (port === source || this.#owners[port] === NOBODY) continue;
      const isPeer = port !== TAP_PORT;
      const mtuBytes = (isIpv4 ? this.#mtu4[port] : this.#mtu6[port]) as number;
      const isTooBig = !mayCut && bytes > mtuBytes;
      if (isPeer && source !== TAP_PORT && !this.#isPeerToPeer) {
        why = Counter.routerPeerToPeerRefused;
      } else if (isPeer && !hasHops) why = Counter.routerHopLimit;
      else if (isPeer && isTooBig) why = Counter.routerTooBig;
      else {
        hasPeer ||= isPeer;
        targets[count] = port;
        count += 1;
      }
    }
    if (count === 0) return this.#refuse(why);
    this.#counters.add(Counter.switchGroupFrames, 1);
    if (hasPeer && source !== TAP_PORT) {
      if (isIpv4) lowerTimeToLive(view, start);
      else view.setUint8(hopAt, view.getUint8(hopAt) - 1);
      this.#counters.add(Counter.routerForwarded, 1);
    }
    return count;
  }

  /** The port of an owner, or NO_PORT: refused, and the sender is told. */
  #target(view: DataView, owner: number, source: number): number {
    // HOT PATH
    if (owner === NOBODY) {
      return this.#tell(view, Counter.routerNoRoute, IcmpProblem.noRoute, source);
    }
    const port = this.#ports[owner] as number;
    if (port === NO_PORT) {
      return this.#tell(view, Counter.routerPeerAbsent, IcmpProblem.hostUnreachable, source);
    }
    if (port === source) {
      this.#refuse(Counter.routerBackToSource);
      return NO_PORT;
    }
    if (source !== TAP_PORT && port !== TAP_PORT && !this.#isPeerToPeer) {
      return this.#tell(view, Counter.routerPeerToPeerRefused, IcmpProblem.prohibited, source);
    }
    return port;
  }

  #fits(view: DataView, bytes: number, target: number, source: number): boolean {
    // HOT PATH
    const isIpv4 = view.getUint8(this.#packet.start) >>> 4 === 4;
    const mtuBytes = (isIpv4 ? this.#mtu4[target] : this.#mtu6[target]) as number;
    if (bytes <= mtuBytes) return true;
    this.#about.mtuBytes = mtuBytes;
    this.#tell(view, Counter.routerTooBig, IcmpProblem.tooBig, source);
    return false;
  }

  #expire(view: DataView, source: number): number {
    return this.#tell(view, Counter.routerHopLimit, IcmpProblem.hopLimit, source);
  }

  #tell(view: DataView, counter: Counter, problem: IcmpProblem, source: number): number {
    this.#about.problem = problem;
    this.#to.port = source;
    this.#to.nowMs = this.nowMs;
    this.answers.note(view, this.#packet, this.#about, this.#to);
    this.#refuse(counter);
    return NO_PORT;
  }

  #refuse(counter: Counter): number {
    // HOT PATH
    this.#counters.add(counter, 1);
    return REFUSED;
  }
}

/** fe80::/10 stays on its link, and a tunnel is none of anybody's links. */
function isLinkLocal(view: DataView, at: number): boolean {
  // HOT PATH
  return (view.getUint16(at) & 0xffc0) === 0xfe80;
}
