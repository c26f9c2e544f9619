/** Epoch keys: the known answers of OpenVPN's own tests, and a chain that only goes forward. */
import assert from "node:assert/strict";
import { createCipheriv, createSecretKey } from "node:crypto";
import { test } from "node:test";
import vectors from "../../../test/vectors/data-packets.json" with { type: "json" };
import epochs from "../../../test/vectors/epoch-keys.json" with { type: "json" };
import { splitEpochSecrets } from "./data-keys.ts";
import { EPOCH_MAX, EpochChain, expandLabel } from "./epoch-keys.ts";

test("the label expansion gives the known answer", () => {
  const { secret, label, output } = epochs.expandLabel;
  const bytes = expandLabel(createSecretKey(secret, "hex"), label, output.length / 2);
  assert.equal(bytes.toString("hex"), output);
});

test("a data key and its IV are the known answer", () => {
  const { secret, key, implicitIv } = epochs.dataKey;
  const from = createSecretKey(secret, "hex");
  assert.equal(expandLabel(from, "data_key", key.length / 2).toString("hex"), key);
  assert.equal(expandLabel(from, "data_iv", implicitIv.length / 2).toString("hex"), implicitIv);
});

test("the data packet's known answer is sealed with the key of its epoch", () => {
  const material = Buffer.from(vectors.keyMaterial, "hex");
  const packetId = Buffer.from(vectors.epoch.packetId, "hex");
  const chain = new EpochChain(
    splitEpochSecrets(material, "AES-256-GCM", "client").send,
    "AES-256-GCM",
  );
  let key = chain.take();
  while (key !== undefined && key.epoch < packetId.readUInt16BE(0)) key = chain.take();
  assert(key !== undefined);
  const nonce = Buffer.from(key.implicitIv);
  for (const [at, byte] of packetId.entries()) nonce[at] = (nonce[at] ?? 0) ^ byte;
  const cipher = createCipheriv("aes-256-gcm", key.key, nonce);
  cipher.setAAD(Buffer.concat([Buffer.from(vectors.header, "hex"), packetId]));
  const text = Buffer.concat([cipher.update(vectors.plaintextText), cipher.final()]);
  assert.equal(cipher.getAuthTag().toString("hex"), vectors.epoch.tag);
  const { offset, bytes } = vectors.epoch.ciphertextAt;
  const start = offset - packetId.length;
  assert.equal(text.toString("hex", start, start + bytes.length / 2), bytes);
});

test("both ends go through the same keys, crossed over", () => {
  const material = Buffer.from(vectors.keyMaterial, "hex");
  const client = splitEpochSecrets(material, "AES-128-GCM", "client");
  const server = splitEpochSecrets(material, "AES-128-GCM", "server");
  const ours = new EpochChain(client.send, "AES-128-GCM");
  const theirs = new EpochChain(server.receive, "AES-128-GCM");
  for (let epoch = 1; epoch <= 20; epoch++) assert.deepEqual(ours.take(), theirs.take());
  assert.equal(ours.epoch, 21);
  assert.notDeepEqual(client.send, client.receive);
});

test("a chain ends with the last number that a packet can carry", () => {
  const chain = new EpochChain(Buffer.alloc(32, 1), "AES-256-GCM");
  for (let epoch = 1; epoch <= EPOCH_MAX; epoch++) assert.equal(chain.take()?.epoch, epoch);
  assert.equal(chain.take(), undefined);
});

test("a chain does not overwrite the secret that it was given", () => {
  const secret = Buffer.alloc(32, 9);
  new EpochChain(secret, "AES-256-GCM").take();
  assert.deepEqual(secret, Buffer.alloc(32, 9));
});
