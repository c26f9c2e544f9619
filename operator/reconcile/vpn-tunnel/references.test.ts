import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { issueCertificate, type KeyPair } from "../../../authority/certificate.ts";
import type { VpnTunnel } from "../../../crds/types.ts";
import { run, runFine } from "../../../test/support/process.ts";
import { Scratch } from "../../../test/support/scratch.ts";
import type { Verdict } from "../../status/conditions.ts";
import type { Live } from "../../world.ts";
import { readAuthority } from "./references.ts";

const EXTENSIONS = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";

async function openssl(folder: string, text: string): Promise<void> {
  await runFine(["openssl", ...text.split(" ")], { directory: folder });
}

/** A Secret as cert-manager fills it: the issuer's own certificate is in ca.crt. */
async function authorityOf(
  texts: Readonly<Record<string, string>>,
): Promise<KeyPair | Verdict | undefined> {
  const data = Object.entries(texts).map(([key, text]) => [
    key,
    Buffer.from(text).toString("base64"),
  ]);
  const metadata = { name: "own", namespace: "lab" };
  const secret = { apiVersion: "v1", kind: "Secret", metadata, data: Object.fromEntries(data) };
  const api = { call: async <Answer>() => secret as Answer };
  const tunnel = {
    metadata: { name: "t", namespace: "lab" },
    spec: { security: { caSecretRef: { name: "own" } } },
  } as unknown as Live<VpnTunnel>;
  return await readAuthority(api, tunnel);
}

test("an authority that another one stands for is handed out with that one's certificate", async () => {
  await using scratch = await Scratch.create();
  const folder = scratch.path;
  const key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
  await openssl(folder, `req -x509 ${key} -keyout root.key -out root.crt -days 2 -subj /CN=root`);
  await openssl(folder, `req ${key} -keyout tls.key -out tls.csr -subj /CN=issued`);
  await writeFile(scratch.file("ext"), EXTENSIONS);
  const signed = "x509 -req -in tls.csr -CA root.crt -CAkey root.key -CAcreateserial -days 2";
  await openssl(folder, `${signed} -extfile ext -out tls.crt`);
  const text = async (name: string): Promise<string> => await readFile(scratch.file(name), "utf8");
  const texts = { "tls.crt": await text("tls.crt"), "tls.key": await text("tls.key") };
  const verified = async (authority: KeyPair | Verdict | undefined): Promise<boolean> => {
    assert(authority !== undefined && "certificatePem" in authority);
    const use = { commonName: "box", use: "client", lifetimeDays: 1 } as const;
    const leaf = await issueCertificate(authority, { ...use, wallMs: Date.now() });
    await writeFile(scratch.file("leaf.pem"), leaf.certificatePem);
    await writeFile(scratch.file("chain.pem"), authority.certificatePem);
    const verify = ["verify", "-purpose", "sslclient", "-CAfile", "chain.pem", "leaf.pem"];
    return (await run(["openssl", ...verify], { directory: folder })).status === 0;
  };
  assert.equal(await verified(await authorityOf(texts)), false, "the issuer is not known");
  assert.equal(
    await verified(await authorityOf({ ...texts, "ca.crt": await text("root.crt") })),
    true,
  );
  const own = { "tls.crt": await text("root.crt"), "tls.key": await text("root.key") };
  const alone = await authorityOf({ ...own, "ca.crt": own["tls.crt"] });
  assert(alone !== undefined && "certificatePem" in alone);
  assert.equal(alone.certificatePem, own["tls.crt"]);
});

test("an authority with a key that signs no certificate of ours is refused with the next step", async () => {
  await using scratch = await Scratch.create();
  const made =
    "req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out tls.crt -days 2 -subj /CN=rsa";
  await openssl(scratch.path, made);
  const verdict = await authorityOf({
    "tls.crt": await readFile(scratch.file("tls.crt"), "utf8"),
    "tls.key": await readFile(scratch.file("tls.key"), "utf8"),
  });
  assert(verdict !== undefined && "reason" in verdict);
  assert.equal(verdict.reason, "AuthorityInvalid");
  assert.match(verdict.message, /^spec\.security\.caSecretRef: .*P-256.*ECDSA and size 256/);
});
