/** TCP in order through a whole plane: what one peer sends comes to another one by the switch. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import fc from "fast-check";
import { Counter } from "./counters.ts";
import { HELD_SEGMENTS_MAX } from "./limits.ts";
import { endOrder, releaseDue, setOrder } from "./ordering.ts";
import { openPacket, type Peer, PlaneHarness, sealPacket } from "./plane-harness.ts";

const DELAY_MS = 10;
const PAYLOAD_BYTES = 100;
const HEADERS_BYTES = 14 + 20 + 20;
const TCP = 6;
const UDP = 17;

const harnesses: PlaneHarness[] = [];
after(() => {
  for (const harness of harnesses) harness.close();
});

/** A plane, a peer that sends segments, and one that gets them. */
class Pair {
  readonly harness = new PlaneHarness();
  readonly #home: ReturnType<PlaneHarness["farSocket"]> = this.harness.farSocket();
  readonly #away: ReturnType<PlaneHarness["farSocket"]> = this.harness.farSocket();
  readonly from: Peer = this.harness.peer(1, this.#home);
  readonly to: Peer = this.harness.peer(2, this.#away);
  #id = 0;

  constructor(delayMs: number) {
    harnesses.push(this.harness);
    setOrder(this.harness.plane, this.from.session, delayMs);
  }

  /** The numbers of the segments that come out when these come in. */
  send(...segments: readonly Buffer[]): number[] {
    const packets = segments.map((segment) => {
      this.#id += 1;
      return sealPacket(this.from, this.#id, segment);
    });
    return this.out(() => this.harness.deliver(this.#home, ...packets));
  }

  /** Those that come out by `action`, whole. */
  out(action: () => void): number[] {
    const { "tx.packets": count = 0 } = this.harness.gained(action);
    return this.harness.farReceive(this.#away, count).map((packet) => {
      const { text } = openPacket(this.to, packet);
      const number = (text.readUInt32BE(38) - 1) / PAYLOAD_BYTES;
      assert.deepEqual(text, segmentOf(number, text[23]));
      return number;
    });
  }
}

function segmentOf(number: number, protocol = TCP): Buffer {
  const frame = Buffer.alloc(HEADERS_BYTES + PAYLOAD_BYTES, number);
  frame.fill(0xff, 0, 6);
  Buffer.from([2, 0, 0, 0, 0, 1, 8, 0]).copy(frame, 6);
  frame.fill(0, 14, HEADERS_BYTES);
  frame[14] = 0x45;
  frame.writeUInt16BE(frame.length - 14, 16);
  frame[23] = protocol;
  frame.writeUInt32BE(1 + number * PAYLOAD_BYTES, 38);
  frame[46] = 0x50;
  frame[47] = 0x10;
  return frame;
}

test("without order, segments go on as they come; with it, as they were sent", () => {
  const segments = [0, 1, 3, 4, 2, 6, 5].map((number) => segmentOf(number));
  assert.deepEqual(new Pair(0).send(...segments), [0, 1, 3, 4, 2, 6, 5]);
  assert.deepEqual(new Pair(DELAY_MS).send(...segments), [0, 1, 2, 3, 4, 5, 6]);
});

test("UDP goes on as it comes, whatever waits", () => {
  const pair = new Pair(DELAY_MS);
  const segments = [segmentOf(0), segmentOf(2), segmentOf(9, UDP), segmentOf(7, UDP), segmentOf(1)];
  assert.deepEqual(pair.send(...segments), [0, 9, 7, 1, 2]);
});

test("what is missing is waited for so long and no longer, and what was held is counted", () => {
  const pair = new Pair(DELAY_MS);
  const { plane } = pair.harness;
  assert.deepEqual(pair.send(segmentOf(0), segmentOf(2), segmentOf(3)), [0]);
  assert(plane.order.table.isDue);
  assert.equal((plane.order.table.dueMs - plane.nowMs) | 0, DELAY_MS);
  plane.nowMs += DELAY_MS - 1;
  assert.deepEqual(
    pair.out(() => releaseDue(plane)),
    [],
  );
  plane.nowMs += 1;
  const gained = pair.harness.gained(() => {
    assert.deepEqual(
      pair.out(() => releaseDue(plane)),
      [2, 3],
    );
  });
  assert.equal(gained["reorder.expired"], 2);
  assert.equal(gained["reorder.heldMs"], 2 * DELAY_MS);
  assert(!plane.order.table.isDue);
  assert.deepEqual(pair.send(segmentOf(1), segmentOf(4)), [1, 4]);
});

test("what waits goes on when order is not kept any more, and when its session ends", () => {
  const pair = new Pair(DELAY_MS);
  const { plane } = pair.harness;
  assert.deepEqual(pair.send(segmentOf(0), segmentOf(2)), [0]);
  assert.deepEqual(
    pair.out(() => setOrder(plane, pair.from.session, 0)),
    [2],
  );
  assert.deepEqual(pair.send(segmentOf(5), segmentOf(4)), [5, 4]);
  setOrder(plane, pair.from.session, DELAY_MS);
  assert.deepEqual(pair.send(segmentOf(6), segmentOf(8)), [6]);
  assert.deepEqual(
    pair.out(() => endOrder(plane, pair.from.index)),
    [8],
  );
});

test("whatever the order, segments come out whole and each once, beyond what slots there are", () => {
  const pair = new Pair(DELAY_MS);
  const { plane } = pair.harness;
  let next = 0;
  fc.assert(
    fc.property(fc.gen(), (gen) => {
      const count = gen(fc.integer, { min: 1, max: 60 });
      const numbers = Array.from({ length: count }, (_, at) => next + at);
      next += count;
      const turns = numbers
        .map((number) => ({ number, turn: number + gen(fc.integer, { min: 0, max: 30 }) }))
        .sort((a, b) => a.turn - b.turn);
      const out = pair.send(...turns.map(({ number }) => segmentOf(number)));
      plane.nowMs += DELAY_MS;
      out.push(...pair.out(() => releaseDue(plane)));
      assert.deepEqual(
        out.toSorted((a, b) => a - b),
        numbers,
      );
      assert.equal(plane.order.table.heldCount, 0);
    }),
    { numRuns: 150 },
  );
  assert(plane.counters.get(Counter.reorderHeld) > HELD_SEGMENTS_MAX, "slots were used again");
});
