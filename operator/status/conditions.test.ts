import assert from "node:assert/strict";
import { test } from "node:test";
import { fails, holds, stampConditions } from "./conditions.ts";

const WALL_MS: number = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

test("the time of a condition changes with its status, not with its reason or message", () => {
  const first = stampConditions([fails("Ready", "A", "a")], undefined, {
    generation: 1,
    wallMs: 0,
  });
  const now = { generation: 2, wallMs: WALL_MS };
  const [same] = stampConditions([fails("Ready", "B", "b")], first, now);
  assert.deepEqual(same, {
    ...{ type: "Ready", status: "False", observedGeneration: 2 },
    ...{ lastTransitionTime: "1970-01-01T00:00:00Z", reason: "B", message: "b" },
  });
  const [other] = stampConditions([holds("Ready", "B", "b")], first, now);
  assert.equal(other?.lastTransitionTime, "2026-01-02T03:04:05Z");
});

test("the same verdicts give the same list", () => {
  const verdicts = [holds("Ready", "A", "a"), fails("Accepted", "B", "b")];
  const first = stampConditions(verdicts, undefined, { generation: 1, wallMs: WALL_MS });
  const second = stampConditions(verdicts, first, { generation: 1, wallMs: WALL_MS + 9_999 });
  assert.deepEqual(second, first);
});
