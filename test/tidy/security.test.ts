/** The threat model in docs/security.md names tests: each of them exists and says what it shows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { trackedFiles } from "./tracked-files.ts";

const files = trackedFiles();
const page = files.find(({ path }) => path === "docs/security.md")?.text ?? "";
/** A test in backquotes, by its path or by its name alone. */
const NAMED = /`([\w./-]+\.test\.ts)`/g;

test("every test that docs/security.md names exists, once, and holds a test", () => {
  const names = [...page.matchAll(NAMED)].map((match) => match[1] ?? "");
  assert(names.length > 20, `${names.length} tests are named`);
  for (const name of new Set(names)) {
    const found = files.filter(({ path }) => path === name || path.endsWith(`/${name}`));
    assert.deepEqual(found.length, 1, `${name}: ${found.map(({ path }) => path).join(", ")}`);
    assert.match(found[0]?.text ?? "", /\btest\(/, name);
  }
});

test("every attempt in docs/security.md has somebody who holds it and a test, or says that it has none", () => {
  const rows = page
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) =>
      line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    )
    .filter(([first]) => first !== "attempt" && !/^-+$/.test(first ?? ""));
  assert(rows.length >= 25, `${rows.length} attempts`);
  for (const [attempt = "", holds = "", shown = ""] of rows) {
    assert(holds !== "", attempt);
    assert(shown === "by nothing" || shown.match(NAMED) !== null, `${attempt}: ${shown}`);
  }
});
