import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  FRAGMENT_HEADER_BYTES,
  FragmentKind,
  kindOf,
  numberOf,
  pieceBytes,
  pieceHeader,
  placeOf,
  sizeOf,
} from "../wire/fragment-header.ts";
import { PieceVerdict, Reassembly } from "./reassembly.ts";

const SLOTS = 6;
const SESSION_SLOTS = 3;
const SLOT_BYTES = 2048;
const PACKET_BYTES_MAX = 1500;
const FIRST = 4096;

class Bench {
  readonly slab = new Uint8Array(FIRST + SLOTS * SLOT_BYTES);
  readonly reassembly: Reassembly;
  readonly #view = new DataView(this.slab.buffer);

  constructor() {
    this.reassembly = new Reassembly({
      view: this.#view,
      slab: this.slab,
      firstStart: FIRST,
      slotBytes: SLOT_BYTES,
      packetBytesMax: PACKET_BYTES_MAX,
      slotCount: SLOTS,
      sessionSlotsMax: SESSION_SLOTS,
      sessionsMax: 8,
      ageMs: 10_000,
    });
  }

  take(session: number, piece: Uint8Array, nowMs = 0): { verdict: number; packet?: Buffer } {
    this.slab.set(piece, 64);
    const verdict = this.reassembly.take(session, 64, piece.length, nowMs);
    if (verdict > PieceVerdict.complete) return { verdict };
    const { start, length } = this.reassembly;
    return { verdict, packet: Buffer.from(this.slab.subarray(start, start + length)) };
  }
}

/** A packet cut as a sender cuts it. */
function cut(packet: Uint8Array, pieceBytesMax: number, number: number): Buffer[] {
  if (packet.length <= pieceBytesMax) return [Buffer.concat([Buffer.alloc(4), packet])];
  const size = pieceBytes(packet.length, pieceBytesMax);
  const pieces: Buffer[] = [];
  for (let at = 0; at < packet.length; at += size) {
    const header = Buffer.alloc(FRAGMENT_HEADER_BYTES);
    const isLast = at + size >= packet.length;
    header.writeUInt32BE(pieceHeader(number & 255, at / size, isLast, size));
    pieces.push(Buffer.concat([header, packet.subarray(at, at + size)]));
  }
  return pieces;
}

/** Packets by their lengths: what is in them follows from that, and from their place. */
const lengths = fc.integer({ min: 1, max: PACKET_BYTES_MAX });

function packetOf(length: number, place: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (at * 7 + place * 31 + length) & 255));
}

test("the header's fields are where they are, at their edges", () => {
  // Kind 2 at bit 0, number at 2, place at 10, size in fours at 15.
  assert.equal(pieceHeader(1, 1, true, 4), (1 << 15) | (1 << 10) | (1 << 2) | 2);
  for (const number of [0, 1, 127, 128, 255]) {
    for (const place of [0, 1, 30, 31]) {
      for (const size of [4, 1340, 65_532]) {
        const header = pieceHeader(number, place, true, size);
        assert.deepEqual(
          [kindOf(header), numberOf(header), placeOf(header), sizeOf(header)],
          [FragmentKind.lastPiece, number, place, size],
        );
      }
    }
  }
});

test("pieces are of one length, in units of four, as even as can be, and at most 32", () => {
  for (const most of [100, 101, 103, 104, 1340]) {
    for (const bytes of [most + 1, 2 * most - 1, 2 * most, 2 * most + 1, 31 * 100, 32 * 100]) {
      const size = pieceBytes(bytes, most);
      assert.equal(size % 4, 0);
      assert(size > 0 && size <= most, `${size}`);
      assert(Math.ceil(bytes / size) <= 32);
    }
  }
  assert.equal(pieceBytes(32 * 100 + 1, 100), 0);
});

test("what is cut is put together, in any order, mixed with other packets, once", () => {
  const plan = fc.tuple(
    fc.array(lengths, { minLength: 1, maxLength: 3 }),
    fc.integer({ min: 48, max: 600 }),
    fc.array(fc.nat(), { minLength: 96, maxLength: 96 }),
    fc.integer({ min: 0, max: 255 }),
  );
  fc.assert(
    fc.property(plan, ([sizes, most, order, first]) => {
      const bench = new Bench();
      const all = sizes.map(packetOf);
      const pieces = all
        .flatMap((packet, index) => cut(packet, most, first + index))
        .map((piece, index) => ({ piece, key: order[index] ?? 0 }))
        .sort((a, b) => a.key - b.key);
      const got = pieces.flatMap(({ piece }) => bench.take(1, piece).packet ?? []);
      const texts = (list: readonly Uint8Array[]): string[] =>
        list.map((one) => Buffer.from(one).toString("hex")).sort();
      assert.deepEqual(texts(got), texts(all));
      assert.equal(bench.reassembly.lostCount, 0);
    }),
    { numRuns: 300 },
  );
});

