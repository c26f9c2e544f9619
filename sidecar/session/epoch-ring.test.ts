/** The window of epochs: what is installed and released as either end moves on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EPOCHS_AHEAD, EpochRing } from "./epoch-ring.ts";
import { EpochChain } from "./handshake/epoch-keys.ts";

class Table {
  readonly held = new Map<number, string>();
  readonly receives: number[] = [];
  readonly sends: string[] = [];
  capacity = 4096;
  #next = 0;

  ring(): EpochRing {
    const chains = {
      send: new EpochChain(Buffer.alloc(32, 1), "AES-256-GCM"),
      receive: new EpochChain(Buffer.alloc(32, 2), "AES-256-GCM"),
    };
    return new EpochRing(chains, {
      install: (key) => {
        if (this.held.size >= this.capacity) return undefined;
        this.#next += 1;
        this.held.set(this.#next, key.key.toString("hex"));
        return { slot: this.#next, generation: 1 };
      },
      release: ({ slot }) => assert(this.held.delete(slot), "a slot is released once"),
      receiveWith: (epoch) => this.receives.push(epoch),
      sendNext: (epoch, _slot, isNow) => this.sends.push(`${epoch}${isNow ? " now" : ""}`),
    });
  }
}

test("at the start the first epoch and four after it are received, and one more is at hand to send", () => {
  const table = new Table();
  assert(table.ring().start());
  assert.deepEqual(table.receives, [1, 2, 3, 4, 5]);
  assert.deepEqual(table.sends, ["1", "2"]);
});

test("without slots it says so", () => {
  const table = new Table();
  table.capacity = 6;
  assert.equal(table.ring().start(), false);
});

test("when the other end moves on, we follow with what we send", () => {
  const table = new Table();
  const ring = table.ring();
  ring.start();
  ring.received(3);
  assert.deepEqual(table.receives.slice(5), [6, 7]);
  assert.deepEqual(table.sends.slice(2), ["2 now", "3", "3 now", "4"]);
});

test("an epoch further ahead than the window, or behind it, changes nothing", () => {
  const table = new Table();
  const ring = table.ring();
  ring.start();
  for (const epoch of [0, 1, 2 + EPOCHS_AHEAD, 65_535]) ring.received(epoch);
  assert.equal(table.receives.length, 5);
});

test("our own step asks for the epoch behind it", () => {
  const table = new Table();
  const ring = table.ring();
  ring.start();
  ring.sending(2);
  ring.sending(2);
  assert.deepEqual(table.sends, ["1", "2", "3"]);
});

test("whatever happens, at most eight slots are held, and none after the end", () => {
  const step = fc.record({ isOurs: fc.boolean(), ahead: fc.integer({ min: -2, max: 6 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = new Table();
      const ring = table.ring();
      ring.start();
      let at = 1;
      for (const { isOurs, ahead } of steps) {
        at = Math.max(0, at + ahead);
        if (isOurs) ring.sending(at);
        else ring.received(at);
        assert(table.held.size <= 9, `${table.held.size} slots`);
      }
      ring.close();
      assert.equal(table.held.size, 0);
    }),
  );
});
