import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import vectors from "../../test/vectors/control-packets.json" with { type: "json" };
import {
  ACKS_MAX,
  CONTROL_HEADER_BYTES,
  type ControlPacket,
  controlBody,
  controlHeader,
  isControlOpcode,
  Opcode,
  opcodeOf,
  parseControlPacket,
} from "./control-packet.ts";

const CONTROL_OPCODES = [3, 4, 5, 7, 8, 10, 11];
const plain = vectors.packets.filter((packet) => packet.wrap === "None");

const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array));
const uint32 = fc.oneof(
  fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);
const common = { keyId: fc.integer({ min: 0, max: 7 }), sessionId: bytes(8) };
const acks = (minLength: number) => fc.array(uint32, { minLength, maxLength: ACKS_MAX });

const ackPacket: fc.Arbitrary<ControlPacket> = fc
  .record({ ...common, acks: acks(1), ackSessionId: bytes(8) })
  .map((packet) => ({ ...packet, opcode: Opcode.ack, payload: Buffer.alloc(0) }));
const messagePacket: fc.Arbitrary<ControlPacket> = fc
  .record({
    ...common,
    opcode: fc.constantFrom(3, 4, 7, 8, 10, 11),
    acks: acks(0),
    ackSessionId: bytes(8),
    messageId: uint32,
    payload: fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)),
  })
  .map(({ ackSessionId, ...packet }) =>
    packet.acks.length > 0 ? { ...packet, ackSessionId } : { ...packet },
  );
const anyPacket = fc.oneof(ackPacket, messagePacket);

function serialise(packet: ControlPacket): Buffer {
  return Buffer.concat([controlHeader(packet), controlBody(packet)]);
}

function parse(datagram: Buffer): ControlPacket | undefined {
  return parseControlPacket(
    datagram.subarray(0, CONTROL_HEADER_BYTES),
    datagram.subarray(CONTROL_HEADER_BYTES),
  );
}

for (const vector of plain) {
  test(`a stock packet is read field by field and printed again: ${vector.name}`, () => {
    const datagram = Buffer.from(vector.bytes, "hex");
    const packet = parse(datagram);
    assert(packet !== undefined);
    assert.deepEqual(
      {
        opcode: packet.opcode,
        keyId: packet.keyId,
        sessionId: packet.sessionId.toString("hex"),
        acks: packet.acks,
        ackSessionId: packet.ackSessionId?.toString("hex"),
        messageId: packet.messageId,
        payload: packet.payload.toString("hex"),
      },
      {
        opcode: vector.opcode,
        keyId: vector.keyId,
        sessionId: vector.sessionId,
        acks: vector.acks,
        ackSessionId: vector.ackSessionId,
        messageId: vector.messageId,
        payload: vector.payload ?? "",
      },
    );
    assert.deepEqual(serialise(packet), datagram);
  });
}

for (const vector of vectors.malformed) {
  test(`a stock packet that contradicts itself is refused: ${vector.name}`, () => {
    assert.equal(parse(Buffer.from(vector.bytes, "hex")), undefined);
  });
}

test("what is serialised parses to the same packet", () => {
  fc.assert(
    fc.property(anyPacket, (packet) => {
      assert.deepEqual(parse(serialise(packet)), packet);
    }),
    { numRuns: 500 },
  );
});

test("bytes that parse serialise to the same bytes", () => {
  const random = fc.tuple(
    fc.uint8Array({ maxLength: 80, size: "max" }),
    fc.integer({ min: 0, max: 3 }),
  );
  let parsed = 0;
  fc.assert(
    fc.property(random, ([array, count]) => {
      const datagram = Buffer.from(array);
      // Most random counts are refused at once: make small ones frequent.
      if (datagram.length > CONTROL_HEADER_BYTES) datagram[CONTROL_HEADER_BYTES] = count;
      const packet = parse(datagram);
      if (packet === undefined) return;
      parsed += 1;
      assert.deepEqual(serialise(packet), datagram);
    }),
    { numRuns: 2000 },
  );
  assert(parsed > 50, `only ${parsed} parsed`);
});

test("a message is refused at every length before its payload", () => {
  fc.assert(
    fc.property(messagePacket, (packet) => {
      const datagram = serialise(packet);
      const fixed = datagram.length - packet.payload.length;
      for (let length = 0; length < fixed; length++) {
        assert.equal(parse(datagram.subarray(0, length)), undefined, `${length} of ${fixed}`);
      }
    }),
  );
});

test("an acknowledgement is refused at every other length than its own", () => {
  fc.assert(
    fc.property(ackPacket, (packet) => {
      const datagram = serialise(packet);
      for (let length = 0; length < datagram.length; length++) {
        assert.equal(parse(datagram.subarray(0, length)), undefined);
      }
      assert.equal(parse(Buffer.concat([datagram, Buffer.of(0)])), undefined);
    }),
  );
});

test("more acknowledgements than eight, or an acknowledgement of nothing, is refused", () => {
  const header = Buffer.concat([Buffer.of(Opcode.control << 3), Buffer.alloc(8)]);
  for (let count = 0; count < 256; count++) {
    const body = Buffer.concat([Buffer.of(count), Buffer.alloc(2000)]);
    assert.equal(parseControlPacket(header, body) !== undefined, count <= ACKS_MAX, `${count}`);
  }
  const nothing = Buffer.concat([Buffer.of(Opcode.ack << 3), Buffer.alloc(8)]);
  assert.equal(parseControlPacket(nothing, Buffer.of(0)), undefined);
});

test("only the opcodes of the control channel that are understood are read", () => {
  const body = Buffer.alloc(30);
  for (let first = 0; first < 256; first++) {
    const opcode = opcodeOf(first);
    const isKnown = CONTROL_OPCODES.includes(opcode);
    assert.equal(isControlOpcode(opcode), isKnown, `opcode ${opcode}`);
    const packet = parseControlPacket(Buffer.concat([Buffer.of(first), Buffer.alloc(8)]), body);
    assert.equal(packet !== undefined, isKnown && opcode !== Opcode.ack, `first byte ${first}`);
    if (packet !== undefined) assert.deepEqual([packet.opcode, packet.keyId], [opcode, first & 7]);
  }
});
