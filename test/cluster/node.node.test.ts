import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Network } from "../support/netns.ts";
import { ownOwner } from "../support/owner.ts";
import { Program, run } from "../support/process.ts";
import { waitFor } from "../support/wait.ts";
import { ClusterNode } from "./node.ts";
import { TOOL_IMAGE } from "./tool-image.ts";

const UP_MS = 180_000;
const GROUPS = "/sys/fs/cgroup";

/** Names that carry an owner's mark, wherever a node leaves some. */
async function traces(owner: string): Promise<readonly string[]> {
  const of = (folder: string): readonly string[] =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  const { stdout: mounts } = await run(["mount"]);
  const { stdout: links } = await run(["ip", "-o", "link"]);
  const places = [...of(tmpdir()), ...of("/run/netns"), ...of(GROUPS).flatMap(of)];
  return [...places, ...mounts.split("\n"), ...links.split("\n")].filter((text) =>
    text.includes(`fairlead-${owner}`),
  );
}

test("killed outright, a node's programs end with it, and the next start removes the rest", async () => {
  const script = join(import.meta.dirname, "start-node.ts");
  // Its own mark: a program started by a test carries the test's otherwise.
  const program = Program.start([process.execPath, script], {
    environment: { FAIRLEAD_OWNER: "" },
  });
  await program.waitForOutput(/^up: /m, UP_MS);
  const owner = /fairlead-(\d+-\d+)-/.exec(program.stdout)?.[1] ?? "";
  assert.notEqual(owner, "");
  program.signal("SIGKILL");
  await program.waitForEnd();
  assert.notDeepEqual(await traces(owner), [], "what is to be removed can be seen");
  await using network = await Network.create();
  await using node = await ClusterNode.start(network, []);
  await waitFor("the end of its traces", async () => (await traces(owner)).length === 0);
  await checkPods(node);
  await node[Symbol.asyncDispose]();
  await network[Symbol.asyncDispose]();
  const left = (await traces(ownOwner())).filter((text) => !text.startsWith(tmpdir()));
  assert.deepEqual(left, []);
});

/** What every pod relies on and a tunnel must not break later. */
async function checkPods({ plane }: ClusterNode): Promise<void> {
  const serve = "echo hello > /tmp/page; echo started; exec httpd -f -p 8080 -h /tmp";
  await plane.kubectl("create", "service", "clusterip", "web", "--tcp=80:8080");
  const place = ["--labels=app=web", `--image=${TOOL_IMAGE}`, "--command", "--"];
  await plane.kubectl("run", "web", ...place, "sh", "-c", serve);
  await plane.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=25s");
  assert.equal(await plane.kubectl("logs", "web"), "started\n");
  await waitFor("an answer by the Service's name", async () => {
    const fetched = ["wget", "-qO-", "http://web.default.svc.cluster.local/page"];
    const { output } = await plane.kubectlWith("", "exec", "web", "--", ...fetched);
    return output === "hello\n";
  });
}
