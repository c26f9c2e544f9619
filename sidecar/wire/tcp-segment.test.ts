import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TcpSegment } from "./tcp-segment.ts";

/** What a test puts into a frame. */
interface Wish {
  readonly vlans: readonly number[];
  readonly version: 4 | 6;
  /** IPv4: words of options; IPv6: extension headers, by number and length in 8 bytes beyond the first. */
  readonly optionWords: number;
  readonly extensions: readonly (readonly [number, number])[];
  readonly ports: readonly [number, number];
  readonly address: number;
  readonly sequence: number;
  readonly flags: number;
  readonly tcpWords: number;
  readonly payloadBytes: number;
  readonly paddingBytes: number;
}

const TCP = 6;
const ACK = 0x10;
const usual: Wish = {
  ...{ vlans: [], version: 4, optionWords: 0, extensions: [], ports: [1, 2], address: 10 },
  ...{ sequence: 5, flags: ACK, tcpWords: 5, payloadBytes: 9, paddingBytes: 0 },
};
const wishes: fc.Arbitrary<Wish> = fc.record({
  vlans: fc.array(fc.integer({ min: 0, max: 4095 }), { maxLength: 2 }),
  version: fc.constantFrom(4, 6),
  optionWords: fc.integer({ min: 0, max: 10 }),
  extensions: fc.array(fc.tuple(fc.constantFrom(0, 43, 60), fc.integer({ min: 0, max: 3 })), {
    maxLength: 4,
  }),
  ports: fc.tuple(fc.integer({ min: 0, max: 65_535 }), fc.integer({ min: 0, max: 65_535 })),
  address: fc.integer({ min: 0, max: 255 }),
  sequence: fc.constantFrom(0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1),
  flags: fc.integer({ min: 0, max: 255 }),
  tcpWords: fc.integer({ min: 5, max: 15 }),
  payloadBytes: fc.constantFrom(0, 1, 31, 32, 33, 63, 64, 65, 1400),
  paddingBytes: fc.integer({ min: 0, max: 30 }),
});

function packetOf(wish: Wish): Buffer {
  const tcp = Buffer.alloc(wish.tcpWords * 4 + wish.payloadBytes);
  tcp.writeUInt16BE(wish.ports[0], 0);
  tcp.writeUInt16BE(wish.ports[1], 2);
  tcp.writeUInt32BE(wish.sequence, 4);
  tcp[12] = wish.tcpWords << 4;
  tcp[13] = wish.flags;
  if (wish.version === 4) {
    const head = Buffer.alloc(20 + wish.optionWords * 4);
    head[0] = 0x40 | (head.length / 4);
    head.writeUInt16BE(head.length + tcp.length, 2);
    head.writeUInt16BE(0x4000, 6);
    head[9] = TCP;
    head.fill(wish.address, 12, 20);
    return Buffer.concat([head, tcp]);
  }
  const chain = [...wish.extensions.map(([kind]) => kind), TCP];
  const extensions = wish.extensions.map(([, units], at) => {
    const bytes = Buffer.alloc((units + 1) * 8);
    bytes[0] = chain[at + 1] ?? TCP;
    bytes[1] = units;
    return bytes;
  });
  const payload = Buffer.concat([...extensions, tcp]);
  const head = Buffer.alloc(40);
  head[0] = 0x60;
  head.writeUInt16BE(payload.length, 4);
  head[6] = chain[0] ?? TCP;
  head.fill(wish.address, 8, 40);
  return Buffer.concat([head, payload]);
}

