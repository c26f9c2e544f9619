import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import vectors from "../../../test/vectors/control-packets.json" with { type: "json" };
import cookies from "../../../test/vectors/cookies.json" with { type: "json" };
import {
  type ControlPacket,
  controlBody,
  controlHeader,
  Opcode,
  parseControlPacket,
} from "../../wire/control-packet.ts";
import { createControlWrap } from "./control-wrap.ts";
import { FIRST_PACKET_ID_AFTER_GREETING, Greeter, type Greeting } from "./greeter.ts";
import { singleWrap } from "./wrap-finder.ts";

const config = { kind: "TlsCrypt", key: Buffer.from(vectors.staticKey, "hex") } as const;
const clientWrap = createControlWrap(config, "client");
const serverWrap = createControlWrap(config, "server");
const secret = Buffer.alloc(32, 0x5e);
const clientId = Buffer.from("0011223344556677", "hex");
const address = Buffer.from("00000000000000000000ffffc00002010000c001", "hex");
/** The first second of a slot of 30. */
const SLOT_START = 30_000 * 30;
const NOTHING = Buffer.alloc(0);

const reset: ControlPacket = {
  opcode: Opcode.hardResetClientV2,
  keyId: 0,
  sessionId: clientId,
  acks: [],
  messageId: 0,
  payload: NOTHING,
};

function wrapped(packet: ControlPacket, id = 1): Buffer {
  return clientWrap.wrap(controlHeader(packet), controlBody(packet), { id, timeSeconds: 9 });
}

function greeter(): Greeter {
  return new Greeter(secret, singleWrap(serverWrap));
}

/** The server's reply to a reset, as its client reads it. */
function cookieAt(nowSeconds: number, from: Buffer = address): ControlPacket {
  const greeting = greeter().greet(wrapped(reset), from, nowSeconds);
  assert.equal(greeting.kind, "reply");
  assert(greeting.kind === "reply");
  const unwrapped = clientWrap.unwrap(greeting.datagram);
  assert(unwrapped !== undefined);
  const packet = parseControlPacket(unwrapped.header, unwrapped.body);
  assert(packet !== undefined);
  return packet;
}

/** The client's third packet: it acknowledges the reply, with or without a message. */
function third(cookie: Buffer, change: Partial<ControlPacket> = {}): ControlPacket {
  return {
    opcode: Opcode.ack,
    keyId: 0,
    sessionId: clientId,
    acks: [0],
    ackSessionId: cookie,
    payload: NOTHING,
    ...change,
  };
}

function kindOf(greeting: Greeting): string {
  return greeting.kind === "drop" ? greeting.reason : greeting.kind;
}

test("a reset is answered with a reset that acknowledges it, in packet id 1", () => {
  const reply = cookieAt(SLOT_START);
  assert.deepEqual(
    [reply.opcode, reply.keyId, reply.messageId, reply.acks, reply.ackSessionId, reply.payload],
    [Opcode.hardResetServerV2, 0, 0, [0], clientId, NOTHING],
  );
  const greeting = greeter().greet(wrapped(reset), address, SLOT_START);
  assert(greeting.kind === "reply");
  assert.deepEqual(clientWrap.unwrap(greeting.datagram)?.packetId, {
    id: FIRST_PACKET_ID_AFTER_GREETING - 1,
    timeSeconds: SLOT_START,
  });
});

test("nothing is kept: the same reset gets the same reply, and any greeter knows the cookie", () => {
  assert.deepEqual(cookieAt(SLOT_START), cookieAt(SLOT_START + 29));
  const one = greeter();
  const before = one.greet(wrapped(reset), address, SLOT_START);
  for (let count = 0; count < 100; count++) {
    const sessionId = Buffer.from(Array.from({ length: 8 }, (_, at) => (count * 31 + at) & 255));
    one.greet(wrapped({ ...reset, sessionId }), address, SLOT_START);
  }
  assert.deepEqual(one.greet(wrapped(reset), address, SLOT_START), before);
});

for (const [name, change] of [
  ["an acknowledgement", {}],
  ["a first message", { opcode: Opcode.control, messageId: 1, payload: Buffer.of(22) }],
] as const) {
  test(`${name} with the cookie makes a session with both ids`, () => {
    const cookie = cookieAt(SLOT_START).sessionId;
    const greeting = greeter().greet(wrapped(third(cookie, change)), address, SLOT_START + 1);
    assert(greeting.kind === "accept");
    assert.deepEqual([greeting.sessionId, greeting.remoteSessionId], [cookie, clientId]);
    assert.equal(greeting.found.wrap, serverWrap);
  });
}

