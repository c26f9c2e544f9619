import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { SharedRing, sharedRingMemory } from "./shared-ring.ts";

const MODULE_URL = new URL("./shared-ring.ts", import.meta.url).href;

/** Starts a worker that runs `body` with SharedRing, a ring over `memory` and `clock`. */
function startProducer(memory: SharedArrayBuffer, body: string): Worker {
  const source = `
    const { workerData, parentPort } = await import("node:worker_threads");
    const { SharedRing } = await import(${JSON.stringify(MODULE_URL)});
    const ring = new SharedRing(workerData);
    const park = new Int32Array(new SharedArrayBuffer(4));
    const sleep = (ms) => Atomics.wait(park, 0, 0, ms);
    ${body}`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
  return new Worker(url, { workerData: memory });
}

test("an empty ring has no record", () => {
  const ring = new SharedRing(sharedRingMemory(64));
  assert.equal(ring.next(), false);
  assert.equal(ring.take(), undefined);
});

test("a record comes out as it went in, from the given place in the bytes", () => {
  const memory = sharedRingMemory(256);
  const producer = new SharedRing(memory);
  const consumer = new SharedRing(memory);
  assert.equal(producer.push(7, Uint8Array.of(9, 1, 2, 3, 9), 1, 3), true);
  assert.equal(consumer.next(), true);
  assert.equal(consumer.kind, 7);
  assert.deepEqual([...consumer.bytes.subarray(consumer.start, consumer.limit)], [1, 2, 3]);
  assert.equal(consumer.next(), false);
});

test("a full ring refuses and changes nothing; released records make room", () => {
  const memory = sharedRingMemory(64);
  const producer = new SharedRing(memory);
  const consumer = new SharedRing(memory);
  const payload = new Uint8Array(24);
  assert.equal(producer.push(1, payload, 0, 24), true);
  assert.equal(producer.push(2, payload, 0, 24), true);
  assert.equal(producer.push(3, payload, 0, 0), false);
  assert.equal(consumer.next(), true);
  assert.equal(producer.push(3, payload, 0, 0), false, "not released yet");
  consumer.release();
  assert.equal(producer.push(3, payload, 0, 24), true);
  assert.deepEqual(
    [consumer.take()?.kind, consumer.take()?.kind, consumer.take()],
    [2, 3, undefined],
  );
});

test("a payload over half the ring is refused, one of just that size fits wherever the wrap is", () => {
  const memory = sharedRingMemory(128);
  const producer = new SharedRing(memory);
  const consumer = new SharedRing(memory);
  const payload = new Uint8Array(200);
  assert.equal(producer.payloadBytesMax, 56);
  assert.equal(producer.push(1, payload, 0, 57), false);
  for (let round = 0; round < 40; round++) {
    assert.equal(producer.push(1, payload, 0, 56), true);
    assert.equal(consumer.take()?.payload.length, 56);
    assert.equal(producer.push(1, payload, 0, round % 17), true);
    assert.equal(consumer.take()?.payload.length, round % 17);
  }
});

test("memory of a wrong size, a negative kind and bytes outside the source are programmer's errors", () => {
  assert.throws(() => sharedRingMemory(100));
  assert.throws(() => sharedRingMemory(32));
  assert.throws(() => new SharedRing(new SharedArrayBuffer(100)));
  const ring = new SharedRing(sharedRingMemory(64));
  assert.throws(() => ring.push(-1, new Uint8Array(8), 0, 8));
  assert.throws(() => ring.push(1, new Uint8Array(8), 4, 8));
});

