import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AddressWatch } from "./address-watch.ts";

const ADDRESS = Int32Array.of(0, 0, 0xffff, 0x0a14_0009);
const OTHER = Int32Array.of(0, 0, 0xffff, 0x0a14_000a);
const station = (port: number, vlan = 0) => ({ high: (vlan << 16) | 0x0200, low: port, port });

test("whoever uses a given address behind another port is told with its MAC", () => {
  const watch = new AddressWatch(8);
  watch.give(ADDRESS, 3, false);
  watch.heard(ADDRESS, station(3), false);
  watch.heard(OTHER, station(4), false);
  assert.equal(watch.conflict.count, 0);
  watch.heard(ADDRESS, station(4), false);
  const { count, high, low, port, owner, address } = watch.conflict;
  assert.deepEqual([count, high, low, port, owner], [1, 0x0200, 4, 4, 3]);
  assert.deepEqual(address, ADDRESS);
});

test("a probe for it counts only while it is being asked for", () => {
  const watch = new AddressWatch(8);
  watch.give(ADDRESS, 0, true);
  assert.equal(watch.tentativeCount, 1);
  watch.heard(ADDRESS, station(4), true);
  assert.equal(watch.conflict.count, 1);
  watch.give(ADDRESS, 0, false);
  assert.equal(watch.tentativeCount, 0);
  watch.heard(ADDRESS, station(4), true);
  assert.equal(watch.conflict.count, 1);
});

test("the same address in another VLAN is no conflict", () => {
  const watch = new AddressWatch(8);
  watch.give(ADDRESS, 3, false);
  watch.heard(ADDRESS, station(4, 7), false);
  assert.equal(watch.conflict.count, 0);
});

test("a table that is full refuses one more, and moves what it knows", () => {
  const watch = new AddressWatch(1);
  assert(watch.give(ADDRESS, 1, false));
  assert(!watch.give(OTHER, 2, false));
  assert(watch.give(ADDRESS, 2, false));
  watch.heard(ADDRESS, station(2), false);
  assert.equal(watch.conflict.count, 0, "the peer came back by another port");
});

test("against a naive model: conflicts are those of the addresses given and not forgotten", () => {
  const address = fc
    .constantFrom(0, 1, 2, 3, 255, 0x0100_0000, -1)
    .map((word) => Int32Array.of(0, 0, 0xffff, word));
  const step = fc.record({
    kind: fc.constantFrom("give", "forget", "forgetPort", "heard" as const),
    address,
    port: fc.nat(4),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const watch = new AddressWatch(5);
      const model = new Map<string, number>();
      let expected = 0;
      for (const { kind, address: words, port } of steps) {
        const name = words.join();
        if (kind === "give") {
          const isGiven = model.has(name) || model.size < 5;
          assert.equal(watch.give(words, port, false), isGiven);
          if (isGiven) model.set(name, port);
        } else if (kind === "forget") {
          watch.forget(words);
          model.delete(name);
        } else if (kind === "forgetPort") {
          watch.forgetPort(port);
          for (const [key, owner] of model) if (owner === port) model.delete(key);
        } else {
          watch.heard(words, station(port), false);
          const owner = model.get(name);
          if (owner !== undefined && owner !== port) expected += 1;
        }
        assert.equal(watch.count, model.size);
        assert.equal(watch.conflict.count, expected);
      }
    }),
  );
});
