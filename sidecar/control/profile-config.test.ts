/** An administrator's own client file: what is applied, noted and refused. */

import assert from "node:assert/strict";
import { before, test } from "node:test";
import fc from "fast-check";
import { createAuthority, issueCertificate, type KeyPair } from "../../authority/certificate.ts";
import { generateStaticKey, printStaticKey } from "../../authority/static-key.ts";
import { APPLY } from "./profile-apply.ts";
import { type ProfileSettings, readProfile } from "./profile-config.ts";
import { PROFILE_DIRECTIVES } from "./profile-directives.ts";

const wallMs = Date.now();
const wrapKey = generateStaticKey();
let authority: KeyPair;
let pair: KeyPair;

before(async () => {
  authority = await createAuthority({ commonName: "test", lifetimeDays: 30, wallMs });
  const request = { commonName: "box", use: "client", lifetimeDays: 30, wallMs } as const;
  pair = await issueCertificate(authority, request);
});

function blocks(): string {
  return [
    `<ca>\n${authority.certificatePem}</ca>`,
    `<cert>\n${pair.certificatePem}</cert>`,
    `<key>\n${pair.privateKeyPem}</key>`,
  ].join("\n");
}

/** A whole profile; the first lines are the given ones, so that their numbers are known. */
function profile(...lines: readonly string[]): string {
  return [...lines, "client", "dev tap", "remote vpn.example.org", blocks()].join("\n");
}

function settings(...lines: readonly string[]): ProfileSettings {
  const reading = readProfile(profile(...lines));
  assert.ok(reading.ok, reading.ok ? "" : reading.problems.join("\n"));
  return reading.settings;
}

function problems(...lines: readonly string[]): readonly string[] {
  const reading = readProfile(profile(...lines));
  return reading.ok ? [] : reading.problems;
}

function notes(...lines: readonly string[]): readonly string[] {
  const reading = readProfile(profile(...lines));
  return reading.ok ? reading.notes : [];
}

test("there is a function for exactly the applied directives", () => {
  const applied = [...PROFILE_DIRECTIVES].filter(([, rule]) => rule.treatment === "applied");
  assert.deepEqual(Object.keys(APPLY).sort(), applied.map(([name]) => name).sort());
  for (const [name, rule] of PROFILE_DIRECTIVES) {
    if (rule.treatment === "ignored" || rule.treatment === "refused") {
      assert.ok(rule.reason.length > 15, name);
    }
  }
});

test("a plain profile is a dialling tunnel with OpenVPN's defaults", () => {
  const read = settings();
  assert.deepEqual(read.role, {
    kind: "dial",
    remotes: [{ host: "vpn.example.org", port: 1194, protocol: "Udp" }],
    order: "Listed",
  });
  assert.deepEqual(read.device, { kind: "tap", multicastRoutes: [] });
  assert.deepEqual(read.security.wrap, { kind: "None" });
  assert.deepEqual(read.security.dataCiphers, ["AES-256-GCM", "AES-128-GCM", "CHACHA20-POLY1305"]);
  assert.equal(read.security.caPem, authority.certificatePem);
  assert.equal(read.security.tlsVersionMin, "1.2");
  assert.equal(read.security.verifyName, undefined);
});

test("remotes are read with ports, protocols, connection blocks and order", () => {
  const read = settings(
    "port 1195",
    "remote a 443 udp",
    "remote b",
    "remote c 1 tcp",
    "<connection>\nremote d 7 udp4\n</connection>",
    "<connection>\nremote e\nport 8\nproto udp\n</connection>",
    "<connection>\nremote f 9\nproto tcp-client\n</connection>",
    "<connection>\nremote g\nproto tcp4\n</connection>",
    "remote-random",
  );
  assert.equal(read.role.order, "Random");
  assert.deepEqual(
    read.role.remotes.map(({ host, port, protocol }) => `${host}:${port} ${protocol}`),
    [
      "a:443 Udp",
      "b:1195 Udp",
      "c:1 Tcp",
      "d:7 Udp",
      "e:8 Udp",
      "f:9 Tcp",
      "g:1194 Tcp",
      "vpn.example.org:1195 Udp",
    ],
  );
  const protocols = (...lines: string[]): string[] =>
    settings(...lines).role.remotes.map(({ host, protocol }) => `${host} ${protocol}`);
  assert.deepEqual(protocols("proto tcp", "remote a 1 udp"), ["a Udp", "vpn.example.org Tcp"]);
  assert.deepEqual(protocols("proto-force tcp", "remote a 1 tcp6"), ["a Tcp"]);
  assert.match(problems("proto-force tcp")[0] ?? "", /line 1: proto-force leaves no remote/);
});

