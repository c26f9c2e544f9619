/**
 * The keys of tls-crypt-v2 (openvpn-rfc, "tlscryptv2"; OpenVPN's doc/tls-crypt-v2.txt): one server
 * key of 128 bytes, and for each client a key of 256 bytes together with the same key wrapped for
 * the server. Wrapped: `tag(32) AES-256-CTR(client key, metadata) length(2)`, the tag an
 * HMAC-SHA256 over length and clear text, its first 16 bytes the counter block.
 *
 * Invariant: `unwrapClientKey` gives a key only when the tag verified; no error quotes a key.
 */

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { StaticKeyError } from "./authority-error.ts";

/** A client's key, and the form that it sends to the server. */
export interface ClientWrapKey {
  /** 256 bytes, used as a tls-crypt key. */
  readonly key: Uint8Array;
  /** The key and its metadata, sealed with the server key. */
  readonly wrapped: Uint8Array;
}

/** What the server finds in a wrapped key. */
export interface UnwrappedClientKey {
  readonly key: Buffer;
  /** Name of the peer that the key was made for, where whoever made it wrote one. */
  readonly peer?: string;
}

/** Size of the server key. */
const SERVER_WRAP_KEY_BYTES = 128;
/** Longest wrapped key that OpenVPN accepts. */
export const WRAPPED_KEY_BYTES_MAX = 1024;

const CLIENT_KEY_BYTES = 256;
const TAG_BYTES = 32;
const LENGTH_BYTES = 2;
const MAC_KEY_START = 64;
const CIPHER_KEY_BYTES = 32;
const WRAPPED_KEY_BYTES_MIN: number = TAG_BYTES + CLIENT_KEY_BYTES + LENGTH_BYTES;
/** Metadata types: free text of whoever made the key, or the time at which it was made. */
const METADATA_USER = 0;
/** In front of the peer's name in metadata of ours. */
const PEER_MARK = "fairlead-peer=";
const SERVER_TITLE = "OpenVPN tls-crypt-v2 server key";
const CLIENT_TITLE = "OpenVPN tls-crypt-v2 client key";

/** Makes a server key. */
export function generateServerWrapKey(): Uint8Array {
  return new Uint8Array(randomBytes(SERVER_WRAP_KEY_BYTES));
}

/** Makes the key of one peer. */
export function generateClientWrapKey(serverKey: Uint8Array, peer: string): ClientWrapKey {
  const key = randomBytes(CLIENT_KEY_BYTES);
  const metadata = Buffer.concat([Buffer.of(METADATA_USER), Buffer.from(PEER_MARK + peer)]);
  return { key: new Uint8Array(key), wrapped: wrapClientKey(serverKey, key, metadata) };
}

/** Seals a client key with its metadata (type byte in front). */
export function wrapClientKey(
  serverKey: Uint8Array,
  key: Uint8Array,
  metadata: Uint8Array,
): Uint8Array {
  const bytes = WRAPPED_KEY_BYTES_MIN + metadata.length;
  if (bytes > WRAPPED_KEY_BYTES_MAX) {
    throw new StaticKeyError(
      `the metadata of a tls-crypt-v2 key is ${bytes - WRAPPED_KEY_BYTES_MAX} bytes too long`,
    );
  }
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt16BE(bytes, 0);
  const clear = Buffer.concat([key, metadata]);
  const tag = tagOf(serverKey, length, clear);
  const cipher = createCipheriv("aes-256-ctr", cipherKey(serverKey), tag.subarray(0, 16));
  return new Uint8Array(Buffer.concat([tag, cipher.update(clear), cipher.final(), length]));
}

