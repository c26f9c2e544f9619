import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseAddress, parseNetwork } from "../../crds/ip-network.ts";
import { Counters, countersSnapshot } from "../counters.ts";
import { addressWords } from "../uplink/address-words.ts";
import { onesSum } from "../wire/ip-packet.ts";
import { IcmpAnswers } from "./answers.ts";
import { NOBODY, prefixWords } from "./prefix-table.ts";
import { OWNER_HERE, Router } from "./router.ts";

const OWN4 = "10.20.0.1";
const OWN6 = "fd20::1";
const START = 64;
const ANSWER = 4096;
/** Prefixes by owner: 1 is at port 5, 2 at port 9, 3 is not connected. */
const PREFIXES: readonly (readonly [string, number])[] = [
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
const PORTS: Readonly<Record<number, number>> = { 0: 0, 1: 5, 2: 9 };

interface Wish {
  readonly from: string;
  readonly to: string;
  readonly hopLimit?: number;
  readonly bytes?: number;
  readonly mayCut?: boolean;
}

class Bench {
  readonly view = new DataView(new ArrayBuffer(16_384));
  readonly counters = new Counters();
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

const hex = (address: string): string => {
  const { family, value } = parseAddress(address) ?? { family: 4, value: 0n };
  return value.toString(16).padStart(family === 4 ? 8 : 32, "0");
};

test("a packet goes to the owner of the longest prefix, of either family", () => {
  const bench = new Bench();
  for (const [from, to, port] of [
    [OWN4, "10.31.0.1", 5],
    [OWN4, "10.31.7.1", 9],
    [OWN6, "fd31::99", 9],
    ["198.51.100.1", "10.20.0.2", 5],
  ] as const) {
    assert.deepEqual(bench.route(0, { from, to }), { ports: [port], counted: {} }, to);
  }
  assert.deepEqual(bench.route(5, { from: "10.31.0.9", to: "10.96.0.1" }).ports, [0]);
  assert.deepEqual(bench.route(5, { from: "fd20::2", to: OWN6 }).ports, [0]);
});

test("from peer to peer one hop is taken off and the header's checksum stays right", () => {
  const bench = new Bench();
  for (const hopLimit of [2, 64, 255]) {
    const { ports, counted } = bench.route(5, { from: "10.31.0.9", to: "10.31.7.1", hopLimit });
    assert.deepEqual([ports, counted], [[9], { "router.forwarded": 1 }]);
    assert.equal(bench.view.getUint8(START + 8), hopLimit - 1);
    assert.equal(onesSum(bench.view, START, START + 20, 0), 0xffff);
    assert.deepEqual(bench.route(5, { from: "fd20::2", to: "fd31::1", hopLimit }).ports, [9]);
    assert.equal(bench.view.getUint8(START + 7), hopLimit - 1);
  }
});

test("a peer sends from its own addresses only", () => {
  const bench = new Bench();
  for (const from of ["10.20.0.3", "10.31.7.1", OWN4, "10.96.0.1", "192.0.2.1", "10.20.0.77"]) {
    const { ports, counted } = bench.route(5, { from, to: OWN4 });
    assert.deepEqual([ports, counted], [[], { "router.sourceRefused": 1 }], from);
    assert.equal(bench.router.answers.port, -1);
  }
  assert.deepEqual(bench.route(5, { from: "fd31::1", to: OWN6 }).counted, {
    "router.sourceRefused": 1,
  });
  // A port whose peer is not known yet owns nothing, not even what nobody owns.
  assert.deepEqual(bench.route(3, { from: "192.0.2.1", to: OWN4 }).ports, []);
});

test("senders hear why their packets did not go on", () => {
  const bench = new Bench();
  const six = { from: "fd20::2", to: "fd31::1" };
  const cases: [number, Wish, string, { type: number; code: number; rest?: number }][] = [
    [5, { from: "10.31.0.9", to: "192.0.2.9" }, "router.noRoute", { type: 3, code: 0 }],
    [5, { from: "10.31.0.9", to: "10.20.0.99" }, "router.noRoute", { type: 3, code: 0 }],
    [5, { from: "10.31.0.9", to: "10.20.0.4" }, "router.peerAbsent", { type: 3, code: 1 }],
    [0, { from: OWN4, to: "10.20.0.4" }, "router.peerAbsent", { type: 3, code: 1 }],
    [
      5,
      { from: "10.31.0.9", to: "10.31.7.1", hopLimit: 1 },
      "router.hopLimit",
      { type: 11, code: 0 },
    ],
    [5, { ...six, hopLimit: 1 }, "router.hopLimit", { type: 3, code: 0 }],
    [5, { ...six, to: "2001:db8::1" }, "router.noRoute", { type: 1, code: 0 }],
    [
      0,
      { from: OWN4, to: "10.31.7.1", bytes: 1401 },
      "router.tooBig",
      { type: 3, code: 4, rest: 1400 },
    ],
    [5, { ...six, bytes: 1401 }, "router.tooBig", { type: 2, code: 0, rest: 1400 }],
  ];
  for (const [port, wish, counter, expected] of cases) {
    const { ports, counted } = bench.route(port, wish);
    assert.deepEqual([ports, counted], [[], { [counter]: 1 }]);
    const answer = bench.answer();
    assert.equal(answer.port, port);
    assert.deepEqual([answer.type, answer.code], [expected.type, expected.code], counter);
    assert.equal(answer.rest, expected.rest ?? 0);
    // A kernel takes nothing from outside that has its own address: there the target answers.
    const own = wish.from.includes(":") ? OWN6 : OWN4;
    assert.equal(answer.from, hex(port === 0 ? wish.to : own));
    assert(answer.bytes <= (wish.from.includes(":") ? 1280 : 576));
  }
  assert.deepEqual(bench.route(0, { from: OWN4, to: "10.31.7.1", bytes: 1400 }).ports, [9]);
  const cut = { from: OWN4, to: "10.31.7.1", bytes: 1401, mayCut: true };
  assert.deepEqual(bench.route(0, cut).ports, [9]);
});

test("peers do not reach each other where that is not wanted", () => {
  const bench = new Bench({ isPeerToPeer: false });
  const { counted } = bench.route(5, { from: "10.31.0.9", to: "10.31.7.1" });
  assert.deepEqual(counted, { "router.peerToPeerRefused": 1 });
  assert.deepEqual([bench.answer().type, bench.answer().code], [3, 13]);
  assert.deepEqual(bench.route(5, { from: "10.31.0.9", to: OWN4 }).ports, [0]);
  assert.deepEqual(bench.route(0, { from: OWN4, to: "10.31.7.1" }).ports, [9]);
});

test("nothing goes back, to groups, to links or out of broken headers", () => {
  const bench = new Bench();
  const from = "10.31.0.9";
  for (const [port, wish, counter] of [
    [5, { from, to: "10.31.0.10" }, "router.backToSource"],
    [0, { from: OWN4, to: "10.96.0.1" }, "router.backToSource"],
    [5, { from, to: "224.0.0.251" }, "router.group"],
    [0, { from: OWN4, to: "255.255.255.255" }, "router.group"],
    [5, { from: "fd20::2", to: "ff02::fb" }, "router.group"],
    [5, { from: "fe80::1", to: "ff02::2" }, "router.linkLocal"],
    [0, { from: "fe80::1", to: "ff02::2" }, "router.linkLocal"],
  ] as const) {
    const { ports, counted } = bench.route(port, wish);
    assert.deepEqual([ports, counted], [[], { [counter]: 1 }]);
    assert.equal(bench.router.answers.port, -1);
  }
});

test("errors, later fragments and packets of nobody are not answered", () => {
  const bench = new Bench();
  const wish = { from: "10.31.0.9", to: "192.0.2.9" };
  const spoil: [string, (view: DataView) => void][] = [
    [
      "an error",
      (view) => {
        view.setUint8(START + 9, 1);
        view.setUint8(START + 20, 3);
      },
    ],
    ["a later fragment", (view) => view.setUint16(START + 6, 100)],
  ];
  for (const [name, change] of spoil) {
    const bytes = bench.packet(wish);
    change(bench.view);
    assert(bench.router.decide(bench.view, START, START + bytes, 5) < 0);
    assert.equal(bench.router.answers.port, -1, name);
  }
  const bytes = bench.packet(wish);
  bench.view.setUint8(START + 9, 1);
  bench.view.setUint8(START + 20, 8);
  assert(bench.router.decide(bench.view, START, START + bytes, 5) < 0);
  assert.equal(bench.router.answers.port, 5, "an echo");
});

test("answers are rate-bound for each port", () => {
  const bench = new Bench();
  const wish = { from: "10.31.0.9", to: "192.0.2.9" };
  const asked = (port: number): number => {
    let count = 0;
    for (let tries = 0; tries < 200; tries++) {
      bench.route(port, port === 5 ? wish : { from: "10.31.7.9", to: "192.0.2.9" });
      if (bench.router.answers.port >= 0) {
        bench.answer();
        count += 1;
      }
    }
    return count;
  };
  assert.equal(asked(5), 50);
  assert.equal(bench.counters.get(101), 150);
  assert.equal(asked(9), 50);
  bench.router.nowMs = 100;
  assert.equal(asked(5), 10);
});

test("a peer that comes back on another port is found there, and the old one owns nothing", () => {
  const bench = new Bench();
  bench.router.setOwner(6, 1, 0);
  bench.router.closePort(5);
  assert.deepEqual(bench.route(0, { from: OWN4, to: "10.31.0.1" }).ports, [6]);
  assert.deepEqual(bench.route(5, { from: "10.31.0.1", to: OWN4 }).ports, []);
  bench.router.closePort(6);
  assert.deepEqual(bench.route(0, { from: OWN4, to: "10.31.0.1" }).counted, {
    "router.peerAbsent": 1,
  });
});

test("between two peers everything goes straight across", () => {
  const bench = new Bench({ isStraight: true });
  const wish = { from: "192.0.2.1", to: "224.0.0.9" };
  assert.deepEqual(bench.route(0, wish).counted, { "router.peerAbsent": 1 });
  bench.router.openPort(0);
  bench.router.openPort(1);
  assert.deepEqual(bench.route(0, wish).ports, [1]);
  assert.deepEqual(bench.route(1, wish).ports, [0]);
  bench.router.closePort(1);
  assert.deepEqual(bench.route(0, wish).ports, []);
});

test("any bytes: one port that is not the source, or one counter", () => {
  const bench = new Bench();
  const ports = fc.constantFrom(0, 3, 5, 9);
  const bytes = fc.uint8Array({ minLength: 0, maxLength: 120 });
  const first = fc.constantFrom(0x45, 0x60, 0x46, 0x4f, 0x00);
  const address = fc.constantFrom(...PREFIXES.map(([text]) => text.split("/")[0] ?? ""), "fe80::1");
  const one = fc.tuple(ports, bytes, first, address, address);
  fc.assert(
    fc.property(one, ([port, content, head, from, to]) => {
      const { view } = bench;
      for (const [at, byte] of content.entries()) view.setUint8(START + at, byte);
      if (content.length > 0) view.setUint8(START, head);
      const [source, target] = [addressWords(from), addressWords(to)];
      if (head >>> 4 === 4 && content.length >= 20) {
        view.setUint16(START + 2, content.length);
        view.setInt32(START + 12, source[3] as number);
        view.setInt32(START + 16, target[3] as number);
      }
      const before = bench.counters.values.slice();
      const count = bench.router.decide(view, START, START + content.length, port);
      const gained = bench.counters.values.reduce(
        (sum, now, at) => sum + now - (before[at] ?? 0),
        0,
      );
      if (count > 0) {
        assert.equal(count, 1);
        assert.notEqual(bench.router.targets[0], port);
        assert(Object.values(PORTS).includes(bench.router.targets[0] as number));
      } else assert(gained >= 1);
      if (bench.router.answers.port >= 0) bench.answer();
    }),
    { numRuns: 3000 },
  );
});