test("any sequence of pushes and takes equals a bounded queue, also where positions wrap at 2^32", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.nat(1000), length: fc.nat(140) }),
    fc.constant("take" as const),
    fc.constant("drain" as const),
  );
  const startPosition = fc.constantFrom(0, 0x7fff_fff8, 0xffff_ff80 | 0, 0xffff_fff8 | 0, 40);
  fc.assert(
    fc.property(startPosition, fc.array(step, { maxLength: 200 }), (position, steps) => {
      const memory = sharedRingMemory(256);
      new Int32Array(memory)[0] = position;
      new Int32Array(memory)[16] = position;
      const producer = new SharedRing(memory);
      const consumer = new SharedRing(memory);
      const model: { kind: number; payload: Uint8Array }[] = [];
      let seed = 0;
      for (const each of steps) {
        if (each === "take") {
          assert.deepEqual(consumer.take(), model.shift());
        } else if (each === "drain") {
          while (consumer.next()) {
            const expected = model.shift();
            assert.equal(consumer.kind, expected?.kind);
            const actual = consumer.bytes.slice(consumer.start, consumer.limit);
            assert.deepEqual(actual, expected?.payload);
          }
          consumer.release();
          assert.equal(model.length, 0);
        } else {
          const payload = Uint8Array.from({ length: each.length }, () => seed++ & 0xff);
          const isPushed = producer.push(each.kind, payload, 0, payload.length);
          if (isPushed) model.push({ kind: each.kind, payload });
          if (model.length === 0) assert.equal(each.length > producer.payloadBytesMax, true);
        }
      }
    }),
  );
});

test("two threads: every record arrives once, in order and whole", {
  timeout: 20_000,
}, async () => {
  const memory = sharedRingMemory(4096);
  const worker = startProducer(
    memory,
    `const payload = new Uint8Array(600);
     const limit = Date.now() + 1000;
     let count = 0, refused = 0;
     while (Date.now() < limit) {
       const length = 4 + (count * 7919) % 590;
       new DataView(payload.buffer).setUint32(0, count);
       payload.fill(count & 0xff, 4, length);
       if (ring.push(count % 1000, payload, 0, length)) count++; else { refused++; sleep(0.01); }
       ring.wake();
     }
     parentPort.postMessage({ count, refused });`,
  );
  let produced: { count: number; refused: number } | undefined;
  worker.on("message", (message) => {
    produced = message;
  });
  const ring = new SharedRing(memory);
  const view = new DataView(ring.bytes.buffer, ring.bytes.byteOffset);
  let expected = 0;
  while (produced === undefined || expected < produced.count) {
    while (ring.next()) {
      assert.equal(view.getUint32(ring.start), expected);
      assert.equal(ring.kind, expected % 1000);
      assert.equal(ring.limit - ring.start, 4 + ((expected * 7919) % 590));
      for (let at = ring.start + 4; at < ring.limit; at++) {
        if (ring.bytes[at] !== (expected & 0xff)) assert.fail(`record ${expected} is torn`);
      }
      ring.release();
      expected++;
    }
    await ring.whenPushed(20);
    await new Promise(setImmediate);
  }
  assert.equal(expected, produced.count);
  assert.equal(ring.next(), false);
  assert.ok(expected > 1000, `only ${expected} records crossed`);
});

test("a producer's wake reaches a thread that is idle in its event loop", {
  timeout: 20_000,
}, async (t) => {
  const rounds = 60;
  const memory = sharedRingMemory(1024);
  const worker = startProducer(
    memory,
    `const payload = new Uint8Array(8);
     for (let round = 0; round < ${rounds}; round++) {
       sleep(2 + (round * 7) % 11);
       new DataView(payload.buffer).setBigInt64(0, process.hrtime.bigint());
       ring.push(1, payload, 0, 8);
       ring.wake();
     }
     sleep(200);`,
  );
  const isGone = once(worker, "exit");
  const ring = new SharedRing(memory);
  const latenciesUs: number[] = [];
  while (latenciesUs.length < rounds) {
    await ring.whenPushed();
    const nowNs = process.hrtime.bigint();
    for (let record = ring.take(); record !== undefined; record = ring.take()) {
      const sentNs = new DataView(record.payload.buffer).getBigInt64(0);
      latenciesUs.push(Number(nowNs - sentNs) / 1000);
    }
  }
  latenciesUs.sort((a, b) => a - b);
  const middle = latenciesUs[rounds >> 1] as number;
  t.diagnostic(
    `wake latency: p50 ${middle.toFixed(0)} us, max ${latenciesUs.at(-1)?.toFixed(0)} us`,
  );
  assert.ok(middle < 50_000, "the wake itself ends the wait, not something else in the loop");
  await isGone;
});
