/** Groups through a routed gateway: stock clients on tun, this host, and a LAN behind it. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { Capture } from "../lab/guest.ts";
import { listenDocuments, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts } from "../support/hosts.ts";
import { type Group, MulticastReceiver, MulticastSender } from "../support/multicast.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { ensureCommands } from "../support/packages.ts";
import { Scratch } from "../support/scratch.ts";
import { pause, waitFor } from "../support/wait.ts";

const TIME = { timeout: 120_000 };
const NAMES = ["alpha", "beta"] as const;
const SEND_MS = 20;
const GROUP: Group = { family: 4, address: "239.7.1.1", port: 5701, hops: 4 };
const LAN_NETWORK = "10.96.0.0/16";

interface World extends AsyncDisposable {
  readonly ours: FairleadPeer;
  readonly server: Namespace;
  readonly alpha: Namespace;
  readonly beta: Namespace;
  readonly network: Network;
  readonly scratch: Scratch;
}

async function connect(proxy: boolean): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { server, ...hosts } = await createHosts(network, ["server", ...NAMES]);
  const documents = listenDocuments({
    peers: NAMES,
    spec: {
      mode: "Routed",
      routes: { fromSegment: [LAN_NETWORK] },
      multicast: proxy ? { proxy } : {},
    },
  });
  const file = await writeDocuments(scratch.file("server.yaml"), documents);
  const place = { folder: scratch.file("server") };
  const ours = stack.use(await startFairlead(server, [file], place));
  await ours.waitUntilUp();
  for (const name of NAMES) {
    const profile = await printProfile(name, file, place);
    const stock = stack.use(
      await OpenvpnPeer.start({
        namespace: hosts[name],
        folder: scratch.file(name),
        config: profile.replaceAll("dev seg0", "dev tun0"),
        release: name === "beta" ? "2.7" : "2.6",
      }),
    );
    await stock.waitUntilUp();
    await ours.waitForPeer(name);
    // Without the proxy no profile brings this route; the program is the same in both cases.
    if (!proxy) await hosts[name].ip("route add 224.0.0.0/4 dev tun0");
  }
  const kept = stack.move();
  const { alpha, beta } = hosts;
  return {
    ...{ ours, server, alpha, beta, network, scratch },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** What status says of one counter. */
async function counted({ ours }: World, name: string): Promise<number> {
  return (await ours.tunnel())?.counters[name] ?? 0;
}

test("without the proxy a routed tunnel carries no group", TIME, async () => {
  await using world = await connect(false);
  const { alpha, beta } = world;
  await using receiver = await MulticastReceiver.start(alpha, GROUP);
  await using sender = await MulticastSender.start(beta, GROUP, SEND_MS);
  await waitFor("the router to refuse groups", async () => {
    return (await counted(world, "router.group")) > 20 || undefined;
  });
  assert(sender.frames > 0);
  assert.equal(receiver.frames, 0);
  assert.deepEqual((await world.ours.tunnel())?.groups, []);
});

test(
  "with the proxy unmodified programs beside stock clients hear each other",
  TIME,
  async (context) => {
    await ensureCommands(["tcpdump", "smcroutectl"]);
    await using world = await connect(true);
    const { alpha, beta } = world;
    await context.test(
      "joined by the profile's route, one hop less, and no more after the leave",
      async () => {
        const filter = `udp and dst host ${GROUP.address}`;
        await using capture = await Capture.start(alpha, "tun0", filter);
        await using others = await Capture.start(alpha, "tun0", `${filter} and ip[8] != 3`);
        await using sender = await MulticastSender.start(beta, GROUP, SEND_MS);
        await waitFor("packets that nobody joined", async () => {
          return (await counted(world, "switch.groupUnknown")) > 10 || undefined;
        });
        assert.equal(capture.lines.length, 0, "a peer that never joined receives nothing");
        {
          await using receiver = await MulticastReceiver.start(alpha, GROUP);
          assert.equal(await receiver.joinedInterface(), "tun0");
          await waitFor("datagrams at alpha", () => receiver.frames > 20 || undefined);
          const groups = (await world.ours.tunnel())?.groups ?? [];
          const group = groups.find((one) => one.group === GROUP.address);
          assert.deepEqual(
            group?.joinedBy.map(({ behind }) => behind),
            ["alpha"],
          );
          assert.equal(receiver.duplicates, 0);
        }
        await waitFor("the leave", async () => {
          const groups = (await world.ours.tunnel())?.groups ?? [];
          return groups.every(({ joinedBy }) => joinedBy.length === 0) || undefined;
        });
        const left = capture.lines.length;
        await pause(500);
        assert(capture.lines.length - left <= 2, "it goes on after the leave");
        assert(sender.frames > 20);
        assert.equal(others.lines.length, 0, "of four hops one is taken off");
      },
    );
    await hearsOnHost(context, world);
    await context.test("IPv6, with MLDv2 and a group of everybody's choice", async () => {
      const group: Group = {
        family: 6,
        address: "ff35:30:2001:db8::1",
        port: 5702,
        hops: 4,
        interface: "tun0",
      };
      await using receiver = await MulticastReceiver.start(alpha, group);
      await using _sender = await MulticastSender.start(beta, group, SEND_MS);
      await waitFor("datagrams at alpha", () => receiver.frames > 20 || undefined);
    });
    await reachesLan(context, world);
  },
);

