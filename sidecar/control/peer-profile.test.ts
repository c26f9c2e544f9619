/** Profiles of peers, and the tunnels that dial with them. */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createAuthority, isIssuedBy, readCertificate } from "../../authority/certificate.ts";
import { unwrapClientKey } from "../../authority/tls-crypt-v2.ts";
import { loadTunnels } from "./load-tunnels.ts";
import {
  ADDRESSES,
  configOf,
  DAY_MS,
  load,
  object,
  peer,
  place,
  problemsOf,
  tunnel,
  wallMs,
} from "./loading-harness.ts";
import { loadPeerProfile } from "./peer-profile.ts";

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
    remotes: [{ host: "192.0.2.1", port: 1194, protocol: "Udp" }],
    order: "Random",
  });
  assert.deepEqual(config.device, {
    name: "tb1",
    kind: "tap",
    multicastRoutes: ["224.0.0.0/4", "ff00::/8"],
    mtu: 1400,
  });
  assert.equal(config.security.caPem, gateway.security.caPem);
  const [ours, theirs] = [config.security.wrap, gateway.security.wrap];
  assert(ours.kind === "TlsCryptV2" && theirs.kind === "TlsCryptV2Server");
  const unwrapped = unwrapClientKey(theirs.serverKey, ours.wrapped);
  assert.deepEqual(unwrapped?.key, Buffer.from(ours.key));
  assert.equal(
    config.security.verifyName,
    readCertificate(gateway.security.identity?.certificatePem ?? "").commonName,
  );
  assert.deepEqual(readCertificate(config.security.identity?.certificatePem ?? "").uses, [
    "client",
  ]);
  assert.deepEqual(configOf(loaded, "c").device, {
    bridge: { interface: "br0" },
    kind: "tap",
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
    remotes: [{ host: "x", port: 7, protocol: "Udp" }],
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
  assert.ok(await isIssuedBy(config.security.identity?.certificatePem ?? "", own.certificatePem));
});
