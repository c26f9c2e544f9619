import assert from "node:assert/strict";
import { test } from "node:test";
import { COUNTERS, Counter, Counters, countersSnapshot, TrafficTable } from "./counters.ts";

test("indexes are dense and in order, names are unique, every counter is described", () => {
  assert.deepEqual(
    Object.values(Counter),
    COUNTERS.map((_, index) => index),
  );
  assert.equal(new Set(COUNTERS.map(({ name }) => name)).size, COUNTERS.length);
  for (const { name, description } of COUNTERS) {
    assert.match(
      name,
      /^(rx|tx|fec|reorder|switch|router|tap|ring|control|capture)\.[a-z][A-Za-z]+$/,
    );
    assert.match(description, /^[A-Z].+\.$/);
  }
  assert.equal(COUNTERS[Counter.rxTooShort]?.name, "rx.tooShort");
});

test("a snapshot is the sum of the banks, with every counter in it", () => {
  const main = new Counters();
  const worker = new Counters();
  worker.add(Counter.rxBytes, 2 ** 40);
  worker.add(Counter.rxBytes, 1);
  main.add(Counter.txControlRingFull, 1);
  assert.equal(worker.get(Counter.rxBytes), 2 ** 40 + 1);
  const snapshot = countersSnapshot([main, worker]);
  assert.equal(snapshot["rx.bytes"], 2 ** 40 + 1);
  assert.equal(snapshot["tx.controlRingFull"], 1);
  assert.equal(snapshot["rx.tooShort"], 0);
  assert.equal(Object.keys(snapshot).length, COUNTERS.length);
});

test("memory of another size is a programmer's error", () => {
  assert.throws(() => new Counters(new SharedArrayBuffer(8)));
  assert.throws(() => new TrafficTable(new SharedArrayBuffer(8)));
});

test("traffic is counted by row and seen through the same memory", () => {
  const writer = new TrafficTable(3);
  const reader = new TrafficTable(writer.memory);
  writer.addIn(1, 2, 3000);
  writer.addOut(1, 1, 60);
  writer.addIn(2, 1, 1);
  assert.equal(reader.rowCount, 3);
  assert.deepEqual(reader.snapshot(1), {
    packetsIn: 2,
    bytesIn: 3000,
    packetsOut: 1,
    bytesOut: 60,
  });
  assert.deepEqual(reader.snapshot(0), { packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 });
  writer.clear(1);
  assert.equal(reader.snapshot(1).packetsIn, 0);
  assert.equal(reader.snapshot(2).packetsIn, 1);
  assert.throws(() => reader.snapshot(3));
});
