import assert from "node:assert/strict";
import { test } from "node:test";
import { countOutcome } from "./counts.ts";

const outcome = { status: 0, stdout: "", stderr: "" };

test("Node's tests are counted from the trailer of the TAP output", () => {
  const stderr =
    "# tests 7\n# suites 1\n# pass 4\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n";
  const counts = countOutcome("node", { ...outcome, status: 1, stderr });
  assert.deepEqual(counts, { passed: 4, failed: 2, skipped: 1 });
});

test("Cargo's tests are summed over its binaries", () => {
  const stdout = [
    "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
    "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
  ].join("\n");
  const counts = countOutcome("cargo", { ...outcome, status: 101, stdout });
  assert.deepEqual(counts, { passed: 5, failed: 1, skipped: 1 });
});

test("a process that fails without a failing test is one failure", () => {
  const counts = countOutcome("cargo", { ...outcome, status: 101 });
  assert.deepEqual(counts, { passed: 0, failed: 1, skipped: 0 });
});

test("an import check that looked at no module fails", () => {
  const text = (modules: string): string => `no dependency violations found (${modules} cruised)`;
  const none = countOutcome("imports", { ...outcome, stdout: text("0 modules, 0 dependencies") });
  const some = countOutcome("imports", { ...outcome, stdout: text("10 modules, 9 dependencies") });
  assert.equal(none.failed, 1);
  assert.equal(some.passed, 1);
});
