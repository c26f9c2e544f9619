/** What every text file of the project keeps to, whatever its language. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { trackedFiles } from "./tracked-files.ts";

const files = trackedFiles();
/** The pages that state these rules name what they forbid. */
const RULE_PAGES = ["test/tidy/text.test.ts", "STYLE.md"];

/** A name of a package registry, spelt so that this file does not hold one. */
const REGISTRY_HOST = /https?:\/\/[^\s"')]*(?:npmjs|pypi|crates\.io|proxy\.golang|deb\.debian)/;
/** A folder of one developer's machine. */
const MACHINE_PATH = /(?<![\w.$}-])\/(?:home\/\w+|root|Users\/\w+|work)\/[\w.-]+/;
const UNFINISHED = /\b(?:TODO|FIXME|XXX|HACK)\b(?!.*#\d+)/;
const FOCUSED_TEST = /\b(?:test|it|describe)\.only\(/;

test("no line names a package registry's host", () => {
  assert.deepEqual(linesThatMatch(REGISTRY_HOST), []);
});

test("no line names a path of one machine", () => {
  assert.deepEqual(linesThatMatch(MACHINE_PATH), []);
});

test("work that is left has an issue's number", () => {
  assert.deepEqual(linesThatMatch(UNFINISHED), []);
});

test("no test is focused", () => {
  assert.deepEqual(linesThatMatch(FOCUSED_TEST), []);
});

test("no line ends in blanks, and every file ends with one newline", () => {
  const isMarkdown = (path: string): boolean => path.endsWith(".md");
  const ragged = files.filter(
    ({ path, text }) => (!isMarkdown(path) && /[ \t]\n/.test(text)) || !/(^|[^\n])\n$/.test(text),
  );
  assert.deepEqual(
    ragged.filter(({ text }) => text !== "").map(({ path }) => path),
    [],
  );
});

test("only Unix line ends are used", () => {
  assert.deepEqual(
    files.filter(({ text }) => text.includes("\r\n")).map(({ path }) => path),
    [],
  );
});

function linesThatMatch(pattern: RegExp): readonly string[] {
  return files
    .filter(({ path }) => !RULE_PAGES.includes(path))
    .flatMap(({ path, text }) =>
      text.split("\n").flatMap((line, index) => {
        return pattern.test(line) ? [`${path}:${index + 1}: ${line.trim().slice(0, 120)}`] : [];
      }),
    );
}
