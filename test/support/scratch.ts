/**
 * A folder for one test's files and sockets, outside the tree, removed with its contents; what a
 * killed run left is removed by the next one.
 */
import { readdirSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { isOwnerAlive, ownOwner } from "./owner.ts";

const NAME_PATTERN = /^fairlead-(\d+-\d+)-\w+$/;

/** A temporary folder for `await using`. */
export class Scratch implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<Scratch> {
    sweepScratch();
    return new Scratch(await mkdtemp(join(tmpdir(), `fairlead-${ownOwner()}-`)));
  }

  /** A path inside the folder. */
  file(name: string): string {
    return join(this.path, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** Where things that are slow to make are kept between runs. */
export function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "fairlead");
}

function sweepScratch(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = NAME_PATTERN.exec(name)?.[1];
    if (owner === undefined || isOwnerAlive(owner)) continue;
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}
