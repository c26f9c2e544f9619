/** What peers do beside carrying frames: come together, move, come back, are pinned, are dead. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { dialDocuments, listenDocuments, writeDocuments } from "../support/documents.ts";
import { printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts, PingStream, ping, UPLINK } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { Scratch } from "../support/scratch.ts";
import { stockClientConfig, stockServerConfig } from "../support/stock-config.ts";
import { waitFor } from "../support/wait.ts";
import { createLink, type Link, PEER } from "./links.ts";

const MINUTE = { timeout: 60_000 };

test("three stock clients at once, two of them talk to each other unheard by the third", {
  timeout: 90_000,
}, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  await using stack = new AsyncDisposableStack();
  const names = ["alpha", "beta", "gamma"] as const;
  const { server, ...clients } = await createHosts(network, ["server", ...names]);
  const file = await writeDocuments(scratch.file("server.yaml"), listenDocuments({ peers: names }));
  const place = { folder: scratch.file("server") };
  const ours = stack.use(await startFairlead(server, [file], place));
  await ours.waitUntilUp();
  const addresses: string[] = [];
  for (const name of names) {
    const stock = stack.use(
      await OpenvpnPeer.start({
        namespace: clients[name],
        folder: scratch.file(name),
        config: `${await printProfile(name, file, place)}\ndev tap0\n`,
        release: name === "beta" ? "2.7" : "2.6",
      }),
    );
    await stock.waitUntilUp();
    addresses.push((await ours.waitForPeer(name)).address ?? "");
  }
  assert.equal(new Set(addresses).size, 3, addresses.join(" "));
  const [alpha = "", beta = ""] = addresses;
  // Each knows where the other is before the third is listened to.
  assert.deepEqual(await ping(clients.alpha, beta), { sent: 3, received: 3 });
  const before = await tapFrames(clients.gamma);
  const many = { count: 50, intervalSeconds: 0.01 };
  assert.deepEqual(await ping(clients.alpha, beta, many), { sent: 50, received: 50 });
  assert.deepEqual(await ping(clients.beta, alpha, many), { sent: 50, received: 50 });
  const heard = (await tapFrames(clients.gamma)) - before;
  assert(heard < 50, `the third heard ${heard} frames of 200 that were not for it`);
  assert.deepEqual(await ping(clients.gamma, "10.20.0.1"), { sent: 3, received: 3 });
});

test(
  "a server is believed by its fingerprint alone, and only by the right one",
  MINUTE,
  async () => {
    await using network = await Network.create();
    await using scratch = await Scratch.create();
    const { server, client } = await createHosts(network, ["server", "client"]);
    const authority = await TestAuthority.create(scratch.file("authority"));
    const identity = await authority.issue({ commonName: "server", use: "server" });
    const own = await authority.issue({ commonName: PEER, use: "client" });
    const shared = { wrap: "tls-crypt", wrapKey: makeStaticKey() } as const;
    const pin = (pem: string): string =>
      `peer-fingerprint ${new X509Certificate(pem).fingerprint256}`;
    await using stock = await OpenvpnPeer.start({
      namespace: server,
      folder: scratch.file("server"),
      config: stockServerConfig({ ...shared, identity }, [pin(own.certificate)]),
    });
    await stock.waitUntilUp();
    const dial = async (label: string, line: string) => {
      const profile = stockClientConfig({ ...shared, identity: own }, ["192.0.2.1"], [line]);
      const file = await writeDocuments(scratch.file(`${label}.yaml`), dialDocuments({ profile }));
      return await startFairlead(client, [file], { folder: scratch.file(label) });
    };
    {
      await using ours = await dial("right", pin(identity.certificate));
      await ours.waitUntilUp();
      assert.deepEqual(await ping(client, "10.20.0.1"), { sent: 3, received: 3 });
    }
    await using ours = await dial("wrong", pin(own.certificate));
    assert.equal(await ours.waitForEnd(), 17, ours.log);
    assert.match(ours.log, /its fingerprint .* is not among the accepted ones/);
  },
);

for (const role of ["server", "client"] as const) {
  test(
    `our ${role}: a client that moves to another address keeps its session`,
    MINUTE,
    async () => {
      await using link = await createLink({ role, release: role === "server" ? "2.6" : "2.7" });
      const client = role === "server" ? link.stockHost : link.oursHost;
      const [from, to] =
        role === "server" ? [link.stockHost, link.oursAddress] : [link.oursHost, link.stockAddress];
      await using stream = new PingStream(from, to, 0.02);
      await waitFor("the stream to flow", () => stream.received > 5);
      const before = await sessionOf(link);
      await client.run(["sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1"]);
      await client.ip(`address add 192.0.2.77/24 dev ${UPLINK}`);
      await client.ip(`address del 192.0.2.2/24 dev ${UPLINK}`);
      const moved = stream.received;
      await waitFor("the stream to flow again", () => stream.received > moved + 50);
      const after = await sessionOf(link);
      assert.equal(after.since, before.since, "the session is the same");
      assert.equal(after.handshakes, before.handshakes, "there was no handshake");
      const { sent, received } = await stream.finish();
      // A reply that was on its way to the old address has nowhere to go.
      assert(sent - received <= 3, `${received} of ${sent}`);
      if (role === "server") assert.match(after.remote, /^192\.0\.2\.77:/);
      else assert.match((await link.stock.manage("status 3")).join("\n"), /192\.0\.2\.77:/);
    },
  );
}

test("a client that was killed comes back from the same port at once", MINUTE, async (context) => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const { server, client } = await createHosts(network, ["server", "client"]);
  const documents = listenDocuments({ peers: [PEER] });
  const file = await writeDocuments(scratch.file("server.yaml"), documents);
  const place = { folder: scratch.file("server") };
  await using ours = await startFairlead(server, [file], place);
  await ours.waitUntilUp();
  const profile = await printProfile(PEER, file, place);
  const config = `${profile.replace("nobind\n", "lport 5555\n")}\ndev tap0\n`;
  const start = async (): Promise<OpenvpnPeer> =>
    await OpenvpnPeer.start({ namespace: client, folder: scratch.file("client"), config });
  const first = await start();
  await first.waitUntilUp();
  const { remote, port } = await ours.waitForPeer(PEER);
  assert.match(remote ?? "", /:5555$/);
  first.signal("SIGKILL");
  await first.waitForEnd();
  const startMs = performance.now();
  await using second = await start();
  await second.waitUntilUp(10_000);
  context.diagnostic(`back after ${(performance.now() - startMs).toFixed(0)} ms`);
  const back = await ours.waitForPeer(PEER);
  assert.equal(back.remote, remote);
  assert.notEqual(back.port, port, "it is another session");
  assert.match(ours.log, /its newer session takes over/);
  assert.deepEqual(await ping(client, "10.20.0.1"), { sent: 3, received: 3 });
});

test("of listed remotes the second is taken when the first is dead", MINUTE, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  const { server, client } = await createHosts(network, ["server", "client"]);
  const documents = listenDocuments({
    peers: [PEER],
    advertise: [{ host: "192.0.2.99" }, { host: "192.0.2.1" }],
  });
  const file = await writeDocuments(scratch.file("server.yaml"), documents);
  const place = { folder: scratch.file("server") };
  await using gateway = await startFairlead(server, [file], place);
  await gateway.waitUntilUp();
  const profile = await printProfile(PEER, file, place);
  const dial = dialDocuments({ profile });
  const dialFile = await writeDocuments(scratch.file("client.yaml"), dial);
  await using ours = await startFairlead(client, [dialFile], { folder: scratch.file("client") });
  const tried = await waitFor(
    () => `a remote that is tried: ${ours.log}`,
    async () => (await ours.tunnel())?.peers[0]?.remote || undefined,
    20_000,
  );
  assert.match(tried, /^192\.0\.2\.99:/, "in their order");
  await ours.waitUntilUp(15_000);
  assert.match((await ours.tunnel())?.peers[0]?.remote ?? "", /^192\.0\.2\.1:1194$/);
  assert.deepEqual(await ping(client, "10.20.0.1"), { sent: 3, received: 3 });
});

async function tapFrames(host: Namespace): Promise<number> {
  return (await host.interfaceCounters()).get("tap0")?.receivedFrames ?? 0;
}

interface SessionFacts {
  readonly since: string | undefined;
  readonly remote: string;
  readonly handshakes: number;
}

async function sessionOf(link: Link): Promise<SessionFacts> {
  const peer = (await link.ours.tunnel())?.peers[0];
  const handshakes = link.stock.log.match(/Control Channel: TLSv/g)?.length ?? 0;
  return { since: peer?.since, remote: peer?.remote ?? "", handshakes };
}
