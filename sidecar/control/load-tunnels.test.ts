/** From files to tunnels: what starts, what stops only itself, and what is kept. */

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { isIssuedBy, isPair, readCertificate } from "../../authority/certificate.ts";
import { loadTunnels } from "./load-tunnels.ts";
import {
  ADDRESSES,
  configOf,
  type Fields,
  load,
  object,
  peer,
  place,
  problemsOf,
  tunnel,
  wallMs,
} from "./loading-harness.ts";
import { loadPeerProfile } from "./peer-profile.ts";
import type { ListenConfig } from "./tunnel-config.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));

test("a listening tunnel gets its keys, its peers and their addresses, and keeps them", async (context) => {
  const where = await place(context);
  const documents = [
    tunnel("a", { listen: {}, addresses: ADDRESSES, workloads: { interface: "tb0" } }),
    peer("viewer"),
    peer("box", { addressing: "None", stations: ["02:00:00:00:00:AB"] }),
    peer("fixed", { address: "10.20.0.9" }),
  ];
  const config = configOf(await load(where, ...documents));
  const role = config.role as ListenConfig;
  assert.deepEqual(role.peers, [
    { name: "viewer", commonName: "viewer", address4: "10.20.0.200", stations: [], networks: [] },
    { name: "box", commonName: "box", stations: ["02:00:00:00:00:ab"], networks: [] },
    { name: "fixed", commonName: "fixed", address4: "10.20.0.9", stations: [], networks: [] },
  ]);
  assert.deepEqual(role.segment4, { address: "10.20.0.0", prefixBits: 24 });
  assert.deepEqual(config.device, {
    name: "tb0",
    address4: { address: "10.20.0.1", prefixBits: 24 },
    kind: "tap",
    multicastRoutes: ["224.0.0.0/4", "ff00::/8"],
    mtu: "Auto",
  });
  const { security } = config;
  assert(security.identity !== undefined);
  assert.ok(isPair(security.identity));
  const { certificatePem } = security.identity;
  assert.ok(await isIssuedBy(certificatePem, security.caPem ?? ""));
  assert.deepEqual(readCertificate(certificatePem).uses, ["server"]);
  assert.equal(security.remoteCertTls, "client");
  assert.deepEqual(
    configOf(await load(where, ...documents)),
    config,
    "a second start changes nothing",
  );
  const more = configOf(await load(where, ...documents, peer("another"))).role as ListenConfig;
  const addressOf = (name: string): string | undefined =>
    more.peers.find((one) => one.name === name)?.address4;
  assert.equal(addressOf("viewer"), "10.20.0.200", "a new peer does not move an old one");
  assert.equal(addressOf("another"), "10.20.0.201");
});

test("two processes that start at once agree on one authority", async (context) => {
  const where = await place(context);
  const documents = [tunnel("a", { listen: {} }), peer("viewer")];
  const both = await Promise.all([load(where, ...documents), load(where, ...documents)]);
  const [one, two] = both.map((loaded) => configOf(loaded).security);
  assert.deepEqual(one, two);
});

test("a wrong peer stops only itself", async (context) => {
  const where = await place(context);
  const loaded = await load(
    where,
    tunnel("a", { listen: {}, addresses: ADDRESSES }),
    peer("one"),
    peer("two"),
    peer("three"),
    peer("outside", { address: "10.21.0.1" }),
    peer("routed", { networks: ["10.31.0.0/24"] }),
    peer("lost", { tunnel: { name: "nowhere" } }),
    peer("typo", { adress: "10.20.0.5" }),
  );
  const role = configOf(loaded).role as ListenConfig;
  assert.deepEqual(
    role.peers.map((one) => one.name),
    ["one", "three"],
  );
  const text = loaded.problems.map((problem) => `${problem.place} ${problem.text}`).join("\n");
  assert.match(text, /VpnPeer lab\/two no address is left in the pool/);
  assert.match(text, /VpnPeer lab\/outside the fixed address 10\.21\.0\.1 is not inside/);
  assert.match(text, /VpnPeer lab\/routed spec\.networks: .*belong to a routed tunnel/);
  assert.match(text, /VpnPeer lab\/lost spec\.tunnel\.name: there is no VpnTunnel lab\/nowhere/);
  assert.match(
    text,
    /VpnPeer lab\/typo spec\.adress: is not a known field: did you mean address\?/,
  );
});

test("a wrong tunnel stops only itself, and says everything at once", async (context) => {
  const where = await place(context);
  const loaded = await load(
    where,
    tunnel("a", { listen: { port: 1194 } }),
    tunnel("b", { listen: { port: 1194 } }),
    tunnel("c", { listen: { port: 0 }, colour: "red" }),
    tunnel("d", {
      listen: {},
      transport: { protocol: "Tcp", fragmentBytes: 1372 },
      uplinks: { name: "x" },
    }),
    tunnel("e", { dial: { profileSecretRef: { name: "none" } } }),
  );
  assert.equal(configOf(loaded).role.kind, "listen");
  assert.match(problemsOf(loaded, "b"), /UDP port 1194 is used by tunnel lab\/a too/);
  assert.match(
    problemsOf(loaded, "c"),
    /spec\.colour: is not a known field[\s\S]*spec\.listen\.port: 0 is out of range/,
  );
  assert.match(
    problemsOf(loaded, "d"),
    /f\.yaml:\d+: VpnTunnel lab\/d spec\.uplinks: a listening tunnel answers on the path it was reached by/,
  );
  assert.match(problemsOf(loaded, "d"), /spec\.transport\.fragmentBytes: /);
  assert.match(problemsOf(loaded, "e"), /profileSecretRef: there is no Secret lab\/none/);
  assert.deepEqual(loaded.problems, []);
});

