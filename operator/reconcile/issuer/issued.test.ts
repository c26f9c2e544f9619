import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createAuthority,
  issueCertificate,
  type KeyPair,
  readCertificate,
} from "../../../authority/certificate.ts";
import { fingerprintsIn, withCertificate } from "../vpn-peer/fingerprints.ts";
import { certificateOf } from "./certificate.ts";
import { readIssued } from "./issued.ts";

const DAY_MS = 86_400_000;
const wallMs: number = Date.UTC(2026, 0, 1);
const issuer = { name: "plant", kind: "Issuer", group: "cert-manager.io" } as const;
const wanted = { commonName: "box", use: "client", issuer } as const;

function secretOf(texts: Readonly<Record<string, string>>): Parameters<typeof readIssued>[0] {
  const entries = Object.entries(texts).map(([key, text]) => [
    key,
    Buffer.from(text).toString("base64"),
  ]);
  const metadata = { name: "box-tls", namespace: "lab" };
  return { metadata, data: Object.fromEntries(entries) as Record<string, string> };
}

async function authority(commonName = "plant"): Promise<KeyPair> {
  return await createAuthority({ commonName, lifetimeDays: 900, wallMs });
}

function texts(pair: KeyPair, root: string): Record<string, string> {
  return { "tls.crt": pair.certificatePem, "tls.key": pair.privateKeyPem, "ca.crt": root };
}

test("what was issued for the name and use is taken, with its authority", async () => {
  const root = await authority();
  const pair = await issueCertificate(root, { ...wanted, lifetimeDays: 90, wallMs });
  const read = readIssued(secretOf(texts(pair, root.certificatePem)), wanted, wallMs);
  assert.deepEqual(read, { issued: { pair, authorityPem: root.certificatePem } });
  assert.deepEqual(readIssued(undefined, wanted, wallMs), {});
});

test("each fault of what was issued is said with the next step, and no key is quoted", async () => {
  const [root, other] = [await authority(), await authority("other")];
  const issue = async (more: object): Promise<KeyPair> =>
    await issueCertificate(root, { ...wanted, lifetimeDays: 90, wallMs, ...more });
  const good = await issue({});
  const ca = root.certificatePem;
  const cases: readonly (readonly [RegExp, Record<string, string>, number?])[] = [
    [/has no tls\.key that belongs/, { ...texts(good, ca), "tls.key": other.privateKeyPem }],
    [/ended on 2026-04-01: see why/, texts(good, ca), wallMs + 90 * DAY_MS],
    [/is for the name "x", not "box"/, texts(await issue({ commonName: "x" }), ca)],
    [/is not for use as a client/, texts(await issue({ use: "server" }), ca)],
    [/signs each certificate with its own key/, texts(await authority("box"), ca)],
    [/gives no ca\.crt, as ACME does not.*caSecretRef$/, texts(good, "")],
    [/does not lead to a root in its ca\.crt/, texts(good, other.certificatePem)],
    [/^The Secret lab\/box-tls/, { "tls.crt": "x", "tls.key": "y" }],
  ];
  for (const [message, data, atMs = wallMs] of cases) {
    const { issued, trouble } = readIssued(secretOf(data), wanted, atMs);
    assert.equal(issued, undefined, String(message));
    assert.equal(trouble?.status, "False");
    assert.match(trouble?.message ?? "", message);
    assert.doesNotMatch(trouble?.message ?? "", /PRIVATE/);
  }
});

test("an issuer that gives no authority is believed by the one named beside it", async () => {
  const root = await authority();
  const pair = await issueCertificate(root, { ...wanted, lifetimeDays: 90, wallMs });
  const trustedPem = root.certificatePem;
  const { issued } = readIssued(secretOf(texts(pair, "")), { ...wanted, trustedPem }, wallMs);
  assert.equal(issued?.authorityPem, trustedPem);
});

test("a peer's list holds its newest certificate, and former ones until they end", async () => {
  const root = await authority();
  const issue = async (lifetimeDays: number): Promise<string> =>
    (await issueCertificate(root, { ...wanted, lifetimeDays, wallMs })).certificatePem;
  const [first, second, third] = [await issue(10), await issue(20), await issue(30)];
  const print = (pem: string): string => readCertificate(pem).fingerprint;
  let list = withCertificate(undefined, first, wallMs);
  list = withCertificate(list, first, wallMs);
  assert.deepEqual(fingerprintsIn(list), [print(first)]);
  list = withCertificate(list, second, wallMs);
  assert.deepEqual(fingerprintsIn(list), [print(second), print(first)]);
  list = withCertificate(list, third, wallMs + 11 * DAY_MS);
  assert.deepEqual(fingerprintsIn(list), [print(third), print(second)]);
  assert.deepEqual(fingerprintsIn(undefined), []);
});

test("a Certificate asks for a P-256 key that is new each time, and for one use alone", () => {
  const owner = { apiVersion: "v1", kind: "X", name: "x", uid: "u" };
  const place = { namespace: "lab", name: "box-profile", tunnel: "t", labels: { a: "b" } };
  const days = { lifetimeDays: 90, renewBeforeDays: 0 };
  const { spec } = certificateOf({ ...wanted, ...place, ...days, owner }) as unknown as {
    readonly spec: Readonly<Record<string, unknown>>;
  };
  assert.deepEqual(spec["usages"], ["digital signature", "client auth"]);
  assert.equal(spec["duration"], "2160h0m0s");
  assert.equal(spec["renewBefore"], "1h0m0s");
  assert.deepEqual(spec["privateKey"], {
    ...{ algorithm: "ECDSA", size: 256, encoding: "PKCS8", rotationPolicy: "Always" },
  });
});
