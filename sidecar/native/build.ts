/**
 * Builds the addon: `node sidecar/native/build.ts`. One invariant: `fairlead.node` is replaced as
 * a whole and only when its bytes changed, so a running process keeps the file it has mapped.
 *
 * Cargo's target directory is outside the tree: CARGO_TARGET_DIR, else
 * `$XDG_CACHE_HOME/fairlead/native`, so a second build takes a fraction of a second.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

// biome-ignore lint/style/noProcessEnv: this is a program of its own, not part of the sidecar.
const environment = process.env;
const folder = import.meta.dirname;
const addon = join(folder, "fairlead.node");

function say(line: string): void {
  process.stderr.write(`fairlead: ${line}\n`);
}

function isRunnable(program: string): boolean {
  return spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
}

function targetFolder(): string {
  const cache = environment["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return environment["CARGO_TARGET_DIR"] || join(cache, "fairlead", "native");
}

function missing(): string | undefined {
  if (!isRunnable("cargo")) return "cargo (Rust 1.88 or newer)";
  if (!isRunnable(environment["CC"] || "cc")) return "a C compiler (cc)";
  return undefined;
}

/** Puts the library in place if it differs from what is there. */
function install(library: string): void {
  const built = readFileSync(library);
  if (existsSync(addon) && readFileSync(addon).equals(built)) {
    // Its age says to the launcher that it was built from what is there now.
    utimesSync(addon, new Date(), new Date());
    return;
  }
  const temporary = `${addon}.${process.pid}`;
  writeFileSync(temporary, built, { mode: 0o755 });
  renameSync(temporary, addon);
}

/** Builds; the exit status. */
function build(): number {
  const lack = missing();
  if (lack !== undefined) {
    // An image carries the addon without the tools that made it.
    if (existsSync(addon)) return 0;
    say(`the native addon cannot be built: ${lack} is missing`);
    return 1;
  }
  const target = targetFolder();
  const cargo = ["build", "--release", "--locked", "--quiet", "--manifest-path"];
  if (!existsSync(addon)) say("building the native addon, a minute or two the first time");
  const run = spawnSync("cargo", [...cargo, join(folder, "Cargo.toml")], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...environment, CARGO_TARGET_DIR: target },
  });
  if (run.status !== 0) {
    say("the native addon cannot be built: cargo failed, see above");
    return 1;
  }
  install(join(target, "release", "libfairlead_native.so"));
  return 0;
}

process.exitCode = build();
