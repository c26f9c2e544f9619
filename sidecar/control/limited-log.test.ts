import assert from "node:assert/strict";
import { test } from "node:test";
import type { Logger } from "pino";
import { LimitedLog } from "./limited-log.ts";

type Line = readonly [Record<string, unknown>, string];

function limited(): { log: LimitedLog; lines: Line[]; clock: { nowMs: number } } {
  const lines: Line[] = [];
  const clock = { nowMs: 5 };
  const pino = {
    warn: (fields: Record<string, unknown>, message: string) => lines.push([fields, message]),
  };
  const log = new LimitedLog(pino as unknown as Logger, () => clock.nowMs);
  return { log, lines, clock };
}

test("a cause is told once a minute, and then how often it was kept back", () => {
  const { log, lines, clock } = limited();
  for (let count = 0; count < 10; count++) log.warn("a", { from: count }, "message");
  clock.nowMs += 59_999;
  log.warn("a", { from: 10 }, "message");
  assert.deepEqual(lines, [[{ from: 0 }, "message"]]);
  clock.nowMs += 1;
  log.warn("a", { from: 11 }, "message");
  assert.deepEqual(lines.at(-1), [{ from: 11, repeated: 10 }, "message"]);
  clock.nowMs += 60_000;
  log.warn("a", { from: 12 }, "message");
  assert.deepEqual(lines.at(-1), [{ from: 12 }, "message"]);
});

test("causes do not hold each other back", () => {
  const { log, lines } = limited();
  for (const cause of ["a", "b", "a", "c", "b"]) log.warn(cause, { cause }, "message");
  assert.deepEqual(
    lines.map(([fields]) => fields["cause"]),
    ["a", "b", "c"],
  );
});

test("beyond 1000 causes the others share one line a minute", () => {
  const { log, lines, clock } = limited();
  for (let cause = 0; cause < 5000; cause++) log.warn(`cause ${cause}`, {}, "message");
  assert.equal(lines.length, 1001);
  log.warn("cause 7", {}, "message");
  assert.equal(lines.length, 1001, "a remembered one stays remembered");
  clock.nowMs += 60_000;
  log.warn("new", {}, "message");
  log.warn("new", {}, "message");
  assert.equal(lines.length, 1002, "old causes make room");
});
