/**
 * A capture file of the pcapng format (draft-ietf-opsawg-pcapng): blocks of little-endian words,
 * one interface description for each peer, times in microseconds. One invariant: an interface's
 * block comes before its first packet. Pure: gives bytes, writes nothing.
 */

const BlockType = { section: 0x0a0d0d0a, interface: 1, statistics: 5, packet: 6 } as const;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const LINK_ETHERNET = 1;
const OPTION_END = 0;
const OPTION_COMMENT = 1;
const OPTION_PACKET_FLAGS = 2;
const OPTION_INTERFACE_NAME = 2;
const OPTION_INTERFACE_DESCRIPTION = 3;
const OPTION_USER_APPLICATION = 4;
const OPTION_MISSED = 5;

interface Option {
  readonly code: number;
  readonly value: Uint8Array;
}

/** One packet. */
export interface PcapngPacket {
  /** Number of its interface, from 0, in the order of their blocks. */
  readonly interface: number;
  /** Milliseconds since 1970, with their fraction. */
  readonly wallMs: number;
  readonly bytes: Uint8Array;
  /** Its length on the segment. */
  readonly originalBytes: number;
  /** From the interface into the switch, or out of it. */
  readonly direction: "in" | "out";
  readonly comment: string;
}

/** The first block of the file. */
export function sectionBlock(application: string): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  body.writeUInt16LE(1, 4);
  // Length of the section: not known.
  body.writeBigInt64LE(-1n, 8);
  return block(BlockType.section, body, [text(OPTION_USER_APPLICATION, application)]);
}

/** Describes one interface. */
export function interfaceBlock(name: string, description: string, snapBytes: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt16LE(LINK_ETHERNET, 0);
  body.writeUInt32LE(snapBytes, 4);
  return block(BlockType.interface, body, [
    text(OPTION_INTERFACE_NAME, name),
    text(OPTION_INTERFACE_DESCRIPTION, description),
  ]);
}

/** One packet with its direction and its comment. */
export function packetBlock(packet: PcapngPacket): Buffer {
  const { bytes, originalBytes, wallMs, comment, direction } = packet;
  const head = Buffer.alloc(20);
  const micros = BigInt(Math.round(wallMs * 1000));
  head.writeUInt32LE(packet.interface, 0);
  head.writeUInt32LE(Number(micros >> 32n), 4);
  head.writeUInt32LE(Number(micros & 0xffff_ffffn), 8);
  head.writeUInt32LE(bytes.length, 12);
  head.writeUInt32LE(originalBytes, 16);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(direction === "in" ? 1 : 2, 0);
  const options = [{ code: OPTION_PACKET_FLAGS, value: flags }, text(OPTION_COMMENT, comment)];
  return block(BlockType.packet, Buffer.concat([head, padded(bytes)]), options);
}

/** How many packets an interface's capture missed, at the end of the file. */
export function statisticsBlock(at: { interface: number; wallMs: number; missed: number }): Buffer {
  const micros = BigInt(Math.round(at.wallMs * 1000));
  const body = Buffer.alloc(12);
  body.writeUInt32LE(at.interface, 0);
  body.writeUInt32LE(Number(micros >> 32n), 4);
  body.writeUInt32LE(Number(micros & 0xffff_ffffn), 8);
  const value = Buffer.alloc(8);
  value.writeBigUInt64LE(BigInt(at.missed), 0);
  return block(BlockType.statistics, body, [{ code: OPTION_MISSED, value }]);
}

function block(type: number, body: Uint8Array, options: readonly Option[]): Buffer {
  const end = { code: OPTION_END, value: Buffer.alloc(0) };
  const parts = [body, ...[...options, end].flatMap(optionParts)];
  const length = 12 + parts.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(length, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(length, 0);
  return Buffer.concat([head, ...parts, tail]);
}

function optionParts({ code, value }: Option): Uint8Array[] {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.length, 2);
  return [head, padded(value)];
}

function text(code: number, value: string): Option {
  return { code, value: Buffer.from(value, "utf8") };
}

/** To a multiple of four bytes. */
function padded(bytes: Uint8Array): Uint8Array {
  const rest = bytes.length % 4;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - rest)]);
}
