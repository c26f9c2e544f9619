/**
 * OpenVPN's control packets, inside their wrapping: acknowledgements, message id, payload
 * (openvpn-rfc, sections "opcodes" and "acks"). One invariant: what parses, serialises to the
 * same bytes. Acknowledged ids are four bytes each, whatever the draft says (test_pkt.c).
 */

/** Opcodes, the high five bits of the first byte. 1 and 2 are long dead and invalid. */
export const Opcode = {
  softReset: 3,
  control: 4,
  ack: 5,
  dataV1: 6,
  hardResetClientV2: 7,
  hardResetServerV2: 8,
  dataV2: 9,
  hardResetClientV3: 10,
  controlWkc: 11,
} as const;

/** Bytes in front of every control packet: opcode and key id, session id. */
export const CONTROL_HEADER_BYTES = 9;
/** Bytes of a session id. */
export const SESSION_ID_BYTES = 8;
/** Ids in one P_ACK_V1, and the most that any packet may carry. */
export const ACKS_MAX = 8;

/** A control packet after its wrapping was taken off. */
export interface ControlPacket {
  readonly opcode: number;
  /** 0 to 7. */
  readonly keyId: number;
  /** Sender's session id, 8 bytes. */
  readonly sessionId: Buffer;
  readonly acks: readonly number[];
  /** Session id that the acknowledgements are for, 8 bytes; absent when there are none. */
  readonly ackSessionId?: Buffer;
  /** Absent in P_ACK_V1. */
  readonly messageId?: number;
  readonly payload: Buffer;
}

/** Opcode of a datagram's first byte. */
export function opcodeOf(firstByte: number): number {
  return firstByte >>> 3;
}

/** True for the packets of a tls-crypt-v2 client that have its wrapped key at their end. */
export function carriesWrappedKey(opcode: number): boolean {
  return opcode === Opcode.hardResetClientV3 || opcode === Opcode.controlWkc;
}

/** True for the opcodes that belong to the control channel and are understood here. */
export function isControlOpcode(opcode: number): boolean {
  return (
    opcode === Opcode.softReset ||
    opcode === Opcode.control ||
    opcode === Opcode.ack ||
    opcode === Opcode.hardResetClientV2 ||
    opcode === Opcode.hardResetServerV2 ||
    opcode === Opcode.hardResetClientV3 ||
    opcode === Opcode.controlWkc
  );
}

/** Reads header (9 bytes) and body (what the wrapping protected); undefined when malformed. */
export function parseControlPacket(header: Buffer, body: Buffer): ControlPacket | undefined {
  if (header.length < CONTROL_HEADER_BYTES || body.length < 1) return undefined;
  const opcode = opcodeOf(header.readUInt8(0));
  if (!isControlOpcode(opcode)) return undefined;
  const count = body.readUInt8(0);
  if (count > ACKS_MAX) return undefined;
  const hasMessage = opcode !== Opcode.ack;
  let offset = 1 + count * 4 + (count > 0 ? SESSION_ID_BYTES : 0);
  if (body.length < offset + (hasMessage ? 4 : 0)) return undefined;
  if (!hasMessage && (count === 0 || body.length !== offset)) return undefined;
  const acks: number[] = [];
  for (let index = 0; index < count; index++) acks.push(body.readUInt32BE(1 + index * 4));
  const ackSessionId =
    count > 0 ? { ackSessionId: body.subarray(offset - SESSION_ID_BYTES, offset) } : {};
  const message = hasMessage ? { messageId: body.readUInt32BE(offset) } : {};
  if (hasMessage) offset += 4;
  return {
    opcode,
    keyId: header.readUInt8(0) & 7,
    sessionId: header.subarray(1, CONTROL_HEADER_BYTES),
    acks,
    ...ackSessionId,
    ...message,
    payload: body.subarray(offset),
  };
}

/** The nine bytes in front of a control packet. */
export function controlHeader(packet: ControlPacket): Buffer {
  return Buffer.concat([Buffer.of((packet.opcode << 3) | packet.keyId), packet.sessionId]);
}

/** What the wrapping protects: acknowledgements, message id, payload. */
export function controlBody(packet: ControlPacket): Buffer {
  const count = packet.acks.length;
  const fixed = Buffer.alloc(1 + count * 4);
  fixed.writeUInt8(count, 0);
  packet.acks.forEach((id, index) => {
    fixed.writeUInt32BE(id >>> 0, 1 + index * 4);
  });
  const parts: Buffer[] = [fixed];
  if (count > 0 && packet.ackSessionId !== undefined) parts.push(packet.ackSessionId);
  if (packet.messageId !== undefined) {
    const id = Buffer.alloc(4);
    id.writeUInt32BE(packet.messageId >>> 0, 0);
    parts.push(id);
  }
  parts.push(packet.payload);
  return Buffer.concat(parts);
}
