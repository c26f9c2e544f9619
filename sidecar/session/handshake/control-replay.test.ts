import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ControlReplay } from "./control-replay.ts";

/** Ids kept below the highest. */
const WINDOW = 128;

/** The rule in as few words as possible: everything ever seen is kept. */
class NaiveReplay {
  #seen = new Set<string>();
  #timeSeconds = 0;
  #highest = 0;

  accept({ id, timeSeconds }: { id: number; timeSeconds: number }): boolean {
    if (id === 0 || timeSeconds < this.#timeSeconds) return false;
    if (timeSeconds > this.#timeSeconds) this.#highest = 0;
    this.#timeSeconds = timeSeconds;
    const name = `${timeSeconds}/${id}`;
    if (this.#highest - id >= WINDOW || this.#seen.has(name)) return false;
    this.#seen.add(name);
    this.#highest = Math.max(this.#highest, id);
    return true;
  }
}

function accepted(ids: readonly number[], timeSeconds = 5): boolean[] {
  const replay = new ControlReplay();
  return ids.map((id) => replay.accept({ id, timeSeconds }));
}

test("each id is taken once", () => {
  assert.deepEqual(accepted([1, 1, 2, 3, 2, 1]), [true, false, true, true, false, false]);
});

test("id 0 is never taken", () => {
  assert.deepEqual(accepted([0, 1, 0]), [false, true, false]);
});

test("an id is taken late up to 127 below the highest, and no further", () => {
  for (const highest of [128, 129, 1000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
    const late = [highest - WINDOW + 1, highest - WINDOW].filter((id) => id > 0);
    assert.deepEqual(accepted([highest, ...late]), [true, true, false].slice(0, 1 + late.length));
  }
});

test("a newer time starts anew, an older one is refused for good", () => {
  const replay = new ControlReplay();
  assert(replay.accept({ id: 9, timeSeconds: 100 }));
  assert(replay.accept({ id: 9, timeSeconds: 101 }));
  assert(replay.accept({ id: 1, timeSeconds: 101 }));
  assert(!replay.accept({ id: 10, timeSeconds: 100 }));
  assert(!replay.accept({ id: 9, timeSeconds: 101 }));
  assert(replay.accept({ id: 1, timeSeconds: 0xffff_ffff }));
  assert(!replay.accept({ id: 500, timeSeconds: 101 }));
});

test("it decides as a set of everything that was ever seen", () => {
  const near = fc.constantFrom(0, 1, 2, 31, 32, 63, 64, 126, 127, 128, 129, 130, 255, 256, 257);
  const step = fc.record({
    id: fc.oneof({ weight: 4, arbitrary: near }, { weight: 1, arbitrary: fc.nat(600) }),
    timeSeconds: fc.oneof({ weight: 9, arbitrary: fc.constant(3) }, fc.nat(5)),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const replay = new ControlReplay();
      const naive = new NaiveReplay();
      for (const packetId of steps) {
        assert.equal(replay.accept(packetId), naive.accept(packetId), JSON.stringify(packetId));
      }
    }),
    { numRuns: 500 },
  );
});
