/**
 * The network of a simulation: uplinks of dialling ends (behind NAT or not), the addresses of the
 * listening end, and what is lost, late, doubled, damaged or too big in between. One invariant: a
 * datagram arrives only where its address is at that moment, by an uplink that is up.
 */
import assert from "node:assert/strict";
import type { Chance, Timeline } from "./timeline.ts";

/** Who sealed a packet and what is in it: what the checks know and the code under test does not. */
export interface Sealed {
  readonly key: number;
  readonly idHigh: number;
  readonly idLow: number;
  /** Number of the frame inside; -1 for none. */
  readonly frame: number;
}

/** An address and a port; addresses are numbers, the last word of the real ones. */
export interface Place {
  readonly address: number;
  readonly port: number;
}

/** A datagram under way, as its receiver sees it. */
export interface Datagram {
  readonly bytes: Uint8Array;
  readonly source: Place;
  readonly target: Place;
  /** Absent for what was damaged or forged. */
  readonly sealed?: Sealed | undefined;
}

/** One direction of an uplink. */
export interface Way {
  loss: number;
  /** Gilbert-Elliott: chances per packet to fall into a burst and to leave it. */
  burstBegin: number;
  burstEnd: number;
  isInBurst: boolean;
  delayMs: number;
  jitterMs: number;
  doubled: number;
  damaged: number;
  isCut: boolean;
  /** Longer datagrams vanish. */
  bytesMax: number;
}

/** An uplink of a dialling end. */
export interface Uplink {
  readonly name: string;
  readonly index: number;
  readonly owner: Host;
  /** 0 while it has none. */
  address: number;
  isUp: boolean;
  readonly out: Way;
  readonly back: Way;
  /** Behind this address, on ports of the NAT's own. */
  readonly nat: number | undefined;
  readonly mappings: Map<string, Place & { readonly outside: number }>;
}

/** Whoever receives datagrams. */
export interface Host {
  arrive(datagram: Datagram, uplink: Uplink | undefined): void;
}

/** A way that loses nothing. */
export function goodWay(delayMs: number): Way {
  const calm = { loss: 0, burstBegin: 0, burstEnd: 1, isInBurst: false, jitterMs: 0 };
  return { ...calm, delayMs, doubled: 0, damaged: 0, isCut: false, bytesMax: 65_535 };
}

/** Where every datagram goes through. */
export class Network {
  readonly #timeline: Timeline;
  readonly #chance: Chance;
  readonly #listeners = new Map<number, Host>();
  readonly uplinks: Uplink[] = [];
  /** Hears every datagram towards the listening end: an attacker on the path. */
  tap: ((datagram: Datagram) => void) | undefined;
  attackerAddress = 0;
  /** Sees what is sent to that address. */
  attacker: ((datagram: Datagram) => void) | undefined;
  /** Where a dialling end's place was contacted from: answers leave from one of these. */
  readonly #contacted = new Map<string, Set<number>>();
  #nextPort = 20_000;

  constructor(timeline: Timeline, chance: Chance) {
    this.#timeline = timeline;
    this.#chance = chance;
  }

  listen(address: number, host: Host): void {
    this.#listeners.set(address, host);
  }

  takePort(): number {
    this.#nextPort += 1;
    return this.#nextPort;
  }

  /** A NAT forgets: the same sender appears under another port from now on. */
  rebind(uplink: Uplink): void {
    uplink.mappings.clear();
  }

  /** From a dialling end by one of its uplinks. */
  sendOut(uplink: Uplink, datagram: Datagram): void {
    const source = this.#outside(uplink, datagram.source);
    const outside = { ...datagram, source };
    this.#contact(source, datagram.target.address);
    this.tap?.(outside);
    this.#carry(uplink.out, outside, (arrived) => {
      this.#listeners.get(arrived.target.address)?.arrive(arrived, undefined);
    });
  }

  /** From the listening end. */
  sendBack(datagram: Datagram): void {
    const { source, target } = datagram;
    const contacted = this.#contacted.get(placeText(target));
    assert(contacted?.has(source.address), "an answer leaves from the address that was contacted");
    const uplink = this.uplinks.find(
      ({ address, nat }) => (nat ?? address) === target.address && target.address !== 0,
    );
    if (uplink === undefined) {
      if (target.address === this.attackerAddress) this.attacker?.(datagram);
      return;
    }
    this.#carry(uplink.back, datagram, (arrived) => {
      const inside = this.#inside(uplink, arrived.target);
      if (inside === undefined || !uplink.isUp || uplink.address !== inside.address) return;
      uplink.owner.arrive({ ...arrived, target: inside }, uplink);
    });
  }

  /** From nobody known: straight to the listening end. */
  inject(datagram: Datagram): void {
    this.#contact(datagram.source, datagram.target.address);
    this.#listeners.get(datagram.target.address)?.arrive(datagram, undefined);
  }

  #contact(source: Place, address: number): void {
    const name = placeText(source);
    const contacted = this.#contacted.get(name) ?? new Set();
    this.#contacted.set(name, contacted.add(address));
  }

  #outside(uplink: Uplink, source: Place): Place {
    if (uplink.nat === undefined) return source;
    const name = placeText(source);
    const known = uplink.mappings.get(name) ?? { ...source, outside: this.takePort() };
    uplink.mappings.set(name, known);
    return { address: uplink.nat, port: known.outside };
  }

  #inside(uplink: Uplink, target: Place): Place | undefined {
    if (uplink.nat === undefined) return target;
    for (const mapping of uplink.mappings.values()) {
      if (mapping.outside === target.port) return mapping;
    }
    return undefined;
  }

  #carry(way: Way, datagram: Datagram, arrive: (datagram: Datagram) => void): void {
    const chance = this.#chance;
    const copies = chance.is(way.doubled) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      way.isInBurst = way.isInBurst ? !chance.is(way.burstEnd) : chance.is(way.burstBegin);
      const isLost = way.isCut || way.isInBurst || chance.is(way.loss);
      if (isLost || datagram.bytes.length > way.bytesMax) continue;
      const carried = chance.is(way.damaged) ? damage(datagram, chance) : datagram;
      this.#timeline.after(way.delayMs + chance.next() * way.jitterMs, () => arrive(carried));
    }
  }
}

function damage(datagram: Datagram, chance: Chance): Datagram {
  const bytes = Uint8Array.from(datagram.bytes);
  const at = chance.between(0, bytes.length - 1);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << chance.between(0, 7));
  return { ...datagram, bytes, sealed: undefined };
}

function placeText({ address, port }: Place): string {
  return `${address}:${port}`;
}
