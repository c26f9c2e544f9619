/** Addresses on the segment: found to be in use before they are taken, or asked of its DHCP server. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { before, suite, test } from "node:test";
import { dialDocuments, listenDocuments, writeDocuments } from "../test/support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../test/support/fairlead-peer.ts";
import { IS_FULL } from "../test/support/full.ts";
import { createHosts, ping } from "../test/support/hosts.ts";
import { type Namespace, Network } from "../test/support/netns.ts";
import { ensureCommands } from "../test/support/packages.ts";
import type { Program } from "../test/support/process.ts";
import { Scratch } from "../test/support/scratch.ts";
import { waitFor } from "../test/support/wait.ts";
import type { LeaseStatus } from "./control/status.ts";

const TIME = { timeout: 240_000 };
const OTHER_MAC = "02:00:00:00:00:0d";

interface World extends AsyncDisposable {
  readonly gateway: Namespace;
  readonly client: Namespace;
  readonly ours: FairleadPeer;
  readonly scratch: Scratch;
  readonly network: Network;
  dial(): Promise<FairleadPeer>;
  /** Ends the gateway and starts it again. */
  restart(): Promise<void>;
}

/** One more host on the LAN, by `eth0`. */
async function plugIn({ gateway, network }: World, label: string): Promise<Namespace> {
  const host = await network.namespace(label);
  const port = "lan1";
  await network.cable(
    { namespace: host, interface: "eth0" },
    { namespace: gateway, interface: port },
  );
  await gateway.ip(`link set ${port} master flbr-segment up`);
  return host;
}

/** A gateway that bridges `lan0`, cabled to a host of its LAN, and a client that will dial it. */
async function createWorld(addresses: Readonly<Record<string, unknown>>): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { gateway, client } = await createHosts(network, ["gateway", "client"]);
  const lan = await network.namespace("lan");
  await network.cable(
    { namespace: lan, interface: "eth0" },
    { namespace: gateway, interface: "lan0" },
  );
  await lan.ip(`link set eth0 address ${OTHER_MAC}`);
  await lan.addresses("eth0", "10.20.0.7/24");
  const spec = { gateway: { bridge: { interface: "lan0" } }, addresses };
  const documents = listenDocuments({ peers: ["app"], spec });
  const file = await writeDocuments(scratch.file("gateway.yaml"), documents);
  const place = { folder: scratch.file("gateway") };
  const ours = stack.use(await startFairlead(gateway, [file], place));
  await ours.waitUntilUp();
  const profile = await printProfile("app", file, place);
  const dialFile = await writeDocuments(scratch.file("client.yaml"), dialDocuments({ profile }));
  const kept = stack.move();
  return {
    ...{ gateway, client, ours, scratch, network },
    dial: async () => {
      const options = { folder: scratch.file("client") };
      return kept.use(await startFairlead(client, [dialFile], options));
    },
    restart: async () => {
      await ours.stop();
      await kept.use(await startFairlead(gateway, [file], place)).waitUntilUp();
    },
    [Symbol.asyncDispose]: async () => await kept.disposeAsync(),
  };
}

const POOL = { segment: "10.20.0.0/24", pool: "10.20.0.200-10.20.0.200" };