/** Each field that the data plane lacks, alone. */
const LACKING: readonly (readonly [string, Fields])[] = [
  ["spec.uplinks", { uplinks: { name: "x" } }],
  ["spec.transport.fragmentBytes", { transport: { fragmentBytes: 1372, protocol: "Tcp" } }],
  [
    "spec.multicast.proxy",
    {
      ...{ mode: "Routed", link: "TwoPeer", multicast: { proxy: true } },
      addresses: { ...ADDRESSES, gateway: "10.20.0.1" },
    },
  ],
  ["spec.security.issuerRef", { security: { issuerRef: { name: "x" } } }],
  ["spec.security.userPassSecretRef", { security: { userPassSecretRef: { name: "x" } } }],
  [
    "spec.addresses.dhcp",
    { mode: "Routed", addresses: { segment: "10.20.0.0/24", gateway: "10.20.0.1", dhcp: true } },
  ],
  ["spec.addresses.dhcp", { link: "TwoPeer", addresses: { dhcp: true } }],
  ["spec.addresses.gateway", { addresses: ADDRESSES, gateway: { bridge: { interface: "br0" } } }],
];

test("each field that the data plane lacks is refused with the reason", async (context) => {
  const where = await place(context);
  for (const [field, spec] of LACKING) {
    const problems = problemsOf(await load(where, tunnel("a", { listen: {}, ...spec })));
    assert.ok(problems.includes(`VpnTunnel lab/a ${field}: `), `${field}: ${problems}`);
  }
  const plain = { snooping: false, querier: "Never", unknownGroups: "Flood", proxy: false };
  const transport = { protocol: "Udp", copyDscp: false };
  configOf(await load(where, tunnel("a", { listen: {}, multicast: plain, transport })));
});

test("a routed tunnel with more networks than its table takes is refused", async (context) => {
  const where = await place(context);
  const many = Array.from({ length: 257 }, (_, index) =>
    peer(`p${index}`, {
      networks: Array.from(
        { length: 64 },
        (_, at) => `10.${index & 255}.${at + 64 * (index >> 8)}.0/24`,
      ),
    }),
  );
  const addresses = { segment: "172.16.0.0/16", gateway: "172.16.0.1" };
  const documents = [tunnel("a", { listen: {}, mode: "Routed", addresses }), ...many];
  assert.match(problemsOf(await load(where, ...documents), "a"), /spec\.mode: 16448 networks/);
});

test("the same network behind two peers is refused, one inside another is not", async (context) => {
  const where = await place(context);
  const loaded = await load(
    where,
    tunnel("a", { listen: {}, mode: "Routed", addresses: { ...ADDRESSES, gateway: "10.20.0.1" } }),
    peer("one", { networks: ["10.31.0.0/16"], address: "10.20.0.5" }),
    peer("two", { networks: ["10.31.7.0/24"], address: "10.20.0.6" }),
    peer("three", { networks: ["10.31.7.0/24"], address: "10.20.0.7" }),
  );
  const { role, routing, device } = configOf(loaded);
  assert.deepEqual((role as ListenConfig).peers.map(({ name }) => name).sort(), ["one", "two"]);
  assert.match(loaded.problems[0]?.text ?? "", /three spec\.networks: .* behind peer two too/);
  assert.deepEqual(routing, { fromSegment: [], isPeerToPeer: true, masquerade: false });
  assert.equal(device.kind, "tun");
});

test("what only a cluster uses is noted", async (context) => {
  const where = await place(context);
  const spec = {
    listen: { service: {} },
    gateway: { replicas: 2, nodeSelector: { a: "b" } },
    workloads: { podSelector: {} },
  };
  const [only] = (await load(where, tunnel("a", spec))).tunnels;
  assert.equal(only?.ok && only.notes.length, 4);
});

test("a damaged state file stops the tunnel with the next step, a damaged address file nothing", async (context) => {
  const where = await place(context);
  const documents = [tunnel("a", { listen: {}, addresses: ADDRESSES }), peer("viewer")];
  configOf(await load(where, ...documents));
  const folder = join(where.stateDirectory, "lab", "a");
  await writeFile(join(folder, "addresses.json"), "{");
  await writeFile(join(folder, "gateway.pem"), "half");
  configOf(await load(where, ...documents));
  await writeFile(join(folder, "authority.pem"), "half");
  assert.match(
    problemsOf(await load(where, ...documents)),
    /authority\.pem is damaged: restore it/,
  );
});

test("every example is valid and makes a tunnel", async (context) => {
  const { stateDirectory, directory } = await place(context);
  const gateway = join(EXAMPLES, "bridged-gateway.yaml");
  const loaded = await loadTunnels({ paths: [gateway], stateDirectory, wallMs });
  assert.deepEqual(loaded.problems, []);
  configOf(loaded, "testbed-a");
  for (const [peerName, file] of [
    ["box-7", "testbed-box.yaml"],
    ["viewer", "workload.yaml"],
  ] as const) {
    const profile = await loadPeerProfile({
      paths: [gateway],
      stateDirectory,
      peer: peerName,
      wallMs,
    });
    assert.ok(profile.ok);
    const secret = object("Secret", `${peerName}-profile`, {
      stringData: { "client.ovpn": profile.text },
    });
    await writeFile(join(directory, "secret.json"), JSON.stringify(secret));
    const dialling = await loadTunnels({
      paths: [join(EXAMPLES, file), directory],
      stateDirectory,
      wallMs,
    });
    assert.deepEqual(dialling.problems, []);
    assert.equal(configOf(dialling, "testbed-a").role.kind, "dial");
    assert.match(await readFile(join(EXAMPLES, file), "utf8"), /^#/);
  }
});
