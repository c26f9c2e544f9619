/** The reference pages are what the program goes by. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { PAGES } from "./reference.ts";

for (const [path, print] of Object.entries(PAGES)) {
  test(`${path} is up to date: run node sidecar/control/reference.ts`, async () => {
    const text = await readFile(new URL(`../../${path}`, import.meta.url), "utf8");
    assert.equal(text, print());
  });
}
