import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Counters } from "../counters.ts";
import { addressWords } from "../uplink/address-words.ts";
import { IpPacket } from "../wire/ip-packet.ts";
import { readNeighbour, writeArpProbe, writeSolicitation } from "../wire/neighbour.ts";
import { AddressBook } from "./address-book.ts";
import { AddressWatch } from "./address-watch.ts";
import { Forwarding, ForwardVerdict } from "./forwarding.ts";
import { MacTable } from "./mac-table.ts";
import { createOwnStation } from "./own-station.ts";
import { StationQuestions } from "./station-questions.ts";

const OWN = createOwnStation(7);

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/[\s:.]/g, ""), "hex");
}

/** An ARP reply of 02:00:00:00:00:0b, 10.20.0.11. */
const REPLY = hex(
  "02000000000a 02000000000b 0806 0001 0800 06 04 0002 02000000000b 0a14000b 02000000000a 0a14000a",
);

class Bench {
  readonly table: MacTable = new MacTable({
    portsMax: 4,
    stationsMax: 20,
    tapStationsMax: 10,
    peerStationsMax: 10,
    declaredMax: 4,
    ageMs: 300_000,
    seed: 1,
  });
  readonly questions: StationQuestions = new StationQuestions(new AddressBook(64, 1));
  readonly forwarding: Forwarding;
  readonly view: DataView = new DataView(new ArrayBuffer(400));

  constructor() {
    const { table, questions } = this;
    this.forwarding = new Forwarding({
      table,
      questions,
      own: OWN,
      portsMax: 4,
      counters: new Counters(),
    });
    for (const port of [0, 1, 2]) this.forwarding.openPort(port);
  }

  send(port: number, frame: Uint8Array): number | number[] {
    new Uint8Array(this.view.buffer).set(frame, 16);
    const count = this.forwarding.decide(this.view, 16, 16 + frame.length, port);
    return count < 0 ? count : [...this.forwarding.targets.subarray(0, count)].sort();
  }
}

test("a station that only receives is asked before it ages out, and its answer keeps it", () => {
  const bench = new Bench();
  bench.send(1, REPLY);
  const sender = hex("02000000000b 02000000000a 0800 0000");
  for (let nowMs = 0; nowMs < 2_000_000; nowMs += 5000) {
    bench.forwarding.nowMs = nowMs;
    assert.deepEqual(bench.send(0, sender), [1], `known after ${nowMs} ms`);
    bench.forwarding.sweep(bench.table.rowCount);
    const asked = bench.questions.take();
    if (asked === undefined) continue;
    assert.ok(nowMs % 300_000 >= 200_000 || nowMs > 300_000);
    assert.deepEqual([asked.family, asked.port, asked.macLow], [4, 1, 0x0b]);
    const bytes = writeArpProbe(bench.view, 200, { ...asked, own: OWN });
    assert.equal(bytes, 42);
    // As the host answers: to the asker, who keeps it to itself.
    const answer = Buffer.from(REPLY);
    answer.writeUInt16BE(OWN.high, 0);
    answer.writeInt32BE(OWN.low, 2);
    assert.equal(bench.send(1, answer), ForwardVerdict.own);
  }
});

test("one that does not answer ages as ever", () => {
  const bench = new Bench();
  bench.send(1, REPLY);
  for (const nowMs of [271_000, 290_000]) {
    bench.forwarding.nowMs = nowMs;
    bench.forwarding.sweep(bench.table.rowCount);
    assert.notEqual(bench.questions.take(), undefined);
  }
  bench.forwarding.nowMs = 300_000;
  bench.forwarding.sweep(bench.table.rowCount);
  assert.equal(bench.table.stationCount, 0);
});

test("who is sent to and not known is asked for, by the packet's own address, at a bounded rate", () => {
  const bench = new Bench();
  const packet = hex(
    "02000000000c 02000000000a 0800 4500 001c 0000 0000 4011 0000 0a14000a 0a14000c 0000 0000 0008 0000",
  );
  bench.forwarding.nowMs = 1000;
  assert.deepEqual(bench.send(0, packet), [1, 2]);
  assert.deepEqual(bench.send(0, packet), [1, 2]);
  const asked = bench.questions.take();
  assert.deepEqual([asked?.port, asked?.macLow, asked?.address[3]], [-1, 0x0c, 0x0a14_000c]);
  assert.equal(bench.questions.take(), undefined);
});

test("a solicitation asks the address itself, with our link-layer address and a right checksum", () => {
  const view = new DataView(new ArrayBuffer(200));
  const address = addressWords("fe80::b");
  const bytes = writeSolicitation(view, 8, {
    macHigh: 0x0200,
    macLow: 11,
    vlan: 5,
    address,
    own: OWN,
  });
  const packet = new IpPacket();
  assert.equal(packet.read(view, 8, 8 + bytes), 6);
  const sender = new Int32Array(4);
  assert.equal(readNeighbour(view, packet, 8 + bytes, sender), 6);
  assert.deepEqual(sender, OWN.address6);
});

