/**
 * A printed profile in the hands of stock OpenVPN 2.6 and 2.7: it connects, and an unmodified
 * multicast program joins on the tap; without the profile's routes it joins on the underlay.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MulticastReceiver } from "../test/support/multicast.ts";
import { isRoot, type Namespace, Network } from "../test/support/netns.ts";
import { OpenvpnPeer } from "../test/support/openvpn-peer.ts";
import { Scratch } from "../test/support/scratch.ts";
import { createAuthority, issueCertificate } from "./certificate.ts";
import { printProfile } from "./profile.ts";
import { generateStaticKey, printStaticKey } from "./static-key.ts";

const GROUP = { family: 4, address: "239.1.2.3", port: 5000 } as const;

interface Configs {
  readonly server: string;
  readonly profile: string;
}

async function configs(): Promise<Configs> {
  const base = { lifetimeDays: 30, wallMs: Date.now() };
  const authority = await createAuthority({ commonName: "test", ...base });
  const request = { ...base, commonName: "gateway", use: "server" } as const;
  const server = await issueCertificate(authority, request);
  const pair = await issueCertificate(authority, { ...base, commonName: "viewer", use: "client" });
  const key = generateStaticKey();
  const profile = printProfile({
    tunnel: { namespace: "lab", name: "testbed-a" },
    peer: "viewer",
    remotes: [{ host: "192.0.2.1", port: 1194 }],
    order: "Random",
    device: "tap",
    protocol: "Udp",
    interfaceName: "tb0",
    authorityPem: authority.certificatePem,
    pair,
    serverName: "gateway",
    wrap: { kind: "TlsCrypt", key },
    dataCiphers: ["AES-256-GCM", "CHACHA20-POLY1305"],
    mtu: 1420,
    mssFixBytes: 1400,
    replayWindow: { packets: "Auto", seconds: 10 },
    multicast: { bridges: false, routes: ["224.0.0.0/4"], anyAddress4: "10.20.0.1" },
  });
  const lines = [
    "mode server\ntls-server\ndev tap0\ndev-type tap\nproto udp\nport 1194\ndh none\nkeepalive 1 5",
    "ifconfig 10.20.0.1 255.255.255.0\nifconfig-pool 10.20.0.200 10.20.0.239 255.255.255.0",
    'tun-mtu 1420\nremote-cert-tls client\ndata-ciphers AES-256-GCM\npush "route-gateway 10.20.0.1"',
    `<ca>\n${authority.certificatePem}</ca>\n<cert>\n${server.certificatePem}</cert>`,
    `<key>\n${server.privateKeyPem}</key>\n<tls-crypt>\n${printStaticKey(key)}</tls-crypt>\n`,
  ];
  return { server: lines.join("\n"), profile };
}

async function joinedInterface(namespace: Namespace): Promise<string | undefined> {
  await using receiver = await MulticastReceiver.start(namespace, GROUP);
  return await receiver.joinedInterface();
}

for (const release of ["2.6", "2.7"] as const) {
  test(`stock OpenVPN ${release} runs the profile, and multicast joins on the tap`, {
    skip: isRoot() ? false : "needs root",
    timeout: 300_000,
  }, async () => {
    await using scratch = await Scratch.create();
    await using network = await Network.create();
    const gateway = await network.namespace("gateway");
    const viewer = await network.namespace("viewer");
    await network.cable(
      { namespace: gateway, interface: "up0" },
      { namespace: viewer, interface: "up0" },
    );
    await gateway.addresses("up0", "192.0.2.1/24");
    await viewer.addresses("up0", "192.0.2.2/24");
    await viewer.ip("route add default via 192.0.2.1");
    const { server, profile } = await configs();
    const folder = (name: string): string => scratch.file(name);
    await using ours = await OpenvpnPeer.start({
      namespace: gateway,
      folder: folder("gateway"),
      config: server,
    });
    await ours.waitUntilUp();

    const broken = profile.replaceAll(/^route .*\n/gm, "");
    const without = { namespace: viewer, folder: folder("without"), config: broken, release };
    {
      await using client = await OpenvpnPeer.start(without);
      await client.waitUntilUp();
      assert.equal(await joinedInterface(viewer), "up0");
    }

    const options = { namespace: viewer, folder: folder("viewer"), config: profile, release };
    await using client = await OpenvpnPeer.start(options);
    await client.waitUntilUp();
    assert.equal(await joinedInterface(viewer), "tb0");
    const route = await viewer.ip("route get 239.1.2.3");
    assert.match(route, /^multicast 239\.1\.2\.3 dev tb0 src 10\.20\.0\.2/);
    assert.match(await viewer.ip("route get 255.255.255.255"), /dev up0/);
    assert.match(await viewer.ip("link show dev tb0"), /mtu 1420/);
    await viewer.run(["ping", "-c", "1", "-W", "2", "10.20.0.1"]);
  });
}