/** Opens a wrapped key; undefined when it is not of this server key. */
export function unwrapClientKey(
  serverKey: Uint8Array,
  wrapped: Uint8Array,
): UnwrappedClientKey | undefined {
  if (wrapped.length < WRAPPED_KEY_BYTES_MIN || wrapped.length > WRAPPED_KEY_BYTES_MAX) {
    return undefined;
  }
  const bytes = Buffer.from(wrapped.buffer, wrapped.byteOffset, wrapped.length);
  const length = bytes.subarray(-LENGTH_BYTES);
  if (length.readUInt16BE(0) !== bytes.length) return undefined;
  const tag = bytes.subarray(0, TAG_BYTES);
  const decipher = createDecipheriv("aes-256-ctr", cipherKey(serverKey), tag.subarray(0, 16));
  const sealed = bytes.subarray(TAG_BYTES, -LENGTH_BYTES);
  const clear = Buffer.concat([decipher.update(sealed), decipher.final()]);
  if (!timingSafeEqual(tagOf(serverKey, length, clear), tag)) return undefined;
  const peer = peerIn(clear.subarray(CLIENT_KEY_BYTES));
  const key = clear.subarray(0, CLIENT_KEY_BYTES);
  return { key, ...(peer === undefined ? {} : { peer }) };
}

/** The wrapped key at the end of a datagram, by its length field; undefined when there is none. */
export function trailingWrappedKey(datagram: Buffer): Buffer | undefined {
  if (datagram.length < WRAPPED_KEY_BYTES_MIN) return undefined;
  const bytes = datagram.readUInt16BE(datagram.length - LENGTH_BYTES);
  const isPlausible =
    bytes >= WRAPPED_KEY_BYTES_MIN && bytes <= WRAPPED_KEY_BYTES_MAX && bytes < datagram.length;
  return isPlausible ? datagram.subarray(datagram.length - bytes) : undefined;
}

/** Prints a server key as OpenVPN reads it. */
export function printServerWrapKey(key: Uint8Array): string {
  return printPem(SERVER_TITLE, key);
}

/** Reads a server key. */
export function parseServerWrapKey(text: string): Uint8Array {
  const bytes = parsePem(SERVER_TITLE, text);
  if (bytes.length === SERVER_WRAP_KEY_BYTES) return bytes;
  throw new StaticKeyError(
    `this ${SERVER_TITLE} holds ${bytes.length} bytes, not ${SERVER_WRAP_KEY_BYTES}: copy the whole file`,
  );
}

/** Prints a client key as OpenVPN reads it. */
export function printClientWrapKey(key: ClientWrapKey): string {
  return printPem(CLIENT_TITLE, Buffer.concat([key.key, key.wrapped]));
}

/** Reads a client key; whether it fits the server shows only there. */
export function parseClientWrapKey(text: string): ClientWrapKey {
  const bytes = parsePem(CLIENT_TITLE, text);
  const wrapped = bytes.slice(CLIENT_KEY_BYTES);
  const isWhole = trailingWrappedKey(Buffer.from(bytes))?.length === wrapped.length;
  if (isWhole) return { key: bytes.slice(0, CLIENT_KEY_BYTES), wrapped };
  throw new StaticKeyError(
    `this ${CLIENT_TITLE} has the wrong length (${bytes.length} bytes): copy the whole file`,
  );
}

function peerIn(metadata: Buffer): string | undefined {
  if (metadata.length === 0 || metadata.readUInt8(0) !== METADATA_USER) return undefined;
  const text = metadata.toString("utf8", 1);
  return text.startsWith(PEER_MARK) ? text.slice(PEER_MARK.length) : undefined;
}

function cipherKey(serverKey: Uint8Array): KeyObject {
  return createSecretKey(serverKey.subarray(0, CIPHER_KEY_BYTES));
}

function tagOf(serverKey: Uint8Array, length: Uint8Array, clear: Uint8Array): Buffer {
  const macKey = createSecretKey(serverKey.subarray(MAC_KEY_START, MAC_KEY_START + 32));
  return createHmac("sha256", macKey).update(length).update(clear).digest();
}

function printPem(title: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `${[`-----BEGIN ${title}-----`, ...lines, `-----END ${title}-----`].join("\n")}\n`;
}

function parsePem(title: string, text: string): Uint8Array {
  const begin = `-----BEGIN ${title}-----`;
  const start = text.indexOf(begin);
  const limit = text.indexOf(`-----END ${title}-----`);
  if (start < 0 || limit < start) {
    throw new StaticKeyError(
      `this is not an ${title}: expected the line ${begin} and its end line`,
    );
  }
  const base64 = text.slice(start + begin.length, limit).replace(/\s+/g, "");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
    throw new StaticKeyError(`this ${title} holds something other than base64: copy it again`);
  }
  return new Uint8Array(Buffer.from(base64, "base64"));
}
