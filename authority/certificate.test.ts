/** The authority against the TLS library that will judge its certificates. */

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import tls from "node:tls";
import { CertificateError } from "./authority-error.ts";
import {
  createAuthority,
  isIssuedBy,
  isPair,
  issueCertificate,
  type KeyPair,
  readCertificate,
} from "./certificate.ts";

const DAY_MS = 86_400_000;
const wallMs = Date.now();

async function newAuthority(commonName = "Fairlead lab/testbed-a"): Promise<KeyPair> {
  return await createAuthority({ commonName, lifetimeDays: 3650, wallMs });
}

test("an issued certificate says who, for what, until when, and by whom", async () => {
  const authority = await newAuthority();
  const pair = await issueCertificate(authority, {
    commonName: "box-7",
    use: "client",
    organization: "lab",
    organizationalUnit: "testbed-a",
    lifetimeDays: 90,
    wallMs,
  });
  const facts = readCertificate(pair.certificatePem);
  const theirs = new X509Certificate(pair.certificatePem);
  assert.equal(facts.commonName, "box-7");
  assert.deepEqual(facts.uses, ["client"]);
  assert.equal(facts.isAuthority, false);
  assert.equal(facts.fingerprint, theirs.fingerprint256);
  assert.equal(Math.round((facts.notAfterMs - wallMs) / DAY_MS), 90);
  assert.ok(facts.notBeforeMs <= wallMs - DAY_MS + 1000, "clocks of testbeds are wrong by hours");
  assert.equal(theirs.subject, "O=lab\nOU=testbed-a\nCN=box-7");
  assert.ok(theirs.checkIssued(new X509Certificate(authority.certificatePem)));
  assert.ok(theirs.verify(new X509Certificate(authority.certificatePem).publicKey));
  assert.ok(isPair(pair));
  assert.ok(await isIssuedBy(pair.certificatePem, authority.certificatePem));
  assert.equal(readCertificate(authority.certificatePem).isAuthority, true);
});

test("a certificate never outlives its authority, and another authority did not issue it", async () => {
  const short = await createAuthority({ commonName: "short", lifetimeDays: 10, wallMs });
  const request = { commonName: "x", use: "server", lifetimeDays: 90, wallMs } as const;
  const pair = await issueCertificate(short, request);
  const authorityEnd = readCertificate(short.certificatePem).notAfterMs;
  assert.equal(readCertificate(pair.certificatePem).notAfterMs, authorityEnd);
  const other = await newAuthority("short");
  assert.equal(await isIssuedBy(pair.certificatePem, other.certificatePem), false);
  assert.equal(isPair({ ...pair, privateKeyPem: other.privateKeyPem }), false);
});

async function handshake(server: KeyPair, client: KeyPair, ca: string): Promise<string> {
  const [near, far] = duplexPair();
  const listener = tls.createServer({
    key: server.privateKeyPem,
    cert: server.certificatePem,
    ca,
    requestCert: true,
    rejectUnauthorized: true,
  });
  const outcome = new Promise<string>((resolve) => {
    listener.on("secureConnection", () => resolve("accepted"));
    listener.on("tlsClientError", () => resolve("refused by the server"));
  });
  listener.emit("connection", far);
  const socket = tls.connect({
    socket: near,
    key: client.privateKeyPem,
    cert: client.certificatePem,
    ca,
    checkServerIdentity: () => undefined,
  });
  const refusal = new Promise<string>((resolve) => {
    socket.on("error", () => resolve("refused by the client"));
  });
  const result = await Promise.race([outcome, refusal]);
  socket.destroy();
  far.destroy();
  return result;
}

test("OpenSSL accepts the pair in both roles and refuses a swapped use or a stranger", async () => {
  const authority = await newAuthority();
  const ca = authority.certificatePem;
  const base = { lifetimeDays: 30, wallMs };
  const server = await issueCertificate(authority, {
    ...base,
    commonName: "gateway",
    use: "server",
  });
  const client = await issueCertificate(authority, { ...base, commonName: "box-7", use: "client" });
  const stranger = await issueCertificate(await newAuthority(), {
    ...base,
    commonName: "box-7",
    use: "client",
  });
  assert.equal(await handshake(server, client, ca), "accepted");
  assert.equal(await handshake(server, server, ca), "refused by the server");
  assert.equal(await handshake(client, client, ca), "refused by the client");
  assert.equal(await handshake(server, stranger, ca), "refused by the server");
});

test("what is no certificate or key is named so, without its content", async () => {
  const authority = await newAuthority();
  const secret = "c2VjcmV0LXNlY3JldA==";
  const broken = `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`;
  const request = { commonName: "x", use: "client", lifetimeDays: 1, wallMs } as const;
  assert.throws(() => readCertificate("hello"), CertificateError);
  assert.throws(
    () => isPair({ ...authority, privateKeyPem: broken }),
    (error: Error) => {
      assert.ok(error instanceof CertificateError);
      assert.ok(!JSON.stringify([error.message, error.stack, error.cause]).includes(secret));
      return true;
    },
  );
  await assert.rejects(
    issueCertificate({ ...authority, privateKeyPem: broken }, request),
    CertificateError,
  );
  const long = { ...request, commonName: "x".repeat(65) };
  await assert.rejects(issueCertificate(authority, long), /1 to 64 characters/);
});
