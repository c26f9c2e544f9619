import assert from "node:assert/strict";
import { test } from "node:test";
import { CertificateError } from "../../authority/authority-error.ts";
import { createAuthority } from "../../authority/certificate.ts";
import type { Store } from "../../authority/store.ts";
import { ensureCredentials } from "./gateway-credentials.ts";

const TUNNEL = { namespace: "lab", name: "testbed-a" };
const REQUEST = { tunnel: TUNNEL, peers: [], wallMs: Date.UTC(2026, 0, 1) };

function memoryStore(files: Map<string, string>): Store {
  return {
    directory: "memory",
    read: (name) => Promise.resolve(files.get(name)),
    write: (name, text) => Promise.resolve(void files.set(name, text)),
    locked: async (work) => await work(),
  };
}

test("keys that were made elsewhere are used as they are, and none is made", async () => {
  const made = new Map<string, string>();
  const { authorityPem, gateway } = await ensureCredentials(memoryStore(made), REQUEST);
  const given = new Map([...made, ["authority.pem", authorityPem] as const]);
  const before = [...given];
  const peers = [{ name: "box", lifetimeDays: 90, renewBeforeDays: 30 }];
  const used = await ensureCredentials(memoryStore(given), { ...REQUEST, peers });
  assert.equal(used.authorityPem, authorityPem);
  assert.deepEqual(used.gateway.privateKeyPem, gateway.privateKeyPem);
  assert.equal(used.peers.size, 0);
  assert.deepEqual([...given], before);
});

test("an authority's certificate alone is refused with what is missing", async () => {
  const { certificatePem } = await createAuthority({
    ...{ commonName: "a", lifetimeDays: 10, wallMs: REQUEST.wallMs },
  });
  const store = memoryStore(new Map([["authority.pem", certificatePem]]));
  await assert.rejects(ensureCredentials(store, REQUEST), (error) => {
    assert(error instanceof CertificateError);
    assert.match(error.message, /gateway\.pem, control-wrap\.key and tls-crypt-v2-server\.key/);
    return true;
  });
});

test("certificates are believed by their fingerprints where those are given, with a chain", async () => {
  const made = new Map<string, string>();
  const { authorityPem } = await ensureCredentials(memoryStore(made), REQUEST);
  const gateway = made.get("gateway.pem") ?? "";
  const chained = gateway.replace("-----BEGIN PRIVATE", `${authorityPem}-----BEGIN PRIVATE`);
  const files = [
    ["authority.pem", authorityPem],
    ["gateway.pem", chained],
    ["peer-fingerprints.json", '{"box":["AA"]}'],
  ] as const;
  const given = new Map([...made, ...files]);
  const used = await ensureCredentials(memoryStore(given), REQUEST);
  assert.deepEqual(used.fingerprints?.get("box"), ["AA"]);
  assert.equal(used.gateway.certificatePem.match(/BEGIN CERTIFICATE/g)?.length, 2);
  given.set("peer-fingerprints.json", "{");
  await assert.rejects(ensureCredentials(memoryStore(given), REQUEST), /is damaged: give it anew/);
});
