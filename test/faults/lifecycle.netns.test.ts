/** Starting, stopping, being killed, and reading the files again, and what is left of it. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { dialDocuments, listenDocuments, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts, PingStream, ping } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { Scratch } from "../support/scratch.ts";
import { pause, waitFor } from "../support/wait.ts";
import { assertFlowing, createStanding, errorLines, GOOD_PEER, goodDocuments } from "./standing.ts";

const MINUTE = { timeout: 60_000 };
const NEW_PEER = "new-peer";

/** A gateway on a bridge of its own NIC, and a workload with routes: all that leaves traces. */
interface World extends AsyncDisposable {
  readonly server: Namespace;
  readonly client: Namespace;
  readonly start: (host: "server" | "client") => Promise<FairleadPeer>;
}

async function createWorld(): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { server, client } = await createHosts(network, ["server", "client"]);
  const lan = await network.namespace("lan");
  await network.cable(
    { namespace: server, interface: "lan0" },
    { namespace: lan, interface: "eth0" },
  );
  await lan.addresses("eth0", "10.20.0.7/24");
  const listen = listenDocuments({
    peers: ["box"],
    spec: {
      // A network card, not a bridge: the bridge is made and has to go again.
      gateway: { bridge: { interface: "lan0" } },
      workloads: undefined,
      addresses: { segment: "10.20.0.0/24", pool: "10.20.0.200-10.20.0.239" },
    },
  });
  const files = {
    server: await writeDocuments(scratch.file("server.yaml"), listen),
    client: scratch.file("client.yaml"),
  };
  const place = { folder: scratch.file("server") };
  const profile = await printProfile("box", files.server, place);
  const spec = { multicast: { routes: ["224.0.0.0/4", "ff00::/8"] } };
  await writeDocuments(files.client, dialDocuments({ profile, spec }));
  for (const host of [server, client]) {
    await waitFor("link-local addresses past their checks", async () => {
      const text = await host.run(["ip", "-6", "address"]);
      return !text.includes("tentative");
    });
  }
  const kept = stack.move();
  return {
    server,
    client,
    start: async (host) => {
      const namespace = host === "server" ? server : client;
      const options = { folder: scratch.file(host), parameters: ["--keep-trying"] };
      const peer = await startFairlead(namespace, [files[host]], options);
      await peer.waitForLog(host === "server" ? /"msg":"tunnel started"/ : /"msg":"address taken/);
      return kept.use(peer);
    },
    [Symbol.asyncDispose]: async () => await kept.disposeAsync(),
  };
}

/** Interfaces, masters, addresses and routes of a host, without what counts or ages. */
async function traces(host: Namespace): Promise<string> {
  const links = JSON.parse(await host.run(["ip", "-j", "link"])) as readonly Record<
    string,
    unknown
  >[];
  const lines = links.map(({ ifname, master, ifalias }) => [ifname, master, ifalias].join(" "));
  for (const family of ["-4", "-6"]) {
    lines.push(await host.run(["ip", family, "-o", "address"]));
    lines.push(await host.run(["ip", family, "route", "show", "table", "all"]));
  }
  return lines.join("\n").replace(/ (expires|valid_lft|preferred_lft) \S+/g, "");
}

test("SIGTERM: interfaces, bridges, routes and addresses are gone", MINUTE, async () => {
  await using world = await createWorld();
  const { server, client } = world;
  const before = [await traces(server), await traces(client)];
  const gateway = await world.start("server");
  const box = await world.start("client");
  assert.deepEqual(await ping(client, "10.20.0.7"), { sent: 3, received: 3 });
  const during = [await traces(server), await traces(client)];
  assert.match(during[0] ?? "", /flbr-segment/);
  assert.match(
    during[1] ?? "",
    /multicast 224\.0\.0\.0\/4 dev seg0 .*proto 250|224\.0\.0\.0\/4 dev seg0 proto 250/,
  );
  box.signal("SIGTERM");
  assert.equal(await box.waitForEnd(), 0, box.log);
  gateway.signal("SIGTERM");
  assert.equal(await gateway.waitForEnd(), 0, gateway.log);
  assert.equal(await traces(server), before[0]);
  assert.equal(await traces(client), before[1]);
});

