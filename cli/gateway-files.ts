/**
 * The gateway's Secret as the files that the sidecar reads. Invariant: a reader sees a file's old
 * content or its new one; keys are there before the documents that need them.
 */
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type SecretObject, secretTextOf } from "../operator/reconcile/secret-data.ts";

/** Key of the documents in the Secret. */
export const DOCUMENTS = "documents.yaml";
/** The one key that comes and goes: which certificates are whose. */
const FINGERPRINTS = "peer-fingerprints.json";

/** Writes every key of the Secret to its place. */
export async function writeGatewayFiles(
  place: { readonly documents: string; readonly state: string },
  secret: SecretObject,
): Promise<void> {
  await mkdir(place.state, { recursive: true, mode: 0o700 });
  const keys = Object.keys(secret.data ?? {}).filter((key) => key !== DOCUMENTS);
  // Without it every certificate of the authority is believed, as the Secret then means it.
  if (!keys.includes(FINGERPRINTS)) await rm(join(place.state, FINGERPRINTS), { force: true });
  for (const key of keys) await writeWhole(join(place.state, key), secretTextOf(secret, key) ?? "");
  await writeWhole(join(place.documents, DOCUMENTS), secretTextOf(secret, DOCUMENTS) ?? "");
}

async function writeWhole(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
