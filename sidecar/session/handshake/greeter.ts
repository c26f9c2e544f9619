/**
 * The listening end's answer to strangers, without keeping anything of them: the server's
 * session id is an HMAC over the client's address and session id (the stateless three-way
 * handshake of OpenVPN 2.6). One invariant: a session is made only for a client that showed it
 * receives at the address it sends from.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import {
  type ControlPacket,
  controlBody,
  controlHeader,
  Opcode,
  parseControlPacket,
  SESSION_ID_BYTES,
} from "../../wire/control-packet.ts";
import type { ControlWrap } from "./control-wrap.ts";

/** What to do with a stranger's datagram. */
export type Greeting =
  | { readonly kind: "reply"; readonly datagram: Buffer }
  | { readonly kind: "accept"; readonly sessionId: Buffer; readonly remoteSessionId: Buffer }
  | { readonly kind: "drop"; readonly reason: "unverified" | "malformed" | "unknownSession" };

/** Half of stock's hand-window: a cookie is good for 60 to 90 seconds. */
const SLOT_SECONDS = 30;
/** Slots back that a cookie is still accepted from. */
const SLOTS_BACK_MAX = 2;
/** The stateless reply's packet id; the session that may follow starts behind it. */
const REPLY_PACKET_ID = 1;
/** First packet id of a session that a greeting led to. */
export const FIRST_PACKET_ID_AFTER_GREETING = 2;

/** Answers resets and recognises the packets that follow them. */
export class Greeter {
  readonly #secret: Buffer;
  readonly #wrap: ControlWrap;

  constructor(secret: Buffer, wrap: ControlWrap) {
    this.#secret = secret;
    this.#wrap = wrap;
  }

  /** `address` is the remote address and port as bytes, in any fixed form. */
  greet(datagram: Buffer, address: Buffer, nowSeconds: number): Greeting {
    const unwrapped = this.#wrap.unwrap(datagram);
    if (unwrapped === undefined) return { kind: "drop", reason: "unverified" };
    const packet = parseControlPacket(unwrapped.header, unwrapped.body);
    if (packet === undefined) return { kind: "drop", reason: "malformed" };
    const slot = Math.floor(nowSeconds / SLOT_SECONDS);
    if (packet.opcode === Opcode.hardResetClientV2) {
      // A first packet has nothing to acknowledge and is the first (stock 2.7.6 insists too).
      if (packet.messageId !== 0 || packet.acks.length > 0 || packet.keyId !== 0) {
        return { kind: "drop", reason: "malformed" };
      }
      return { kind: "reply", datagram: this.#reply(packet, address, { slot, nowSeconds }) };
    }
    if (packet.opcode !== Opcode.ack && packet.opcode !== Opcode.control) {
      return { kind: "drop", reason: "unknownSession" };
    }
    return this.#recognise(packet, address, slot);
  }

  #reply(
    packet: ControlPacket,
    address: Buffer,
    now: { readonly slot: number; readonly nowSeconds: number },
  ): Buffer {
    const reply: ControlPacket = {
      opcode: Opcode.hardResetServerV2,
      keyId: 0,
      sessionId: this.#cookie(packet.sessionId, address, now.slot),
      acks: [0],
      ackSessionId: packet.sessionId,
      messageId: 0,
      payload: Buffer.alloc(0),
    };
    const packetId = { id: REPLY_PACKET_ID, timeSeconds: now.nowSeconds };
    return this.#wrap.wrap(controlHeader(reply), controlBody(reply), packetId);
  }

  #recognise(packet: ControlPacket, address: Buffer, slot: number): Greeting {
    const cookie = packet.ackSessionId;
    const isFirst = packet.acks.every((id) => id <= 1) && (packet.messageId ?? 0) <= 1;
    if (cookie === undefined || !isFirst || packet.keyId !== 0) {
      return { kind: "drop", reason: "unknownSession" };
    }
    for (let back = 0; back <= SLOTS_BACK_MAX; back++) {
      if (timingSafeEqual(this.#cookie(packet.sessionId, address, slot - back), cookie)) {
        const sessionId = Buffer.from(cookie);
        return { kind: "accept", sessionId, remoteSessionId: Buffer.from(packet.sessionId) };
      }
    }
    return { kind: "drop", reason: "unknownSession" };
  }

  #cookie(clientSessionId: Buffer, address: Buffer, slot: number): Buffer {
    const time = Buffer.alloc(8);
    time.writeDoubleBE(slot, 0);
    return createHmac("sha256", this.#secret)
      .update(time)
      .update(address)
      .update(clientSessionId)
      .digest()
      .subarray(0, SESSION_ID_BYTES);
  }
}