test("who neither is a client nor pulls is one of two peers", () => {
  const without = profile("tls-client").replace(/^client\n/m, "");
  const reading = readProfile(without);
  assert.equal(reading.ok && reading.settings.role.isTwoPeer, true);
  assert.equal(settings("tls-client").role.isTwoPeer, undefined, "client pulls");
  const pulling = readProfile(profile("tls-client", "pull").replace(/^client\n/m, ""));
  assert.equal(pulling.ok && pulling.settings.role.isTwoPeer, undefined);
});

test("a point-to-point tun names its far end in place of a mask", () => {
  const tun = settings("dev tun", "dev-type tun", "ifconfig 10.8.0.2 10.8.0.1");
  assert.deepEqual(tun.device.address4, { address: "10.8.0.2", prefixBits: 32 });
  assert.equal(tun.farEnd4, "10.8.0.1");
  const later = settings(
    "dev tun",
    "dev-type tun",
    "ifconfig 10.8.0.2 10.8.0.1",
    "ifconfig 10.8.0.2 255.255.255.0",
  );
  assert.equal(later.farEnd4, undefined, "the last line counts");
  const [problem = ""] = problems("ifconfig 10.8.0.2 10.8.0.1");
  assert.match(problem, /line 1: ifconfig needs a mask with dev tap/);
  for (const bad of ["224.0.0.1", "255.0.255.0", "fd00::1", "x", ""]) {
    assert.match(problems(`ifconfig 10.8.0.2 ${bad}`)[0] ?? "", /needs an address and a mask/, bad);
  }
});

test("device, addresses and transport", () => {
  const read = settings(
    "dev-type tap",
    "ifconfig 10.20.0.7 255.255.255.0",
    "ifconfig-ipv6 fd20::7/64 fd20::1",
    "tun-mtu 1400",
    "mssfix 1400 mtu",
    "replay-window 512 10",
    "keepalive 2 8",
    "reneg-sec 0",
    "lport 5000",
  ).device;
  assert.deepEqual(read.address4, { address: "10.20.0.7", prefixBits: 24 });
  assert.deepEqual(read.address6, { address: "fd20::7", prefixBits: 64 });
  assert.equal(settings("tun-mtu 1400").mtu, 1400);
  assert.equal(settings("mssfix 1400 mtu").mssFixBytes, 1352);
  assert.equal(settings("mssfix 1400").mssFixBytes, 1400);
  assert.equal(settings("mssfix").mssFixBytes, 1444);
  assert.deepEqual(settings("replay-window 512 10").replayWindow, { packets: 512, seconds: 10 });
  assert.deepEqual(settings("keepalive 2 8").keepalive, { intervalSeconds: 2, timeoutSeconds: 8 });
  assert.deepEqual(settings("ping 5").keepalive, { intervalSeconds: 5, timeoutSeconds: 120 });
  assert.deepEqual(settings().renewal, {});
  assert.deepEqual(settings("reneg-sec 0", "reneg-bytes 64000000000", "reneg-pkts 1000").renewal, {
    renegotiateSeconds: 0,
    renegotiateBytes: 64_000_000_000,
    renegotiatePackets: 1000,
  });
  assert.equal(settings("lport 5000").role.localPort, 5000);
  assert.equal(settings("lport 5000", "nobind").role.localPort, undefined);
  const named = readProfile(profile().replace("dev tap", "dev tb0\ndev-type tap"));
  assert.equal(named.ok && named.settings.device.name, "tb0");
});

test("multicast routes go into the segment, ours for stock OpenVPN too, other routes do not", () => {
  const read = settings(
    "route 224.0.0.0 224.0.0.0 10.20.0.1",
    "route 240.0.0.0 240.0.0.0 net_gateway",
    "route 239.1.0.0 255.255.0.0",
    "route-ipv6 ff00::/8 fd20::1",
  );
  assert.deepEqual(read.device.multicastRoutes, ["224.0.0.0/4", "239.1.0.0/16", "ff00::/8"]);
  assert.match(
    notes("route 10.0.0.0 255.0.0.0")[0] ?? "",
    /line 1: the route to 10\.0\.0\.0\/8 is ignored/,
  );
  assert.match(notes("route-ipv6 2000::/3")[0] ?? "", /line 1: the route to 2000::\/3 is ignored/);
});

