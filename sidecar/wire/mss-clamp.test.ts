import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as clamp from "./mss-clamp.ts";

const MAXIMA = { ipv4: 1386, ipv6: 1366 };

/** What a frame is built from; `options` are the TCP options, padded to words. */
interface FrameParts {
  readonly tags: number;
  readonly version: 4 | 6;
  readonly ipWords: number;
  readonly extensions: readonly number[];
  readonly fragment: number;
  readonly flags: number;
  readonly options: readonly number[];
  readonly payloadBytes: number;
  readonly paddingBytes: number;
}

const SYN: FrameParts = {
  tags: 0,
  version: 4,
  ipWords: 0,
  extensions: [],
  fragment: 0,
  flags: 0x02,
  options: [2, 4, 0x05, 0xb4],
  payloadBytes: 0,
  paddingBytes: 0,
};

const word = (value: number): number[] => [value >>> 8, value & 0xff];
const filler = (length: number, first: number): number[] =>
  Array.from({ length }, (_, index) => (first + index * 37) & 0xff);

function sumWords(bytes: readonly number[]): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] as number) << 8) + (bytes[at + 1] ?? 0);
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return sum;
}

function build(parts: FrameParts): number[] {
  const options = [...parts.options, ...Array(-parts.options.length & 3).fill(0)];
  const tcpWords = 5 + options.length / 4;
  const tcp = [...word(443), ...word(50_000), ...filler(8, 9), tcpWords << 4, parts.flags];
  tcp.push(...word(1024), 0, 0, 0, 0, ...options, ...filler(parts.payloadBytes, 3));
  const addresses = filler(parts.version === 4 ? 8 : 32, 77);
  const checksum = ~sumWords([...addresses, 0, 6, ...word(tcp.length), ...tcp]) & 0xffff;
  tcp.splice(16, 2, ...word(checksum));
  return [
    ...filler(12, 2),
    ...Array.from({ length: parts.tags }, () => [...word(0x8100), ...word(7)]).flat(),
    ...word(parts.version === 4 ? 0x0800 : 0x86dd),
    ...(parts.version === 4 ? ipv4(parts, addresses, tcp) : ipv6(parts, addresses, tcp)),
    ...filler(parts.paddingBytes, 5),
  ];
}

function ipv4(parts: FrameParts, addresses: number[], tcp: number[]): number[] {
  const headerWords = 5 + parts.ipWords;
  const totalBytes = headerWords * 4 + tcp.length;
  const head = [0x40 | headerWords, 0, ...word(totalBytes), 1, 2, ...word(parts.fragment), 64, 6];
  return [...head, 9, 9, ...addresses, ...filler(parts.ipWords * 4, 1), ...tcp];
}

function ipv6(parts: FrameParts, addresses: number[], tcp: number[]): number[] {
  const chain = [...parts.extensions, 6];
  const extensions = parts.extensions.flatMap((_, index) => {
    const words = index % 2;
    return [chain[index + 1] as number, words, ...filler(6 + words * 8, 4)];
  });
  const payloadBytes = extensions.length + tcp.length;
  const head = [0x60, 0, 0, 0, ...word(payloadBytes), chain[0] as number, 64];
  return [...head, ...addresses, ...extensions, ...tcp];
}

/** Where the naive reader found things in a frame that has to be clamped. */
interface NaiveFind {
  readonly mssAt: number;
  readonly mssMax: number;
  readonly tcpAt: number;
  readonly tcp: readonly number[];
  readonly addresses: readonly number[];
}

