/**
 * The listening end's answer to strangers, without keeping anything of them: the server's
 * session id is an HMAC over the client's address and session id (the stateless three-way
 * handshake of OpenVPN 2.6). One invariant: a session is made only for a client that showed it
 * receives at the address it sends from.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";
import {
  type ControlPacket,
  controlBody,
  controlHeader,
  Opcode,
  parseControlPacket,
  SESSION_ID_BYTES,
} from "../../wire/control-packet.ts";
import { isEarlyPacketId, resendWrappedKeyPayload } from "../../wire/early-negotiation.ts";
import type { Unwrapped } from "./control-wrap.ts";
import type { FoundWrap, WrapFinder } from "./wrap-finder.ts";

/** What to do with a stranger's datagram. */
export type Greeting =
  | { readonly kind: "reply"; readonly datagram: Buffer }
  | {
      readonly kind: "accept";
      readonly sessionId: Buffer;
      readonly remoteSessionId: Buffer;
      readonly found: FoundWrap;
    }
  | { readonly kind: "drop"; readonly reason: "unverified" | "malformed" | "unknownSession" };

/** Half of stock's hand-window: a cookie is good for 60 to 90 seconds. */
const SLOT_SECONDS = 30;
/** Slots back that a cookie is still accepted from. */
const SLOTS_BACK_MAX = 2;
/** The stateless reply's packet id; the session that may follow starts behind it. */
const REPLY_PACKET_ID = 1;
/** First packet id of a session that a greeting led to. */
export const FIRST_PACKET_ID_AFTER_GREETING = 2;

/** Packets that may be a client's second: they acknowledge our reset. */
const RECOGNISED: readonly number[] = [Opcode.ack, Opcode.control, Opcode.controlWkc];

/** Answers resets and recognises the packets that follow them. */
export class Greeter {
  readonly #secret: KeyObject;
  readonly #findWrap: WrapFinder;

  constructor(secret: Buffer, findWrap: WrapFinder) {
    this.#secret = createSecretKey(secret);
    this.#findWrap = findWrap;
  }

  /** `address` is the remote address and port as bytes, in any fixed form. */
  greet(datagram: Buffer, address: Buffer, nowSeconds: number): Greeting {
    const found = this.#findWrap(datagram);
    const unwrapped = found?.wrap.unwrap(datagram);
    if (found === undefined || unwrapped === undefined)
      return { kind: "drop", reason: "unverified" };
    const packet = parseControlPacket(unwrapped.header, unwrapped.body);
    if (packet === undefined) return { kind: "drop", reason: "malformed" };
    const slot = Math.floor(nowSeconds / SLOT_SECONDS);
    if (isReset(packet)) {
      if (!isFirstPacket(packet, unwrapped)) return { kind: "drop", reason: "malformed" };
      const reply = this.#reply(packet, this.#cookie(packet.sessionId, address, slot));
      const packetId = { id: REPLY_PACKET_ID, timeSeconds: nowSeconds };
      const bytes = found.wrap.wrap(controlHeader(reply), controlBody(reply), packetId);
      return { kind: "reply", datagram: bytes };
    }
    const sessionId = this.#recognise(packet, address, slot);
    if (sessionId === undefined) return { kind: "drop", reason: "unknownSession" };
    const remoteSessionId = Buffer.from(packet.sessionId);
    return { kind: "accept", sessionId, remoteSessionId, found };
  }

  /** Only a client that can send its wrapped key again is answered without keeping anything. */
  #reply(packet: ControlPacket, cookie: Buffer): ControlPacket {
    const isKeyed = packet.opcode === Opcode.hardResetClientV3;
    return {
      opcode: Opcode.hardResetServerV2,
      keyId: 0,
      sessionId: cookie,
      acks: [0],
      ackSessionId: packet.sessionId,
      messageId: 0,
      payload: isKeyed ? resendWrappedKeyPayload() : Buffer.alloc(0),
    };
  }

  /** The session id that we gave this client, if it shows one that we gave it lately. */
  #recognise(packet: ControlPacket, address: Buffer, slot: number): Buffer | undefined {
    if (!RECOGNISED.includes(packet.opcode)) return undefined;
    const cookie = packet.ackSessionId;
    const isFirst = packet.acks.every((id) => id <= 1) && (packet.messageId ?? 0) <= 1;
    if (cookie === undefined || !isFirst || packet.keyId !== 0) return undefined;
    for (let back = 0; back <= SLOTS_BACK_MAX; back++) {
      if (timingSafeEqual(this.#cookie(packet.sessionId, address, slot - back), cookie)) {
        return Buffer.from(cookie);
      }
    }
    return undefined;
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

function isReset(packet: ControlPacket): boolean {
  return packet.opcode === Opcode.hardResetClientV2 || packet.opcode === Opcode.hardResetClientV3;
}

/** A first packet has nothing to acknowledge and is the first (stock 2.7.6 insists too). */
function isFirstPacket(packet: ControlPacket, unwrapped: Unwrapped): boolean {
  if (packet.messageId !== 0 || packet.acks.length > 0 || packet.keyId !== 0) return false;
  if (packet.opcode === Opcode.hardResetClientV2) return true;
  return unwrapped.packetId !== undefined && isEarlyPacketId(unwrapped.packetId.id);
}
