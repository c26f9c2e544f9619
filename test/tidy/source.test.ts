/**
 * What every TypeScript file keeps to and no other tool checks: it runs by type stripping alone,
 * it is short, and only the programs' own main files touch the process.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { type TrackedFile, typeScriptFiles } from "./tracked-files.ts";

const LINES_MAX = 400;
/** Programs of their own, and the tests' side of the house, may read environment and exit. */
const MAY_TOUCH_PROCESS = /(^|\/)main\.ts$|^(cli|test)\/|^sidecar\/native\/build\.ts$|\.test\.ts$/;
const MAY_READ_CLOCK = /^(cli|test)\/|(^|\/)(clock|build|main)\.ts$|\.test\.ts$|-harness\.ts$/;

const files = typeScriptFiles();

test("there are files to look at", () => {
  assert(files.length > 50, `only ${files.length} files found`);
});

test("every file runs with its types stripped, so without decorators and enums", () => {
  assert.deepEqual(problemsOf(files), []);
});

test("a decorator and an enum are seen by the check above", () => {
  const bad = [
    { path: "decorator", text: "@sealed\nexport class Seal {}\n" },
    { path: "enum", text: "export enum Colour { Red }\n" },
    { path: "fine", text: "export class Seal { readonly #age: number = 1; }\n" },
  ];
  assert.deepEqual(
    problemsOf(bad).map((problem) => problem.split(":")[0]),
    ["decorator", "enum"],
  );
});

test("no file is longer than 400 lines", () => {
  const long = files.filter(({ text }) => text.split("\n").length - 1 > LINES_MAX);
  assert.deepEqual(
    long.map(({ path }) => path),
    [],
  );
});

test("every file but a test opens with a comment that says what it is", () => {
  const silent = files.filter(
    ({ path, text }) => !path.endsWith(".test.ts") && !/^(#!.*\n)?(\/\*\*|\/\/)/.test(text),
  );
  assert.deepEqual(
    silent.map(({ path }) => path),
    [],
  );
});

test("there is no index.ts", () => {
  const barrels = files.filter(({ path }) => /(^|\/)index\.ts$/.test(path));
  assert.deepEqual(barrels, []);
});

test("only main files read the environment or exit", () => {
  assert.deepEqual(linesThatMatch(/\bprocess\.(env|exit)\b/, MAY_TOUCH_PROCESS), []);
});

test("only clock.ts reads the clock", () => {
  assert.deepEqual(linesThatMatch(/\b(Date|performance)\.now\(/, MAY_READ_CLOCK), []);
});

function problemsOf(candidates: readonly TrackedFile[]): readonly string[] {
  const script = join(import.meta.dirname, "parse-modules.ts");
  const flags = ["--experimental-vm-modules", "--no-warnings"];
  const output = execFileSync(process.execPath, [...flags, script], {
    input: JSON.stringify(candidates),
    encoding: "utf8",
    maxBuffer: 16 << 20,
  });
  return JSON.parse(output) as readonly string[];
}

function linesThatMatch(pattern: RegExp, allowed: RegExp): readonly string[] {
  return files
    .filter(({ path }) => !allowed.test(path))
    .flatMap(({ path, text }) =>
      text.split("\n").flatMap((line, index) => {
        const isCode = !/^\s*(\*|\/\/|\/\*)/.test(line) && !line.includes("biome-ignore");
        return isCode && pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [];
      }),
    );
}