/** Reads by slices of arrays instead of offsets: headers are cut off one by one. */
function naiveFind(frame: readonly number[]): NaiveFind | undefined {
  let rest = frame.slice(12);
  const number16 = (from: readonly number[], at: number): number =>
    ((from[at] ?? 0) << 8) | (from[at + 1] ?? 0);
  let tags = 0;
  while (tags < 2 && [0x8100, 0x88a8].includes(number16(rest, 0))) {
    rest = rest.slice(4);
    tags += 1;
  }
  const type = number16(rest, 0);
  rest = rest.slice(2);
  const ip = type === 0x0800 ? naiveIpv4(rest) : type === 0x86dd ? naiveIpv6(rest) : undefined;
  if (ip === undefined) return undefined;
  const { tcp, addresses } = ip;
  const tcpAt = 12 + 4 * tags + 2 + ip.tcpAt;
  const headerBytes = ((tcp[12] ?? 0) >>> 4) * 4;
  if (tcp.length < 20 || headerBytes > tcp.length || ((tcp[13] as number) & 2) === 0)
    return undefined;
  let options = tcp.slice(20, Math.max(20, headerBytes));
  while (options.length > 0 && options[0] !== 0) {
    const bytes = options[0] === 1 ? 1 : (options[1] ?? 0);
    if (options[0] !== 1 && (bytes < 2 || bytes > options.length)) return undefined;
    if (options[0] === 2) {
      if (bytes !== 4) return undefined;
      const mssAt = tcpAt + headerBytes - options.length + 2;
      const mssMax = (type === 0x0800 ? MAXIMA.ipv4 : MAXIMA.ipv6) - 4 * tags;
      return number16(frame, mssAt) > mssMax ? { mssAt, mssMax, tcpAt, tcp, addresses } : undefined;
    }
    options = options.slice(bytes);
  }
  return undefined;
}

type NaiveIp = Pick<NaiveFind, "tcpAt" | "tcp" | "addresses">;

function naiveIpv4(ip: readonly number[]): NaiveIp | undefined {
  if (ip.length < 20 || (ip[0] as number) >> 4 !== 4 || ip[9] !== 6) return undefined;
  const headerBytes = ((ip[0] as number) & 15) * 4;
  const totalBytes = ((ip[2] as number) << 8) | (ip[3] as number);
  const isFragment = ((ip[6] as number) & 0x3f) !== 0 || ip[7] !== 0;
  if (isFragment || headerBytes < 20) return undefined;
  if (totalBytes < headerBytes || totalBytes > ip.length) return undefined;
  const tcp = ip.slice(headerBytes, totalBytes);
  return { tcpAt: headerBytes, tcp, addresses: ip.slice(12, 20) };
}

function naiveIpv6(ip: readonly number[]): NaiveIp | undefined {
  if (ip.length < 40 || (ip[0] as number) >> 4 !== 6) return undefined;
  const payloadBytes = ((ip[4] as number) << 8) | (ip[5] as number);
  if (40 + payloadBytes > ip.length) return undefined;
  let rest = ip.slice(40, 40 + payloadBytes);
  let next = ip[6] as number;
  for (let count = 0; count < 4 && [0, 43, 60].includes(next); count++) {
    if (rest.length < 8) return undefined;
    next = rest[0] as number;
    rest = rest.slice(((rest[1] as number) + 1) * 8);
  }
  if (next !== 6 || rest.length === 0) return undefined;
  return { tcpAt: 40 + payloadBytes - rest.length, tcp: rest, addresses: ip.slice(8, 40) };
}

function isSumRight(find: NaiveFind, tcp: readonly number[]): boolean {
  return sumWords([...find.addresses, 0, 6, ...word(tcp.length), ...tcp]) === 0xffff;
}

/**
 * Clamps a frame at an odd place of a larger buffer and compares with the naive result. A view
 * that ends with the frame shows that nothing behind it is read.
 */
