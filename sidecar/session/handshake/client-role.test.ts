import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import type { SecurityConfig } from "../../control/tunnel-config.ts";
import type { ClientSettings } from "./client-role.ts";
import { printable } from "./client-role.ts";
import {
  configOf,
  createIdentities,
  fingerprintOf,
  type Identities,
} from "./identities-harness.ts";
import type { ServerSettings } from "./server-role.ts";
import type { EndCause } from "./session-outcome.ts";
import { closePairs, SessionPair } from "./session-pair-harness.ts";

const identities = await createIdentities();
afterEach(closePairs);

/** What the client says of a server like this; undefined when it came up. */
async function outcome(change: {
  readonly client?: Partial<SecurityConfig>;
  readonly server?: Partial<SecurityConfig>;
  readonly clientSettings?: Partial<ClientSettings>;
  readonly serverSettings?: Partial<ServerSettings>;
}): Promise<{ cause: EndCause | undefined; reason: string; pair: SessionPair }> {
  const { client, server, ...settings } = change;
  const pair = new SessionPair({
    client: configOf(identities, "client", client),
    server: configOf(identities, "server", server),
    ...settings,
  });
  await pair.run(() => pair.clientLog.switches > 0 || pair.hasEnded);
  const { cause, reason } = pair.clientLog;
  if (cause !== undefined) {
    assert(!pair.clientLog.events.some((event) => event.startsWith("install")), "no keys");
  }
  pair.close();
  return { cause, reason, pair };
}

function presenting(name: keyof Identities): Partial<SecurityConfig> {
  const identity = identities[name];
  assert(typeof identity === "object");
  return { identity };
}

const otherPrint = fingerprintOf(identities.otherClient);
const badServers: readonly (readonly [
  string,
  Partial<SecurityConfig>,
  Partial<SecurityConfig>,
  RegExp,
])[] = [
  ["from another authority", presenting("foreignServer"), {}, /not from a trusted authority/],
  ["that expired", presenting("expiredServer"), {}, /expired on /],
  ["for use as a client", presenting("client"), {}, /purpose|not for use as a server/],
  ["of another name", {}, { verifyName: "other-gateway" }, /name is gateway, not other-gateway/],
  ["of another fingerprint", {}, { peerFingerprints: [otherPrint] }, /is not among the accepted/],
];

for (const [what, server, client, reason] of badServers) {
  test(`a server with a certificate ${what} is refused`, async () => {
    const { cause, reason: said } = await outcome({ server, client });
    assert.equal(cause, "certificateRefused");
    assert.match(said, reason);
  });
}

/** As `configOf`, but without an authority. */
function withoutAuthority(change: Partial<SecurityConfig>): SecurityConfig {
  const { caPem: _, ...config } = configOf(identities, "client", change);
  return config;
}

async function pinned(server: Partial<SecurityConfig>, prints: string[]): Promise<string> {
  const pair = new SessionPair({
    client: withoutAuthority({ peerFingerprints: prints }),
    server: configOf(identities, "server", server),
  });
  await pair.run(() => pair.clientLog.switches > 0 || pair.hasEnded);
  pair.close();
  return pair.clientLog.cause === undefined ? "up" : pair.clientLog.reason;
}

test("without an authority a fingerprint decides, and nothing is believed without either", async () => {
  const right = [otherPrint, fingerprintOf(identities.server)];
  assert.equal(await pinned({}, right), "up");
  assert.match(await pinned({}, [otherPrint]), /is not among the accepted/);
  assert.match(await pinned({}, []), /no authority or fingerprint/);
  const expired = presenting("expiredServer");
  const print = fingerprintOf(identities.expiredServer);
  assert.match(await pinned(expired, [print]), /expired on /);
});

test("a pinned certificate must still be for use as a server", async () => {
  const print = fingerprintOf(identities.client);
  assert.match(await pinned(presenting("client"), [print]), /not for use as a server/);
});

test("the right name is believed, and without remote-cert-tls any use is", async () => {
  assert.equal((await outcome({ client: { verifyName: "gateway" } })).cause, undefined);
});

test("a server that shares no TLS version ends the handshake with that reason", async () => {
  const { cause, reason } = await outcome({
    client: { tlsVersionMax: "1.2" },
    server: { tlsVersionMin: "1.3" },
  });
  assert.equal(cause, "tlsFailed");
  assert.match(reason, /PROTOCOL_VERSION/);
});

test("no cipher in common is said as that", async () => {
  const { cause, reason, pair } = await outcome({
    clientSettings: { ciphers: ["AES-128-GCM"] },
    serverSettings: { ciphers: ["AES-256-GCM"] },
  });
  assert.equal(cause, "noCommonCipher");
  assert.match(reason, /AES-128-GCM/);
  assert.equal(pair.serverLog.cause, "noCommonCipher");
  assert.match(pair.serverLog.reason, /it offers AES-128-GCM, this end has AES-256-GCM/);
  assert.deepEqual(pair.serverLog.events, []);
});

