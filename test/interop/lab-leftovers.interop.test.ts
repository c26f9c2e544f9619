/** The lab leaves nothing behind: stopped, it removes all; killed, the next start does. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sweepNamespaces } from "../support/netns.ts";
import { ownerOfProcess } from "../support/owner.ts";
import { Program } from "../support/process.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

const LAUNCHER = join(import.meta.dirname, "..", "..", "fairlead");
const TRAFFIC_FLOWS = /lanToWorkload4 \S+ \d+ [1-9]/;
const START_TIMEOUT_MS = 60_000;

/** Namespaces, folders and living processes that carry a pid's mark. */
function leftovers(pid: number): readonly string[] {
  const prefix = `fairlead-${pid}-`;
  const named = [...readdirSync("/run/netns"), ...readdirSync(tmpdir())];
  const processes = readdirSync("/proc").filter(
    (entry) => /^\d+$/.test(entry) && ownerOfProcess(Number(entry))?.startsWith(`${pid}-`) === true,
  );
  return [...named.filter((name) => name.startsWith(prefix)), ...processes];
}

test("a lab that is told to stop removes everything it made", async () => {
  await using lab = Program.start([LAUNCHER, "lab", "--peer", "openvpn", "--seconds", "100"]);
  await lab.waitForOutput(TRAFFIC_FLOWS, START_TIMEOUT_MS);
  const { pid } = lab;
  assert.notDeepEqual(leftovers(pid), []);
  assert.equal(await lab.stop(30_000), 0);
  assert.deepEqual(leftovers(pid), []);
});

test("what a lab leaves that was killed is swept by the next start", async () => {
  await using lab = Program.start([LAUNCHER, "lab", "--peer", "openvpn", "--seconds", "100"]);
  await lab.waitForOutput(TRAFFIC_FLOWS, START_TIMEOUT_MS);
  const { pid } = lab;
  process.kill(pid, "SIGKILL");
  await lab.waitForEnd();
  assert.notDeepEqual(leftovers(pid), []);
  await sweepNamespaces();
  await using _scratch = await Scratch.create();
  await waitFor(
    () => `nothing of ${pid} to be left: ${leftovers(pid).join(" ")}`,
    () => leftovers(pid).length === 0,
  );
});