function check(frame: readonly number[]): boolean {
  const find = naiveFind(frame);
  const exact = new DataView(Uint8Array.from(frame).buffer);
  assert.equal(clamp.clampFrameMss(exact, 0, frame.length, MAXIMA), find !== undefined);
  const bytes = Uint8Array.from([...filler(5, 200), ...frame, ...filler(40, 100)]);
  const view = new DataView(bytes.buffer);
  const isClamped = clamp.clampFrameMss(view, 5, 5 + frame.length, MAXIMA);
  assert.equal(isClamped, find !== undefined);
  const expected = [...frame];
  const actual = [...bytes.subarray(5, 5 + frame.length)];
  assert.deepEqual([...bytes.subarray(0, 5)], filler(5, 200));
  assert.deepEqual([...bytes.subarray(5 + frame.length)], filler(40, 100));
  if (find === undefined) {
    assert.deepEqual(actual, expected);
    return false;
  }
  expected.splice(find.mssAt, 2, ...word(find.mssMax));
  const actualTcp = actual.slice(find.tcpAt, find.tcpAt + find.tcp.length);
  const wasRight = isSumRight(find, find.tcp);
  assert.equal(isSumRight(find, actualTcp), wasRight, "right stays right, wrong stays wrong");
  const sumAt = find.tcpAt + 16;
  if (wasRight) {
    const tcp = expected.slice(find.tcpAt, find.tcpAt + find.tcp.length);
    tcp.splice(16, 2, 0, 0);
    const full = ~sumWords([...find.addresses, 0, 6, ...word(tcp.length), ...tcp]) & 0xffff;
    expected.splice(sumAt, 2, ...word(full));
  } else {
    expected.splice(sumAt, 2, ...actual.slice(sumAt, sumAt + 2));
  }
  assert.deepEqual(actual, expected);
  return true;
}

test("a SYN and a SYN-ACK are clamped, IPv4 and IPv6, with and without tags", () => {
  for (const version of [4, 6] as const) {
    for (const flags of [0x02, 0x12]) {
      for (const tags of [0, 1, 2])
        assert.equal(check(build({ ...SYN, version, flags, tags })), true);
    }
  }
});

test("an MSS that fits, no SYN, a fragment or a third tag leave the frame as it is", () => {
  assert.equal(check(build({ ...SYN, options: [2, 4, ...word(1386)] })), false);
  assert.equal(check(build({ ...SYN, options: [2, 4, ...word(1387)] })), true);
  assert.equal(check(build({ ...SYN, version: 6, options: [2, 4, ...word(1367)] })), true);
  assert.equal(check(build({ ...SYN, flags: 0x10 })), false);
  assert.equal(check(build({ ...SYN, fragment: 0x2000 })), false);
  assert.equal(check(build({ ...SYN, fragment: 0x0001 })), false);
  assert.equal(check(build({ ...SYN, fragment: 0x4000 })), true);
  assert.equal(check(build({ ...SYN, version: 6, extensions: [44] })), false);
  assert.equal(check(build({ ...SYN, tags: 3 })), false);
});

test("an MSS behind other options, at an odd offset too, is found; one behind the end is not", () => {
  assert.equal(check(build({ ...SYN, options: [1, 2, 4, 0x23, 0x28] })), true);
  assert.equal(check(build({ ...SYN, options: [1, 3, 3, 7, 4, 2, 2, 4, 0xff, 0xff] })), true);
  assert.equal(check(build({ ...SYN, options: [0, 2, 4, 0xff, 0xff] })), false);
  assert.equal(check(build({ ...SYN, options: [3, 0, 2, 4, 0xff, 0xff] })), false);
  assert.equal(check(build({ ...SYN, options: [1, 1, 1, 2] })), false);
  assert.equal(check(build({ ...SYN, options: [2, 3, 0xff, 2, 4, 0xff, 0xff] })), false);
});

test("up to four IPv6 extension headers are passed", () => {
  const extensions = [0, 60, 43, 60];
  assert.equal(check(build({ ...SYN, version: 6, extensions })), true);
  assert.equal(check(build({ ...SYN, version: 6, extensions: [...extensions, 60] })), false);
});

