/** The first packets of stock clients, as they were captured, read with the keys that they were made with. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import vectors from "../../../test/vectors/stock-clients.json" with { type: "json" };
import {
  type ControlPacket,
  carriesWrappedKey,
  controlBody,
  controlHeader,
  Opcode,
  opcodeOf,
  parseControlPacket,
} from "../../wire/control-packet.ts";
import { isEarlyPacketId } from "../../wire/early-negotiation.ts";
import type { ControlWrap, Unwrapped } from "./control-wrap.ts";
import { createWrapFinder, type WrapFinder } from "./wrap-finder.ts";

/** A handshake record of TLS 1.x (RFC 8446, section 5.1). */
const HANDSHAKE_RECORD = "1603";

interface Reading {
  readonly unwrapped: Unwrapped;
  readonly packet: ControlPacket;
}

function finderOf({ wrap, key }: (typeof vectors.sets)[number]): WrapFinder {
  const bytes = Buffer.from(key, "hex");
  if (wrap === "tls-crypt-v2")
    return createWrapFinder({ kind: "TlsCryptV2Server", serverKey: bytes });
  if (wrap === "tls-crypt") return createWrapFinder({ kind: "TlsCrypt", key: bytes });
  if (wrap === "none") return createWrapFinder({ kind: "None" });
  return createWrapFinder({ kind: "TlsAuth", key: bytes, direction: 0, digest: "SHA256" });
}

function read(wrap: ControlWrap | undefined, datagram: Buffer): Reading | undefined {
  const unwrapped = wrap?.unwrap(datagram);
  const packet =
    unwrapped === undefined ? undefined : parseControlPacket(unwrapped.header, unwrapped.body);
  return unwrapped === undefined || packet === undefined ? undefined : { unwrapped, packet };
}

for (const one of vectors.sets) {
  const name = `${one.release}, ${one.wrap}`;
  const datagrams = one.packets.map((hex) => Buffer.from(hex, "hex"));
  const find = finderOf(one);
  const first = datagrams[0] as Buffer;
  const wrap = find(first)?.wrap;
  suite(name, () => {
    test("a reset, and behind its answer a TLS hello that acknowledges it", () => {
      const reset = read(wrap, first);
      const isKeyed = one.wrap === "tls-crypt-v2";
      const { hardResetClientV2, hardResetClientV3, control, controlWkc } = Opcode;
      assert.equal(reset?.packet.opcode, isKeyed ? hardResetClientV3 : hardResetClientV2);
      assert.deepEqual([reset.packet.messageId, reset.packet.acks], [0, []]);
      if (isKeyed) assert(isEarlyPacketId(reset.unwrapped.packetId?.id ?? 0));
      assert.equal(find(first)?.keyPeer, isKeyed ? vectors.keyPeer : undefined);
      const hello = read(wrap, datagrams[1] as Buffer);
      assert.equal(hello?.packet.opcode, isKeyed ? controlWkc : control);
      assert.deepEqual([hello.packet.messageId, hello.packet.acks], [1, [0]]);
      assert.equal(hello.packet.payload.toString("hex", 0, 2), HANDSHAKE_RECORD);
      assert.deepEqual(hello.packet.sessionId, reset.packet.sessionId);
    });

    test("what was read prints to the bytes that it came from", () => {
      for (const datagram of datagrams) {
        const reading = read(wrap, datagram);
        assert(reading !== undefined);
        assert.deepEqual(controlHeader(reading.packet), reading.unwrapped.header);
        assert.deepEqual(controlBody(reading.packet), reading.unwrapped.body);
      }
    });

    test("cut anywhere or with any byte wrong, none of them is taken", {
      skip: one.wrap === "none",
    }, () => {
      for (const datagram of datagrams) {
        // A packet with a wrapped key has to be found by it; others come in a session that has the key.
        const isKeyed = carriesWrappedKey(opcodeOf(datagram.readUInt8(0)));
        const take = (bytes: Buffer) => read(isKeyed ? find(bytes)?.wrap : wrap, bytes);
        assert(take(datagram) !== undefined);
        for (let at = 0; at < datagram.length; at++) {
          assert.equal(take(datagram.subarray(0, at)), undefined, `cut at ${at}`);
          const wrong = Buffer.from(datagram);
          wrong.writeUInt8(wrong.readUInt8(at) ^ (1 << (at % 8)), at);
          assert.equal(take(wrong), undefined, `a wrong bit in byte ${at}`);
        }
      }
    });
  });
}
