/** Two uplinks towards a stock server: no probes are answered there, so only its pings say that it hears us. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildUplinkHosts, GATEWAY_ADDRESS, loseOn, uplinkSetOf } from "../lab/uplink-hosts.ts";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { dialDocuments, type Fields, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, startFairlead } from "../support/fairlead-peer.ts";
import { ping } from "../support/hosts.ts";
import { isRoot, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { Scratch } from "../support/scratch.ts";
import { stockClientConfig, stockServerConfig } from "../support/stock-config.ts";
import { waitFor } from "../support/wait.ts";

/** Longer than two of the server's pings (1 s), far less than what ends the session. */
const KEEPALIVE = "keepalive 1 60";

async function activeOf(peer: FairleadPeer): Promise<string> {
  const paths = (await peer.tunnel())?.peers[0]?.paths ?? [];
  const active = paths.filter((path) => path.isActive).map((path) => path.uplink ?? "");
  return active.sort().join();
}

test("towards stock, silence moves the path and the session stays; copies only when asked for", {
  skip: !isRoot(),
}, async () => {
  await using network = await Network.create();
  await using scratch = await Scratch.create();
  await using parts = new AsyncDisposableStack();
  const hosts = await buildUplinkHosts(network);
  const authority = await TestAuthority.create(scratch.file("authority"));
  const shared = {
    wrap: "tls-crypt",
    wrapKey: makeStaticKey(),
    authority: authority.certificate,
  } as const;
  const identity = await authority.issue({ commonName: "server", use: "server" });
  const own = await authority.issue({ commonName: "box", use: "client" });
  const stock = parts.use(
    await OpenvpnPeer.start({
      namespace: hosts.gateway,
      folder: scratch.file("server"),
      config: stockServerConfig({ ...shared, identity }).replace(/keepalive.*/, KEEPALIVE),
    }),
  );
  await stock.waitUntilUp();
  const profile = stockClientConfig({ ...shared, identity: own }, [GATEWAY_ADDRESS]);
  const file = scratch.file("box.yaml");
  const write = async (spec: Fields): Promise<void> => {
    const metadata = { name: "uplinks", namespace: "lab" };
    const set = { apiVersion: "fairlead.dev/v1alpha1", kind: "UplinkSet", metadata, spec };
    const tunnel = dialDocuments({ profile, spec: { uplinks: { name: "uplinks" } } });
    await writeDocuments(file, [...tunnel, set]);
  };
  await write(uplinkSetOf(2, "Failover"));
  const box = parts.use(await startFairlead(hosts.box, [file], { folder: scratch.file("box") }));
  await box.waitUntilUp();
  // Status hears of paths once a second.
  await waitFor("the first uplink", async () => {
    return (await activeOf(box)) === "isp-a" ? true : undefined;
  });
  assert.equal((await ping(hosts.box, "10.20.0.1")).received, 3);
  const [peer] = (await box.tunnel())?.peers ?? [];
  for (const path of peer?.paths ?? []) {
    assert.equal(path.rttMs, undefined, "unknown");
    assert.equal(path.lossOutPercent, undefined, "unknown");
    assert.equal(path.mtuBytes, undefined, "unknown");
  }
  assert.equal(peer?.note, undefined);

  // Cut without a word, both ways.
  for (const host of [hosts.gateway, hosts.box]) await loseOn(host, ["up0"], 100);
  await waitFor("the other uplink", async () => {
    return (await activeOf(box)) === "isp-b" ? true : undefined;
  });
  await waitFor("echoes by it", async () => {
    return (await ping(hosts.box, "10.20.0.1")).received === 3 ? true : undefined;
  });
  assert.equal((await box.tunnel())?.peers[0]?.since, peer?.since, "the session is the first one");

  for (const host of [hosts.gateway, hosts.box]) await host.run(["nft", "flush", "ruleset"]);
  await write(uplinkSetOf(2, "Duplicate"));
  box.signal("SIGHUP");
  await waitFor("copies", async () => {
    return (await activeOf(box)) === "isp-a,isp-b" ? true : undefined;
  });
  await waitFor("what stock needs", async () => {
    const note = (await box.tunnel())?.peers[0]?.note ?? "";
    return /replay-window .* float/.test(note) ? true : undefined;
  });
  assert.equal((await ping(hosts.box, "10.20.0.1")).received, 3);
  assert.equal((await box.tunnel())?.peers[0]?.since, peer?.since);
});
