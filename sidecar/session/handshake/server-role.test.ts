import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import type { SecurityConfig } from "../../control/tunnel-config.ts";
import {
  configOf,
  createIdentities,
  fingerprintOf,
  type Identities,
} from "./identities-harness.ts";
import type { ServerSettings } from "./server-role.ts";
import { closePairs, SessionPair } from "./session-pair-harness.ts";

const identities = await createIdentities();
afterEach(closePairs);

/** Both ends' outcome when a client like this dials. */
async function dial(change: {
  readonly client?: Partial<SecurityConfig>;
  readonly server?: Partial<SecurityConfig>;
  readonly serverSettings?: Partial<ServerSettings>;
}): Promise<SessionPair> {
  const pair = new SessionPair({
    client: configOf(identities, "client", change.client),
    server: configOf(identities, "server", change.server),
    ...(change.serverSettings === undefined ? {} : { serverSettings: change.serverSettings }),
  });
  await pair.run(() => pair.isUp || (pair.hasEnded && pair.serverLog.cause !== undefined));
  pair.close();
  return pair;
}

function presenting(name: keyof Identities): Partial<SecurityConfig> {
  const identity = identities[name];
  assert(typeof identity === "object");
  return { identity };
}

/** The server gave its reason, the client heard it, and nobody has keys. */
function assertRefused(pair: SessionPair, cause: string, reason: RegExp): void {
  assert.equal(pair.serverLog.cause, cause);
  assert.match(pair.serverLog.reason, reason);
  assert.deepEqual(pair.serverLog.events, [], "no agreement, no keys");
  assert.equal(pair.serverLog.keys.size, 0);
  assert.equal(pair.clientLog.cause, cause);
  assert.match(pair.clientLog.reason, /^the server refuses this end: /);
  assert.match(pair.clientLog.reason, reason);
  assert.deepEqual(pair.clientLog.events, []);
}

const NO_CERTIFICATE = { identity: { certificatePem: "", privateKeyPem: "" } };
const badClients: readonly (readonly [
  string,
  Partial<SecurityConfig>,
  Partial<SecurityConfig>,
  RegExp,
])[] = [
  ["from another authority", presenting("foreignClient"), {}, /not from a trusted authority/],
  ["that expired", presenting("expiredClient"), {}, /expired on /],
  ["for use as a server", presenting("server"), {}, /purpose|not for use as a client/],
  ["that is revoked", {}, { crlPem: identities.crlPem }, /is revoked/],
  [
    "of another fingerprint",
    {},
    { peerFingerprints: [fingerprintOf(identities.otherClient)] },
    /is not among the accepted/,
  ],
  ["of another name", {}, { verifyName: "other" }, /name is box, not other/],
  ["that is missing", NO_CERTIFICATE, {}, /sent no certificate/],
];

for (const tlsVersionMax of ["1.2", "1.3"] as const) {
  for (const [what, client, server, reason] of badClients) {
    test(`a client with a certificate ${what} is told so (TLS ${tlsVersionMax})`, async () => {
      const pair = await dial({ client: { ...client, tlsVersionMax }, server });
      assertRefused(pair, "certificateRefused", reason);
    });
  }
}

test("a client whose name is no peer's is told so", async () => {
  const pair = await dial({ client: presenting("otherClient") });
  assertRefused(pair, "authenticationFailed", /no peer is named stranger/);
});

test("a list of revoked certificates lets the others in", async () => {
  const pair = await dial({
    client: presenting("otherClient"),
    server: { crlPem: identities.crlPem },
    serverSettings: { refusalOf: () => undefined },
  });
  assert(pair.isUp, pair.serverLog.reason);
});

test("a right fingerprint and a right name are let in", async () => {
  const peerFingerprints = [fingerprintOf(identities.client)];
  const pair = await dial({ server: { peerFingerprints, verifyName: "box" } });
  assert(pair.isUp, pair.serverLog.reason);
});

test("a peer that is deleted is refused at its next renegotiation", async () => {
  let isPeer = true;
  const pair = new SessionPair({
    client: configOf(identities, "client"),
    server: configOf(identities, "server"),
    serverSettings: { refusalOf: () => (isPeer ? undefined : "it was deleted") },
  });
  assert(await pair.run(() => pair.isUp));
  isPeer = false;
  pair.client.renegotiate(pair.nowMs);
  assert(await pair.run(() => pair.hasEnded));
  assert.equal(pair.serverLog.cause, "authenticationFailed");
  assert.equal(pair.clientLog.cause, "authenticationFailed");
  assert.match(pair.clientLog.reason, /it was deleted/);
  assert(!pair.serverLog.events.includes("install 1"));
  pair.close();
});

test("the server is asked about the name that the certificate has, and pushes for it", async () => {
  const asked: (string | undefined)[] = [];
  const pushed: string[] = [];
  const pair = await dial({
    serverSettings: {
      refusalOf: (name) => void asked.push(name),
      pushFor: (name, { cipher, peerInfo }) => {
        pushed.push(`${name} ${cipher} ${peerInfo.platform} ${peerInfo.takesMtu}`);
        return ["peer-id 5", `cipher ${cipher}`, "protocol-flags tls-ekm"];
      },
    },
  });
  assert(pair.isUp);
  assert.deepEqual(asked, ["box"]);
  assert.deepEqual(pushed, ["box AES-256-GCM linux true"]);
});
