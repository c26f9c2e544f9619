import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Counter, Counters } from "../counters.ts";
import { formatMac, parseMac } from "../wire/ethernet.ts";
import { Forwarding, ForwardVerdict } from "./forwarding.ts";
import { MacTable } from "./mac-table.ts";

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";
const C = "02:00:00:00:00:0c";

class Bench {
  readonly counters: Counters = new Counters();
  readonly table: MacTable = new MacTable({
    portsMax: 6,
    stationsMax: 20,
    tapStationsMax: 8,
    peerStationsMax: 4,
    declaredMax: 4,
    ageMs: 1000,
    seed: 1,
  });
  readonly forwarding: Forwarding;
  readonly #view: DataView = new DataView(new SharedArrayBuffer(128));

  constructor(link: "Segment" | "TwoPeer", ports: readonly number[]) {
    const common = { portsMax: 6, counters: this.counters };
    this.forwarding = new Forwarding(
      link === "Segment" ? { ...common, table: this.table } : common,
    );
    for (const port of ports) this.forwarding.openPort(port);
  }

  /** The sorted targets of a frame, or the verdict. */
  send(port: number, source: string, target: string, bytes = 60): number | number[] {
    const start = 32;
    [target, source].forEach((text, index) => {
      const mac = parseMac(text) ?? assert.fail(text);
      this.#view.setUint16(start + 6 * index, mac.high);
      this.#view.setUint32(start + 6 * index + 2, mac.low);
    });
    this.#view.setUint16(start + 12, 0x0800);
    const count = this.forwarding.decide(this.#view, start, start + bytes, port);
    return count < 0 ? count : [...this.forwarding.targets.subarray(0, count)].sort();
  }
}

test("a frame to an unknown station goes to every other port, the answer to one", () => {
  const bench = new Bench("Segment", [0, 1, 2, 3]);
  assert.deepEqual(bench.send(1, A, B), [0, 2, 3]);
  assert.deepEqual(bench.send(2, B, A), [1]);
  assert.deepEqual(bench.send(1, A, B), [2]);
  assert.equal(bench.counters.get(Counter.switchFlooded), 1);
});

test("broadcast and multicast go to every other port, also when all are known", () => {
  const bench = new Bench("Segment", [0, 1, 2]);
  bench.send(1, A, B);
  bench.send(2, B, A);
  assert.deepEqual(bench.send(1, A, BROADCAST), [0, 2]);
  assert.deepEqual(bench.send(0, C, "01:00:5e:00:00:fb"), [1, 2]);
  assert.deepEqual(bench.send(0, C, "33:33:00:00:00:01"), [1, 2]);
});

test("a frame between two stations of one port goes nowhere", () => {
  const bench = new Bench("Segment", [0, 1]);
  bench.send(1, A, BROADCAST);
  bench.send(1, B, BROADCAST);
  assert.equal(bench.send(1, A, B), ForwardVerdict.splitHorizon);
  assert.equal(bench.counters.get(Counter.switchSplitHorizon), 1);
});

test("reserved groups, group sources, zero sources and runts are refused and counted", () => {
  const bench = new Bench("Segment", [0, 1]);
  assert.equal(bench.send(0, A, "01:80:c2:00:00:00"), ForwardVerdict.reservedGroup);
  assert.equal(bench.send(0, A, "01:80:c2:00:00:0e"), ForwardVerdict.reservedGroup);
  assert.deepEqual(bench.send(0, A, "01:80:c2:00:00:10"), [1]);
  assert.equal(bench.send(0, "01:00:5e:00:00:01", B), ForwardVerdict.sourceInvalid);
  assert.equal(bench.send(0, "00:00:00:00:00:00", B), ForwardVerdict.sourceInvalid);
  assert.equal(bench.send(0, A, B, 13), ForwardVerdict.runt);
  assert.deepEqual(bench.send(0, A, B, 14), [1]);
  assert.equal(bench.counters.get(Counter.switchReservedGroup), 2);
  assert.equal(bench.counters.get(Counter.switchSourceInvalid), 2);
  assert.equal(bench.counters.get(Counter.switchRunt), 1);
});

test("a frame under another's declared address is refused", () => {
  const bench = new Bench("Segment", [0, 1, 2]);
  bench.table.declare(0x0200, 0x0a, 1);
  assert.equal(bench.send(2, A, B), ForwardVerdict.spoofedStation);
  assert.equal(bench.counters.get(Counter.switchSpoofedStation), 1);
  assert.deepEqual(bench.send(1, A, B), [0, 2]);
  assert.deepEqual(bench.send(2, B, A), [1]);
});

test("a full port still forwards: its new stations are just not learnt", () => {
  const bench = new Bench("Segment", [0, 1, 2]);
  for (let low = 1; low <= 9; low++) {
    assert.deepEqual(bench.send(1, formatMac(0x0200, low), BROADCAST), [0, 2]);
  }
  assert.equal(bench.counters.get(Counter.switchMacPortFull), 5);
  assert.deepEqual(bench.send(2, C, formatMac(0x0200, 9)), [0, 1]);
  assert.deepEqual(bench.send(2, C, formatMac(0x0200, 1)), [1]);
});

test("a port that went down gets nothing, and its stations are unknown again", () => {
  const bench = new Bench("Segment", [0, 1, 2]);
  bench.send(1, A, BROADCAST);
  bench.forwarding.closePort(1);
  bench.forwarding.closePort(1);
  assert.equal(bench.forwarding.liveCount, 2);
  assert.deepEqual(bench.send(2, B, A), [0]);
  bench.forwarding.closePort(0);
  assert.equal(bench.send(2, B, A), ForwardVerdict.noPort);
  assert.equal(bench.send(2, B, BROADCAST), ForwardVerdict.noPort);
  assert.equal(bench.counters.get(Counter.switchNoPort), 2);
});

test("a port that is shut takes and gets nothing until it is opened", () => {
  const bench = new Bench("Segment", [0, 1, 2]);
  bench.send(1, A, BROADCAST);
  bench.forwarding.blockPort(1, true);
  assert.equal(bench.send(1, A, BROADCAST), ForwardVerdict.blocked);
  assert.deepEqual(bench.send(2, B, A), [0]);
  assert.deepEqual(bench.send(2, B, BROADCAST), [0]);
  bench.forwarding.blockPort(1, false);
  assert.deepEqual(bench.send(1, A, BROADCAST), [0, 2]);
});

test("a frame to a station behind a port that is not up is refused, not flooded", () => {
  const bench = new Bench("Segment", [0, 2]);
  bench.send(1, A, BROADCAST);
  assert.equal(bench.send(2, B, A), ForwardVerdict.noPort);
});

test("stations that moved and that were forgotten are counted", () => {
  const bench = new Bench("Segment", [0, 1, 2]);
  bench.send(1, A, BROADCAST);
  bench.send(2, A, BROADCAST);
  assert.equal(bench.counters.get(Counter.switchStationsMoved), 1);
  bench.forwarding.nowMs = 1000;
  bench.forwarding.sweep(bench.table.rowCount);
  assert.equal(bench.counters.get(Counter.switchStationsAged), 1);
  assert.deepEqual(bench.send(0, B, A), [1, 2]);
});

test("between two peers everything but a runt goes straight across and nothing is learnt", () => {
  const bench = new Bench("TwoPeer", [0, 1]);
  assert.deepEqual(bench.send(0, A, B), [1]);
  assert.deepEqual(bench.send(1, A, B), [0]);
  assert.deepEqual(bench.send(1, A, A), [0]);
  assert.deepEqual(bench.send(0, A, "01:80:c2:00:00:00"), [1]);
  assert.equal(bench.send(0, A, B, 13), ForwardVerdict.runt);
  bench.forwarding.closePort(1);
  assert.equal(bench.send(0, A, B), ForwardVerdict.noPort);
  bench.forwarding.sweep(100);
  assert.equal(bench.table.stationCount, 0);
});

test("no frame ever goes back to its source, to a dead port or twice to one port", () => {
  const mac = fc.constantFrom(A, B, C, BROADCAST, "01:00:5e:00:00:01", "01:80:c2:00:00:02");
  const frame = fc.record({ port: fc.nat(5), from: mac, to: mac });
  const port = fc.record({ port: fc.nat(5), isOpen: fc.boolean() });
  const link = fc.constantFrom("Segment" as const, "TwoPeer" as const);
  const steps = fc.array(fc.oneof(frame, port), { maxLength: 80 });
  fc.assert(
    fc.property(link, steps, (kind, list) => {
      const bench = new Bench(kind, [0, 1, 2]);
      const live = new Set([0, 1, 2]);
      for (const each of list) {
        if ("isOpen" in each && each.isOpen) {
          bench.forwarding.openPort(each.port);
          live.add(each.port);
        } else if ("isOpen" in each) {
          bench.forwarding.closePort(each.port);
          live.delete(each.port);
        } else {
          const targets = bench.send(each.port, each.from, each.to);
          if (typeof targets === "number") continue;
          assert.ok(targets.length > 0);
          assert.equal(new Set(targets).size, targets.length);
          for (const target of targets) assert.ok(target !== each.port && live.has(target));
        }
        assert.equal(bench.forwarding.liveCount, live.size);
      }
    }),
  );
});
