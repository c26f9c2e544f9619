/**
 * The key-method-2 message, first plaintext on every control TLS session in both directions
 * (openvpn-rfc, "peerinfo"; the code it disagrees with wins: only the client sends the 48-byte
 * pre-master secret). One invariant: lengths are checked before any field is read.
 */

/** Key material and identity strings of one side. */
export interface KeyMethodMessage {
  /** 48 bytes; the client's only. */
  readonly preMaster?: Buffer;
  /** 32 bytes. */
  readonly random1: Buffer;
  /** 32 bytes. */
  readonly random2: Buffer;
  /** OpenVPN's options string ("V4,dev-type tap,…"). */
  readonly options: string;
  readonly username: string;
  readonly password: string;
  /** Lines of `NAME=value`; empty from a server. */
  readonly peerInfo: string;
}

const PRE_MASTER_BYTES = 48;
const RANDOM_BYTES = 32;
const KEY_METHOD = 2;
/** A message longer than this is refused before it is complete: peer-info has no business there. */
export const KEY_METHOD_BYTES_MAX = 4096;

/** Serialises; empty strings are two zero bytes, others carry their NUL and count it. */
export function serialiseKeyMethod(message: KeyMethodMessage): Buffer {
  return Buffer.concat([
    Buffer.of(0, 0, 0, 0, KEY_METHOD),
    message.preMaster ?? Buffer.alloc(0),
    message.random1,
    message.random2,
    lengthPrefixed(message.options),
    lengthPrefixed(message.username),
    lengthPrefixed(message.password),
    lengthPrefixed(message.peerInfo),
  ]);
}

/**
 * Reads what `from` sent. "incomplete" until all of it has arrived, "malformed" when it never
 * can be right. A server may leave the strings behind its options out (OpenVPN 3 does); a client
 * never does, so what ends there has not all arrived yet.
 */
export function parseKeyMethod(
  bytes: Buffer,
  from: "client" | "server",
): { message: KeyMethodMessage; bytesRead: number } | "incomplete" | "malformed" {
  const keyBytes = (from === "client" ? PRE_MASTER_BYTES : 0) + 2 * RANDOM_BYTES;
  if (bytes.length > KEY_METHOD_BYTES_MAX) return "malformed";
  if (bytes.length < 5 + keyBytes) return "incomplete";
  if (bytes.readUInt32BE(0) !== 0 || (bytes.readUInt8(4) & 0x0f) !== KEY_METHOD) return "malformed";
  let offset = 5;
  const take = (count: number): Buffer => {
    offset += count;
    return Buffer.from(bytes.subarray(offset - count, offset));
  };
  const preMaster = from === "client" ? { preMaster: take(PRE_MASTER_BYTES) } : {};
  const random1 = take(RANDOM_BYTES);
  const random2 = take(RANDOM_BYTES);
  const strings: string[] = [];
  while (strings.length < 4) {
    if (from === "server" && offset === bytes.length && strings.length >= 1) break;
    if (bytes.length < offset + 2) return "incomplete";
    const length = bytes.readUInt16BE(offset);
    if (bytes.length < offset + 2 + length) return "incomplete";
    const text = bytes.toString("utf8", offset + 2, offset + 2 + length);
    if (length > 0 && !text.endsWith("\0")) return "malformed";
    strings.push(text.replace(/\0+$/, ""));
    offset += 2 + length;
  }
  const [options = "", username = "", password = "", peerInfo = ""] = strings;
  const message = { ...preMaster, random1, random2, options, username, password, peerInfo };
  return { message, bytesRead: offset };
}

function lengthPrefixed(text: string): Buffer {
  if (text === "") return Buffer.of(0, 0);
  const body = Buffer.from(`${text}\0`, "utf8");
  const length = Buffer.alloc(2);
  length.writeUInt16BE(body.length, 0);
  return Buffer.concat([length, body]);
}
