/** The state directory: modes, whole writes, and a lock that survives a crash. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { StoreError } from "./authority-error.ts";
import { openStore, type Store } from "./store.ts";

const TUNNEL = { namespace: "lab", name: "testbed-a" };

async function temporary(context: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "fairlead-store-"));
  context.after(async () => await rm(directory, { recursive: true }));
  return directory;
}

async function newStore(context: TestContext): Promise<Store> {
  return await openStore(await temporary(context), TUNNEL);
}

test("files are the owner's alone and nothing temporary is left", async (context) => {
  const store = await newStore(context);
  assert.equal(await store.read("a.pem"), undefined);
  await store.write("a.pem", "one");
  await store.write("a.pem", "two");
  assert.equal(await store.read("a.pem"), "two");
  assert.equal((await stat(join(store.directory, "a.pem"))).mode & 0o777, 0o600);
  assert.equal((await stat(store.directory)).mode & 0o777, 0o700);
  assert.deepEqual(await readdir(store.directory), ["a.pem"]);
});

test("names that would leave the folder are refused", async (context) => {
  const directory = await temporary(context);
  for (const name of ["../x", "", ".", "..", "a/b", ".lock", "a\0b"]) {
    await assert.rejects(openStore(directory, { ...TUNNEL, name }), StoreError);
    const store = await openStore(directory, TUNNEL);
    assert.throws(() => store.read(name), StoreError);
  }
});

test("locked work never overlaps", async (context) => {
  const store = await newStore(context);
  let inside = 0;
  let worst = 0;
  const work = async (): Promise<void> => {
    inside++;
    worst = Math.max(worst, inside);
    await sleep(2);
    inside--;
  };
  await Promise.all(Array.from({ length: 8 }, () => store.locked(work)));
  assert.equal(worst, 1);
});

test("the lock is given back when the work fails", async (context) => {
  const store = await newStore(context);
  await assert.rejects(
    store.locked(() => Promise.reject(new StoreError("x"))),
    StoreError,
  );
  assert.equal(await store.locked(() => Promise.resolve("again")), "again");
});

test("the lock of a killed process is taken over", async (context) => {
  const store = await newStore(context);
  const child = spawn(process.execPath, ["-e", "0"]);
  await once(child, "exit");
  await writeFile(join(store.directory, ".lock"), `${child.pid}\n`);
  const results = await Promise.all([1, 2, 3].map((n) => store.locked(() => Promise.resolve(n))));
  assert.deepEqual(results, [1, 2, 3]);
  assert.deepEqual(await readdir(store.directory), []);
});

test("a state directory that cannot be made is an operating error with the next step", async (context) => {
  const directory = await temporary(context);
  await writeFile(join(directory, "file"), "");
  await assert.rejects(openStore(join(directory, "file"), TUNNEL), /--state/);
});
