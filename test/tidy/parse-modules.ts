/**
 * Parses modules the way the program runs them: types stripped, then V8's own parser. Reads a JSON
 * array of `{ path, text }` on standard input and prints one of `<path>: <problem>`. A process of
 * its own because the parser needs `--experimental-vm-modules`.
 */
import { stripTypeScriptTypes } from "node:module";
import { text as readAll } from "node:stream/consumers";
import { SourceTextModule } from "node:vm";
import type { TrackedFile } from "./tracked-files.ts";

const files = JSON.parse(await readAll(process.stdin)) as readonly TrackedFile[];
const problems = files.flatMap(({ path, text }) => {
  try {
    new SourceTextModule(stripTypeScriptTypes(text), { identifier: path });
    return [];
  } catch (error) {
    return [`${path}: ${error instanceof Error ? error.message : String(error)}`];
  }
});
process.stdout.write(JSON.stringify(problems));
