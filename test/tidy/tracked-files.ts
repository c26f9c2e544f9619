/** The files that the tidy tests look at: what git tracks, or the whole tree where git is not. */
import { execFileSync } from "node:child_process";
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");

/** One file, its path relative to the root. */
export interface TrackedFile {
  readonly path: string;
  readonly text: string;
}

/** Every text file of the project, generated ones and lock files left out. */
export function trackedFiles(): readonly TrackedFile[] {
  return list()
    .filter((path) => !/(^|\/)(package-lock\.json|Cargo\.lock)$|^crds\/types\.ts$/.test(path))
    .filter((path) => !/(^|\/)(vectors|corpus)\//.test(path))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }))
    .filter(({ text }) => !text.includes("\0"));
}

/** The TypeScript among them. */
export function typeScriptFiles(): readonly TrackedFile[] {
  return trackedFiles().filter(({ path }) => path.endsWith(".ts"));
}

function list(): readonly string[] {
  const isForeign = (name: string): boolean =>
    /(^|\/)(node_modules|target|\.git|\.cache)$/.test(name);
  const names = existsSync(join(ROOT, ".git"))
    ? execFileSync("git", ["ls-files", "-z"], { cwd: ROOT, encoding: "utf8" }).split("\0")
    : globSync("**/*", { cwd: ROOT, exclude: isForeign });
  const isFile = (path: string): boolean =>
    statSync(join(ROOT, path), { throwIfNoEntry: false })?.isFile() === true;
  return names.filter((path) => path !== "" && isFile(path));
}
