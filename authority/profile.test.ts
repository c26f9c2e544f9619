/** What a printed profile says. That stock OpenVPN runs it is shown in `profile.interop.test.ts`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ProfileError } from "./authority-error.ts";
import { type ProfileRequest, printProfile } from "./profile.ts";

const REQUEST: ProfileRequest = {
  tunnel: { namespace: "lab", name: "testbed-a" },
  peer: "viewer",
  remotes: [
    { host: "192.0.2.1", port: 1194 },
    { host: "vpn.example.org", port: 443 },
  ],
  order: "Listed",
  device: "tap",
  protocol: "Udp",
  interfaceName: "tb0",
  authorityPem: "CA\n",
  pair: { certificatePem: "CERT\n", privateKeyPem: "KEY\n" },
  serverName: "gateway",
  wrap: { kind: "TlsCrypt", key: new Uint8Array(256) },
  dataCiphers: ["AES-256-GCM", "CHACHA20-POLY1305"],
  mtu: "Auto",
  mssFixBytes: 1444,
  replayWindow: { packets: "Auto", seconds: 10 },
  multicast: { bridges: false, routes: ["224.0.0.0/4", "ff00::/8"], anyAddress4: "10.20.0.1" },
};

test("a profile asks for a username and a password where the gateway does", () => {
  assert.doesNotMatch(printProfile(REQUEST), /auth-user-pass/);
  assert.match(printProfile({ ...REQUEST, asksUserPass: true }), /^auth-user-pass$/m);
});

test("every remote is in the profile, in random order only when asked", () => {
  const listed = printProfile(REQUEST).split("\n");
  assert.ok(listed.includes("remote 192.0.2.1 1194"));
  assert.ok(listed.includes("remote vpn.example.org 443"));
  assert.ok(listed.includes("nobind"));
  assert.ok(!listed.includes("remote-random"));
  const random = printProfile({ ...REQUEST, order: "Random" }).split("\n");
  assert.ok(random.includes("remote-random"));
});

test("without an advertised address the error names the field", () => {
  assert.throws(
    () => printProfile({ ...REQUEST, remotes: [] }),
    (error: Error) => {
      assert.ok(error instanceof ProfileError);
      assert.match(error.message, /lab\/testbed-a .*spec\.listen\.advertise/);
      return true;
    },
  );
});

test("nothing but inline blocks, and no scripts", () => {
  for (const kind of ["TlsCrypt", "TlsAuth"] as const) {
    const wrap = { kind, key: new Uint8Array(256), digest: "SHA256" };
    const text = printProfile({ ...REQUEST, wrap });
    assert.doesNotMatch(text, /^(up|down|route-up|script-security|plugin) /m);
    assert.doesNotMatch(text, /^(ca|cert|key|tls-crypt|tls-auth) /m);
  }
});

test("multicast goes on-link by a route shorter than /4, and class E is given back", () => {
  const lines = printProfile(REQUEST).split("\n");
  assert.ok(lines.includes("route 224.0.0.0 224.0.0.0 10.20.0.1"));
  assert.ok(lines.includes("route 240.0.0.0 240.0.0.0 net_gateway"));
  const multicast = { ...REQUEST.multicast, bridges: true };
  assert.doesNotMatch(printProfile({ ...REQUEST, multicast }), /^route/m);
  const none = { bridges: false, routes: ["239.0.0.0/8"] };
  const text = printProfile({ ...REQUEST, multicast: none });
  assert.doesNotMatch(text, /^route/m);
  assert.match(text, /^# {3}ip route add 239\.0\.0\.0\/8 dev tb0$/m);
});

test("stock OpenVPN's largest replay window is kept to", () => {
  const replayWindow = { packets: 131_072, seconds: 10 };
  assert.match(printProfile({ ...REQUEST, replayWindow }), /^replay-window 65536 10$/m);
});
