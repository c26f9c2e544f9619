import assert from "node:assert/strict";
import { test } from "node:test";
import * as typescript from "./layout.ts";
import { layout } from "./native.ts";

/** What only TypeScript decides. */
const ours = new Set(["HEADROOM_BYTES"]);

test("both sides of the addon have the same layout", () => {
  const flat: Record<string, number> = {};
  for (const [name, value] of Object.entries(typescript)) {
    if (typeof value === "number") {
      if (!ours.has(name)) flat[name] = value;
      continue;
    }
    for (const [field, word] of Object.entries(value)) flat[`${name}.${field}`] = word;
  }
  assert.deepEqual(layout(), flat);
});