test("nothing is learnt from neighbour discovery that is cut short, damaged or not of this link", () => {
  const view = new DataView(new ArrayBuffer(200));
  const question = { macHigh: 0x0200, macLow: 11, vlan: 0, address: addressWords("fe80::b") };
  const limit = 8 + writeSolicitation(view, 8, { ...question, own: OWN });
  const packet = new IpPacket();
  const read = (end: number): number => {
    packet.read(view, 8, end);
    return readNeighbour(view, packet, end, new Int32Array(4));
  };
  assert.equal(read(limit), 6);
  for (let end = 8; end < limit; end++) assert.equal(read(end), 0, `cut at ${end - 8}`);
  // Of IPv6 the version, next header, hop limit and addresses count, and all of the message.
  const at = 8 + 14;
  for (const byte of [0, 6, 7, ...Array.from({ length: 64 }, (_, place) => 8 + place)]) {
    const before = view.getUint8(at + byte);
    view.setUint8(at + byte, before ^ 0x81);
    assert.equal(read(limit), 0, `byte ${byte} changed`);
    view.setUint8(at + byte, before);
  }
});

test("nothing is learnt from a truncated message, and no bytes make the reader fail", () => {
  const bench = new Bench();
  for (let cut = 14; cut < REPLY.length; cut++) bench.send(1, REPLY.subarray(0, cut));
  bench.forwarding.nowMs = 290_000;
  bench.forwarding.sweep(bench.table.rowCount);
  assert.equal(bench.questions.take(), undefined);
  const edits = fc.array(fc.record({ at: fc.nat(41), byte: fc.nat(255) }), { maxLength: 8 });
  fc.assert(
    fc.property(edits, fc.nat(42), (list, cut) => {
      const copy = Buffer.from(REPLY);
      for (const { at, byte } of list) copy[at] = byte;
      bench.send(1, copy.subarray(0, cut));
    }),
    { numRuns: 2000 },
  );
});

test("once a loop is shut every station is asked for by a frame to everybody, twice, some at a time", () => {
  const book = new AddressBook(64, 1);
  const questions = new StationQuestions(book);
  for (let low = 1; low <= 20; low++) {
    const address = low === 20 ? addressWords("fd20::1") : addressWords(`10.20.0.${low}`);
    book.note(0x0200, low * 77, address, { family: low === 20 ? 6 : 4, nowMs: 0 });
  }
  const asked = (nowMs: number): number[] => {
    questions.tick(nowMs);
    const all: number[] = [];
    for (let one = questions.take(); one !== undefined; one = questions.take()) {
      assert.deepEqual([one.macHigh, one.macLow, one.port, one.family], [0xffff, -1, -1, 4]);
      all.push((one.address[3] as number) & 0xff);
    }
    return all;
  };
  assert.deepEqual(asked(0), []);
  questions.loopShut(1000);
  assert.deepEqual(asked(1100), [], "what went round is still under way");
  const rounds = [1300, 3000].map((nowMs) => {
    const first = asked(nowMs);
    const all = [...first, ...asked(nowMs + 100), ...asked(nowMs + 200)];
    assert.equal(first.length, 16);
    return all.sort((one, other) => one - other);
  });
  const known = Array.from({ length: 19 }, (_, place) => place + 1);
  assert.deepEqual(rounds, [known, known]);
  assert.deepEqual(asked(9000), []);
});

test("the book keeps four stations of one place, and the newest of more", () => {
  const book = new AddressBook(1, 3);
  for (let low = 1; low <= 5; low++) {
    book.note(0x0200, low, addressWords(`10.0.0.${low}`), { family: 4, nowMs: low });
  }
  assert.equal(book.find(0x0200, 1), 0);
  for (let low = 2; low <= 5; low++) {
    assert.equal(book.find(0x0200, low), 4);
    assert.deepEqual(book.found, addressWords(`10.0.0.${low}`));
  }
});

test("a truncated message is no conflict, and a whole one is", () => {
  const watch = new AddressWatch(4);
  const questions = new StationQuestions(new AddressBook(64, 1), watch);
  watch.give(addressWords("10.20.0.11"), 3, true);
  const packet = new IpPacket();
  const view = new DataView(new ArrayBuffer(100));
  const probe = hex(
    "ffffffffffff 02000000000b 0806 0001 0800 06 04 0001 02000000000b 00000000 000000000000 0a14000b",
  );
  for (const frame of [REPLY, probe]) {
    new Uint8Array(view.buffer).set(frame, 16);
    for (let length = 0; length <= frame.length; length++) {
      const before = watch.conflict.count;
      packet.read(view, 16, 16 + length);
      const station = { high: 0x0200, low: 0x0b, port: 1, nowMs: 1 };
      questions.hear(view, packet, 16 + length, station);
      assert.equal(watch.conflict.count - before, length === frame.length ? 1 : 0, String(length));
    }
  }
});
