/**
 * A gateway in a cluster is given its keys: a renewed certificate is taken without a dropped frame,
 * and of an authority that signs for others as well only a peer's own certificates are believed.
 */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { issueCertificate, type KeyPair, readCertificate } from "../../authority/certificate.ts";
import { dialDocuments, listenDocuments, writeDocuments } from "../support/documents.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import { createHosts, PingStream, ping } from "../support/hosts.ts";
import { Network } from "../support/netns.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";
import { createLink, PEER } from "./links.ts";

/** A gateway that runs, and the folder above its own. */
interface Place {
  readonly ours: FairleadPeer;
  readonly folder: string;
}

const LAUNCHER = join(import.meta.dirname, "..", "..", "fairlead");
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

test("a sidecar goes on with a renewed certificate, and its gateway judges it by that one from then on", {
  timeout: 120_000,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await Network.create());
  const { path: folder } = stack.use(await Scratch.create());
  const { server, client } = await createHosts(network, ["server", "client"]);
  const listening = { peers: [PEER], transport: { renegotiateSeconds: 5 } };
  const file = await writeDocuments(`${folder}/server.yaml`, listenDocuments(listening));
  const at = { folder: `${folder}/server` };
  const ours = stack.use(await startFairlead(server, [file], at));
  await ours.waitUntilUp();
  const link = { ours, folder };
  const [authority, former] = [await authorityOf(link), await read(link, `peer-${PEER}.pem`)];
  const profile = await printProfile(PEER, file, at);
  const documents = (text: string): Promise<string> =>
    writeDocuments(`${folder}/pod.yaml`, dialDocuments({ profile: text }));
  const command = ["attach", "-f", await documents(profile), "--run", `${folder}/pod`];
  const sidecar = stack.use(client.start([LAUNCHER, ...command]));
  await sidecar.waitForOutput(/address taken/, 40_000);
  await using quick = new PingStream(client, "10.20.0.1", 0.01);

  const renewed = await issueCertificate(authority, {
    ...{ commonName: PEER, use: "client", lifetimeDays: 10, wallMs: Date.now() },
  });
  const prints = [former, renewed.certificatePem].map((pem) => readCertificate(pem).fingerprint);
  await give(link, authority, { [PEER]: prints });
  await ours.waitForLog(/segment settings updated, no frame dropped/);
  await documents(
    profile
      .replace(/<cert>[\s\S]*<\/cert>/, `<cert>\n${renewed.certificatePem}</cert>`)
      .replace(/<key>[\s\S]*<\/key>/, `<key>\n${renewed.privateKeyPem}</key>`),
  );
  await sidecar.waitForOutput(/uplinks and certificate updated, no frame dropped/, 40_000);
  const key = async (): Promise<unknown> => (await ours.tunnel())?.peers[0]?.key?.keyId;
  for (let renewals = 0; renewals < 2; renewals++) {
    const before = await key();
    await waitFor("another key", async () => (await key()) !== before, 30_000);
  }
  await give(link, authority, { [PEER]: prints.slice(1) });
  const echoed = quick.received;
  await waitFor(
    () => `echoes after the change: ${ours.log.slice(-3000)}\n${sidecar.output.slice(-3000)}`,
    () => quick.received > echoed + 100,
  );
  await quick.finish();
  assert.deepEqual(quick.missing(), []);
  assert.doesNotMatch(ours.log + sidecar.output, /cut off|needs a restart/);
});

async function authorityOf(link: Place): Promise<KeyPair> {
  const text = await read(link, "authority.pem");
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(text)?.[0] ?? "";
  return { certificatePem: text.replace(key, ""), privateKeyPem: key };
}

/** What the operator writes for a gateway: no authority's key, a certificate, and whose are whose. */
async function give(
  link: Place,
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

function place({ folder }: Place, name: string): string {
  return `${folder}/server/state/lab/segment/${name}`;
}

async function read(link: Place, name: string): Promise<string> {
  return await readFile(place(link, name), "utf8");
}

async function write(link: Place, name: string, text: string): Promise<void> {
  await writeFile(place(link, name), text, { mode: 0o600 });
}
