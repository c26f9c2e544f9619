/** From files to tunnels: what starts, what stops only itself, and what is kept. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { dump } from "js-yaml";
import {
  createAuthority,
  isIssuedBy,
  isPair,
  readCertificate,
} from "../../authority/certificate.ts";
import { loadTunnels } from "./load-tunnels.ts";
import type { LoadedTunnel, LoadedTunnels } from "./loaded.ts";
import { loadPeerProfile } from "./peer-profile.ts";
import type { ListenConfig, TunnelConfig } from "./tunnel-config.ts";

const DAY_MS = 86_400_000;
const wallMs = Date.now();
const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));

type Fields = Readonly<Record<string, unknown>>;

interface Place {
  readonly directory: string;
  readonly stateDirectory: string;
}

async function place(context: TestContext): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), "fairlead-load-"));
  context.after(async () => await rm(directory, { recursive: true }));
  await mkdir(join(directory, "files"));
  return { directory: join(directory, "files"), stateDirectory: join(directory, "state") };
}

function object(kind: string, name: string, rest: Fields): Fields {
  const apiVersion = kind === "Secret" ? "v1" : "fairlead.dev/v1alpha1";
  return { apiVersion, kind, metadata: { name, namespace: "lab" }, ...rest };
}

function tunnel(name: string, spec: Fields): Fields {
  return object("VpnTunnel", name, { spec });
}

function peer(name: string, spec: Fields = {}): Fields {
  return object("VpnPeer", name, { spec: { tunnel: { name: "a" }, ...spec } });
}

async function load(where: Place, ...documents: readonly Fields[]): Promise<LoadedTunnels> {
  await writeFile(join(where.directory, "f.yaml"), documents.map((one) => dump(one)).join("---\n"));
  return await loadTunnels({
    paths: [where.directory],
    stateDirectory: where.stateDirectory,
    wallMs,
  });
}

function configOf(loaded: LoadedTunnels, name = "a"): TunnelConfig {
  const found = loaded.tunnels.find((one) => one.name === name);
  assert.ok(found?.ok, JSON.stringify(loaded));
  return found.config;
}

function problemsOf(loaded: LoadedTunnels, name = "a"): string {
  const found = loaded.tunnels.find(
    (one): one is LoadedTunnel & { ok: false } => one.name === name && !one.ok,
  );
  assert.ok(found, JSON.stringify(loaded));
  return found.problems.join("\n");
}

const ADDRESSES = {
  segment: "10.20.0.0/24",
  pool: "10.20.0.200-10.20.0.201",
  gateway: "10.20.0.1",
};

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
    { name: "viewer", commonName: "viewer", address4: "10.20.0.200", stations: [] },
    { name: "box", commonName: "box", stations: ["02:00:00:00:00:ab"] },
    { name: "fixed", commonName: "fixed", address4: "10.20.0.9", stations: [] },
  ]);
  assert.deepEqual(role.segment4, { address: "10.20.0.0", prefixBits: 24 });
  assert.deepEqual(config.device, {
    name: "tb0",
    address4: { address: "10.20.0.1", prefixBits: 24 },
    multicastRoutes: ["224.0.0.0/4", "ff00::/8"],
    mtu: "Auto",
  });
  const { security } = config;
  assert.ok(isPair(security));
  assert.ok(await isIssuedBy(security.certificatePem, security.caPem ?? ""));
  assert.deepEqual(readCertificate(security.certificatePem).uses, ["server"]);
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
  assert.match(text, /VpnPeer lab\/routed spec\.networks: .*not supported yet/);
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
      transport: { protocol: "Tcp", copyDscp: true },
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
    /f\.yaml:\d+: VpnTunnel lab\/d spec\.uplinks: several uplinks are not supported yet/,
  );
  assert.match(
    problemsOf(loaded, "d"),
    /spec\.transport\.protocol: TCP[\s\S]*spec\.transport\.copyDscp/,
  );
  assert.match(problemsOf(loaded, "e"), /profileSecretRef: there is no Secret lab\/none/);
  assert.deepEqual(loaded.problems, []);
});

/** Each field that the data plane lacks, alone. */
const LACKING: readonly (readonly [string, Fields])[] = [
  ["spec.mode", { mode: "Routed" }],
  ["spec.uplinks", { uplinks: { name: "x" } }],
  ["spec.transport.protocol", { transport: { protocol: "Tcp" } }],
  ["spec.transport.fragmentBytes", { transport: { fragmentBytes: 1372 } }],
  ["spec.transport.copyDscp", { transport: { copyDscp: true } }],
  ["spec.multicast.snooping", { multicast: { snooping: true } }],
  ["spec.multicast.querier", { multicast: { querier: "Auto" } }],
  ["spec.multicast.unknownGroups", { multicast: { unknownGroups: "Drop" } }],
  ["spec.addresses.dhcp", { addresses: { dhcp: true } }],
  ["spec.stormLimits", { stormLimits: { multicast: "100Mbit" } }],
  ["spec.security.controlWrap", { security: { controlWrap: "TlsCryptV2" } }],
  ["spec.security.issuerRef", { security: { issuerRef: { name: "x" } } }],
  ["spec.security.userPassSecretRef", { security: { userPassSecretRef: { name: "x" } } }],
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

test("the profile of a peer dials back to the same tunnel", async (context) => {
  const where = await place(context);
  const gateway = configOf(
    await load(
      where,
      tunnel("a", {
        listen: { advertise: [{ host: "192.0.2.1" }], order: "Random" },
        addresses: { ...ADDRESSES, segment6: "fd20::/64", pool6: "fd20::2-fd20::9" },
        transport: { mtu: 1400 },
      }),
      peer("viewer"),
    ),
  );
  const options = { paths: [where.directory], stateDirectory: where.stateDirectory, wallMs };
  const profile = await loadPeerProfile({ ...options, peer: "viewer" });
  assert.ok(profile.ok, JSON.stringify(profile));
  const secret = object("Secret", "p", { stringData: { "client.ovpn": profile.text } });
  const dialling = { dial: { profileSecretRef: { name: "p" } } };
  const loaded = await load(
    where,
    tunnel("b", { ...dialling, workloads: { interface: "tb1" } }),
    tunnel("c", { ...dialling, gateway: { bridge: { interface: "br0" } } }),
    secret,
  );
  const config = configOf(loaded, "b");
  assert.deepEqual(config.role, {
    kind: "dial",
    remotes: [{ host: "192.0.2.1", port: 1194 }],
    order: "Random",
  });
  assert.deepEqual(config.device, {
    name: "tb1",
    multicastRoutes: ["224.0.0.0/4", "ff00::/8"],
    mtu: 1400,
  });
  assert.equal(config.security.caPem, gateway.security.caPem);
  assert.deepEqual(config.security.wrap, gateway.security.wrap);
  assert.equal(
    config.security.verifyName,
    readCertificate(gateway.security.certificatePem).commonName,
  );
  assert.deepEqual(readCertificate(config.security.certificatePem).uses, ["client"]);
  assert.deepEqual(configOf(loaded, "c").device, {
    bridge: { interface: "br0" },
    multicastRoutes: [],
    mtu: 1400,
  });

  const path = join(where.directory, "My Box.ovpn");
  await writeFile(path, profile.text);
  const alone = await loadTunnels({ ...options, paths: [], profile: { path, bridge: "br1" } });
  assert.deepEqual(configOf(alone, "my-box").device.bridge, { interface: "br1" });
});

test("what is written in the resource wins over the profile", async (context) => {
  const where = await place(context);
  await load(where, tunnel("a", { listen: { advertise: [{ host: "h" }] } }), peer("viewer"));
  const options = { paths: [where.directory], stateDirectory: where.stateDirectory, wallMs };
  const profile = await loadPeerProfile({ ...options, peer: "lab/viewer" });
  assert.ok(profile.ok);
  const asking = profile.text.replace("client\n", "client\nauth-user-pass\n");
  const secrets = [
    object("Secret", "p", { stringData: { "client.ovpn": asking } }),
    object("Secret", "u", { stringData: { username: "me\n", password: "secret \n" } }),
  ];
  const spec = {
    dial: { profileSecretRef: { name: "p" }, remotes: [{ host: "x", port: 7 }], order: "Random" },
    transport: { keepalive: { intervalSeconds: 2 } },
  };
  assert.match(
    problemsOf(await load(where, tunnel("b", spec), ...secrets), "b"),
    /asks for a username/,
  );
  const security = {
    userPassSecretRef: { name: "u" },
    dataCiphers: ["AES-128-GCM"],
    controlWrap: "None",
  };
  const loaded = await load(where, tunnel("b", { ...spec, security }), ...secrets);
  const config = configOf(loaded, "b");
  assert.deepEqual(config.role, {
    kind: "dial",
    remotes: [{ host: "x", port: 7 }],
    order: "Random",
    userPass: { username: "me", password: "secret " },
  });
  assert.deepEqual(config.transport.keepalive, { intervalSeconds: 2, timeoutSeconds: 5 });
  assert.deepEqual(config.transport.replayWindow, { packets: 8192, seconds: 10 }, "the profile's");
  assert.deepEqual(config.security.dataCiphers, ["AES-128-GCM"]);
  assert.notEqual(config.security.wrap.kind, "None");
  const [only] = loaded.tunnels;
  assert.match(
    only?.ok === true ? only.notes.join() : "",
    /spec\.security\.controlWrap is ignored/,
  );
});

test("a bad profile is refused with its lines, and no problem holds a key", async (context) => {
  const where = await place(context);
  const secret = "c2VjcmV0c2VjcmV0";
  const text = `client\ncompress lz4\n<key>\n${secret}\n</key>\n`;
  const loaded = await load(
    where,
    tunnel("b", { dial: { profileSecretRef: { name: "p" } } }),
    object("Secret", "p", { stringData: { "client.ovpn": text } }),
  );
  assert.match(
    problemsOf(loaded, "b"),
    /profileSecretRef \(Secret lab\/p, client\.ovpn\) line 2: compress is refused/,
  );
  assert.ok(!JSON.stringify(loaded).includes(secret));
});

test("profiles: an unknown peer, no advertised address, a bridging peer", async (context) => {
  const where = await place(context);
  await load(where, tunnel("a", { listen: {} }), peer("viewer"));
  const options = { paths: [where.directory], stateDirectory: where.stateDirectory, wallMs };
  const unknown = await loadPeerProfile({ ...options, peer: "nobody" });
  assert.match(unknown.ok ? "" : unknown.problems.join(), /name one of lab\/viewer/);
  const unreachable = await loadPeerProfile({ ...options, peer: "viewer" });
  assert.match(unreachable.ok ? "" : unreachable.problems.join(), /spec\.listen\.advertise/);
  await load(
    where,
    tunnel("a", { listen: { advertise: [{ host: "h", port: 7 }] } }),
    peer("box", { addressing: "None" }),
  );
  const box = await loadPeerProfile({ ...options, peer: "box" });
  assert.match(box.ok ? box.text : "", /^remote h 7$/m);
  assert.doesNotMatch(box.ok ? box.text : "route ", /^route /m);
});

test("certificates are renewed before they end, and when the authority changes", async (context) => {
  const where = await place(context);
  const documents = [tunnel("a", { listen: { advertise: [{ host: "h" }] } }), peer("viewer")];
  await load(where, ...documents);
  const certificateAt = async (days: number): Promise<string> => {
    const profile = await loadPeerProfile({
      paths: [where.directory],
      stateDirectory: where.stateDirectory,
      peer: "viewer",
      wallMs: wallMs + days * DAY_MS,
    });
    assert.ok(profile.ok);
    return /<cert>\n([\s\S]*)\n<\/cert>/.exec(profile.text)?.[1] ?? "";
  };
  const first = await certificateAt(0);
  assert.equal(await certificateAt(59), first);
  const renewed = await certificateAt(61);
  assert.notEqual(renewed, first);
  const own = await createAuthority({ commonName: "own", lifetimeDays: 100, wallMs });
  const secret = object("Secret", "ca", {
    stringData: { "tls.crt": own.certificatePem, "tls.key": own.privateKeyPem },
  });
  const security = { caSecretRef: { name: "ca" } };
  const config = configOf(
    await load(where, tunnel("a", { listen: {}, security }), peer("viewer"), secret),
  );
  assert.equal(config.security.caPem, own.certificatePem);
  assert.ok(await isIssuedBy(config.security.certificatePem, own.certificatePem));
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
