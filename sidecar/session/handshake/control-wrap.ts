/**
 * What protects control packets before TLS has said a word: tls-crypt (of a group or of one
 * client), tls-auth or nothing (openvpn-rfc, "tlsauth" and "tlscrypt"). One invariant: `unwrap` gives a body only for a
 * packet whose MAC verified; replay is the caller's business, by the packet id returned.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  timingSafeEqual,
} from "node:crypto";
import type { ControlWrapConfig } from "../../control/tunnel-config.ts";
import { CONTROL_HEADER_BYTES, carriesWrappedKey, opcodeOf } from "../../wire/control-packet.ts";

/** A control packet's long packet id: counter and the second in which counting began. */
export interface ControlPacketId {
  readonly id: number;
  readonly timeSeconds: number;
}

/** A verified control packet, still to be checked for replay when it has a packet id. */
export interface Unwrapped {
  readonly header: Buffer;
  readonly body: Buffer;
  readonly packetId?: ControlPacketId;
}

/** One end's wrapping; stateless: packet ids come from the session. */
export interface ControlWrap {
  /** True when packets carry a MAC and an id, that is, when what unwraps is authentic. */
  readonly isAuthenticated: boolean;
  /** The 256 bytes that the wrapping was made of; absent without one. */
  readonly staticKey?: Buffer;
  /** A tls-crypt-v2 client's wrapped key, which goes behind its first packets. */
  readonly wrappedKey?: Buffer;
  wrap(header: Buffer, body: Buffer, packetId: ControlPacketId): Buffer;
  unwrap(datagram: Buffer): Unwrapped | undefined;
}

const STATIC_KEY_BYTES = 256;
const HALF_BYTES = 128;
const HMAC_OFFSET = 64;
const PACKET_ID_BYTES = 8;
const TLS_CRYPT_TAG_BYTES = 32;
const DIGEST_BYTES = { SHA1: 20, SHA256: 32, SHA512: 64 } as const;

/** The wrapping that a configuration asks for, seen from one end. */
export function createControlWrap(
  config: ControlWrapConfig,
  end: "client" | "server",
): ControlWrap {
  if (config.kind === "None") return plainWrap();
  if (config.key.length !== STATIC_KEY_BYTES) {
    throw new RangeError(`a static key has ${STATIC_KEY_BYTES} bytes, not ${config.key.length}`);
  }
  const key = Buffer.from(config.key);
  if (config.kind === "TlsCrypt") return tlsCryptWrap(key, end);
  if (config.kind === "TlsCryptV2") {
    return appendingWrap(tlsCryptWrap(key, end), Buffer.from(config.wrapped));
  }
  // Direction 0 sends with the first half; without a direction both ends use the first.
  const sendHalf = config.direction === 1 ? 1 : 0;
  const receiveHalf = config.direction === 0 ? 1 : 0;
  const wrap = tlsAuthWrap(hmacKey(key, sendHalf), hmacKey(key, receiveHalf), config.digest);
  return { ...wrap, staticKey: key };
}

function hmacKey(key: Buffer, half: 0 | 1): Buffer {
  const start = half * HALF_BYTES + HMAC_OFFSET;
  return key.subarray(start, start + HMAC_OFFSET);
}

function plainWrap(): ControlWrap {
  return {
    isAuthenticated: false,
    wrap: (header, body) => Buffer.concat([header, body]),
    unwrap: (datagram) => {
      if (datagram.length <= CONTROL_HEADER_BYTES) return undefined;
      return split(datagram, CONTROL_HEADER_BYTES);
    },
  };
}

