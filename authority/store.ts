/**
 * The state directory: small secret files that must survive a restart and a crash. One folder per
 * tunnel, `<directory>/<namespace>/<tunnel>/`. Each file is written beside its place and renamed
 * into it, mode 0600 in folders of mode 0700.
 *
 * Invariant: a reader sees the old content or the new, never a part; and whoever changes several
 * files holds the folder's lock, so that two processes never make two authorities.
 */

import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { StoreError } from "./authority-error.ts";

/** The files of one tunnel. Names are single path components. */
export interface Store {
  /** Where the files are, for messages. */
  readonly directory: string;
  /** The file's text, or undefined when it does not exist. */
  read(name: string): Promise<string | undefined>;
  /** Replaces the file at once. */
  write(name: string, text: string): Promise<void>;
  /** Runs `work` while no other process (and no other call here) does so for this folder. */
  locked<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** A lock is asked for this often, in all for about ten seconds: issuing takes milliseconds. */
const LOCK_ATTEMPTS_MAX = 200;
const LOCK_PAUSE_MS = 50;

/** Opens (and makes, when missing) the folder of one tunnel under the state directory. */
export async function openStore(
  stateDirectory: string,
  tunnel: { readonly namespace: string; readonly name: string },
): Promise<Store> {
  const directory = join(
    stateDirectory,
    pathComponent(tunnel.namespace),
    pathComponent(tunnel.name),
  );
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chmod(directory, 0o700);
  } catch (error) {
    throw unusable(stateDirectory, "made", error);
  }
  return {
    directory,
    read: (name) => readIfThere(join(directory, pathComponent(name))),
    write: (name, text) => writeWhole(join(directory, pathComponent(name)), text),
    locked: (work) => withLock(join(directory, ".lock"), work),
  };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw unusable(path, "read", error);
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw unusable(dirname(path), "written", error);
  }
}

async function withLock<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  for (let attempt = 0; attempt < LOCK_ATTEMPTS_MAX; attempt++) {
    if (await takeLock(path)) {
      try {
        return await work();
      } finally {
        await rm(path, { force: true });
      }
    }
    const stale = await staleHolder(path);
    if (stale === undefined) await sleep(LOCK_PAUSE_MS);
    else await stealLock(path, stale);
  }
  throw new StoreError(
    `another process holds ${path} for too long: end it, or remove that file if no fairlead is running`,
  );
}

async function takeLock(path: string): Promise<boolean> {
  try {
    await writeFile(path, `${process.pid}\n`, { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw unusable(dirname(path), "locked", error);
  }
}

/** The content of a lock whose process is gone (kill -9): nobody's. Undefined: somebody holds it. */
async function staleHolder(path: string): Promise<string | undefined> {
  const content = await readIfThere(path);
  const holder = Number.parseInt(content ?? "", 10);
  if (!Number.isInteger(holder) || holder <= 0 || holder === process.pid) return undefined;
  try {
    process.kill(holder, 0);
    return undefined;
  } catch (error) {
    return codeOf(error) === "ESRCH" ? content : undefined;
  }
}

/**
 * Renames a stale lock away: of two who found it, one succeeds. The slower one may catch the fresh
 * lock of the faster; it sees that by the content and puts it back.
 */
async function stealLock(path: string, stale: string): Promise<void> {
  const grave = `${path}.${randomBytes(6).toString("hex")}.stale`;
  try {
    await rename(path, grave);
    if ((await readIfThere(grave)) !== stale) await link(grave, path);
  } catch (error) {
    const code = codeOf(error);
    if (code !== "ENOENT" && code !== "EEXIST") throw unusable(dirname(path), "locked", error);
  }
  await rm(grave, { force: true });
}

function pathComponent(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(name)) return name;
  throw new StoreError(
    `"${name}" cannot name a file in the state directory: use letters, digits, dot and dash`,
  );
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

function unusable(path: string, done: string, cause: unknown): StoreError {
  return new StoreError(
    `${path} cannot be ${done} (${codeOf(cause) ?? "unknown error"}): choose a state directory that root can write with --state`,
    cause,
  );
}