function frameOf(wish: Wish): Buffer {
  const type = wish.version === 4 ? 0x0800 : 0x86dd;
  const tags = wish.vlans.map((vlan) => Buffer.from([0x81, 0, 0xe0 | (vlan >> 8), vlan & 0xff]));
  const last = Buffer.from([type >> 8, type & 0xff]);
  const padding = Buffer.alloc(wish.paddingBytes);
  return Buffer.concat([Buffer.alloc(12, 2), ...tags, last, packetOf(wish), padding]);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

test("a segment is read behind tags, options and extension headers, framed and bare", () => {
  fc.assert(
    fc.property(wishes, (wish) => {
      const framed = new TcpSegment();
      const bare = new TcpSegment();
      const frame = frameOf(wish);
      const packet = packetOf(wish);
      const isBoundary = (wish.flags & 7) !== 0;
      const isSegment = wish.payloadBytes > 0 || isBoundary;
      assert.equal(framed.readFrame(viewOf(frame), 0, frame.length), isSegment);
      assert.equal(bare.readPacket(viewOf(packet), 0, packet.length), isSegment);
      if (!isSegment) return;
      for (const segment of [framed, bare]) {
        assert.equal(segment.sequence, wish.sequence | 0);
        assert.equal(segment.payloadBytes, wish.payloadBytes);
        assert.equal(segment.isBoundary, isBoundary);
        assert.equal(segment.isFirst, (wish.flags & 7) === 2);
      }
      const isTagged = wish.vlans.some((vlan) => vlan !== 0);
      assert.equal(framed.flow.join() === bare.flow.join(), !isTagged);
    }),
  );
});

test("flows are told apart by tags, version, ports and addresses, and by nothing else", () => {
  fc.assert(
    fc.property(wishes, wishes, fc.boolean(), (one, other, isSame) => {
      const { vlans, version, ports, address } = one;
      const second = isSame ? { ...other, vlans, version, ports, address } : other;
      const [first, then] = [one, second].map((wish) => {
        const segment = new TcpSegment();
        const frame = frameOf({ ...wish, flags: ACK, payloadBytes: 1 });
        assert(segment.readFrame(viewOf(frame), 0, frame.length));
        return { name: segment.flow.join(), hash: segment.hash };
      });
      const nameOf = (wish: Wish): string => {
        const tags = wish.vlans.reduce((word, vlan) => word * 4096 + vlan, 0);
        return [tags, wish.version, wish.ports, wish.address].join();
      };
      assert.equal(first?.name === then?.name, nameOf(one) === nameOf(second));
      if (first?.name === then?.name) assert.equal(first?.hash, then?.hash);
    }),
  );
});

test("a timestamp is found wherever it is among whole options, and nowhere else", () => {
  const option: fc.Arbitrary<readonly number[]> = fc.oneof(
    fc.constant([1]),
    fc.constant([2, 4, 5, 180]),
    fc.constant([3, 3, 7]),
    fc.constant([5, 10, 0, 0, 0, 1, 0, 0, 0, 2]),
    fc.constant([8, 6, 1, 2, 3, 4]),
  );
  const stamps = fc.option(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }));
  fc.assert(
    fc.property(fc.array(option, { maxLength: 4 }), stamps, fc.nat(4), (others, stamp, at) => {
      const bytes = Buffer.alloc(10);
      bytes[0] = 8;
      bytes[1] = 10;
      bytes.writeInt32BE(stamp ?? 0, 2);
      const list = stamp === null ? others : others.toSpliced(at, 0, [...bytes]);
      const options = Buffer.from(list.flat());
      if (options.length > 40) return;
      const words = Math.ceil(options.length / 4);
      const packet = packetOf({ ...usual, tcpWords: 5 + words });
      options.copy(packet, 40);
      const segment = new TcpSegment();
      assert(segment.readPacket(viewOf(packet), 0, packet.length));
      assert.equal(segment.hasTimestamp, stamp !== null);
      assert.equal(segment.timestamp, stamp ?? 0);
    }),
  );
  for (const options of [
    [0, 8, 10, 9, 9, 9, 9, 0, 0, 0, 0, 0],
    [8, 0, 1, 1],
    [8, 12, 1, 1, 1, 1, 1, 1],
    [1, 1, 1, 8],
  ]) {
    const packet = packetOf({ ...usual, tcpWords: 5 + options.length / 4 });
    packet.set(options, 40);
    const segment = new TcpSegment();
    assert(segment.readPacket(viewOf(packet), 0, packet.length));
    assert(!segment.hasTimestamp);
  }
});

test("pieces, other protocols and too many headers are no segments", () => {
  const segment = new TcpSegment();
  const isRead = (packet: Buffer): boolean => segment.readPacket(viewOf(packet), 0, packet.length);
  assert(isRead(packetOf(usual)));
  for (const fragment of [0x2000, 0x0001, 0x1fff]) {
    const packet = packetOf(usual);
    packet.writeUInt16BE(fragment, 6);
    assert(!isRead(packet));
  }
  for (const protocol of [0, 1, 17, 50]) {
    const packet = packetOf(usual);
    packet[9] = protocol;
    assert(!isRead(packet));
  }
  const six = { ...usual, version: 6 as const };
  const four = Array.from({ length: 4 }, () => [60, 0] as const);
  assert(isRead(packetOf({ ...six, extensions: four })));
  assert(!isRead(packetOf({ ...six, extensions: [...four, [60, 0]] })));
  for (const header of [44, 50, 51, 59, 17]) {
    assert(!isRead(packetOf({ ...six, extensions: [[header, 0]] })));
  }
  assert(!isRead(packetOf({ ...usual, tcpWords: 5, payloadBytes: 0 })), "an acknowledgement");
});

test("truncated and damaged headers are refused or read within their bytes", () => {
  const damage = fc.array(fc.tuple(fc.nat(200), fc.integer({ min: 0, max: 255 })), {
    maxLength: 4,
  });
  fc.assert(
    fc.property(wishes, fc.nat(160), damage, (wish, cut, changes) => {
      for (const bytes of [frameOf(wish), packetOf(wish)]) {
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        // In the middle of other bytes, which are not to be read.
        const limit = Math.min(bytes.length, cut);
        const apart = Uint8Array.from(bytes.subarray(0, limit));
        const segment = new TcpSegment();
        const whole = new TcpSegment();
        for (const read of ["readFrame", "readPacket"] as const) {
          const isRead = segment[read](viewOf(apart), 0, limit);
          assert.equal(whole[read](viewOf(bytes), 0, limit), isRead);
          if (!isRead) continue;
          assert.deepEqual(whole, segment);
          assert(segment.payloadBytes >= 0 && segment.payloadBytes <= limit - 40);
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test("any bytes may come in", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      const segment = new TcpSegment();
      segment.readFrame(viewOf(bytes), 0, bytes.length);
      segment.readPacket(viewOf(bytes), 0, bytes.length);
    }),
    { numRuns: 2000 },
  );
});
