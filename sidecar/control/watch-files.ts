/**
 * Tells when one of the resource files changed, by its time and size, twice a second. Invariant:
 * it does not keep the program alive, and tells nothing after `close`.
 */
import { type Stats, unwatchFile, watchFile } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** A revoked peer is to be cut off within a second of the list being saved. */
const LOOK_MS = 400;

/** Watches files, and the files that folders hold now. */
export async function watchFiles(
  paths: readonly string[],
  changed: () => void,
): Promise<{ close(): void }> {
  const files = (await Promise.all(paths.map(filesAt))).flat();
  const listener = (now: Stats, before: Stats): void => {
    if (now.mtimeMs !== before.mtimeMs || now.size !== before.size) changed();
  };
  for (const file of files) watchFile(file, { interval: LOOK_MS, persistent: false }, listener);
  return {
    close: () => {
      for (const file of files) unwatchFile(file, listener);
    },
  };
}

/** What cannot be read is looked at all the same: loading says what is wrong with it. */
async function filesAt(path: string): Promise<string[]> {
  try {
    return [path, ...(await readdir(path)).map((name) => join(path, name))];
  } catch (error) {
    // ENOTDIR for a file, ENOENT, EACCES and their like for what loading will complain about.
    if (!(error instanceof Error && "code" in error)) throw error;
    return [path];
  }
}
