import assert from "node:assert/strict";
import { test } from "node:test";
import { Bench, hex, OWN4, OWN6, type Wish } from "./router-harness.ts";

test("a packet that the way does not take is answered with what it takes, IPv6 with no less than 1280", () => {
  const bench = new Bench();
  const four = { from: OWN4, to: "10.31.7.1" };
  const six = { from: OWN6, to: "fd31::1" };
  const told = (bytes: number, wish: Wish): number | "sent" => {
    const { ports } = bench.route(0, { ...wish, bytes });
    return ports.length === 1 ? "sent" : bench.answer().rest;
  };
  for (const [way, takes4, takes6] of [
    [0, 1400, 1400],
    [1399, 1399, 1399],
    [1401, 1400, 1400],
    [1280, 1280, 1280],
    [1224, 1224, 1280],
    [0, 1400, 1400],
  ] as const) {
    bench.router.setWay(9, way);
    assert.deepEqual([told(takes4, four), told(takes4 + 1, four)], ["sent", takes4], `${way}`);
    assert.deepEqual([told(takes6, six), told(takes6 + 1, six)], ["sent", takes6], `${way}`);
  }
  const other = { from: OWN4, to: "10.31.0.1" };
  bench.router.setWay(5, 600);
  assert.equal(told(1400, other), 600);
  bench.router.closePort(5);
  bench.router.setOwner(5, 1, 0);
  assert.equal(told(9000, other), "sent");
});

test("between two peers the way's size counts as well, for what comes from this host", () => {
  const bench = new Bench({ isStraight: true });
  bench.router.openPort(0);
  bench.router.openPort(1);
  bench.router.setWay(1, 1224);
  const four = { from: "10.20.0.2", to: "10.31.7.1" };
  const six = { from: "fd20::2", to: "fd31::1" };
  for (const [wish, takes] of [
    [four, 1224],
    [six, 1280],
  ] as const) {
    assert.deepEqual(bench.route(0, { ...wish, bytes: takes }).ports, [1]);
    const { ports, counted } = bench.route(0, { ...wish, bytes: takes + 1 });
    assert.deepEqual([ports, counted], [[], { "router.tooBig": 1 }]);
    const answer = bench.answer();
    assert.deepEqual([answer.port, answer.rest, answer.from], [0, takes, hex(wish.to)]);
  }
  assert.deepEqual(bench.route(0, { ...four, bytes: 1500, mayCut: true }).ports, [1]);
  assert.deepEqual(bench.route(1, { ...four, bytes: 1500 }).ports, [0], "it has arrived");
});