const option = fc.oneof(
  fc.constant([1]),
  fc.tuple(fc.nat(255), fc.nat(255)).map(([high, low]) => [2, 4, high, low]),
  fc.constantFrom([3, 3, 7], [4, 2], [8, 10, ...filler(8, 0)], [0], [5, 1], [2, 3, 9]),
);
const parts = fc.record<FrameParts>({
  tags: fc.nat(3),
  version: fc.constantFrom(4, 6),
  ipWords: fc.nat(10),
  extensions: fc.array(fc.constantFrom(0, 43, 60, 60, 44, 17), { maxLength: 5 }),
  fragment: fc.constantFrom(0, 0, 0, 0x4000, 0x2000, 0x1fff),
  flags: fc.constantFrom(0x02, 0x12, 0x10),
  options: fc.array(option, { maxLength: 5 }).map((options) => options.flat().slice(0, 40)),
  payloadBytes: fc.nat(9),
  paddingBytes: fc.nat(3),
});

test("any frame that is well built is clamped as by full recomputation", () => {
  fc.assert(
    fc.property(parts, (each) => {
      check(build(each));
    }),
    { numRuns: 1500 },
  );
});

test("any frame cut short or with wrong bytes is handled as by the naive reader", () => {
  const change = fc.record({ at: fc.nat(120), value: fc.nat(255) });
  const cut = fc.oneof(fc.constant(0), fc.nat(120));
  fc.assert(
    fc.property(parts, fc.array(change, { maxLength: 3 }), cut, (each, changes, cutBytes) => {
      const frame = build(each);
      for (const { at, value } of changes) if (at < frame.length) frame[at] = value;
      check(frame.slice(0, Math.max(0, frame.length - cutBytes)));
    }),
    { numRuns: 3000 },
  );
});

test("random bytes are left in peace", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      check([...bytes]);
    }),
  );
});

test("an IP packet without a frame around it is clamped by its version", () => {
  for (const version of [4, 6] as const) {
    const packet = Uint8Array.from(build({ ...SYN, version }).slice(14));
    const view = new DataView(packet.buffer);
    assert.equal(clamp.clampPacketMss(view, 0, packet.length, MAXIMA), true);
    assert.equal(clamp.clampPacketMss(view, 0, packet.length, MAXIMA), false);
  }
  const other = new DataView(Uint8Array.of(0x50, 0, 0).buffer);
  assert.equal(clamp.clampPacketMss(other, 0, 3, MAXIMA), false);
  assert.equal(clamp.clampPacketMss(other, 0, 0, MAXIMA), false);
});

test("the default of 1492 for the whole packet leaves what stock OpenVPN leaves", () => {
  const budget = {
    outerBytesMax: clamp.MSSFIX_DEFAULT_BYTES,
    outerKind: "packet",
    outerFamily: 4,
    overheadBytes: clamp.DATA_V2_AEAD_BYTES,
    device: "tap",
  } as const;
  // 1492 - 20 - 8 - 24 - 14 - 40
  assert.deepEqual(clamp.mssMaxima(budget), { ipv4: 1386, ipv6: 1366 });
  assert.deepEqual(clamp.mssMaxima({ ...budget, outerFamily: 6 }), { ipv4: 1366, ipv6: 1346 });
  assert.deepEqual(clamp.mssMaxima({ ...budget, device: "tun" }), { ipv4: 1400, ipv6: 1380 });
  const epoch = { ...budget, overheadBytes: clamp.DATA_V2_EPOCH_BYTES };
  assert.deepEqual(clamp.mssMaxima(epoch), { ipv4: 1382, ipv6: 1362 });
  const payload = { ...budget, outerKind: "payload", outerBytesMax: 1464 } as const;
  assert.deepEqual(clamp.mssMaxima(payload), { ipv4: 1386, ipv6: 1366 });
  assert.deepEqual(clamp.mssMaxima({ ...budget, outerBytesMax: 100 }), { ipv4: 64, ipv6: 64 });
});
