/** Frames of every shape through a real tunnel: jumbo, the shortest, one VLAN tag and two. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { dialDocuments, listenDocuments, writeDocuments } from "../support/documents.ts";
import { printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts, ping } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";

const ALL = { sent: 3, received: 3 };
const IP_ICMP_BYTES = 28;
const ETHERNET_BYTES = 14;
const TAG_BYTES = 4;
const SOURCE_MAC = "02:00:00:00:00:42";

/** Echoes of exactly so many bytes of IP, never cut. */
async function echoes(from: Namespace, address: string, ipBytes: number): Promise<number> {
  const size = String(ipBytes - IP_ICMP_BYTES);
  const { stdout } = await from.try(
    ["ping", "-nq", "-M", "do", "-s", size, "-c", "3", "-i", "0.1", "-W", "2", address],
    { timeoutMs: 30_000 },
  );
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

test("jumbo, shortest, tagged and twice tagged frames cross, and none is cut", {
  timeout: 120_000,
}, async (context) => {
  await ensureCommands(["socat", "tcpdump"]);
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const { gateway, client } = await createHosts(network, ["gateway", "client"]);
  const transport = { mtu: 9000 };
  const documents = listenDocuments({ peers: ["app"], transport });
  const file = await writeDocuments(scratch.file("gateway.yaml"), documents);
  const place = { folder: scratch.file("gateway") };
  await using ours = await startFairlead(gateway, [file], place);
  await ours.waitUntilUp();
  const profile = await printProfile("app", file, place);
  const dialled = dialDocuments({ profile, transport });
  const dialFile = await writeDocuments(scratch.file("client.yaml"), dialled);
  await using theirs = await startFairlead(client, [dialFile], { folder: scratch.file("client") });
  await theirs.waitUntilUp();
  assert.deepEqual(await ping(client, "10.20.0.1"), ALL);

  await context.test("jumbo frames, where the underlay cuts the datagrams", async () => {
    assert.equal(await echoes(client, "10.20.0.1", 9000), 3);
  });
  await context.test("the shortest frame that IP makes", async () => {
    assert.equal(await echoes(client, "10.20.0.1", IP_ICMP_BYTES), 3);
  });
  const longest = 9000 + ETHERNET_BYTES + TAG_BYTES;
  const shapes: readonly [string, Buffer][] = [
    ["a header and nothing else", frame("", ETHERNET_BYTES)],
    ["one tag (802.1Q), the shortest", frame("81000007", 60)],
    ["one tag, the longest", frame("81000007", longest)],
    ["two tags (802.1ad), carried whole", frame("88a80064 81000005", 64)],
    ["two tags, the longest", frame("88a80064 81000005", longest - TAG_BYTES)],
    ["three tags", frame("88a80064 88a80065 81000005", 90)],
  ];
  for (const [name, bytes] of shapes) {
    await context.test(`${name}, ${bytes.length} bytes`, async () => {
      await crosses({ from: client, to: gateway, scratch }, bytes);
      await crosses({ from: gateway, to: client, scratch }, bytes);
    });
  }
  const stations = (await ours.tunnel())?.stations ?? [];
  const vlans = stations.filter(({ mac }) => mac === SOURCE_MAC).map(({ vlan }) => vlan);
  vlans.sort((one, other) => one - other);
  assert.deepEqual(vlans, [0, 7, 100], "the outer tag is the station's VLAN");
  const counters = (await ours.tunnel())?.counters ?? {};
  assert.deepEqual([counters["switch.runt"], counters["tap.frameTooBig"]], [0, 0]);
});

/** A broadcast frame of so many bytes with these tags, and content that is no protocol's. */
function frame(tags: string, bytes: number): Buffer {
  const head = `ffffffffffff ${SOURCE_MAC} ${tags} 88b6`.replaceAll(/[ :]/g, "");
  const start = Buffer.from(head, "hex");
  const content = Buffer.alloc(Math.max(0, bytes - start.length));
  for (let at = 0; at < content.length; at++) content[at] = (at * 7 + bytes) & 0xff;
  return Buffer.concat([start, content]);
}

/** The frame as it was sent is among what the far end's interface gets. */
async function crosses(
  { from, to, scratch }: { from: Namespace; to: Namespace; scratch: Scratch },
  bytes: Buffer,
): Promise<void> {
  await writeFile(scratch.file("frame"), bytes);
  const file = scratch.file(`seen-${to.label}`);
  const command = ["tcpdump", "-i", "seg0", "-U", "--immediate-mode", "-Q", "in", "-w", file];
  await using tcpdump = to.start(command);
  await tcpdump.waitForOutput(/listening on/);
  await from.run(["socat", "-u", "-b", "10000", `OPEN:${scratch.file("frame")}`, "INTERFACE:seg0"]);
  await waitFor(
    () => `${bytes.subarray(0, 30).toString("hex")} at ${to.label}`,
    async () => (await readFile(file)).includes(bytes) || undefined,
  );
}
