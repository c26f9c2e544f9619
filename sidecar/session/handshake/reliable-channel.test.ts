import assert from "node:assert/strict";
import { test } from "node:test";
import { ACKS_MAX, Opcode } from "../../wire/control-packet.ts";
import { PIGGYBACK_ACKS_MAX, ReliableChannel } from "./reliable-channel.ts";

const SEND_WINDOW = 6;
const RECEIVE_WINDOW = 12;
const SEEDS = 1000;
const NOTHING = Buffer.alloc(0);

/** A small generator with a seed (mulberry32), so that a failure names what to repeat. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Packet {
  readonly arrivalMs: number;
  readonly to: number;
  readonly acks: readonly number[];
  readonly message?: {
    readonly messageId: number;
    readonly opcode: number;
    readonly payload: Buffer;
  };
}

/** Two channels and what lies between them, in virtual time. */
class LossyPair {
  readonly channels = [new ReliableChannel(), new ReliableChannel()] as const;
  readonly delivered: number[][] = [[], []];
  readonly #flying: Packet[] = [];
  readonly #acked = [new Set<number>(), new Set<number>()];
  readonly #sent = [new Set<number>(), new Set<number>()];
  readonly #random: () => number;
  readonly #loss: number;
  nowMs = 0;

  constructor(seed: number, loss: number) {
    this.#random = seeded(seed);
    this.#loss = loss;
  }

  /** Runs until nothing is under way or waits; false when that takes too long. */
  run(limitMs: number): boolean {
    while (this.nowMs <= limitMs) {
      for (const end of [0, 1] as const) this.#flush(end);
      const dueMs = Math.min(
        ...this.#flying.map((packet) => packet.arrivalMs),
        ...this.channels.map((channel) => channel.nextDueMs),
      );
      if (dueMs === Infinity) return true;
      this.nowMs = Math.max(this.nowMs, dueMs);
      this.#arrive();
    }
    return false;
  }

  #flush(end: 0 | 1): void {
    const channel = this.channels[end];
    for (const message of channel.takeDue(this.nowMs)) {
      this.#sent[end]?.add(message.messageId);
      const acks = channel.takeAcks(message.opcode);
      assert(acks.length <= PIGGYBACK_ACKS_MAX, "acknowledgements on a message");
      this.#put(end, { acks, message });
    }
    this.#checkWindows(end);
    while (channel.hasPendingAcks) {
      const acks = channel.takeAcks(Opcode.ack);
      assert(acks.length >= 1 && acks.length <= ACKS_MAX, "acknowledgements in a P_ACK");
      assert.equal(new Set(acks).size, acks.length, "each id once");
      this.#put(end, { acks });
    }
  }

  /** At most six unacknowledged, and none twelve ahead of the oldest of them. */
  #checkWindows(end: 0 | 1): void {
    const open = [...(this.#sent[end] ?? [])].filter((id) => !this.#acked[end]?.has(id));
    assert(open.length <= SEND_WINDOW, `${open.length} messages in flight`);
    const span = Math.max(...(this.#sent[end] ?? [])) - Math.min(...open);
    if (open.length > 0) assert(span < RECEIVE_WINDOW, `${span} ahead of the oldest`);
  }

  /** Loses, doubles and delays. */
  #put(from: 0 | 1, content: Pick<Packet, "acks" | "message">): void {
    const copies = this.#random() < this.#loss ? 0 : this.#random() < 0.2 ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delayMs = 1 + Math.floor(this.#random() * 400);
      this.#flying.push({ arrivalMs: this.nowMs + delayMs, to: 1 - from, ...content });
    }
  }

  #arrive(): void {
    for (let at = this.#flying.length - 1; at >= 0; at--) {
      const packet = this.#flying[at];
      if (packet === undefined || packet.arrivalMs > this.nowMs) continue;
      this.#flying.splice(at, 1);
      this.#receive(packet);
    }
  }

  #receive({ to, acks, message }: Packet): void {
    const channel = this.channels[to as 0 | 1];
    channel.acknowledge(acks);
    for (const id of acks) this.#acked[to]?.add(id);
    if (message === undefined) return;
    const verdict = channel.receive(message.messageId, message.opcode, message.payload);
    assert.notEqual(verdict, "refused", "a sender that keeps to its window is never refused");
    for (let next = channel.takeDelivered(); next; next = channel.takeDelivered()) {
      this.delivered[to]?.push(next.payload.readUInt16BE(0));
    }
  }
}

function numbered(count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => Buffer.of(index >>> 8, index & 255));
}

test("over 1000 lossy networks everything arrives once and in order, inside the windows", () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const pair = new LossyPair(seed, (seed % 8) / 10);
    const counts = [seed % 41, (seed * 7) % 29];
    for (const end of [0, 1] as const) {
      for (const payload of numbered(counts[end] ?? 0)) {
        assert(pair.channels[end].enqueue(Opcode.control, payload));
      }
    }
    try {
      assert(pair.run(3_600_000), "it takes longer than an hour");
      const wanted = [counts[1], counts[0]].map((count) => [...Array(count).keys()]);
      assert.deepEqual(pair.delivered, wanted);
      for (const channel of pair.channels) assert(channel.isIdle);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});

test("a lossless flight of eight messages takes two round trips at the most", () => {
  const channel = new ReliableChannel();
  for (const payload of numbered(8)) channel.enqueue(Opcode.control, payload);
  assert.equal(channel.takeDue(0).length, SEND_WINDOW);
  assert.deepEqual(channel.takeDue(0), []);
  channel.acknowledge([0, 1, 2, 3, 4, 5]);
  assert.equal(channel.nextDueMs, 0);
  assert.deepEqual(
    channel.takeDue(10).map((message) => message.messageId),
    [6, 7],
  );
  channel.acknowledge([6, 7]);
  assert(channel.isIdle);
  assert.equal(channel.nextDueMs, Infinity);
});