/** tls-crypt with the key of a group or of one client. */
export function tlsCryptWrap(staticKey: Buffer, end: "client" | "server"): ControlWrap {
  // The server sends with the first half, the client with the second.
  const first = staticKey.subarray(0, HALF_BYTES);
  const second = staticKey.subarray(HALF_BYTES);
  const [send, receive] = end === "server" ? [first, second] : [second, first];
  // As key objects: with bytes each use costs five to eight times as much (Node 24).
  const sendKey = createSecretKey(send.subarray(0, 32));
  const sendMac = createSecretKey(send.subarray(HMAC_OFFSET, HMAC_OFFSET + 32));
  const receiveKey = createSecretKey(receive.subarray(0, 32));
  const receiveMac = createSecretKey(receive.subarray(HMAC_OFFSET, HMAC_OFFSET + 32));
  const tagStart = CONTROL_HEADER_BYTES + PACKET_ID_BYTES;
  const bodyStart = tagStart + TLS_CRYPT_TAG_BYTES;
  return {
    isAuthenticated: true,
    staticKey,
    wrap: (header, body, packetId) => {
      const clear = Buffer.concat([header, packetIdBytes(packetId)]);
      const tag = createHmac("sha256", sendMac).update(clear).update(body).digest();
      const cipher = createCipheriv("aes-256-ctr", sendKey, tag.subarray(0, 16));
      return Buffer.concat([clear, tag, cipher.update(body), cipher.final()]);
    },
    unwrap: (datagram) => {
      if (datagram.length <= bodyStart) return undefined;
      const tag = datagram.subarray(tagStart, bodyStart);
      const decipher = createDecipheriv("aes-256-ctr", receiveKey, tag.subarray(0, 16));
      const body = Buffer.concat([decipher.update(datagram.subarray(bodyStart)), decipher.final()]);
      const clear = datagram.subarray(0, tagStart);
      const expected = createHmac("sha256", receiveMac).update(clear).update(body).digest();
      if (!timingSafeEqual(expected, tag)) return undefined;
      const header = Buffer.from(datagram.subarray(0, CONTROL_HEADER_BYTES));
      return { header, body, packetId: readPacketId(datagram, CONTROL_HEADER_BYTES) };
    },
  };
}

/** A tls-crypt-v2 client: the packets that say so carry its wrapped key at their end. */
function appendingWrap(wrap: ControlWrap, wrappedKey: Buffer): ControlWrap {
  return {
    ...wrap,
    wrappedKey,
    wrap: (header, body, packetId) => {
      const datagram = wrap.wrap(header, body, packetId);
      const carriesKey = carriesWrappedKey(opcodeOf(header.readUInt8(0)));
      return carriesKey ? Buffer.concat([datagram, wrappedKey]) : datagram;
    },
  };
}

function tlsAuthWrap(
  sendKey: Buffer,
  receiveKey: Buffer,
  digest: keyof typeof DIGEST_BYTES,
): ControlWrap {
  const macBytes = DIGEST_BYTES[digest];
  const sendMac = createSecretKey(sendKey.subarray(0, macBytes));
  const receiveMac = createSecretKey(receiveKey.subarray(0, macBytes));
  const idStart = CONTROL_HEADER_BYTES + macBytes;
  const bodyStart = idStart + PACKET_ID_BYTES;
  return {
    isAuthenticated: true,
    wrap: (header, body, packetId) => {
      const id = packetIdBytes(packetId);
      // The MAC covers the packet id first, then the header: not the order on the wire.
      const mac = createHmac(digest, sendMac).update(id).update(header).update(body).digest();
      return Buffer.concat([header, mac, id, body]);
    },
    unwrap: (datagram) => {
      if (datagram.length <= bodyStart) return undefined;
      const { header, body } = split(datagram, bodyStart);
      const id = datagram.subarray(idStart, bodyStart);
      const mac = datagram.subarray(CONTROL_HEADER_BYTES, idStart);
      const expected = createHmac(digest, receiveMac)
        .update(id)
        .update(header)
        .update(body)
        .digest();
      if (!timingSafeEqual(expected, mac)) return undefined;
      return { header, body, packetId: readPacketId(datagram, idStart) };
    },
  };
}

function split(datagram: Buffer, bodyStart: number): { header: Buffer; body: Buffer } {
  return {
    header: Buffer.from(datagram.subarray(0, CONTROL_HEADER_BYTES)),
    body: Buffer.from(datagram.subarray(bodyStart)),
  };
}

function packetIdBytes(packetId: ControlPacketId): Buffer {
  const bytes = Buffer.alloc(PACKET_ID_BYTES);
  bytes.writeUInt32BE(packetId.id >>> 0, 0);
  bytes.writeUInt32BE(packetId.timeSeconds >>> 0, 4);
  return bytes;
}

function readPacketId(bytes: Buffer, offset: number): ControlPacketId {
  return { id: bytes.readUInt32BE(offset), timeSeconds: bytes.readUInt32BE(offset + 4) };
}
