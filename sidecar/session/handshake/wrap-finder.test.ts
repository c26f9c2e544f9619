/** tls-crypt-v2 at the listening end: the stateless greeting, and what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { generateClientWrapKey, generateServerWrapKey } from "../../../authority/tls-crypt-v2.ts";
import {
  type ControlPacket,
  controlBody,
  controlHeader,
  Opcode,
  parseControlPacket,
} from "../../wire/control-packet.ts";
import { asksForWrappedKey, EARLY_PACKET_ID_FIRST } from "../../wire/early-negotiation.ts";
import { type ControlWrap, createControlWrap } from "./control-wrap.ts";
import { Greeter } from "./greeter.ts";
import { createWrapFinder } from "./wrap-finder.ts";

const serverKey = generateServerWrapKey();
const own = generateClientWrapKey(serverKey, "box-7");
const clientWrap = createControlWrap({ kind: "TlsCryptV2", ...own }, "client");
const findWrap = createWrapFinder({ kind: "TlsCryptV2Server", serverKey });
const greeter = new Greeter(Buffer.alloc(32, 7), findWrap);
const address = Buffer.alloc(20, 1);
const sessionId = Buffer.alloc(8, 3);

const reset: ControlPacket = {
  opcode: Opcode.hardResetClientV3,
  keyId: 0,
  sessionId,
  acks: [],
  messageId: 0,
  payload: Buffer.alloc(0),
};

function wrapped(
  packet: ControlPacket,
  id = EARLY_PACKET_ID_FIRST,
  wrap: ControlWrap = clientWrap,
): Buffer {
  return wrap.wrap(controlHeader(packet), controlBody(packet), { id, timeSeconds: 9 });
}

function replyTo(datagram: Buffer): ControlPacket {
  const greeting = greeter.greet(datagram, address, 1000);
  assert(greeting.kind === "reply");
  const unwrapped = clientWrap.unwrap(greeting.datagram);
  const packet =
    unwrapped === undefined ? undefined : parseControlPacket(unwrapped.header, unwrapped.body);
  assert(packet !== undefined);
  return packet;
}

function second(cookie: Buffer, opcode: number): Buffer {
  const packet = { ...reset, opcode, acks: [0], ackSessionId: cookie, messageId: 1 };
  return wrapped({ ...packet, payload: Buffer.from("hello") }, EARLY_PACKET_ID_FIRST + 1);
}

test("a reset is answered with the wish to see the wrapped key again", () => {
  assert(asksForWrappedKey(replyTo(wrapped(reset)).payload));
});

test("the packet with the wrapped key and the cookie is accepted, and names its peer", () => {
  const { sessionId: cookie } = replyTo(wrapped(reset));
  const datagram = second(cookie, Opcode.controlWkc);
  const greeting = greeter.greet(datagram, address, 1000);
  assert(greeting.kind === "accept");
  assert.deepEqual(greeting.sessionId, cookie);
  assert.equal(greeting.found.keyPeer, "box-7");
  const again = greeting.found.wrap.unwrap(datagram);
  assert.equal(again?.body.subarray(-5).toString(), "hello", "the wrapped key is cut off");
});

test("without the wrapped key, or from elsewhere, the second packet leads to nothing", () => {
  const { sessionId: cookie } = replyTo(wrapped(reset));
  assert.equal(greeter.greet(second(cookie, Opcode.control), address, 1000).kind, "drop");
  const datagram = second(cookie, Opcode.controlWkc);
  assert.equal(greeter.greet(datagram, Buffer.alloc(20, 2), 1000).kind, "drop");
});

test("a client that cannot send its key again is not answered: we would have to remember it", () => {
  assert.equal(greeter.greet(wrapped(reset, 1), address, 1000).kind, "drop");
});

test("a key of another server is not answered", () => {
  const key = generateClientWrapKey(generateServerWrapKey(), "box-7");
  const other = createControlWrap({ kind: "TlsCryptV2", ...key }, "client");
  const datagram = wrapped(reset, EARLY_PACKET_ID_FIRST, other);
  assert.deepEqual(greeter.greet(datagram, address, 1000), {
    kind: "drop",
    reason: "unverified",
  });
});

test("a reset with any byte changed or cut is not answered", () => {
  const datagram = wrapped(reset);
  for (let index = 0; index < datagram.length; index++) {
    const broken = Buffer.from(datagram);
    broken[index] = (broken[index] ?? 0) ^ 1;
    assert.equal(greeter.greet(broken, address, 1000).kind, "drop", `byte ${index}`);
    const cut = datagram.subarray(0, index);
    assert.equal(greeter.greet(cut, address, 1000).kind, "drop", `${index} bytes`);
  }
});