test("a cookie is good in its own slot and the two behind it, from 60 to 90 seconds", () => {
  for (const madeAt of [SLOT_START, SLOT_START + 29]) {
    const packet = wrapped(third(cookieAt(madeAt).sessionId));
    const accepted = [-31, -1, 0, 29, 30, 59, 60, 89, 90, 120].map(
      (offset) => greeter().greet(packet, address, SLOT_START + offset).kind === "accept",
    );
    assert.deepEqual(accepted, [false, false, true, true, true, true, true, true, false, false]);
  }
});

test("a cookie is good for one address, one port and one client session id", () => {
  const cookie = cookieAt(SLOT_START).sessionId;
  for (let bit = 0; bit < address.length * 8; bit++) {
    const other = Buffer.from(address);
    other[bit >>> 3] = (other[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
    const greeting = greeter().greet(wrapped(third(cookie)), other, SLOT_START);
    assert.equal(kindOf(greeting), "unknownSession", `address bit ${bit}`);
  }
  for (let bit = 0; bit < 64; bit++) {
    const sessionId = Buffer.from(clientId);
    sessionId[bit >>> 3] = (sessionId[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
    const wrong = Buffer.from(cookie);
    wrong[bit >>> 3] = (wrong[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
    for (const packet of [third(cookie, { sessionId }), third(wrong)]) {
      const greeting = greeter().greet(wrapped(packet), address, SLOT_START);
      assert.equal(kindOf(greeting), "unknownSession", `bit ${bit}`);
    }
  }
});

test("another secret's cookie is refused", () => {
  const cookie = cookieAt(SLOT_START).sessionId;
  const other = new Greeter(Buffer.alloc(32, 1), singleWrap(serverWrap));
  assert.equal(kindOf(other.greet(wrapped(third(cookie)), address, SLOT_START)), "unknownSession");
});

test("a cookie in what is not a client's first packets makes no session", () => {
  const cookie = cookieAt(SLOT_START).sessionId;
  const changes: [string, Partial<ControlPacket>][] = [
    ["acknowledges message 2", { acks: [0, 2] }],
    ["message 2", { opcode: Opcode.control, messageId: 2 }],
    ["key id 1", { keyId: 1 }],
    ["soft reset", { opcode: Opcode.softReset, messageId: 0 }],
    ["server reset", { opcode: Opcode.hardResetServerV2, messageId: 0 }],
  ];
  for (const [name, change] of changes) {
    const greeting = greeter().greet(wrapped(third(cookie, change)), address, SLOT_START);
    assert.equal(kindOf(greeting), "unknownSession", name);
  }
  const none: ControlPacket = { ...reset, opcode: Opcode.control, messageId: 1 };
  assert.equal(kindOf(greeter().greet(wrapped(none), address, SLOT_START)), "unknownSession");
});

test("a reset that acknowledges, is not message 0 or not of key 0 is malformed", () => {
  const changes: Partial<ControlPacket>[] = [
    { messageId: 1 },
    { keyId: 1 },
    { acks: [0], ackSessionId: clientId },
  ];
  for (const change of changes) {
    const greeting = greeter().greet(wrapped({ ...reset, ...change }), address, SLOT_START);
    assert.equal(kindOf(greeting), "malformed", JSON.stringify(change));
  }
});

test("what does not verify gets no answer", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120, size: "max" }), (array) => {
      const greeting = greeter().greet(Buffer.from(array), address, SLOT_START);
      assert.equal(kindOf(greeting), "unverified");
    }),
    { numRuns: 300 },
  );
});

test("stock's packets with a cookie of somebody else's make no session", () => {
  const open = new Greeter(secret, singleWrap(createControlWrap({ kind: "None" }, "server")));
  const kinds = vectors.packets
    .filter((packet) => packet.wrap === "None")
    .map((packet) => kindOf(open.greet(Buffer.from(packet.bytes, "hex"), address, SLOT_START)));
  assert.deepEqual(kinds, ["reply", "unknownSession", "unknownSession", "unknownSession"]);
});

test("cookies are what another implementation of HMAC makes them", () => {
  const known = new Greeter(Buffer.from(cookies.secret, "hex"), singleWrap(serverWrap));
  const from = Buffer.from(cookies.address, "hex");
  const asks = { ...reset, sessionId: Buffer.from(cookies.sessionId, "hex") };
  for (const { slot, cookie } of cookies.cookies) {
    const greeting = known.greet(wrapped(asks), from, slot * cookies.slotSeconds);
    assert(greeting.kind === "reply");
    const unwrapped = clientWrap.unwrap(greeting.datagram);
    assert.equal(unwrapped?.header.toString("hex", 1), cookie, `slot ${slot}`);
  }
});