/** The kernel's own multicast routing takes it from there, with whatever program directs it. */
async function reachesLan(context: TestContext, world: World): Promise<void> {
  const { alpha, beta, server } = world;
  await context.test(
    "a LAN behind the gateway, both ways, by Debian's smcroute on it",
    async () => {
      const lan = await world.network.namespace("lan");
      await world.network.cable(
        { namespace: lan, interface: "eth0" },
        { namespace: server, interface: "lan0" },
      );
      await server.addresses("lan0", "10.96.0.1/16");
      await lan.addresses("eth0", "10.96.0.9/16");
      await lan.ip("route add default via 10.96.0.1");
      const toLan: Group = { ...GROUP, address: "239.7.1.3", port: 5703 };
      const toPeers: Group = { ...GROUP, address: "239.7.1.4", port: 5704 };
      const config = await writeRoutes(world.scratch.file("smcroute.conf"), toLan, toPeers);
      const socket = world.scratch.file("smcroute.sock");
      const parameters = ["-n", "-N", "-l", "debug", "-f", config, "-u", socket];
      await using routes = server.start(["smcrouted", ...parameters]);
      await using onLan = await MulticastReceiver.start(lan, toLan);
      await using _fromBeta = await MulticastSender.start(beta, toLan, SEND_MS);
      await waitFor(
        () => `datagrams on the LAN: ${routes.output}`,
        () => onLan.frames > 20 || undefined,
      );
      await using onAlpha = await MulticastReceiver.start(alpha, toPeers);
      await using _fromLan = await MulticastSender.start(lan, toPeers, SEND_MS);
      await waitFor(
        () => `datagrams of the LAN: ${routes.output}`,
        () => onAlpha.frames > 20 || undefined,
      );
    },
  );
}

async function writeRoutes(path: string, toLan: Group, toPeers: Group): Promise<string> {
  const lines = [
    "phyint seg0 enable",
    "phyint lan0 enable",
    `mgroup from seg0 group ${toLan.address}`,
    `mroute from seg0 group ${toLan.address} to lan0`,
    `mroute from lan0 group ${toPeers.address} to seg0`,
  ];
  await writeFile(path, `${lines.join("\n")}\n`);
  return path;
}

async function hearsOnHost(context: TestContext, world: World): Promise<void> {
  const { alpha, beta, server } = world;
  await context.test("one hop reaches the gateway's host and nobody else", async () => {
    const group: Group = { family: 4, address: "239.7.1.2", port: 5705, hops: 1 };
    await using here = await MulticastReceiver.start(server, { ...group, interface: "10.20.0.1" });
    await using there = await MulticastReceiver.start(alpha, group);
    await waitFor("both memberships", async () => {
      const groups = (await world.ours.tunnel())?.groups ?? [];
      const joined = groups.find((one) => one.group === group.address)?.joinedBy ?? [];
      return joined.length === 2 || undefined;
    });
    await using _sender = await MulticastSender.start(beta, group, SEND_MS);
    await waitFor("datagrams at the gateway", () => here.frames > 20 || undefined);
    assert.equal(there.frames, 0);
    // From this host, one hop is what it takes to each peer.
    await using _ownSender = await MulticastSender.start(
      server,
      { ...group, interface: "seg0" },
      SEND_MS,
    );
    await waitFor("datagrams of the gateway's host at alpha", () => there.frames > 20 || undefined);
  });
}
