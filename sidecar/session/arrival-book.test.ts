import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ArrivalBook } from "./arrival-book.ts";
import { PATHS_MAX } from "./path-set.ts";

/** What two looks settle: everything that came before the first of them. */
function settled(book: ArrivalBook): number[] {
  const alone = new Float64Array(PATHS_MAX);
  book.look(alone);
  book.look(alone);
  return Array.from(alone);
}

function byPath(counts: Record<number, number>): number[] {
  return Array.from({ length: PATHS_MAX }, (_, path) => counts[path] ?? 0);
}

test("what one path alone brought is its own, whatever the order, also where ids wrap", () => {
  const packet = fc.record({
    paths: fc.uniqueArray(fc.integer({ min: 0, max: PATHS_MAX - 1 }), { maxLength: 3 }),
    isOwn: fc.boolean(),
  });
  const start = fc.constantFrom(1, 31, 4095, 4096, 2 ** 31 - 3, 2 ** 32 - 7);
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 60 }), start, fc.gen(), (packets, first, pick) => {
      const book = new ArrivalBook();
      // The first one says where ids are; nothing before it is followed.
      book.first(3, first - 1, 0);
      book.disregardLast();
      const due = packets.flatMap(({ paths, isOwn }, at) =>
        paths.map((path) => ({ id: (first + at) | 0, path, isOwn })),
      );
      const seen = new Set<number>();
      while (due.length > 0) {
        const at = pick(fc.integer, { min: 0, max: due.length - 1 });
        const [{ id, path, isOwn }] = due.splice(at, 1) as [(typeof due)[number]];
        if (seen.has(id)) book.again(3, id, path);
        else {
          book.first(3, id, path);
          if (isOwn) book.disregardLast();
        }
        seen.add(id);
      }
      const expected: Record<number, number> = {};
      for (const { paths, isOwn } of packets) {
        const [path] = paths;
        if (paths.length !== 1 || isOwn || path === undefined) continue;
        expected[path] = (expected[path] ?? 0) + 1;
      }
      assert.deepEqual(settled(book), byPath(expected));
      assert.deepEqual(settled(book), byPath({}), "counted once");
    }),
  );
});

test("a replay by the same path is no copy, and a copy after two looks comes too late", () => {
  const book = new ArrivalBook();
  book.first(0, 1, 0);
  book.first(0, 2, 1);
  book.again(0, 2, 1);
  assert.deepEqual(settled(book), byPath({ 0: 1, 1: 1 }));
  book.again(0, 1, 1);
  book.first(0, 1, 1);
  assert.deepEqual(settled(book), byPath({}));
});

test("ids begin anew with another key, and what comes under the former one is not counted", () => {
  const book = new ArrivalBook();
  book.first(0, 900, 0);
  book.first(1, 1, 0);
  book.first(0, 901, 0);
  book.first(1, 2, 1);
  book.again(0, 2, 0);
  assert.deepEqual(settled(book), byPath({ 0: 1, 1: 1 }));
});

test("a rate beyond its places makes it larger, up to a limit, and costs a look's figures", () => {
  const book = new ArrivalBook();
  let id = 0;
  const burst = (count: number): void => {
    for (let at = 0; at < count; at++) {
      id += 1;
      book.first(0, id, 1);
    }
  };
  const alone = new Float64Array(PATHS_MAX);
  const look = (): number => {
    alone.fill(0);
    book.look(alone);
    return alone[1] as number;
  };
  const settledEach = Array.from({ length: 12 }, () => {
    burst(20_000);
    return look();
  });
  assert.equal(settledEach[0], 0);
  assert.deepEqual(settledEach.slice(-3), [20_000, 20_000, 20_000], "it has grown");
  for (let times = 0; times < 12; times++) {
    burst(200_000);
    assert(look() <= 131_072, "it is bounded");
  }
});
