/** A stock client that is connected loses its session within a second of being revoked. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { dump, loadAll } from "js-yaml";
import { issueRevocationList } from "../../authority/revocation.ts";
import { ping } from "../support/hosts.ts";
import { createLink, type Link, PEER } from "./links.ts";

/** From saving the file to the last frame. */
const CUT_OFF_MS_MAX = 1000;

for (const how of ["its certificate is revoked", "its VpnPeer is deleted"] as const) {
  test(`a connected peer is cut off and told why when ${how}`, {
    timeout: 60_000,
  }, async (context) => {
    await using link = await createLink({ release: "2.6", role: "server" });
    assert.equal((await ping(link.oursHost, link.stockAddress)).received, 3);
    const startMs = performance.now();
    await (how === "its certificate is revoked" ? revoke(link) : remove(link));
    await link.ours.waitForLog(/peer cut off/);
    const cutOffMs = performance.now() - startMs;
    context.diagnostic(`cut off after ${cutOffMs.toFixed(0)} ms`);
    assert(cutOffMs < CUT_OFF_MS_MAX, `it took ${cutOffMs} ms`);
    await link.stock.waitForLog(/AUTH_FAILED/);
    assert.equal((await ping(link.oursHost, link.stockAddress, { count: 1 })).received, 0);
  });
}

async function remove({ folder }: Link): Promise<void> {
  const documents = await documentsOf(folder);
  await save(
    folder,
    documents.filter(({ kind }) => kind !== "VpnPeer"),
  );
}

async function revoke({ folder }: Link): Promise<void> {
  const state = `${folder}/server/state/lab/segment`;
  const list = await listRevoking(
    await readFile(`${state}/authority.pem`, "utf8"),
    await readFile(`${state}/peer-${PEER}.pem`, "utf8"),
  );
  const documents = await documentsOf(folder);
  const tunnel = documents.find(({ kind }) => kind === "VpnTunnel");
  assert(tunnel?.spec !== undefined);
  tunnel.spec.security = { ...tunnel.spec.security, crlSecretRef: { name: "crl", key: "crl.pem" } };
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "crl", namespace: "lab" },
    stringData: { "crl.pem": list },
  };
  await save(folder, [...documents, secret]);
}

async function listRevoking(authorityPem: string, certificatePem: string): Promise<string> {
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(authorityPem)?.[0];
  const authority = { certificatePem: authorityPem, privateKeyPem: key ?? "" };
  const { serialNumber } = new X509Certificate(certificatePem);
  const validity = { lifetimeDays: 1, wallMs: Date.now() };
  return issueRevocationList(authority, [serialNumber], validity);
}

interface Document {
  readonly kind: string;
  readonly spec?: { security?: Readonly<Record<string, unknown>> };
}

async function documentsOf(folder: string): Promise<readonly Document[]> {
  return loadAll(await readFile(`${folder}/server.yaml`, "utf8")) as Document[];
}

async function save(folder: string, documents: readonly unknown[]): Promise<void> {
  await writeFile(`${folder}/server.yaml`, documents.map((one) => dump(one)).join("---\n"));
}
