/**
 * Frames of IGMP, MLD and multicast data, made byte by byte from the specifications' figures:
 * what hosts and routers send, for tests of the parts that read it.
 */

/** A record of an IGMPv3 or MLDv2 report. */
export interface RecordText {
  readonly kind: number;
  readonly group: string;
  readonly sources?: readonly string[];
}

/** Where a frame comes from and how it is sent; whatever is absent is as a good host does it. */
export interface FrameOptions {
  readonly mac?: string;
  readonly source?: string;
  readonly vlan?: number;
  readonly hopLimit?: number;
  readonly withoutRouterAlert?: boolean;
  readonly withWrongChecksum?: boolean;
}

const MAC = "02:00:00:00:00:01";

/** An IGMPv1 or v2 message: 0x12, 0x16 or 0x17, or a query 0x11 with its code. */
export function igmp(
  type: number,
  group: string,
  options: FrameOptions & { code?: number } = {},
): Buffer {
  const target =
    type === 0x17 ? "224.0.0.2" : type === 0x11 && group === "0.0.0.0" ? "224.0.0.1" : group;
  return igmpFrame(
    Buffer.from([type, options.code ?? 0, 0, 0, ...bytesOf(group)]),
    target,
    options,
  );
}

/** An IGMPv3 report. */
export function igmp3(records: readonly RecordText[], options: FrameOptions = {}): Buffer {
  const message = Buffer.concat([
    Buffer.from([0x22, 0, 0, 0, 0, 0, 0, records.length]),
    ...records.map(recordBytes),
  ]);
  return igmpFrame(message, "224.0.0.22", options);
}

/** An MLDv1 message: 130, 131 or 132. */
export function mld(type: number, group: string, options: FrameOptions = {}): Buffer {
  const target = type === 132 ? "ff02::2" : group === "::" ? "ff02::1" : group;
  const message = Buffer.from([
    type,
    0,
    0,
    0,
    type === 130 ? 0x27 : 0,
    type === 130 ? 0x10 : 0,
    0,
    0,
    ...bytesOf(group),
  ]);
  return mldFrame(message, target, options);
}

/** An MLDv2 report. */
export function mld2(records: readonly RecordText[], options: FrameOptions = {}): Buffer {
  const message = Buffer.concat([
    Buffer.from([143, 0, 0, 0, 0, 0, 0, records.length]),
    ...records.map(recordBytes),
  ]);
  return mldFrame(message, "ff02::16", options);
}

/** A UDP datagram to a group. */
export function groupData(group: string, options: FrameOptions = {}): Buffer {
  const udp = Buffer.from([0x30, 0x39, 0x30, 0x39, 0, 12, 0, 0, 1, 2, 3, 4]);
  const isIpv6 = group.includes(":");
  const source = options.source ?? (isIpv6 ? "fd20::7" : "10.20.0.7");
  const packet = isIpv6
    ? ipv6(udp, 17, { source, target: group, hopLimit: 8 })
    : ipv4(udp, 17, { source, target: group, ttl: 8, options: [] });
  return ethernetFrame(macOf(group), isIpv6 ? 0x86dd : 0x0800, packet, options);
}

/** Bytes of an address in text. */
export function bytesOf(address: string): number[] {
  if (!address.includes(":")) return address.split(".").map(Number);
  const [head = "", tail] = address.split("::");
  const words = (text: string): number[] =>
    text
      .split(":")
      .filter(Boolean)
      .map((word) => Number.parseInt(word, 16));
  const before = words(head);
  const after = words(tail ?? "");
  const middle = new Array<number>(8 - before.length - after.length).fill(0);
  return [...before, ...middle, ...after].flatMap((word) => [word >> 8, word & 255]);
}

function recordBytes({ kind, group, sources = [] }: RecordText): Buffer {
  return Buffer.from([
    kind,
    0,
    sources.length >> 8,
    sources.length & 255,
    ...bytesOf(group),
    ...sources.flatMap(bytesOf),
  ]);
}

function igmpFrame(message: Buffer, target: string, options: FrameOptions): Buffer {
  const wrong = options.withWrongChecksum === true ? 1 : 0;
  message.writeUInt16BE((checksum(message) + wrong) & 0xffff, 2);
  const packet = ipv4(message, 2, {
    source: options.source ?? "10.20.0.8",
    target,
    ttl: options.hopLimit ?? 1,
    options: options.withoutRouterAlert === true ? [] : [0x94, 4, 0, 0],
  });
  return ethernetFrame(macOf(target), 0x0800, packet, options);
}

function mldFrame(message: Buffer, target: string, options: FrameOptions): Buffer {
  const source = options.source ?? "fe80::8";
  const pseudo = Buffer.from([
    ...bytesOf(source),
    ...bytesOf(target),
    0,
    0,
    message.length >> 8,
    message.length & 255,
    0,
    0,
    0,
    58,
  ]);
  const wrong = options.withWrongChecksum === true ? 1 : 0;
  message.writeUInt16BE((checksum(Buffer.concat([pseudo, message])) + wrong) & 0xffff, 2);
  const hopLimit = options.hopLimit ?? 1;
  const packet =
    options.withoutRouterAlert === true
      ? ipv6(message, 58, { source, target, hopLimit })
      : ipv6(Buffer.concat([Buffer.from([58, 0, 5, 2, 0, 0, 1, 0]), message]), 0, {
          source,
          target,
          hopLimit,
        });
  return ethernetFrame(macOf(target), 0x86dd, packet, options);
}

function ipv4(
  payload: Buffer,
  protocol: number,
  header: { source: string; target: string; ttl: number; options: readonly number[] },
): Buffer {
  const headerBytes = 20 + header.options.length;
  const bytes = headerBytes + payload.length;
  const head = Buffer.from([
    ...[
      0x40 | (headerBytes / 4),
      0xc0,
      bytes >> 8,
      bytes & 255,
      0,
      0,
      0,
      0,
      header.ttl,
      protocol,
      0,
      0,
    ],
    ...bytesOf(header.source),
    ...bytesOf(header.target),
    ...header.options,
  ]);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, payload]);
}

function ipv6(
  payload: Buffer,
  next: number,
  header: { source: string; target: string; hopLimit: number },
): Buffer {
  const head = [0x60, 0, 0, 0, payload.length >> 8, payload.length & 255, next, header.hopLimit];
  return Buffer.concat([
    Buffer.from([...head, ...bytesOf(header.source), ...bytesOf(header.target)]),
    payload,
  ]);
}

function ethernetFrame(
  target: string,
  type: number,
  packet: Buffer,
  options: FrameOptions,
): Buffer {
  const macs = [target, options.mac ?? MAC].flatMap((text) =>
    text.split(":").map((part) => Number.parseInt(part, 16)),
  );
  const tag = options.vlan === undefined ? [] : [0x81, 0, options.vlan >> 8, options.vlan & 255];
  return Buffer.concat([Buffer.from([...macs, ...tag, type >> 8, type & 255]), packet]);
}

function macOf(group: string): string {
  const bytes = bytesOf(group);
  const parts =
    bytes.length === 4
      ? [1, 0, 0x5e, (bytes[1] ?? 0) & 127, bytes[2], bytes[3]]
      : [0x33, 0x33, ...bytes.slice(12)];
  return parts.map((part) => (part ?? 0).toString(16).padStart(2, "0")).join(":");
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2)
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
