/** A peer that floods its segment as fast as the machine makes frames, and the others beside it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dialDocuments, listenDocuments, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts, ping } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import { stormCommand } from "../support/storm.ts";
import { waitFor } from "../support/wait.ts";

const FRAME_BYTES = 1400;
const UDP_BYTES: number = FRAME_BYTES - 14 - 28;
const PINGS = 100;
const INTERVAL_SECONDS = 0.02;
const STORM_FRAMES_MIN = 1000;

interface World extends AsyncDisposable {
  readonly ours: FairleadPeer;
  readonly server: Namespace;
  readonly stormy: Namespace;
  readonly victim: Namespace;
}

/** A gateway, a peer of ours that will storm, and a stock one that will ping. */
async function connect(): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { server, stormy, victim } = await createHosts(network, ["server", "stormy", "victim"]);
  const file = await writeDocuments(
    scratch.file("server.yaml"),
    listenDocuments({ peers: ["stormy", "victim"] }),
  );
  const place = { folder: scratch.file("server") };
  const ours = stack.use(await startFairlead(server, [file], place));
  await ours.waitUntilUp();
  const profile = await printProfile("stormy", file, place);
  const dialFile = await writeDocuments(scratch.file("stormy.yaml"), dialDocuments({ profile }));
  const peer = stack.use(
    await startFairlead(stormy, [dialFile], { folder: scratch.file("stormy") }),
  );
  await peer.waitUntilUp();
  const stock = stack.use(
    await OpenvpnPeer.start({
      namespace: victim,
      folder: scratch.file("victim"),
      config: await printProfile("victim", file, place),
      release: "2.6",
    }),
  );
  await stock.waitUntilUp();
  await ours.waitForPeer("victim");
  const kept = stack.move();
  return { ours, server, stormy, victim, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

interface Count {
  readonly atMs: number;
  readonly offered: number;
  readonly arrived: number;
  readonly dropped: number;
  /** Datagrams that the gateway's kernel dropped, since nobody read them in time. */
  readonly unread: number;
}

async function count({ ours, server, stormy }: World): Promise<Count> {
  const tunnel = await ours.tunnel();
  const offered = (await stormy.interfaceCounters()).get("seg0")?.sentFrames ?? 0;
  const traffic = tunnel?.peers.find(({ name }) => name === "stormy")?.traffic;
  const dropped = tunnel?.counters["switch.stormBroadcast"] ?? 0;
  const snmp = await server.run(["cat", "/proc/net/snmp"]);
  const unread = Number(/^Udp: (?:\d+ ){4}(\d+)/m.exec(snmp)?.[1] ?? 0);
  return { atMs: performance.now(), offered, arrived: traffic?.packetsIn ?? 0, dropped, unread };
}

test("a storm of 1,400-byte broadcasts from one peer leaves the others' pings alone", {
  timeout: 120_000,
}, async (context) => {
  await ensureCommands(["socat"]);
  await using world = await connect();
  const { stormy, victim } = world;
  await waitFor("the victim's first echo", async () => {
    return (await ping(victim, "10.20.0.1", { count: 1 })).received > 0 || undefined;
  });
  await using _storm = stormy.start(stormCommand("10.20.0.255", "seg0", UDP_BYTES));
  const calm = await count(world);
  await waitFor("the storm", async () => {
    return (await count(world)).dropped - calm.dropped > STORM_FRAMES_MIN || undefined;
  });
  const before = await count(world);
  const options = { count: PINGS, intervalSeconds: INTERVAL_SECONDS };
  const echoes = await ping(victim, "10.20.0.1", options);
  const after = await count(world);
  const seconds = (after.atMs - before.atMs) / 1000;
  const rate = (frames: number): string => {
    return `${Math.round((frames * FRAME_BYTES * 8) / seconds / 1e6)} Mbit/s`;
  };
  context.diagnostic(
    `offered ${rate(after.offered - before.offered)}, at the gateway ${rate(after.arrived - before.arrived)}, dropped there ${rate(after.dropped - before.dropped)}; ${after.unread - before.unread} not read in time; ${PINGS - echoes.received} of ${PINGS} pings lost`,
  );
  assert(after.dropped - before.dropped > STORM_FRAMES_MIN, "the storm went on");
  assert.deepEqual(echoes, { sent: PINGS, received: PINGS });
});
