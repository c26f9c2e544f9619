/**
 * What a tls-crypt-v2 client and a stateless server say to each other in their first packets
 * (OpenVPN 2.6, ssl_pkt.h): the client's packet ids start in a range of their own, and the
 * server's reset carries flags as type, length, value. One invariant: unknown types are skipped.
 */

/** First packet id of a client that can send its wrapped key a second time. */
export const EARLY_PACKET_ID_FIRST = 0x0f00_0001;

const EARLY_MASK = 0xff00_0000;
const EARLY_RANGE = 0x0f00_0000;
const TYPE_FLAGS = 1;
const FLAG_RESEND_WRAPPED_KEY = 1;
const HEADER_BYTES = 4;

/** True when a client's first packet id says that it can send its wrapped key again. */
export function isEarlyPacketId(id: number): boolean {
  return (id & EARLY_MASK) >>> 0 === EARLY_RANGE;
}

/** Payload of a server's reset that asks for the wrapped key again. */
export function resendWrappedKeyPayload(): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + 2);
  bytes.writeUInt16BE(TYPE_FLAGS, 0);
  bytes.writeUInt16BE(2, 2);
  bytes.writeUInt16BE(FLAG_RESEND_WRAPPED_KEY, HEADER_BYTES);
  return bytes;
}

/** Whether a server's reset asks for the wrapped key again. */
export function asksForWrappedKey(payload: Buffer): boolean {
  let offset = 0;
  while (offset + HEADER_BYTES <= payload.length) {
    const type = payload.readUInt16BE(offset);
    const length = payload.readUInt16BE(offset + 2);
    offset += HEADER_BYTES;
    if (offset + length > payload.length) return false;
    if (type === TYPE_FLAGS && length === 2) {
      return (payload.readUInt16BE(offset) & FLAG_RESEND_WRAPPED_KEY) !== 0;
    }
    offset += length;
  }
  return false;
}