test("what is not acknowledged is sent again after 0.5, 1, 2, 4, 8 and 8 seconds", () => {
  const channel = new ReliableChannel();
  channel.enqueue(Opcode.control, Buffer.of(1));
  let nowMs = 0;
  const gapsMs: number[] = [];
  for (let count = 0; count < 7; count++) {
    const [message] = channel.takeDue(nowMs);
    assert.equal(message?.messageId, 0);
    assert.deepEqual(channel.takeDue(channel.nextDueMs - 1), [], "nothing before its time");
    gapsMs.push(channel.nextDueMs - nowMs);
    nowMs = channel.nextDueMs;
  }
  assert.deepEqual(gapsMs, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
});

test("a message is sent again at once when three later ones were acknowledged", () => {
  const channel = new ReliableChannel();
  for (const payload of numbered(5)) channel.enqueue(Opcode.control, payload);
  channel.takeDue(0);
  channel.acknowledge([1]);
  channel.acknowledge([2]);
  assert.deepEqual(channel.takeDue(1), []);
  channel.acknowledge([3]);
  const ids = channel.takeDue(1).map((message) => message.messageId);
  assert.deepEqual(ids, [0]);
  assert.deepEqual(channel.takeDue(1), [], "once");
});

test("acknowledgements of what was never sent change nothing", () => {
  const channel = new ReliableChannel();
  channel.enqueue(Opcode.control, Buffer.of(1));
  channel.acknowledge([0, 1, 5, 0xffff_ffff]);
  assert.equal(channel.takeDue(0).length, 1);
  channel.acknowledge([1, 2, 0xffff_ffff]);
  assert(!channel.isIdle);
  channel.acknowledge([0]);
  assert(channel.isIdle);
});

test("a message twelve or more ahead is refused and not acknowledged", () => {
  for (const base of [0, 3]) {
    const channel = new ReliableChannel();
    for (let id = 0; id < base; id++) {
      channel.receive(id, Opcode.control, NOTHING);
      channel.takeDelivered();
    }
    while (channel.hasPendingAcks) channel.takeAcks(Opcode.ack);
    for (const ahead of [RECEIVE_WINDOW, RECEIVE_WINDOW + 1, 0x7fff_ffff, 0xffff_0000]) {
      assert.equal(channel.receive(base + ahead, Opcode.control, NOTHING), "refused");
    }
    assert(!channel.hasPendingAcks);
    const last = base + RECEIVE_WINDOW - 1;
    assert.equal(channel.receive(last, Opcode.control, NOTHING), "new");
    assert.equal(channel.receive(last, Opcode.control, NOTHING), "seen");
    assert.equal(channel.takeDelivered(), undefined);
    assert(channel.takeAcks(Opcode.ack).includes(last));
  }
});

test("a message that comes again is acknowledged again and delivered once", () => {
  const channel = new ReliableChannel();
  assert.equal(channel.receive(0, Opcode.control, Buffer.of(1)), "new");
  assert.deepEqual(channel.takeAcks(Opcode.ack), [0]);
  assert.deepEqual(channel.takeDelivered()?.payload, Buffer.of(1));
  assert(!channel.hasPendingAcks);
  assert.equal(channel.receive(0, Opcode.control, Buffer.of(2)), "seen");
  assert(channel.hasPendingAcks);
  assert.equal(channel.takeDelivered(), undefined);
});

test("recent acknowledgements ride along again: four on a message, eight alone, newest first", () => {
  const channel = new ReliableChannel();
  for (let id = 0; id < 10; id++) {
    channel.receive(id, Opcode.control, NOTHING);
    channel.takeDelivered();
    assert.deepEqual(channel.takeAcks(Opcode.ack)[0], id);
  }
  assert.deepEqual(channel.takeAcks(Opcode.control), [9, 8, 7, 6]);
  channel.receive(10, Opcode.control, NOTHING);
  assert.deepEqual(channel.takeAcks(Opcode.ack), [10, 9, 8, 7, 6, 5, 4, 3]);
});

test("behind a stateless reset both ends go on with message 1", () => {
  const channel = new ReliableChannel();
  channel.skipResets();
  assert.equal(channel.nextMessageId, 1);
  assert.equal(channel.receive(0, Opcode.hardResetClientV2, NOTHING), "seen");
  assert.equal(channel.receive(1, Opcode.control, Buffer.of(5)), "new");
  assert.deepEqual(channel.takeDelivered()?.payload, Buffer.of(5));
  channel.enqueue(Opcode.control, Buffer.of(6));
  assert.equal(channel.takeDue(0)[0]?.messageId, 1);
});

test("isAckedBelow is true once everything below was sent and acknowledged", () => {
  const channel = new ReliableChannel();
  for (const payload of numbered(3)) channel.enqueue(Opcode.control, payload);
  assert.equal(channel.nextMessageId, 3);
  assert(!channel.isAckedBelow(1), "not sent yet");
  channel.takeDue(0);
  channel.acknowledge([0, 2]);
  assert.deepEqual(
    [0, 1, 2, 3].map((id) => channel.isAckedBelow(id)),
    [true, true, false, false],
  );
  channel.acknowledge([1]);
  assert(channel.isAckedBelow(3));
  assert(!channel.isAckedBelow(4));
});

test("a queue that nobody empties is full after 128 messages", () => {
  const channel = new ReliableChannel();
  for (let count = 0; count < 128; count++) assert(channel.enqueue(Opcode.control, NOTHING));
  assert(!channel.enqueue(Opcode.control, NOTHING));
  channel.takeDue(0);
  assert(channel.enqueue(Opcode.control, NOTHING));
});
