/** A routed gateway between stock peers: who may send what to whom, and who hears why not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { listenDocuments, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts, ping } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { Scratch } from "../support/scratch.ts";

const ALL = { sent: 3, received: 3 };
const NAMES = ["alpha", "beta"] as const;
const NETWORKS = { alpha: ["10.31.0.0/16", "fd31::/64"], beta: ["10.31.7.0/24", "fd37::/64"] };
/** One address inside each network. */
const INSIDE = { alpha: ["10.31.1.1", "fd31::1"], beta: ["10.31.7.1", "fd37::1"] };

interface Sites extends AsyncDisposable {
  readonly ours: FairleadPeer;
  readonly alpha: Namespace;
  readonly beta: Namespace;
}

/** Two sites with networks behind them, connected to one gateway. */
async function connectSites(routes: Readonly<Record<string, unknown>>): Promise<Sites> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const scratch = stack.use(await Scratch.create());
  const { server, ...hosts } = await createHosts(network, ["server", ...NAMES]);
  const [tunnel, ...peers] = listenDocuments({ peers: NAMES, spec: { mode: "Routed", routes } });
  const declared = peers.map((peer, index) => ({
    ...peer,
    spec: { ...(peer["spec"] as object), networks: NETWORKS[NAMES[index] ?? "alpha"] },
  }));
  const file = await writeDocuments(scratch.file("server.yaml"), [tunnel ?? {}, ...declared]);
  const place = { folder: scratch.file("server") };
  const ours = stack.use(await startFairlead(server, [file], place));
  await ours.waitUntilUp();
  for (const name of NAMES) {
    const [address4, address6] = INSIDE[name];
    await hosts[name].addresses("lo", `${address4}/32`, `${address6}/128`);
    const stock = stack.use(
      await OpenvpnPeer.start({
        namespace: hosts[name],
        folder: scratch.file(name),
        config: `${await printProfile(name, file, place)}\ndev tun0\n`,
        release: name === "beta" ? "2.7" : "2.6",
      }),
    );
    await stock.waitUntilUp();
    await ours.waitForPeer(name);
  }
  const kept = stack.move();
  const { alpha, beta } = hosts;
  return { ours, alpha, beta, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** What one ping with a hop limit says. */
async function pingOnce(from: Namespace, address: string, ...more: string[]): Promise<string> {
  const { stdout } = await from.try(["ping", "-n", "-c", "1", "-W", "2", ...more, address]);
  return stdout;
}

test("networks behind stock peers reach each other by the longest prefix, in hops", {
  timeout: 120_000,
}, async () => {
  await using sites = await connectSites({});
  const { alpha, beta, ours } = sites;
  for (const address of INSIDE.beta) assert.deepEqual(await ping(alpha, address), ALL, address);
  for (const address of INSIDE.alpha) assert.deepEqual(await ping(beta, address), ALL, address);
  // From an address inside the network behind it, too; the reply finds its way by that address.
  const inside = await pingOnce(alpha, "10.31.7.1", "-I", "10.31.1.1");
  assert.match(inside, /1 received/);
  assert.match(await pingOnce(alpha, "10.31.7.1", "-t", "1"), /From 10\.20\.0\.1 .*exceeded/);
  assert.match(await pingOnce(alpha, "fd37::1", "-t", "1"), /From fd20::1 .*exceeded/);
  assert.match(await pingOnce(alpha, "10.20.0.99"), /From 10\.20\.0\.1 .*Net Unreachable/);
  // An address that is not the peer's: dropped, counted, not answered.
  await alpha.addresses("lo", "10.77.0.1/32");
  assert.match(await pingOnce(alpha, "10.31.7.1", "-I", "10.77.0.1"), /0 received/);
  const { counters = {} } = (await ours.tunnel()) ?? {};
  assert.equal(counters["router.sourceRefused"], 1);
  assert((counters["router.forwarded"] ?? 0) >= 26, JSON.stringify(counters));
});

test("peers that are not to reach each other do not, and hear it", {
  timeout: 120_000,
}, async () => {
  await using sites = await connectSites({ peerToPeer: false });
  const { alpha, ours } = sites;
  assert.deepEqual(await ping(alpha, "10.20.0.1"), ALL);
  const routes = await alpha.run(["ip", "route"]);
  assert.doesNotMatch(routes, /10\.31\.7\.0/);
  await alpha.ip("route add 10.31.7.0/24 dev tun0");
  assert.match(await pingOnce(alpha, "10.31.7.1"), /From 10\.20\.0\.1 .*(Filtered|Prohibited)/i);
  assert.equal((await ours.tunnel())?.counters["router.peerToPeerRefused"], 1);
});