// Each has a world of its own and mostly waits: for probes, leases, servers.
suite("addresses on the segment", { concurrency: true }, () => {
  before(async () => await ensureCommands(["dnsmasq", "busybox"]));

  test("an address that nobody else has is taken, and used from then on", TIME, async () => {
    await using world = await createWorld(POOL);
    const client = await world.dial();
    await client.waitUntilUp();
    assert.deepEqual(await ping(world.client, "10.20.0.7"), { sent: 3, received: 3 });
    const tunnel = await client.tunnel();
    assert.equal(tunnel?.problem, undefined);
    assert.deepEqual(tunnel?.conflicts, []);
  });

  test(
    "an address that a LAN host has is not taken; both ends say whose it is; later it is",
    TIME,
    async () => {
      await using world = await createWorld(POOL);
      const lan = await plugIn(world, "double");
      const mac = "02:00:00:00:00:0e";
      await lan.ip(`link set eth0 address ${mac}`);
      await lan.addresses("eth0", "10.20.0.200/24");
      const client = await world.dial();
      await client.waitForLog(/address not taken/);
      const problem = (await client.tunnel())?.problem ?? "";
      assert.match(problem, new RegExp(`10\\.20\\.0\\.200 is in use by ${mac}`));
      assert.doesNotMatch(
        await world.client.run(["ip", "address", "show", "seg0"]),
        /10\.20\.0\.200/,
      );
      const conflict = await waitFor("the gateway to tell", async () => {
        return (await world.ours.tunnel())?.conflicts?.[0];
      });
      assert.deepEqual(
        [conflict.address, conflict.owner, conflict.mac, conflict.behind],
        ["10.20.0.200", "app", mac, "tap"],
      );
      await lan.ip("address del 10.20.0.200/24 dev eth0");
      await client.waitForLog(/address taken: nobody else answered/, 30_000);
      const { received } = await ping(world.client, "10.20.0.7");
      assert(received > 0);
      assert.equal((await client.tunnel())?.problem, undefined);
    },
  );

  test(
    "addresses.dhcp: the LAN's own server gives one, renews it, and its loss is told",
    TIME,
    async () => {
      await using world = await createWorld({ segment: "10.20.0.0/24", dhcp: true });
      const lan = await plugIn(world, "server");
      await lan.addresses("eth0", "10.20.0.6/24");
      await using server = await startDhcpServer(lan, "10.20.0.100");
      const client = await world.dial();
      const lease = await waitFor(
        () => `a lease:\n${client.log}\n${server.output}`,
        async () => (await client.tunnel())?.lease,
        30_000,
      );
      assert.deepEqual(
        [lease.address, lease.server, lease.leaseSeconds],
        ["10.20.0.100", "10.20.0.6", 120],
      );
      assert.deepEqual(await ping(world.client, "10.20.0.7"), { sent: 3, received: 3 });
      const routes = await world.client.run(["ip", "route", "show", "default"]);
      assert.equal(routes, "", "no default route is taken from the segment");
      assert.equal(server.output.split("DHCPACK(eth0)").length - 1, 1);

      // Another server that does not know the lease: asked again at the next session, it says no.
      await server.stop();
      await using other = await startDhcpServer(lan, "10.20.0.110");
      await world.restart();
      await world.gateway.ip("link set lan1 master flbr-segment up");
      await client.waitForLog(/lease lost/, 60_000);
      await waitFor(
        () => `the other lease:\n${client.log}\n${other.output}`,
        async () => (await client.tunnel())?.lease?.address === "10.20.0.110" || undefined,
        60_000,
      );
      const addresses = await world.client.run(["ip", "-4", "address", "show", "seg0"]);
      assert.doesNotMatch(addresses, /10\.20\.0\.100/);
      assert.equal(await client.stop(), 0, client.log);
      assert.match(
        other.output,
        /DHCPRELEASE\(eth0\) 10\.20\.0\.110/,
        "a clean stop gives it back",
      );
    },
  );

  test("a short lease is renewed in time", TIME, async () => {
    await using world = await createWorld({ segment: "10.20.0.0/24", dhcp: true });
    const lan = await plugIn(world, "server");
    await lan.addresses("eth0", "10.20.0.6/24");
    await using server = await startShortLeases(lan, world.scratch.file("udhcpd"));
    const client = await world.dial();
    const first = await shortLease(client, server);
    await waitFor(
      () => `a renewal:\n${client.log}\n${server.output}`,
      async () => {
        const now = (await client.tunnel())?.lease;
        return now !== undefined && now.since > first.since;
      },
      60_000,
    );
    assert.deepEqual(await ping(world.client, "10.20.0.7"), { sent: 3, received: 3 });
  });

  test(
    "a lease that runs out is not used any more and told, and another server ends that",
    TIME,
    async () => {
      await using world = await createWorld({ segment: "10.20.0.0/24", dhcp: true });
      const lan = await plugIn(world, "server");
      await lan.addresses("eth0", "10.20.0.6/24");
      let client: FairleadPeer | undefined;
      // Waits for a server that is not there take half a minute each.
      if (IS_FULL) {
        client = await world.dial();
        await waitForProblem(client, /no address by DHCP: no DHCP server answers/);
      }
      {
        await using server = await startShortLeases(lan, world.scratch.file("udhcpd"));
        client ??= await world.dial();
        await shortLease(client, server);
        assert.equal((await client.tunnel())?.problem, undefined);
      }
      await client.waitForLog(/lease lost: the lease ran out/, 90_000);
      const tunnel = await client.tunnel();
      assert.equal(tunnel?.lease, undefined);
      assert.match(tunnel?.problem ?? "", /the lease of 10\.20\.0\.100 is lost/);
      const addresses = await world.client.run(["ip", "-4", "address", "show", "seg0"]);
      assert.doesNotMatch(addresses, /10\.20\.0\.100/, "it is not used any more");
      if (!IS_FULL) return;
      await using again = await startShortLeases(lan, world.scratch.file("udhcpd"));
      await shortLease(client, again);
      assert.equal((await client.tunnel())?.problem, undefined);
    },
  );

  test(
    "addresses.dhcp: an IPv6 address by the segment's router, and no route of it",
    TIME,
    async () => {
      await using world = await createWorld({ segment: "10.20.0.0/24", dhcp: true });
      const lan = await plugIn(world, "router");
      await lan.addresses("eth0", "fd2a::6/64");
      const client = await world.dial();
      await world.client.waitForInterface("seg0", 30_000);
      await using router = lan.start([
        ...["dnsmasq", "--no-daemon", "--port=0", "--interface=eth0", "--bind-interfaces"],
        ...["--enable-ra", "--dhcp-range=fd2a::,ra-only,64", "--ra-param=eth0,4", "--user=root"],
        ...["--leasefile-ro", "--conf-file=/dev/null", "--pid-file="],
      ]);
      await waitFor(
        () => `an address by router advertisement:\n${client.log}\n${router.output}`,
        async () => {
          const text = await world.client.run(["ip", "-6", "address", "show", "seg0"]);
          return /inet6 fd2a::.* dynamic/.test(text);
        },
        30_000,
      );
      assert.equal(await world.client.run(["ip", "-6", "route", "show", "default"]), "");
    },
  );
});

