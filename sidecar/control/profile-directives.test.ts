/** The directives that client files commonly hold: each is taken, noted or refused, with its line. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { createAuthority, issueCertificate, type KeyPair } from "../../authority/certificate.ts";
import { type ProfileReading, readProfile } from "./profile-config.ts";
import { PROFILE_DIRECTIVES, type Treatment } from "./profile-directives.ts";

/** As they stand in files of providers, of access servers and of the manual's examples. */
const COMMON: Readonly<Record<Exclude<Treatment, "refused">, readonly string[]>> & {
  readonly refused: readonly string[];
} = {
  applied: [
    "fragment 1300",
    ...["client", "tls-client", "pull", "dev tap", "dev-type tap", "proto udp", "proto udp4"],
    ...["remote vpn.example.org 1194 udp", "remote-random", "port 1194", "rport 1194", "nobind"],
    ...["lport 0", "bind", "auth SHA256", "cipher AES-256-GCM", "data-ciphers AES-256-GCM"],
    ...["data-ciphers-fallback AES-256-CBC", "ncp-ciphers AES-256-GCM", "remote-cert-tls server"],
    ...['remote-cert-eku "TLS Web Server Authentication"', "verify-x509-name gw name"],
    ...["tls-version-min 1.2", "tls-version-max 1.3", "key-direction 1", "auth-user-pass"],
    ...["tun-mtu 1500", "mssfix 1450", "replay-window 64 15", "reneg-sec 3600", "reneg-bytes 0"],
    ...["reneg-pkts 0", "keepalive 10 60", "ping 10", "ping-restart 60", "script-security 1"],
    ...[
      "ifconfig 10.20.0.7 255.255.255.0",
      "compress migrate",
      "topology subnet",
      "route-metric 50",
    ],
  ],
  settled: [
    ...["persist-key", "persist-tun", "resolv-retry infinite", "connect-retry 2 300", "float"],
    ...["connect-retry-max 5", "connect-timeout 10", "server-poll-timeout 4", "verb 3", "mute 10"],
    ...["explicit-exit-notify 1", "mute-replay-warnings", "auth-nocache"],
    ...[
      "auth-retry nointeract",
      "key-method 2",
      "push-peer-info",
      "setenv-safe X 1",
      "disable-dco",
    ],
  ],
  ignored: [
    ...["daemon", "log /var/log/x", "status /run/x 10", "user nobody", "group nogroup"],
    ...["management 127.0.0.1 7505", "setenv opt x", "redirect-gateway def1", "block-ipv6"],
    ...["dhcp-option DNS 192.0.2.1", "register-dns", "block-outside-dns"],
    ...["route-delay 2", "sndbuf 0", "rcvbuf 0", "txqueuelen 1000", "fast-io", "hand-window 60"],
    ...["tls-timeout 2", "tls-cipher DEFAULT", "tls-ciphersuites TLS_AES_256_GCM_SHA384"],
    ...["ecdh-curve secp384r1", "pull-filter ignore route", "inactive 3600"],
  ],
  refused: [
    ...["up /etc/openvpn/up.sh", "down /etc/openvpn/down.sh", "plugin x.so", "tls-verify x"],
    ...["comp-lzo", "compress lz4", "secret static.key", "pkcs12 me.p12"],
    ...["ca ca.crt", "askpass", "config other.ovpn", "ns-cert-type server", "capath /etc/ssl"],
    ...["server 10.8.0.0 255.255.255.0", "mode server", "static-challenge x 1"],
  ],
};

let authority: KeyPair;
let own: KeyPair;

before(async () => {
  const age = { lifetimeDays: 30, wallMs: Date.now() };
  authority = await createAuthority({ commonName: "test", ...age });
  own = await issueCertificate(authority, { commonName: "box", use: "client", ...age });
});

/** A file whose third line is the given one. */
function read(line: string): ProfileReading {
  const blocks = [
    `<ca>\n${authority.certificatePem}</ca>`,
    `<cert>\n${own.certificatePem}</cert>`,
    `<key>\n${own.privateKeyPem}</key>`,
  ];
  return readProfile(["remote vpn.example.org", "dev tap", line, ...blocks].join("\n"));
}

test("there are more than eighty common directives, and the table has each as it is treated", () => {
  assert(new Set(Object.values(COMMON).flat().map(nameOf)).size >= 80);
  for (const treatment of ["settled", "ignored"] as const) {
    for (const line of COMMON[treatment]) {
      assert.equal(PROFILE_DIRECTIVES.get(nameOf(line))?.treatment, treatment, line);
    }
  }
});

test("what is taken or so anyway is no problem and no note of its line", () => {
  for (const line of [...COMMON.applied, ...COMMON.settled]) {
    const reading = read(line);
    assert(reading.ok, `${line}: ${reading.ok ? "" : reading.problems.join(" ")}`);
    // A cipher that is not authenticated is a fallback that is never needed: that is told.
    const told = reading.notes.filter((note) => note.startsWith("line 3: "));
    assert.equal(told.length, line.includes("CBC") ? 1 : 0, `${line}: ${told}`);
  }
});

test("what is ignored is noted with its line, its name and the reason", () => {
  for (const line of COMMON.ignored) {
    const reading = read(line);
    assert(reading.ok, line);
    const [note = ""] = reading.notes.filter((text) => text.startsWith("line 3: "));
    const { reason = "" } = PROFILE_DIRECTIVES.get(nameOf(line)) ?? {};
    assert.equal(note, `line 3: ${nameOf(line)} is ignored: ${reason}`);
  }
});

test("what is refused stops the file with its line, its name and a reason", () => {
  for (const line of COMMON.refused) {
    const reading = read(line);
    assert(!reading.ok, line);
    const [problem = ""] = reading.problems.filter((text) => text.startsWith("line 3: "));
    assert.match(problem, /^line 3: \S+ (is refused: .{15}|.{15})/, line);
    assert(problem.includes(nameOf(line)), problem);
  }
});

function nameOf(line: string): string {
  return line.split(" ")[0] ?? "";
}
