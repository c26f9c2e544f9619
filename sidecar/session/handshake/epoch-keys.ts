/**
 * Epoch data keys (openvpn-rfc, "epochkeys"): a chain of secrets, one per epoch, each giving one
 * AEAD key and a 12-byte IV. One invariant: a chain only goes forward; the secret of an epoch
 * that was left is overwritten, so older keys cannot be made again.
 */
import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import type { DataCipher } from "../../control/tunnel-config.ts";
import { CIPHER_KEY_BYTES, type DirectionKey, EPOCH_SECRET_BYTES } from "./data-keys.ts";

/** Last epoch: its number has 16 bits on the wire, and 0 is none. */
export const EPOCH_MAX = 0xffff;

const IV_BYTES = 12;
const LABEL_PREFIX = "ovpn ";
const NEXT_LABEL = "datakey upd";
const KEY_LABEL = "data_key";
const IV_LABEL = "data_iv";

/** One direction's chain, at the epoch whose key comes next. */
export class EpochChain {
  readonly cipher: DataCipher;
  #epoch = 1;
  #secret: Buffer;

  /** `secret` is that of epoch 1; it is copied. */
  constructor(secret: Buffer, cipher: DataCipher) {
    if (secret.length !== EPOCH_SECRET_BYTES) {
      throw new RangeError(`an epoch secret has ${EPOCH_SECRET_BYTES} bytes`);
    }
    this.#secret = Buffer.from(secret);
    this.cipher = cipher;
  }

  /** Epoch of the key that `take` gives next. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The key of the next epoch; undefined behind the last one. */
  take(): (DirectionKey & { readonly epoch: number }) | undefined {
    if (this.#epoch > EPOCH_MAX) return undefined;
    const epoch = this.#epoch;
    // With bytes each use costs five to eight times as much (Node 24); OpenSSL wipes what it frees.
    const secret = createSecretKey(this.#secret);
    const key = expandLabel(secret, KEY_LABEL, CIPHER_KEY_BYTES[this.cipher]);
    const implicitIv = expandLabel(secret, IV_LABEL, IV_BYTES);
    const next = expandLabel(secret, NEXT_LABEL, EPOCH_SECRET_BYTES);
    this.#secret.fill(0);
    this.#secret = next;
    this.#epoch += 1;
    return { epoch, key, implicitIv };
  }

  /** Overwrites what is left of it. */
  destroy(): void {
    this.#secret.fill(0);
  }
}

/** HKDF-Expand-Label of TLS 1.3 (RFC 8446, 7.1) with OpenVPN's prefix, SHA-256, no context. */
export function expandLabel(secret: KeyObject, label: string, length: number): Buffer {
  if (length > EPOCH_SECRET_BYTES) throw new RangeError("more than one block of SHA-256 is asked");
  const name = Buffer.from(LABEL_PREFIX + label, "ascii");
  const info = Buffer.concat([Buffer.of(length >> 8, length & 0xff, name.length), name]);
  // RFC 5869, 2.3: the first block covers the info, then the context's length of 0 is part of it.
  const block = createHmac("sha256", secret).update(info).update(Buffer.of(0, 1)).digest();
  return block.subarray(0, length);
}
