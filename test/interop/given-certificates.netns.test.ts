/**
 * A gateway in a cluster is given its keys: a renewed certificate is taken without a dropped frame,
 * and of an authority that signs for others as well only a peer's own certificates are believed.
 */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { issueCertificate, type KeyPair, readCertificate } from "../../authority/certificate.ts";
import { PingStream, ping } from "../support/hosts.ts";
import { waitFor } from "../support/wait.ts";
import { createLink, type Link, PEER } from "./links.ts";

/** From the signal to the last frame. */
const CUT_OFF_MS_MAX = 1000;

test("a renewed certificate is shown from the next handshake on; a strange one is cut off", {
  timeout: 90_000,
}, async (context) => {
  await using link = await createLink({ release: "2.6", role: "server" });
  const { ours, oursHost, stock, stockAddress } = link;
  const authority = await authorityOf(link);
  const own = readCertificate(await read(link, `peer-${PEER}.pem`)).fingerprint;
  await using quick = new PingStream(oursHost, stockAddress, 0.005);
  await give(link, authority, { [PEER]: [own] });
  await ours.waitForLog(/certificates, revocations and segment settings updated, no frame dropped/);
  // The session goes on; one that begins anew sees the new certificate.
  assert.equal((await ours.tunnel())?.peers[0]?.state, "Up");
  const before = quick.received;
  await waitFor("echoes after the change", () => quick.received > before + 50);
  await quick.finish();
  assert.deepEqual(quick.missing(), []);
  assert.doesNotMatch(stock.log, /O=renewed/);
  stock.signal("SIGUSR1");
  await stock.waitForLog(/VERIFY OK: depth=0, O=renewed, .*CN=gateway/);
  await ours.waitForPeer(PEER);

  const startMs = performance.now();
  await give(link, authority, { [PEER]: [own.replaceAll(/[0-9]/g, "F")] });
  await ours.waitForLog(/peer cut off: its certificate is none of the peer's any more/);
  const cutOffMs = performance.now() - startMs;
  context.diagnostic(`cut off after ${cutOffMs.toFixed(0)} ms`);
  assert(cutOffMs < CUT_OFF_MS_MAX, `it took ${cutOffMs} ms`);
  await stock.waitForLog(/AUTH_FAILED/);
  assert.equal((await ping(oursHost, stockAddress, { count: 1 })).received, 0);
});

async function authorityOf(link: Link): Promise<KeyPair> {
  const text = await read(link, "authority.pem");
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(text)?.[0] ?? "";
  return { certificatePem: text.replace(key, ""), privateKeyPem: key };
}

/** What the operator writes for a gateway: no authority's key, a certificate, and whose are whose. */
async function give(
  link: Link,
  authority: KeyPair,
  fingerprints: Readonly<Record<string, readonly string[]>>,
): Promise<void> {
  const gateway = await issueCertificate(authority, {
    ...{ commonName: "gateway", use: "server", organization: "renewed" },
    ...{ organizationalUnit: "segment", lifetimeDays: 10, wallMs: Date.now() },
  });
  await write(link, "authority.pem", authority.certificatePem);
  await write(link, "gateway.pem", `${gateway.certificatePem}${gateway.privateKeyPem}`);
  await write(link, "peer-fingerprints.json", JSON.stringify(fingerprints));
  link.ours.signal("SIGHUP");
}

function place({ folder }: Link, name: string): string {
  return `${folder}/server/state/lab/segment/${name}`;
}

async function read(link: Link, name: string): Promise<string> {
  return await readFile(place(link, name), "utf8");
}

async function write(link: Link, name: string, text: string): Promise<void> {
  await writeFile(place(link, name), text, { mode: 0o600 });
}