/** Seconds of a lease that ends within a test. */
const SHORT_SECONDS = 12;

async function waitForProblem(client: FairleadPeer, pattern: RegExp): Promise<void> {
  await waitFor(
    `word of ${pattern}`,
    async () => pattern.test((await client.tunnel())?.problem ?? ""),
    60_000,
  );
}

async function shortLease(client: FairleadPeer, server: Program): Promise<LeaseStatus> {
  const lease = await waitFor(
    () => `a lease:\n${client.log}\n${server.output}`,
    async () => (await client.tunnel())?.lease,
    60_000,
  );
  assert.deepEqual([lease.address, lease.leaseSeconds], ["10.20.0.100", SHORT_SECONDS]);
  return lease;
}

/** BusyBox's server, which gives leases shorter than others do. */
async function startShortLeases(lan: Namespace, prefix: string): Promise<Program> {
  const lines = [
    ...["start 10.20.0.100", "end 10.20.0.100", "interface eth0", "min_lease 10"],
    ...[`lease_file ${prefix}.leases`, `pidfile ${prefix}.pid`],
    ...["option subnet 255.255.255.0", `option lease ${SHORT_SECONDS}`],
  ];
  await writeFile(`${prefix}.leases`, "");
  await writeFile(`${prefix}.conf`, `${lines.join("\n")}\n`);
  const server = lan.start(["busybox", "udhcpd", "-f", `${prefix}.conf`]);
  await server.waitForOutput(/started/);
  return server;
}

/** A real DHCP server with one address to give. */
async function startDhcpServer(lan: Namespace, address: string): Promise<Program> {
  const server = lan.start([
    ...["dnsmasq", "--no-daemon", "--port=0", "--interface=eth0", "--bind-interfaces"],
    ...["--dhcp-authoritative", `--dhcp-range=${address},${address},255.255.255.0,2m`],
    ...["--log-dhcp", "--user=root", "--leasefile-ro"],
    ...["--conf-file=/dev/null", "--pid-file="],
  ]);
  await server.waitForOutput(/DHCP, IP range/);
  return server;
}
