/** Routed tunnels (tun) with stock OpenVPN at the other end, in both roles. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { listenDocuments, writeDocuments } from "../support/documents.ts";
import { exchange } from "../support/exchange.ts";
import { startFairlead } from "../support/fairlead-peer.ts";
import { ping } from "../support/hosts.ts";
import { Network } from "../support/netns.ts";
import { createLink } from "./links.ts";

const BYTES = 400_000;
const ALL = { sent: 3, received: 3 };
/** Behind the stock end, and behind ours. */
const FAR = {
  network4: "10.31.0.0/24",
  address4: "10.31.0.1",
  network6: "fd31::/64",
  address6: "fd31::1",
};
const NEAR = {
  network4: "10.96.0.0/16",
  address4: "10.96.0.1",
  network6: "fd96::/64",
  address6: "fd96::1",
};

for (const release of ["2.6", "2.7"] as const) {
  test(`our server routes to a stock ${release} client and the networks behind both`, async () => {
    await using link = await createLink({
      release,
      role: "server",
      device: "tun",
      routes: { fromSegment: [NEAR.network4, NEAR.network6] },
      peer: { networks: [FAR.network4, FAR.network6] },
    });
    const { oursHost, stockHost, ours } = link;
    await stockHost.addresses("lo", `${FAR.address4}/32`, `${FAR.address6}/128`);
    await oursHost.addresses("lo", `${NEAR.address4}/32`, `${NEAR.address6}/128`);
    for (const [from, addresses] of [
      [oursHost, [link.stockAddress, FAR.address4, FAR.address6]],
      [stockHost, [link.oursAddress, NEAR.address4, NEAR.address6]],
    ] as const) {
      for (const address of addresses) assert.deepEqual(await ping(from, address), ALL, address);
    }
    await exchange({ from: stockHost, to: oursHost, address: link.oursAddress, bytes: BYTES });
    const tunnel = await ours.tunnel();
    assert.deepEqual(
      tunnel?.routes?.filter(({ network }) => network.startsWith("10.")),
      [
        { network: NEAR.network4, behind: "here" },
        { network: `${link.stockAddress}/32`, behind: "box-7", isUp: true },
        { network: FAR.network4, behind: "box-7", isUp: true },
      ],
    );
    assert.equal(tunnel?.counters["router.sourceRefused"], 0);
    ours.signal("SIGTERM");
    assert.equal(await ours.waitForEnd(), 0, ours.log);
    const routes = await oursHost.run(["ip", "route", "show", "proto", "250"]);
    assert.equal(routes, "");
  });

  test(`our client takes the routes of a stock ${release} server that it is to take`, async () => {
    await using link = await createLink({
      release,
      role: "client",
      device: "tun",
      routes: { toSegment: [FAR.network4, FAR.network6] },
      stockLines: [
        'push "route 10.31.0.0 255.255.255.0 vpn_gateway 77"',
        'push "route 10.99.0.0 255.255.0.0"',
        'push "route-ipv6 fd31::/64"',
      ],
    });
    const { oursHost, stockHost, ours } = link;
    await stockHost.addresses("lo", `${FAR.address4}/32`, `${FAR.address6}/128`);
    for (const address of [link.stockAddress, FAR.address4, FAR.address6]) {
      assert.deepEqual(await ping(oursHost, address), ALL, address);
    }
    assert.deepEqual(await ping(stockHost, link.oursAddress), ALL);
    await exchange({ from: stockHost, to: oursHost, address: link.oursAddress, bytes: BYTES });
    const routes = await oursHost.run(["ip", "route"]);
    assert.doesNotMatch(routes, /10\.99\.0\.0/);
    const status = (await ours.tunnel())?.routes ?? [];
    const left = status.find(({ network }) => network === "10.99.0.0/16");
    assert.match(left?.note ?? "", /toSegment/);
  });
}

test("hosts behind both ends reach each other, masqueraded, and nothing is left of it", async () => {
  await using link = await createLink({
    release: "2.6",
    role: "server",
    device: "tun",
    routes: { fromSegment: [NEAR.network4], masquerade: true },
  });
  const { oursHost, stockHost, ours } = link;
  await using network = await Network.create();
  const lan = await network.namespace("lan");
  await network.cable(
    { namespace: oursHost, interface: "lan0" },
    { namespace: lan, interface: "eth0" },
  );
  await oursHost.addresses("lan0", "10.96.0.1/16", "10.97.0.1/16");
  // The host has no route back to the tunnel: only masqueraded packets are answered.
  await lan.addresses("eth0", "10.96.0.9/16", "10.97.0.9/16");
  await stockHost.ip("route add 10.97.0.0/16 dev tun0");
  assert.deepEqual(await ping(stockHost, "10.96.0.9"), ALL);
  assert.equal((await ping(stockHost, "10.97.0.9")).received, 0, "not in routes.fromSegment");
  const hidden = (await ours.tunnel())?.counters["router.noRoute"];
  assert((hidden ?? 0) >= 3, `${hidden}`);
  assert.match(await oursHost.run(["nft", "list", "tables"]), /inet fairlead\/lab\/segment/);
  ours.signal("SIGTERM");
  assert.equal(await ours.waitForEnd(), 0, ours.log);
  assert.equal(await oursHost.run(["nft", "list", "tables"]), "");
  assert.equal((await oursHost.run(["cat", "/proc/sys/net/ipv4/ip_forward"])).trim(), "0");
});

test("what a killed run left is swept by the next start, bridged by then", async () => {
  await using link = await createLink({
    release: "2.6",
    role: "server",
    device: "tun",
    routes: { fromSegment: [NEAR.network4] },
  });
  const { oursHost, ours, folder } = link;
  ours.signal("SIGKILL");
  await ours.waitForEnd();
  assert.match(await oursHost.run(["nft", "list", "tables"]), /fairlead\/lab\/segment/);
  const file = await writeDocuments(`${folder}/bridged.yaml`, listenDocuments({ peers: [] }));
  await using again = await startFairlead(oursHost, [file], { folder: `${folder}/server` });
  await again.waitUntilUp();
  assert.equal(await oursHost.run(["nft", "list", "tables"]), "");
  assert.equal((await oursHost.run(["cat", "/proc/sys/net/ipv4/ip_forward"])).trim(), "0");
});

test("what a killed run left is swept by the next start", async () => {
  await using link = await createLink({
    release: "2.6",
    role: "server",
    device: "tun",
    routes: { fromSegment: [NEAR.network4], masquerade: true },
    peer: { networks: [FAR.network4] },
  });
  const { oursHost, ours, folder } = link;
  ours.signal("SIGKILL");
  await ours.waitForEnd();
  assert.match(await oursHost.run(["nft", "list", "tables"]), /fairlead\/lab\/segment/);
  const file = `${folder}/server.yaml`;
  await using again = await startFairlead(oursHost, [file], { folder: `${folder}/server` });
  await again.waitForPeer("box-7");
  assert.deepEqual(await ping(oursHost, link.stockAddress), ALL);
  again.signal("SIGTERM");
  assert.equal(await again.waitForEnd(), 0, again.log);
  assert.equal(await oursHost.run(["nft", "list", "tables"]), "");
  assert.equal((await oursHost.run(["cat", "/proc/sys/net/ipv4/ip_forward"])).trim(), "0");
  assert.equal(await oursHost.run(["ip", "route", "show", "proto", "250"]), "");
});
