/**
 * What IGMP and MLD say, in one shape: the two protocols differ in layout only (RFC 3376 and
 * RFC 3810). One invariant: a message that a reader filled in lies wholly within its packet, all
 * records and sources included. Versions are those of IGMP: MLDv1 is 2 and MLDv2 is 3.
 */

/** What a message asks or says. */
export const GroupKind = {
  /** Who listens? `hasGroup`: to that group. */
  query: 1,
  /** A report of the old versions: joined `groupAt`, from any source. */
  join: 2,
  /** Left `groupAt`. */
  leave: 3,
  /** A report with records, one for each group. */
  records: 4,
} as const;
export type GroupKind = (typeof GroupKind)[keyof typeof GroupKind];

/** Kinds of records (RFC 3376, 4.2.12). */
export const RecordKind = {
  isInclude: 1,
  isExclude: 2,
  toInclude: 3,
  toExclude: 4,
  allow: 5,
  block: 6,
} as const;

/** Why a message was refused; 0: it was not. */
export const GroupRefusal = {
  none: 0,
  /** Not a message of these protocols, or of a type that nobody has to know. */
  notOurs: 1,
  /** Truncated, or its checksum is wrong. */
  malformed: 2,
  /** Hop limit, router alert or source are not as a host on this link sends them. */
  notLocal: 3,
} as const;
export type GroupRefusal = (typeof GroupRefusal)[keyof typeof GroupRefusal];

/** Words of an address: an IPv4 address is the last one, behind 0, 0 and 0xffff (RFC 4291, 2.5.5.2). */
export const ADDRESS_WORDS = 4;

/** One message, read again and again into the same object. Offsets are absolute in the view. */
export class GroupMessage {
  family: 4 | 6 = 4;
  kind: GroupKind = GroupKind.query;
  version: 1 | 2 | 3 = 3;
  /** Of a query: it names a group. */
  hasGroup = false;
  /** Of a query, a join, a leave. */
  groupAt = 0;
  /** Of a query: how long hosts may take to answer. */
  responseMs = 0;
  /** Of a query: leave timers alone (RFC 3376, 4.1.5). */
  isSuppressed = false;
  /** Of a query: the sources asked for. Of records: the first record and how many there are. */
  listAt = 0;
  listCount = 0;

  get addressBytes(): number {
    return this.family === 4 ? 4 : 16;
  }

  /** Bytes of the record at `at`, known to lie within the packet once the message was read. */
  recordBytes(view: DataView, at: number): number {
    const sources = view.getUint16(at + 2);
    return 4 + this.addressBytes * (1 + sources) + view.getUint8(at + 1) * 4;
  }
}

/** Reads an address into four words. */
export function readAddress(view: DataView, at: number, family: 4 | 6, into: Int32Array): void {
  // HOT PATH
  if (family === 4) {
    into[0] = 0;
    into[1] = 0;
    into[2] = 0xffff;
    into[3] = view.getInt32(at);
    return;
  }
  into[0] = view.getInt32(at);
  into[1] = view.getInt32(at + 4);
  into[2] = view.getInt32(at + 8);
  into[3] = view.getInt32(at + 12);
}

/** Whether the list of records stays within the packet, record by record. */
export function hasWholeRecords(view: DataView, message: GroupMessage, limit: number): boolean {
  let at = message.listAt;
  for (let count = 0; count < message.listCount; count++) {
    if (limit - at < 4 + message.addressBytes) return false;
    const bytes = message.recordBytes(view, at);
    if (bytes > limit - at) return false;
    at += bytes;
  }
  return true;
}

/** Values from 128 on are a float: mantissa and exponent (RFC 3376, 4.1.1). */
export function floatCode(code: number, mantissaBits: 4 | 12): number {
  const top = 1 << (mantissaBits + 3);
  if (code < top) return code;
  const mantissa = (code & ((1 << mantissaBits) - 1)) | (1 << mantissaBits);
  return mantissa << (((code >>> mantissaBits) & 7) + 3);
}

/** The family of an address in four words. */
export function familyOf(address: Int32Array): 4 | 6 {
  return address[0] === 0 && address[1] === 0 && address[2] === 0xffff ? 4 : 6;
}
