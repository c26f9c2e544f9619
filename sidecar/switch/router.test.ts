import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressWords } from "../uplink/address-words.ts";
import { onesSum } from "../wire/ip-packet.ts";
import { Bench, hex, OWN4, OWN6, PORTS, PREFIXES, START, type Wish } from "./router-harness.ts";

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
