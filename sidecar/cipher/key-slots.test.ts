import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { KEY_SLOTS as NATIVE_KEY_SLOTS } from "../native/layout.ts";
import type { KeyWish } from "../native/native.ts";
import { KEY_SLOTS, KeySlots, type SlotKeys, type SlotName } from "./key-slots.ts";

function keysOf(mark: number): SlotKeys {
  const direction = () => ({ key: Buffer.alloc(32, mark), implicitIv: Buffer.alloc(8, mark) });
  return { cipher: "AES-256-GCM", send: direction(), receive: direction() };
}

/** A key table that remembers what is in it and can refuse. */
class FakeTable {
  readonly keys = new Map<number, KeyWish>();
  failNext = 0;

  readonly keyInstall = (wish: KeyWish): number => {
    if (this.failNext > 0) {
      this.failNext -= 1;
      return 22;
    }
    assert(!this.keys.has(wish.slot), `slot ${wish.slot} is given twice`);
    this.keys.set(wish.slot, { ...wish, key: Uint8Array.from(wish.key) });
    return 0;
  };
  readonly keyRemove = (slot: number): number => {
    assert(this.keys.delete(slot), `slot ${slot} is released twice`);
    return 0;
  };
}

function isWiped(keys: SlotKeys): boolean {
  const all = [keys.send.key, keys.send.implicitIv, keys.receive.key, keys.receive.implicitIv];
  return all.every((bytes) => bytes.every((byte) => byte === 0));
}

test("there are as many slots as in the addon", () => {
  assert.equal(KEY_SLOTS, NATIVE_KEY_SLOTS);
});

test("both directions are installed under the names that come back, and ours are wiped", () => {
  const table = new FakeTable();
  const keys = keysOf(9);
  keys.send.key.fill(5);
  const names = new KeySlots(table).install(keys);
  assert(names !== undefined);
  const { open, seal } = names;
  assert.deepEqual(table.keys.get(open.slot)?.key, new Uint8Array(32).fill(9));
  assert.deepEqual(table.keys.get(seal.slot)?.key, new Uint8Array(32).fill(5));
  assert.equal(table.keys.get(open.slot)?.generation, open.generation);
  assert.equal(table.keys.get(seal.slot)?.generation, seal.generation);
  assert.equal(table.keys.get(seal.slot)?.format, "short");
  assert.equal(table.keys.get(seal.slot)?.cipher, "AES-256-GCM");
  assert(isWiped(keys));
});

test("whatever is installed, refused and released: no slot is lost, given twice or reused unseen", () => {
  const step = fc.record({
    kind: fc.constantFrom("install", "install", "release"),
    failures: fc.constantFrom(0, 0, 0, 1, 2),
    pick: fc.nat(1000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => {
      const table = new FakeTable();
      const slots = new KeySlots(table);
      const live: SlotName[] = [];
      const generations = new Set<number>();
      for (const { kind, failures, pick } of steps) {
        if (kind === "release") {
          const [name] = live.splice(pick % Math.max(1, live.length), 1);
          if (name !== undefined) slots.release(name);
        } else {
          table.failNext = failures;
          const keys = keysOf(1);
          const names = slots.install(keys);
          table.failNext = 0;
          assert(isWiped(keys), "keys are wiped, refused or not");
          assert.equal(names === undefined, failures > 0);
          for (const name of names === undefined ? [] : [names.open, names.seal]) {
            assert(!generations.has(name.generation), "a generation is used once");
            generations.add(name.generation);
            live.push(name);
          }
        }
        assert.deepEqual(new Set(table.keys.keys()), new Set(live.map((name) => name.slot)));
      }
    }),
    { numRuns: 100 },
  );
});

test("when all slots are taken a key is refused and wiped, and nothing leaks", () => {
  const table = new FakeTable();
  const slots = new KeySlots(table);
  const live = Array.from({ length: KEY_SLOTS / 2 }, () => slots.install(keysOf(1)));
  assert(live.every((names) => names !== undefined));
  assert.equal(table.keys.size, KEY_SLOTS);
  const late = keysOf(2);
  assert.equal(slots.install(late), undefined);
  assert(isWiped(late));
  // With a single slot left the first half of a pair must be given back.
  const first = live[0];
  assert(first !== undefined);
  slots.release(first.open);
  assert.equal(slots.install(keysOf(3)), undefined);
  assert.equal(table.keys.size, KEY_SLOTS - 1);
  slots.release(first.seal);
  assert(slots.install(keysOf(4)) !== undefined);
  assert.equal(table.keys.size, KEY_SLOTS);
});

test("a slot that is taken again has another generation", () => {
  const slots = new KeySlots(new FakeTable());
  const one = slots.install(keysOf(1));
  assert(one !== undefined);
  slots.release(one.open);
  slots.release(one.seal);
  const other = slots.install(keysOf(1));
  assert(other !== undefined);
  const names = [one.open, one.seal, other.open, other.seal];
  assert.equal(new Set(names.map((name) => name.slot)).size, 2);
  assert.equal(new Set(names.map((name) => name.generation)).size, 4);
});

test("a slot is released once, and only by its generation", () => {
  const table = new FakeTable();
  const slots = new KeySlots(table);
  const one = slots.install(keysOf(1));
  assert(one !== undefined);
  slots.release(one.open);
  assert.throws(() => slots.release(one.open), /released once/);
  const { seal } = one;
  assert.throws(() => slots.release({ ...seal, generation: seal.generation + 1 }), /once/);
  assert.throws(() => slots.release({ slot: KEY_SLOTS, generation: 0 }), /once/);
  slots.release(seal);
  assert.equal(slots.freeCount, KEY_SLOTS);
  assert.equal(table.keys.size, 0);
});