test("a lost piece costs its packet and no other, also when the numbers come round", () => {
  const plan = fc.tuple(
    fc.array(fc.tuple(lengths, fc.boolean()), { minLength: 1, maxLength: 600, size: "max" }),
    fc.integer({ min: 100, max: 700 }),
    fc.integer({ min: 0, max: 255 }),
  );
  fc.assert(
    fc.property(plan, ([all, most, first]) => {
      const bench = new Bench();
      let number = first;
      all.forEach(([length, isHurt], index) => {
        const packet = packetOf(length, index);
        const pieces = cut(packet, most, number);
        // A packet that stays whole has no number.
        if (pieces.length > 1) number += 1;
        const sent = isHurt && pieces.length > 1 ? pieces.slice(1) : pieces;
        const got = sent.flatMap((piece) => bench.take(1, piece, index).packet ?? []);
        const expected = isHurt && pieces.length > 1 ? [] : [packet];
        assert.deepEqual(got, expected);
      });
    }),
    { numRuns: 20 },
  );
});

test("a session that begins packets and ends none takes no more than its share", () => {
  const bench = new Bench();
  const whole = Buffer.alloc(1000, 7);
  const [first, second] = cut(whole, 600, 9) as [Buffer, Buffer];
  assert.equal(bench.take(2, first).verdict, PieceVerdict.waiting);
  for (let number = 0; number < 200; number++) {
    bench.take(1, cut(whole, 600, number)[0] as Buffer);
  }
  assert.equal(bench.reassembly.lostCount, 200 - SESSION_SLOTS);
  assert.deepEqual(bench.take(2, second).packet, whole);
});

test("pieces wait ten seconds, and a session's go with it", () => {
  const whole = Buffer.alloc(1000, 7);
  const [first, second] = cut(whole, 600, 9) as [Buffer, Buffer];
  const bench = new Bench();
  bench.take(1, first, 0);
  assert.equal(bench.take(1, second, 10_000).verdict, PieceVerdict.waiting);
  assert.equal(bench.reassembly.lostCount, 1);
  bench.reassembly.forget(1);
  assert.equal(bench.take(1, first, 10_001).verdict, PieceVerdict.waiting);
  assert.equal(bench.take(1, second, 10_002).verdict, PieceVerdict.complete);
});

test("headers that cannot be are refused", () => {
  const bench = new Bench();
  const refused = (header: number, bytes: number): number => {
    const packet = Buffer.alloc(4 + bytes);
    packet.writeUInt32BE(header >>> 0);
    return bench.take(1, packet).verdict;
  };
  for (const [header, bytes] of [
    [0, 0],
    [4, 100],
    [3, 100],
    [1, 99],
    [2, 100],
    [pieceHeader(1, 1, true, 100), 101],
    [pieceHeader(1, 31, true, 100), 4],
    [pieceHeader(1, 30, false, 0), 100],
  ] as const) {
    assert.equal(refused(header, bytes), PieceVerdict.malformed, `${header} ${bytes}`);
  }
});

test("any bytes: no write outside the places", () => {
  const bench = new Bench();
  bench.slab.fill(0xee, FIRST);
  const piece = fc.tuple(
    fc.integer({ min: 0, max: 0xffff_ffff }),
    fc.integer({ min: 0, max: 1600 }),
    fc.integer({ min: 0, max: 7 }),
    fc.nat(20_000),
  );
  fc.assert(
    fc.property(piece, ([header, bytes, session, nowMs]) => {
      const packet = Buffer.alloc(4 + bytes, 1);
      packet.writeUInt32BE(header);
      const { packet: got } = bench.take(session, packet, nowMs);
      if (got !== undefined) assert(got.length <= Math.max(PACKET_BYTES_MAX, bytes));
      for (let slot = 0; slot < SLOTS; slot++) {
        const behind = FIRST + slot * SLOT_BYTES + PACKET_BYTES_MAX;
        assert(bench.slab.subarray(behind, behind + 16).every((byte) => byte === 0xee));
      }
    }),
    { numRuns: 3000 },
  );
});