test("control wraps", () => {
  const key = printStaticKey(wrapKey);
  const crypt = settings(`<tls-crypt>\n${key}</tls-crypt>`).security.wrap;
  assert.deepEqual(crypt, { kind: "TlsCrypt", key: wrapKey });
  const plain = settings(`<tls-auth>\n${key}</tls-auth>`).security.wrap;
  assert.deepEqual(plain, { kind: "TlsAuth", key: wrapKey, digest: "SHA1" });
  const lines = ["auth SHA256", "key-direction 1", `<tls-auth>\n${key}</tls-auth>`];
  const auth = settings(...lines).security.wrap;
  assert.deepEqual(auth, { kind: "TlsAuth", key: wrapKey, digest: "SHA256", direction: 1 });
  assert.deepEqual(settings("tls-auth [inline] 1", `<tls-auth>\n${key}</tls-auth>`).security.wrap, {
    kind: "TlsAuth",
    key: wrapKey,
    digest: "SHA1",
    direction: 1,
  });
  assert.match(problems("auth MD5", `<tls-auth>\n${key}</tls-auth>`)[0] ?? "", /line 1: auth/);
  assert.match(problems("<tls-crypt>\nx\n</tls-crypt>")[0] ?? "", /not an OpenVPN static key/);
});

test("ciphers, names, versions, fingerprints and passwords", () => {
  const ciphers = settings("data-ciphers ?AES-128-GCM:BF-CBC:aes-256-gcm").security.dataCiphers;
  assert.deepEqual(ciphers, ["AES-128-GCM", "AES-256-GCM"]);
  assert.equal(settings("cipher CHACHA20-POLY1305").security.dataCiphers[0], "CHACHA20-POLY1305");
  assert.equal(settings('verify-x509-name "my gw" name').security.verifyName, "my gw");
  assert.equal(settings("verify-x509-name gw- name-prefix").security.verifyNamePrefix, "gw-");
  const subject = "C=DE, O=Lab, CN=gw";
  assert.equal(settings(`verify-x509-name "${subject}"`).security.verifySubject, subject);
  assert.equal(settings(`verify-x509-name "${subject}" subject`).security.verifySubject, subject);
  assert.equal(settings("remote-cert-tls server").security.remoteCertTls, "server");
  const eku = 'remote-cert-eku "TLS Web Server Authentication"';
  assert.equal(settings(eku).security.remoteCertTls, "server");
  assert.equal(settings("tls-version-min 1.3").security.tlsVersionMin, "1.3");
  assert.equal(settings("tls-version-min 1.0").security.tlsVersionMin, "1.2");
  const print = Array.from({ length: 32 }, () => "ab").join(":");
  assert.deepEqual(settings(`peer-fingerprint ${print}`).security.peerFingerprints, [
    print.toUpperCase(),
  ]);
  assert.equal(settings("auth-user-pass").needsUserPass, true);
  const inline = settings("<auth-user-pass>\nme\nsecret\n</auth-user-pass>");
  assert.deepEqual(inline.role.userPass, { username: "me", password: "secret" });
  assert.equal(inline.needsUserPass, false);
  assert.equal(settings("auth-user-pass login.txt").needsUserPass, true);
  assert.match(
    notes("auth-user-pass login.txt").join(),
    /login\.txt is not read: give it with --auth-user-pass/,
  );
});

test("a certificate may be missing with its key, and only beside a password", () => {
  const without = (...names: readonly string[]): string =>
    names.reduce(
      (text, name) => text.replace(new RegExp(`<${name}>[^]*</${name}>\n?`), ""),
      profile(),
    );
  const problemsOf = (text: string): string => {
    const reading = readProfile(text);
    return reading.ok ? "" : reading.problems.join("\n");
  };
  const bare = without("cert", "key");
  assert.match(problemsOf(bare), /no <cert> block.*\n.*no <key> block/);
  const read = readProfile(`${bare}\nauth-user-pass\n`);
  assert(read.ok);
  assert.equal(read.settings.security.identity, undefined);
  assert.equal(read.settings.needsUserPass, true);
  assert.match(problemsOf(`${without("key")}\nauth-user-pass\n`), /no <key> block/);
});

