/** What a client sends first, by hand: its reset, and what follows the server's cookie. */
import { randomBytes } from "node:crypto";
import { parseStaticKey } from "../../authority/static-key.ts";
import {
  type ControlWrap,
  createControlWrap,
} from "../../sidecar/session/handshake/control-wrap.ts";
import {
  type ControlPacket,
  controlBody,
  controlHeader,
  Opcode,
  parseControlPacket,
  SESSION_ID_BYTES,
} from "../../sidecar/wire/control-packet.ts";

/** The tls-crypt wrapping of a client file. */
export function wrapOf(profile: string): ControlWrap {
  const block = /<tls-crypt>\n([\s\S]*?)<\/tls-crypt>/.exec(profile)?.[1] ?? "";
  return createControlWrap({ kind: "TlsCrypt", key: parseStaticKey(block) }, "client");
}

/** One client's reset, of a session id of its own. */
export function reset(
  wrap: ControlWrap,
  sessionId: Buffer = randomBytes(SESSION_ID_BYTES),
): Buffer {
  const { hardResetClientV2: opcode } = Opcode;
  return wrapped(wrap, { opcode, sessionId, acks: [], messageId: 0, payload: Buffer.alloc(0) }, 1);
}

/** A server's packet to the client of `sessionId`; undefined when it is to somebody else. */
export function packetTo(
  wrap: ControlWrap,
  sessionId: Buffer,
  datagram: Buffer,
): ControlPacket | undefined {
  const unwrapped = wrap.unwrap(datagram);
  const packet =
    unwrapped === undefined ? undefined : parseControlPacket(unwrapped.header, unwrapped.body);
  return packet?.ackSessionId?.equals(sessionId) === true ? packet : undefined;
}

/** Behind the server's answer: its cookie, and the first bytes of a TLS hello that never ends. */
export function secondPacket(
  wrap: ControlWrap,
  sessionId: Buffer,
  answer: Pick<ControlPacket, "sessionId">,
): Buffer {
  const ackSessionId = answer.sessionId;
  const payload = Buffer.concat([HELLO_BEGINS, Buffer.alloc(500)]);
  const { control: opcode } = Opcode;
  return wrapped(wrap, { opcode, sessionId, acks: [0], ackSessionId, messageId: 1, payload }, 2);
}

/** A handshake record of 4,096 bytes (RFC 8446, section 5.1) with a ClientHello; the rest never comes. */
const HELLO_BEGINS = Buffer.from("160301100001000ffc0303", "hex");

function wrapped(wrap: ControlWrap, packet: Omit<ControlPacket, "keyId">, id: number): Buffer {
  const whole = { ...packet, keyId: 0 };
  const timeSeconds = Math.floor(Date.now() / 1000);
  return wrap.wrap(controlHeader(whole), controlBody(whole), { id, timeSeconds });
}
