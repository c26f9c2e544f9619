/** A tunnel that cannot be: its status, its one line, and the good tunnel beside it that goes on. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";
import { type Fault, prepareFaults } from "./faults.ts";
import {
  assertFlowing,
  createStanding,
  errorLines,
  goodDocuments,
  type Standing,
} from "./standing.ts";

/** A tunnel that was never up gives up after 30 s without an answer. */
const PATIENCE_MS = 60_000;

/** Those that take long begin first and are looked at last. */
const SLOW = ["wrong-key", "name"];

const stack = new AsyncDisposableStack();
let faults: readonly Fault[];
let client: Namespace;
let scratch: Scratch;
let standing: Standing;
let besides: readonly Fault[];
const early = new Map<string, FairleadPeer>();

before(async () => {
  const network = stack.use(await Network.create());
  scratch = stack.use(await Scratch.create());
  const hosts = await createHosts(network, ["client", "server"]);
  client = hosts.client;
  faults = await prepareFaults(hosts.server, scratch.path, stack);
  for (const fault of faults) {
    if (SLOW.includes(fault.name)) early.set(fault.name, stack.use(await startAlone(fault)));
  }
  await startBeside();
});

after(async () => await stack.disposeAsync());

/** All faults beside a good tunnel, by reading the files again. */
async function startBeside(): Promise<void> {
  standing = stack.use(await createStanding());
  const { host, other } = standing;
  besides = await prepareFaults(other, standing.scratch.path, stack);
  for (const { beside } of besides) if (beside !== undefined) stack.use(host.start(beside));
  const documents = besides.flatMap((fault) => fault.documents);
  await writeDocuments(standing.file, [...goodDocuments(), ...documents]);
  standing.ours.signal("SIGHUP");
}

async function startAlone(fault: Fault): Promise<FairleadPeer> {
  const { name, documents, beside } = fault;
  if (beside !== undefined) stack.use(client.start(beside));
  const file = await writeDocuments(scratch.file(`${name}.yaml`), documents);
  return await startFairlead(client, [file], { folder: scratch.file(name) });
}

test("each fault alone ends the process with its status and one line that says what to do", {
  timeout: 3 * PATIENCE_MS,
}, async (context) => {
  const order = [...faults].sort(
    (one, two) => Number(early.has(one.name)) - Number(early.has(two.name)),
  );
  for (const fault of order) {
    await context.test(`${fault.name}: status ${fault.status}`, async () => {
      const ours = early.get(fault.name) ?? (await startAlone(fault));
      assert.equal(await ours.waitForEnd(PATIENCE_MS), fault.status, ours.log);
      assertOneLine(ours.log, fault);
      const links = await client.run(["ip", "-o", "link"]);
      if (!early.has(fault.name)) assert(!links.includes(`f-${fault.name}`), links);
    });
  }
});

test("all faults at once beside a good tunnel do not touch it, and the status names each", {
  timeout: 2 * PATIENCE_MS,
}, async () => {
  const { ours } = standing;
  await waitFor(
    () => `all faults in the status: ${ours.log}`,
    async () => {
      const { refused = [] } = (await ours.document()) ?? {};
      return besides.every((fault) => refused.some(({ name }) => name === `lab/${fault.name}`));
    },
    PATIENCE_MS,
  );
  const { refused = [], tunnels = [] } = (await ours.document()) ?? {};
  for (const fault of besides) {
    const problems = refused.find(({ name }) => name === `lab/${fault.name}`)?.problems ?? [];
    assert.equal(problems.length, 1, fault.name);
    assert.match(problems[0] ?? "", fault.text);
    assertOneLine(ours.log, fault);
  }
  assert.deepEqual(
    tunnels.map(({ name, state }) => [name, state]),
    [["good", "Up"]],
  );
  await assertFlowing(standing);
  assert.equal(ours.status, undefined, "the process goes on");
});

function assertOneLine(log: string, fault: Fault): void {
  const lines = errorLines(log).filter(({ tunnel = "" }) => tunnel === `lab/${fault.name}`);
  assert.equal(lines.length, 1, `${fault.name}: ${log}`);
  assert.match(lines[0]?.msg ?? "", fault.text);
}
