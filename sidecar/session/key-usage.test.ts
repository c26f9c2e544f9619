import assert from "node:assert/strict";
import { test } from "node:test";
import { type KeyUsage, UsageTable } from "./key-usage.ts";

const NONE = Infinity;
const HUGE_BYTES = 2 ** 30;

function usage(limits: { packets?: number; bytes?: number } = {}): {
  table: UsageTable;
  key: KeyUsage;
} {
  const table = new UsageTable(3, { packets: NONE, bytes: NONE, ...limits });
  const key = table.begin(2);
  key.begin(5, 0, 1);
  return { table, key };
}

test("packets and bytes of both directions count towards the user's limits", () => {
  const { table, key } = usage({ packets: 4 });
  key.takeId(100);
  key.opened(5, 300);
  key.takeId(50);
  assert(!key.isUsed);
  key.opened(5, 1);
  assert(key.isUsed);
  assert.deepEqual(table.use(2), { keyId: 5, packets: 4, bytes: 451, failed: 0, usedPercent: 100 });
  key.begin(6, 0, 1);
  assert(!key.isUsed, "a new key has everything before it");
  const other = usage({ bytes: 400 }).key;
  other.takeId(399);
  assert(!other.isUsed);
  other.opened(5, 1);
  assert(other.isUsed);
});

test("what arrives under another key id counts for nothing", () => {
  const { table, key } = usage({ packets: 1 });
  key.opened(4, 1000);
  key.failed(4);
  assert(!key.isUsed);
  assert.deepEqual(table.use(2), { keyId: 5, packets: 0, bytes: 0, failed: 0, usedPercent: 0 });
});

test("a key without epochs obeys the cipher's limit in each direction", () => {
  for (const direction of ["sealed", "opened"] as const) {
    const { key } = usage();
    const once = HUGE_BYTES / 16 + 1;
    const limit = 2 ** 36 * (7 / 8);
    let blocks = 0;
    while (blocks < limit) {
      assert(!key.isUsed, `${direction} ${blocks}`);
      if (direction === "sealed") key.takeId(HUGE_BYTES);
      else key.opened(5, HUGE_BYTES);
      blocks += once;
    }
    assert(key.isUsed, direction);
  }
});

test("an epoch's limit begins anew with the next epoch, the user's limit does not", () => {
  const { table, key } = usage({ bytes: 1.5e12 });
  key.begin(5, 1, 1);
  while (!key.isEpochUsed) key.takeId(HUGE_BYTES);
  assert(key.isUsed);
  key.beginEpoch(2);
  assert(!key.isEpochUsed && !key.isUsed);
  assert.equal(key.takeId(1), 1, "packet ids begin anew");
  assert.equal(table.use(2).epoch, 2);
  const half = table.use(2).usedPercent;
  assert(half > 60 && half < 68, `${half}`);
  while (!key.isUsed) key.takeId(HUGE_BYTES);
  assert(!key.isEpochUsed);
});

test("forgeries of what arrives are counted", () => {
  const { table, key } = usage();
  for (let count = 0; count < 3; count++) key.failed(5);
  assert.equal(table.use(2).failed, 3);
  assert.equal(table.use(1).failed, 0, "each session has a row of its own");
});
