/** `fairlead doctor` on a host: it names the trouble, and its advice, carried out, ends it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { dialDocuments, listenDocuments, writeDocuments } from "../test/support/documents.ts";
import { printProfile, startFairlead } from "../test/support/fairlead-peer.ts";
import { createHosts, ping } from "../test/support/hosts.ts";
import { type Namespace, Network } from "../test/support/netns.ts";
import { ensureCommands } from "../test/support/packages.ts";
import { Scratch } from "../test/support/scratch.ts";
import { ExitStatus } from "./exit-status.ts";

const LAUNCHER = join(import.meta.dirname, "..", "fairlead");
const FILTER = "table ip filter { chain f { type filter hook forward priority 0; policy drop; }; }";

interface Found {
  readonly code: string;
  readonly step: string;
}

test("what is wrong beside a tunnel that is up is named, and its advice mends it", {
  timeout: 120_000,
}, async () => {
  await ensureCommands(["nft", "sysctl"]);
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { near, far } = await createHosts(network, ["near", "far"]);
  const nearFile = await writeDocuments(
    scratch.file("near.yaml"),
    listenDocuments({ peers: ["box"] }),
  );
  const nearPlace = { folder: scratch.file("near") };
  stack.use(await startFairlead(near, [nearFile], nearPlace));
  const profile = await printProfile("box", nearFile, nearPlace);
  const farFile = await writeDocuments(scratch.file("far.yaml"), dialDocuments({ profile }));
  const farPlace = { folder: scratch.file("far") };
  const ours = stack.use(await startFairlead(far, [farFile], farPlace));
  await ours.waitUntilUp();
  const look = async (host: Namespace, { folder }: { folder: string }): Promise<Found[]> => {
    const command = [LAUNCHER, "doctor", "-o", "json", "--run", join(folder, "run")];
    const { status, stdout, stderr } = await host.try(command);
    const { findings } = JSON.parse(stdout || stderr) as { findings: Found[] };
    assert.equal(status, findings.length === 0 ? ExitStatus.Fine : ExitStatus.ProblemsFound);
    return findings;
  };
  // The profile's own routes would do it: take them away, as another program does.
  for (const [flag, route] of [
    ["-4", "224.0.0.0/4"],
    ["-6", "ff00::/8"],
  ] as const) {
    await far.try(["ip", flag, "route", "del", route, "dev", "seg0"]);
  }
  const elsewhere = await look(far, farPlace);
  assert.deepEqual(
    elsewhere.map(({ code }) => code),
    ["MulticastElsewhere", "MulticastElsewhere"],
  );
  for (const { step } of elsewhere) await far.run(step.replace(/^.* or: /, "").split(" "));
  assert.deepEqual(await look(far, farPlace), []);

  const lan = await network.namespace("lan");
  await network.cable({ namespace: lan, interface: "lan0" }, { namespace: near, interface: "p0" });
  await lan.addresses("lan0", "10.20.0.99/24");
  await near.bridge("br-lan", "p0", "seg0");
  await near.run(["sysctl", "-q", "net.bridge.bridge-nf-call-iptables=1"]);
  await near.run(["nft", FILTER]);
  const { address = "" } = (await ours.tunnel())?.peers[0] ?? {};
  assert.equal((await ping(lan, address)).received, 0, `${address} is cut off by the filter`);
  const [filtered, ...others] = await look(near, nearPlace);
  assert.equal(filtered?.code, "BridgeFiltered");
  assert.deepEqual(others, []);
  await near.run(filtered.step.split(",")[0]?.split(" ") ?? []);
  assert.deepEqual(await look(near, nearPlace), []);
  assert.equal((await ping(lan, address)).received, 3);
});
