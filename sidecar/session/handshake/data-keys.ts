/**
 * From a TLS session to data channel keys: RFC 5705 export, or OpenVPN's own expansion over the
 * TLS 1.0 PRF towards peers that cannot export (openvpn-rfc, with the corrections of the stock
 * code: the seed of the expansion includes both session ids). One invariant: the first half
 * of the 256 bytes is client to server, the second half server to client.
 */
import { createHmac, createSecretKey } from "node:crypto";
import type { DataCipher } from "../../control/tunnel-config.ts";
import type { KeyMethodMessage } from "../../wire/key-method.ts";

/** Bytes of key material of both directions. */
export const KEY_MATERIAL_BYTES = 256;
/** RFC 5705 label of the data keys; the context is omitted. */
export const DATA_KEYS_LABEL = "EXPORTER-OpenVPN-datakeys";

const HALF_BYTES = 128;
/** Bytes of an epoch's secret. */
export const EPOCH_SECRET_BYTES = 32;
const HMAC_OFFSET = 64;
const IMPLICIT_IV_BYTES = 8;
const MASTER_BYTES = 48;
/** Bytes of each cipher's key. */
export const CIPHER_KEY_BYTES: Record<DataCipher, number> = {
  "AES-256-GCM": 32,
  "AES-128-GCM": 16,
  "CHACHA20-POLY1305": 32,
};

/** One direction's AEAD key and the eight bytes behind the packet id in its nonce. */
export interface DirectionKey {
  readonly key: Buffer;
  readonly implicitIv: Buffer;
}

/** Keys of one key id, seen from one end. */
export interface DataKeys {
  readonly cipher: DataCipher;
  readonly send: DirectionKey;
  readonly receive: DirectionKey;
}

/** Secrets of the first epoch, seen from one end: what the chains of epoch keys start from. */
export interface EpochSecrets {
  readonly cipher: DataCipher;
  readonly send: Buffer;
  readonly receive: Buffer;
}

/** Cuts the 256 bytes into keys for the end that `role` names. */
export function splitKeyMaterial(
  material: Buffer,
  cipher: DataCipher,
  role: "client" | "server",
): DataKeys {
  if (material.length !== KEY_MATERIAL_BYTES) {
    throw new RangeError(`key material has ${KEY_MATERIAL_BYTES} bytes, not ${material.length}`);
  }
  const clientToServer = direction(material.subarray(0, HALF_BYTES), cipher);
  const serverToClient = direction(material.subarray(HALF_BYTES), cipher);
  return role === "client"
    ? { cipher, send: clientToServer, receive: serverToClient }
    : { cipher, send: serverToClient, receive: clientToServer };
}

/** Cuts the 256 bytes into the first secrets of epoch keys for the end that `role` names. */
export function splitEpochSecrets(
  material: Buffer,
  cipher: DataCipher,
  role: "client" | "server",
): EpochSecrets {
  const clientToServer = material.subarray(0, EPOCH_SECRET_BYTES);
  const serverToClient = material.subarray(HALF_BYTES, HALF_BYTES + EPOCH_SECRET_BYTES);
  return role === "client"
    ? { cipher, send: clientToServer, receive: serverToClient }
    : { cipher, send: serverToClient, receive: clientToServer };
}

function direction(half: Buffer, cipher: DataCipher): DirectionKey {
  return {
    key: Buffer.from(half.subarray(0, CIPHER_KEY_BYTES[cipher])),
    implicitIv: Buffer.from(half.subarray(HMAC_OFFSET, HMAC_OFFSET + IMPLICIT_IV_BYTES)),
  };
}

/** The expansion for peers without RFC 5705. Session ids are eight bytes each. */
export function expandKeyMaterial(options: {
  readonly client: KeyMethodMessage;
  readonly server: KeyMethodMessage;
  readonly clientSessionId: Buffer;
  readonly serverSessionId: Buffer;
}): Buffer {
  const { client, server } = options;
  const preMaster = client.preMaster ?? Buffer.alloc(0);
  const master = tls1Prf(
    preMaster,
    Buffer.concat([Buffer.from("OpenVPN master secret"), client.random1, server.random1]),
    MASTER_BYTES,
  );
  const seed = Buffer.concat([
    Buffer.from("OpenVPN key expansion"),
    client.random2,
    server.random2,
    options.clientSessionId,
    options.serverSessionId,
  ]);
  const material = tls1Prf(master, seed, KEY_MATERIAL_BYTES);
  master.fill(0);
  return material;
}

/** The PRF of TLS 1.0 (RFC 2246, section 5): P_MD5 over one half of the secret, P_SHA1 over the other. */
export function tls1Prf(secret: Buffer, seed: Buffer, length: number): Buffer {
  const half = Math.ceil(secret.length / 2);
  const md5 = pHash("md5", secret.subarray(0, half), seed, length);
  const sha1 = pHash("sha1", secret.subarray(secret.length - half), seed, length);
  for (const [index, byte] of sha1.entries()) md5.writeUInt8(md5.readUInt8(index) ^ byte, index);
  sha1.fill(0);
  return md5;
}

function pHash(digest: "md5" | "sha1", secret: Buffer, seed: Buffer, length: number): Buffer {
  const blocks: Buffer[] = [];
  let bytes = 0;
  let a = seed;
  const key = createSecretKey(secret);
  while (bytes < length) {
    a = createHmac(digest, key).update(a).digest();
    const block = createHmac(digest, key).update(a).update(seed).digest();
    blocks.push(block);
    bytes += block.length;
  }
  const output = Buffer.concat(blocks).subarray(0, length);
  for (const block of blocks) block.fill(0);
  return output;
}
