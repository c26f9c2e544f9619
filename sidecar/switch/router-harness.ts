/** A router with known prefixes and ports, and packets to put before it. */
import assert from "node:assert/strict";
import { parseAddress, parseNetwork } from "../../crds/ip-network.ts";
import { Counters, countersSnapshot } from "../counters.ts";
import { addressWords } from "../uplink/address-words.ts";
import { onesSum } from "../wire/ip-packet.ts";
import { IcmpAnswers } from "./answers.ts";
import { NOBODY, prefixWords } from "./prefix-table.ts";
import { OWNER_HERE, Router } from "./router.ts";

export const OWN4 = "10.20.0.1";
export const OWN6 = "fd20::1";
export const START = 64;
const ANSWER = 4096;
/** Prefixes by owner: 1 is at port 5, 2 at port 9, 3 is not connected. */
export const PREFIXES: readonly (readonly [string, number])[] = [
  ["10.20.0.0/24", NOBODY],
  ["fd20::/64", NOBODY],
  ["10.96.0.0/12", OWNER_HERE],
  ["10.20.0.2/32", 1],
  ["fd20::2/128", 1],
  ["10.31.0.0/16", 1],
  ["10.20.0.3/32", 2],
  ["fd20::3/128", 2],
  ["10.31.7.0/24", 2],
  ["fd31::/64", 2],
  ["10.20.0.4/32", 3],
  [`${OWN4}/32`, OWNER_HERE],
  [`${OWN6}/128`, OWNER_HERE],
];
export const PORTS: Readonly<Record<number, number>> = { 0: 0, 1: 5, 2: 9 };

/** A packet: from, to, and what differs from an ordinary one. */
export interface Wish {
  readonly from: string;
  readonly to: string;
  readonly hopLimit?: number;
  readonly bytes?: number;
  readonly mayCut?: boolean;
}

/** The router with what is around it. */
export class Bench {
  readonly view: DataView = new DataView(new ArrayBuffer(16_384));
  readonly counters: Counters = new Counters();
  readonly router: Router;

  constructor(wish: { isStraight?: boolean; isPeerToPeer?: boolean } = {}) {
    const { isStraight = false, isPeerToPeer = true } = wish;
    const own = { own4: addressWords(OWN4), own6: addressWords(OWN6) };
    const counters = this.counters;
    const answers = new IcmpAnswers({ ...own, portsMax: 16, counters });
    const sizes = { portsMax: 16, ownersMax: 8 };
    this.router = new Router({ isStraight, isPeerToPeer, ...sizes, answers, counters });
    const rows = PREFIXES.flatMap(([text, owner]) => {
      const network = parseNetwork(text);
      return network === undefined ? [] : [{ network, owner }];
    });
    this.router.setTable(prefixWords(rows));
    if (isStraight) return;
    this.router.setOwner(5, 1, 0);
    this.router.setOwner(9, 2, 1400);
  }

  /** Puts a packet down; returns its length. */
  packet({ from, to, hopLimit = 64, bytes = 100, mayCut = false }: Wish): number {
    const { view } = this;
    for (let at = 0; at < bytes; at++) view.setUint8(START + at, at & 0xff);
    const [source, target] = [addressWords(from), addressWords(to)];
    if (!from.includes(":")) {
      view.setUint8(START, 0x45);
      view.setUint16(START + 2, bytes);
      view.setUint16(START + 6, mayCut ? 0 : 0x4000);
      view.setUint8(START + 8, hopLimit);
      view.setUint8(START + 9, 17);
      view.setUint16(START + 10, 0);
      view.setInt32(START + 12, source[3] as number);
      view.setInt32(START + 16, target[3] as number);
      view.setUint16(START + 10, ~onesSum(view, START, START + 20, 0) & 0xffff);
      return bytes;
    }
    view.setUint32(START, 0x6000_0000);
    view.setUint16(START + 4, bytes - 40);
    view.setUint8(START + 6, 17);
    view.setUint8(START + 7, hopLimit);
    for (let word = 0; word < 4; word++) {
      view.setInt32(START + 8 + word * 4, source[word] as number);
      view.setInt32(START + 24 + word * 4, target[word] as number);
    }
    return bytes;
  }

  /** The ports that a packet goes to, and what was counted. */
  route(port: number, wish: Wish): { ports: number[]; counted: Record<string, number> } {
    const bytes = this.packet(wish);
    const before = countersSnapshot([this.counters]);
    const count = this.router.decide(this.view, START, START + bytes, port);
    const after = countersSnapshot([this.counters]);
    const gains = Object.keys(after).map((name) => [
      name,
      (after[name] ?? 0) - (before[name] ?? 0),
    ]);
    const ports = count < 0 ? [] : [...this.router.targets.subarray(0, count)];
    return { ports, counted: Object.fromEntries(gains.filter(([, gain]) => gain !== 0)) };
  }

  /** Type, code, and what else the waiting answer says; its checksums are right. */
  answer(): {
    port: number;
    type: number;
    code: number;
    rest: number;
    from: string;
    bytes: number;
  } {
    const { view, router } = this;
    const { port } = router.answers;
    const bytes = router.answers.write(view, ANSWER, 4000);
    const isIpv4 = view.getUint8(ANSWER) >>> 4 === 4;
    const icmp = ANSWER + (isIpv4 ? 20 : 40);
    if (isIpv4) {
      assert.equal(onesSum(view, ANSWER, icmp, 0), 0xffff);
      assert.equal(view.getUint16(ANSWER + 2), bytes);
      assert.equal(onesSum(view, icmp, ANSWER + bytes, 0), 0xffff);
    } else {
      assert.equal(view.getUint16(ANSWER + 4), bytes - 40);
      const pseudo = onesSum(view, ANSWER + 8, icmp, 0) + (bytes - 40) + 58;
      assert.equal(onesSum(view, icmp, ANSWER + bytes, pseudo), 0xffff);
    }
    const quoted = isIpv4 ? 28 : 48;
    for (let at = 0; at < bytes - quoted; at++) {
      assert.equal(view.getUint8(ANSWER + quoted + at), view.getUint8(START + at), "quoted");
    }
    const sourceAt = ANSWER + (isIpv4 ? 12 : 8);
    const octets = Array.from({ length: isIpv4 ? 4 : 16 }, (_, at) => view.getUint8(sourceAt + at));
    const from = octets.map((octet) => octet.toString(16).padStart(2, "0")).join("");
    const [type, code] = [view.getUint8(icmp), view.getUint8(icmp + 1)];
    return { port, type, code, rest: view.getUint32(icmp + 4), from, bytes };
  }
}

/** An address as hexadecimal digits. */
export const hex = (address: string): string => {
  const { family, value } = parseAddress(address) ?? { family: 4, value: 0n };
  return value.toString(16).padStart(family === 4 ? 8 : 32, "0");
};