test("kill -9 and a second start: it works, and a stop leaves nothing", MINUTE, async () => {
  await using world = await createWorld();
  const { server, client } = world;
  const before = [await traces(server), await traces(client)];
  for (const peer of [await world.start("server"), await world.start("client")]) {
    peer.signal("SIGKILL");
    assert.equal(await peer.waitForEnd(), 137);
  }
  assert.notEqual(await traces(server), before[0], "a killed process leaves its bridge");
  const gateway = await world.start("server");
  const box = await world.start("client");
  assert.deepEqual(await ping(client, "10.20.0.7"), { sent: 3, received: 3 });
  const bridges = (await server.run(["ip", "-o", "link"])).match(/: flbr-[^:@]*/g);
  assert.deepEqual(bridges, [": flbr-segment"]);
  assert.equal(await box.stop(), 0, box.log);
  assert.equal(await gateway.stop(), 0, gateway.log);
  assert.equal(await traces(server), before[0]);
  assert.equal(await traces(client), before[1]);
});

test(
  "SIGHUP: a new peer connects, a deleted one is cut off, nobody else loses a frame",
  MINUTE,
  async (context) => {
    await using standing = await createStanding();
    const { ours, file, third, scratch, place, other } = standing;
    await using quick = new PingStream(other, "10.20.0.1", 0.002);
    await writeDocuments(file, goodDocuments([GOOD_PEER, NEW_PEER]));
    ours.signal("SIGHUP");
    await ours.waitForLog(
      /peers, users, certificates, revocations and segment settings updated, no frame dropped/,
    );
    await using stock = await OpenvpnPeer.start({
      namespace: third,
      folder: scratch.file("third"),
      config: `${await printProfile(NEW_PEER, file, place)}\ndev new0\n`,
    });
    await stock.waitUntilUp();
    assert.deepEqual(await ping(third, "10.20.0.1"), { sent: 3, received: 3 });
    await writeDocuments(file, goodDocuments());
    const startMs = performance.now();
    ours.signal("SIGHUP");
    await ours.waitForLog(/"peer":"new-peer".*the peer was deleted/);
    const cutMs = performance.now() - startMs;
    context.diagnostic(`cut off after ${cutMs.toFixed(0)} ms`);
    assert(cutMs < 1000, `${cutMs} ms`);
    const frames = { count: 3, intervalSeconds: 0.1 };
    assert.equal((await ping(third, "10.20.0.1", frames)).received, 0, "it is cut off");
    const state = (await ours.tunnel())?.peers.map((peer) => [peer.name, peer.state]);
    assert.deepEqual(state, [[GOOD_PEER, "Up"]]);
    await assertFlowing(standing);
    await quick.finish();
    assert.deepEqual(quick.missing(), []);
  },
);

for (const [what, text] of [
  ["is not YAML", "kind: VpnTunnel\nspec: ["],
  ["is empty", ""],
  ["is not valid", undefined],
] as const) {
  test(`SIGHUP with a file that ${what} keeps the tunnel and says so`, MINUTE, async () => {
    await using standing = await createStanding();
    const { ours, file } = standing;
    if (text === undefined) {
      const [tunnel, ...peers] = goodDocuments();
      const spec = { ...(tunnel?.["spec"] as object), transport: { mtu: 100 } };
      await writeDocuments(file, [{ ...tunnel, spec }, ...peers]);
    } else await writeFile(file, text);
    ours.signal("SIGHUP");
    await waitFor(
      () => `an error: ${ours.log}`,
      () => errorLines(ours.log).length > 0,
    );
    await pause(500);
    await assertFlowing(standing);
    assert.equal(errorLines(ours.log).length, 1, ours.log);
    assert.equal((await ours.tunnel())?.state, "Up");
    // The repaired file is taken again.
    await writeDocuments(file, goodDocuments([GOOD_PEER, NEW_PEER]));
    ours.signal("SIGHUP");
    await ours.waitForLog(/peers, users, certificates, revocations and segment settings updated/);
    await assertFlowing(standing);
  });
}