/** A server that pushes exactly this. */
function pushing(...options: string[]): { serverSettings: Partial<ServerSettings> } {
  return { serverSettings: { pushFor: () => options } };
}

const usable = ["peer-id 3", "cipher AES-256-GCM", "protocol-flags cc-exit tls-ekm"];

test("what a server must not push ends the session with its own cause", async () => {
  const cases: readonly (readonly [readonly string[], EndCause | undefined, RegExp])[] = [
    [usable, undefined, /^$/],
    [[...usable, "compress lz4-v2"], "optionRefused", /compress lz4-v2/],
    [[...usable, "comp-lzo no"], "optionRefused", /comp-lzo no/],
    [["peer-id 3", "cipher BF-CBC"], "noCommonCipher", /the server uses BF-CBC/],
    [["peer-id 3"], "noCommonCipher", /none that it names/],
    [["cipher AES-256-GCM"], "protocolError", /no peer-id/],
  ];
  for (const [options, cause, reason] of cases) {
    const result = await outcome(pushing(...options));
    assert.deepEqual(result.cause, cause, options.join());
    assert.match(result.reason, reason);
  }
});

test("a cipher that this end has but does not want is refused", async () => {
  const { cause } = await outcome({
    ...pushing(...usable),
    clientSettings: { ciphers: ["AES-128-GCM"] },
  });
  assert.equal(cause, "noCommonCipher");
});

test("another MTU than the configured one is a mismatch, pushed or in the options string", async () => {
  for (const options of [usable, [...usable, "tun-mtu 1500"]]) {
    const fixed = { ...pushing(...options), clientSettings: { mtu: 1400 } };
    const { cause, reason } = await outcome(fixed);
    assert.equal(cause, "mtuMismatch");
    assert.match(reason, /1500 bytes, transport\.mtu says 1400/);
  }
  const same = { ...pushing(...usable, "tun-mtu 1400"), clientSettings: { mtu: 1400 } };
  assert.equal((await outcome(same)).cause, undefined);
});

test("a reply in several parts is joined, and its last part counts", async () => {
  const routes = Array.from({ length: 90 }, (_, index) => `route 10.0.${index}.0 255.255.255.0`);
  const { cause, pair } = await outcome(pushing(...routes, ...usable));
  assert.equal(cause, undefined);
  assert.equal(pair.clientLog.agreement?.pushed?.routes.length, routes.length);
  assert.equal(pair.clientLog.agreement?.peerId, 3);
});

test("PUSH_UPDATE changes what was agreed, in parts too, and what cannot change ends the session", async () => {
  const pair = new SessionPair({
    client: configOf(identities, "client"),
    server: configOf(identities, "server"),
  });
  assert(await pair.run(() => pair.isUp));
  const before = pair.clientLog.events.length;
  pair.server?.sendText("PUSH_UPDATE,ifconfig 10.20.0.9 255.255.255.0,push-continuation 2");
  await pair.pass(1000);
  assert.equal(pair.clientLog.events.length, before, "nothing before the last part");
  pair.server?.sendText("PUSH_UPDATE,tun-mtu 1400,?block-local,push-continuation 1");
  assert(await pair.run(() => pair.clientLog.events.includes("updated")));
  const { pushed, remoteMtuBytes, peerId } = pair.clientLog.agreement ?? {};
  assert.deepEqual(pushed?.address4, { address: "10.20.0.9", prefixBits: 24 });
  assert.deepEqual([remoteMtuBytes, peerId], [1400, 5]);
  assert.match(pair.clientLog.events.at(-2) ?? "", /^notice the server changes ifconfig/);
  pair.server?.sendText("PUSH_UPDATE,ifconfig 10.20.0.10 255.255.255.0,cipher AES-128-GCM");
  assert(await pair.run(() => pair.hasEnded));
  assert.equal(pair.clientLog.cause, "peerRestarts");
  assert.match(pair.clientLog.reason, /cannot change in a session \(cipher AES-128-GCM\)/);
  assert.equal(pair.clientLog.agreement?.pushed?.address4?.address, "10.20.0.9");
  pair.close();
});

test("a server that pushes without end is left", async () => {
  const { cause } = await outcome(
    pushing(...Array<string>(1200).fill("route 10.0.0.0"), ...usable),
  );
  assert.equal(cause, "protocolError");
});

test("a server that pushes nothing is asked again every five seconds", async () => {
  const pair = new SessionPair({
    client: configOf(identities, "client"),
    server: configOf(identities, "server"),
    serverSettings: { pushFor: () => [] },
  });
  // "PUSH_REPLY" alone names no cipher: it is an answer, and a bad one.
  assert(await pair.run(() => pair.hasEnded));
  assert.equal(pair.clientLog.cause, "noCommonCipher");
  pair.close();
});

test("text for a log line is printable and bounded", () => {
  assert.equal(printable("a\nb\u0000c\u009bü"), "a?b?c??");
  assert.equal(printable("x".repeat(1000)).length, 200);
});