const REFUSED: readonly (readonly [string, RegExp])[] = [
  ["compress lz4", /compression/],
  ["compress", /compression/],
  ["comp-lzo no", /compression/],
  ["up /etc/up.sh", /run no programs/],
  ["plugin x.so", /run no programs/],
  ["proto tcp-server", /is udp or tcp/],
  ["proto sctp", /is udp or tcp/],
  ["remote x 1 tls", /protocol that is not udp or tcp/],
  ["tls-crypt-v2 x", /this needs a file on disk.*<tls-crypt-v2>/],
  ["secret k", /static-key tunnels.*two-peers/],
  ["tls-server", /write tls-client here/],
  ["fragment 300", /needs 576 or more/],
  ["ca ca.crt", /inline blocks only/],
  ["server 10.0.0.0 255.0.0.0", /belongs to a server/],
  ["verify-x509-name gw", /"NAME" name, "PREFIX" name-prefix or/],
  ['verify-x509-name "" name', /"NAME" name, "PREFIX" name-prefix or/],
  ["verify-x509-name gw email", /"NAME" name, "PREFIX" name-prefix or/],
  ["ns-cert-type server", /remote-cert-tls/],
  ["data-ciphers BF-CBC", /no cipher that is supported/],
  ["tls-version-max 1.1", /is 1\.2 or 1\.3/],
  ["remote bad!host", /needs a host name/],
  ["keepalive 5 5", /at least twice/],
  ["peer-fingerprint 00", /SHA-256/],
  ["frobnicate", /not a directive/],
  ["<extra-certs>\n</extra-certs>", /empty/],
];

for (const [line, reason] of REFUSED) {
  test(`refused with its line: ${line.split("\n")[0]}`, () => {
    const [first = ""] = problems(line);
    assert.match(first, /^line 1: /);
    assert.match(first, reason);
  });
}

test("harmless forms are not refused, and what is left out is noted", () => {
  assert.deepEqual(problems("compress migrate", "allow-compression no", "script-security 1"), []);
  assert.match(notes("script-security 2")[0] ?? "", /run no programs/);
  assert.match(notes("redirect-gateway def1")[0] ?? "", /^line 1: redirect-gateway is ignored/);
  assert.deepEqual(notes("persist-tun", "verb 3"), []);
  const unknown = notes("ignore-unknown-option frobnicate", "frobnicate 1");
  assert.match(unknown[0] ?? "", /line 2: frobnicate is unknown and ignored/);
});

test("all problems come at once, also those of the whole", () => {
  const reading = readProfile("compress lz4\nup x\ntopology ring\n");
  const text = reading.ok ? "" : reading.problems.join("\n");
  for (const part of [
    /line 1: compress/,
    /line 2: up/,
    /no remote/,
    /line 3: topology is refused: is subnet/,
    /<ca>/,
    /<cert>/,
    /<key>/,
  ]) {
    assert.match(text, part);
  }
});

test("a key that does not belong to its certificate is refused, and never quoted", () => {
  const text = profile().replace(pair.privateKeyPem, authority.privateKeyPem);
  const reading = readProfile(text);
  assert.ok(!reading.ok);
  assert.match(reading.problems.join(), /does not belong/);
  const locked = profile().replaceAll("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
  const second = readProfile(locked);
  assert.ok(!second.ok);
  assert.match(second.problems.join(), /passphrase/);
  const secret = pair.privateKeyPem.split("\n")[1] ?? "";
  assert.ok(!JSON.stringify([reading.problems, second.problems]).includes(secret));
});

test("a key that lost its block is not quoted line by line", () => {
  const bare = `${pair.privateKeyPem}${printStaticKey(wrapKey)}`;
  const found = problems(...bare.split("\n")).join("\n");
  for (const line of bare.split("\n")) {
    if (line !== "" && !line.startsWith("-----")) assert.ok(!found.includes(line), found);
  }
});

test("no mutated profile makes the reader throw", () => {
  const whole = profile(
    "auth SHA256",
    "key-direction 1",
    `<tls-auth>\n${printStaticKey(wrapKey)}</tls-auth>`,
  );
  const names = fc.constantFrom(...PROFILE_DIRECTIVES.keys());
  const line = fc
    .tuple(names, fc.array(fc.string(), { maxLength: 4 }))
    .map(([name, words]) => `\n${name} ${words.join(" ")}\n`);
  const mutation = fc.tuple(fc.nat(whole.length), fc.nat(40), fc.oneof(fc.string(), line));
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
      let text = whole;
      for (const [start, length, put] of mutations) {
        text = text.slice(0, start) + put + text.slice(start + length);
      }
      const reading = readProfile(text);
      if (!reading.ok) assert.ok(reading.problems.length > 0);
    }),
    { numRuns: 300 },
  );
});
