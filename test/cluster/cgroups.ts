/**
 * The control groups of a test's node, one folder by the owner's name in every hierarchy, so that
 * the next start removes what a killed run left. Invariant: a folder is removed only when the process
 * that made it is gone, and only while nothing runs in it (cgroups(7): rmdir of one in use fails).
 */
import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { isOwnerAlive, ownOwner } from "../support/owner.ts";
import { waitFor } from "../support/wait.ts";

const ROOT = "/sys/fs/cgroup";
const NAME_PATTERN = /^fairlead-(\d+-\d+)$/;

/** A new folder of cpuset has no processors until somebody writes some. */
const INHERITED = ["cpuset.cpus", "cpuset.mems"];

/** Makes this process's group in every hierarchy; returns its path below each, as kubelet wants it. */
export async function makeControlGroup(): Promise<string> {
  sweepControlGroups();
  const name = `fairlead-${ownOwner()}`;
  for (const hierarchy of hierarchies()) {
    const folder = join(hierarchy, name);
    await mkdir(folder, { recursive: true });
    for (const file of INHERITED) {
      if (!existsSync(join(folder, file))) continue;
      writeFileSync(join(folder, file), readFileSync(join(hierarchy, file)));
    }
  }
  return `/${name}`;
}

/** Removes this process's group once what ran in it has ended. */
export async function removeControlGroup(): Promise<void> {
  const name = `fairlead-${ownOwner()}`;
  await waitFor(`the end of everything in the control group ${name}`, () => {
    for (const hierarchy of hierarchies()) removeTree(join(hierarchy, name));
    return hierarchies().every((hierarchy) => !existsSync(join(hierarchy, name)));
  });
}

/** Removes the groups of runs that are no more. */
function sweepControlGroups(): void {
  for (const hierarchy of hierarchies()) {
    for (const name of readdirSync(hierarchy)) {
      const owner = NAME_PATTERN.exec(name)?.[1];
      if (owner !== undefined && !isOwnerAlive(owner)) removeTree(join(hierarchy, name));
    }
  }
}

/** One folder with version 2, one for each controller with version 1. */
function hierarchies(): readonly string[] {
  if (existsSync(join(ROOT, "cgroup.procs"))) return [ROOT];
  return folders(ROOT).filter((path) => existsSync(join(path, "cgroup.procs")));
}

function removeTree(folder: string): void {
  if (!existsSync(folder)) return;
  for (const inner of folders(folder)) removeTree(inner);
  try {
    rmdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EBUSY" && code !== "ENOENT") throw error;
  }
}

function folders(parent: string): readonly string[] {
  return readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(parent, entry.name));
}
