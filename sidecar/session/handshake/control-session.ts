/**
 * One peer's control channel: its session ids, the wrapping, the key negotiations in it, and
 * when each key is received with, sent with and retired. No I/O, no clock: datagrams and
 * `nowMs` come in, datagrams and orders go to the host. One invariant: packets of the data plane
 * are sent with a key only once the other end surely has it (its key-method-2 message
 * arrived and ours was acknowledged), and a key is received with from the moment it exists.
 */
import {
  type ControlPacket,
  controlBody,
  controlHeader,
  Opcode,
  parseControlPacket,
} from "../../wire/control-packet.ts";
import { ControlReplay } from "./control-replay.ts";
import { type ControlWrap, tlsCryptWrap } from "./control-wrap.ts";
import { KeyNegotiation, type KeyNegotiationHandlers } from "./key-negotiation.ts";
import type { SessionRole } from "./session-role.ts";
import type { TlsEngineFactory } from "./tls-engine.ts";

/** What became of a control datagram; all but "accepted" have a counter of the same meaning. */
export type ControlVerdict =
  | "accepted"
  | "unverified"
  | "replayed"
  | "malformed"
  | "otherSession"
  | "unexpected";

/** What a control session needs from around it. */
export interface ControlHost {
  readonly createTls: TlsEngineFactory;
  /** Puts a datagram on the session's current path. */
  readonly send: (datagram: Buffer) => void;
  /** A TLS callback queued something: call `step` from the event loop. */
  readonly wake: () => void;
}

/** Time a negotiation may take, as stock's --hand-window. */
export const HAND_WINDOW_MS = 60_000;
/**
 * A server that answered and then says nothing for so long has dropped the handshake: stock is
 * silent about a certificate that it refuses. What is lost is repeated after 1, 2 and 4 s.
 */
export const SILENCE_MS = 10_000;
/** An old key is kept this long beside its successor: stock may send with it for 60 s. */
const OLD_KEY_MS = 65_000;
/**
 * Sending moves to a renewed key this long after the peer's last message of it. Stock has its key
 * only once our acknowledgement of that message arrived, drops what comes before, and says the
 * message again after 2 s when the acknowledgement was lost.
 */
const SETTLE_MS = 2500;
/** A key is not renewed before it is this old; stock's shortest --reneg-sec is 5 s. */
const RENEWAL_AGE_MS_MIN = 4000;
/** Longest that AUTH_PENDING may make a handshake. */
const HAND_WINDOW_MS_MAX = 300_000;
const KEY_IDS = 8;
const KEY_ID_MASK = 7;
const DYNAMIC_WRAP_LABEL = "EXPORTER-OpenVPN-dynamic-tls-crypt";
const DYNAMIC_WRAP_BYTES = 256;

/** A wrapping with its own packet ids in both directions. */
interface ControlLane {
  readonly wrap: ControlWrap;
  readonly replay: ControlReplay;
  nextPacketId: number;
}

/** The control channel with one peer. */
export class ControlSession {
  readonly sessionId: Buffer;
  readonly #wrap: ControlWrap;
  readonly #host: ControlHost;
  readonly #base: ControlLane;
  /** Renewals are wrapped with a key of this session's own once both ends agreed on it. */
  #dynamic: ControlLane | undefined;
  readonly #startSeconds: number;
  #role: SessionRole | undefined;
  #remoteSessionId: Buffer | undefined;
  #active: KeyNegotiation | undefined;
  #next: KeyNegotiation | undefined;
  #old: { key: KeyNegotiation; untilMs: number } | undefined;
  /** The active key while its predecessor is still sent with. */
  #settling: { key: KeyNegotiation; untilMs: number } | undefined;
  #renewedMs = -Infinity;
  #handWindowMs = HAND_WINDOW_MS;
  /** When a dialling end's first handshake is given up unless the server says something. */
  #silentMs = Infinity;
  #mayBeSilent = false;
  #isClosed = false;
  #nowMs = 0;

  constructor(options: {
    readonly sessionId: Buffer;
    /** Known from the start on a listening end: the cookie exchange told it. */
    readonly remoteSessionId?: Buffer;
    readonly wrap: ControlWrap;
    readonly host: ControlHost;
    /** Wall clock in seconds, for the packet ids of the wrapping. */
    readonly startSeconds: number;
    readonly firstPacketId: number;
  }) {
    this.sessionId = options.sessionId;
    this.#remoteSessionId = options.remoteSessionId;
    this.#wrap = options.wrap;
    this.#host = options.host;
    this.#startSeconds = options.startSeconds;
    this.#base = newLane(options.wrap, options.firstPacketId);
  }

  get remoteSessionId(): Buffer | undefined {
    return this.#remoteSessionId;
  }

  /** The newest key that is in use; its TLS carries our control messages. */
  get active(): KeyNegotiation | undefined {
    return this.#active;
  }

  get isRenegotiating(): boolean {
    return this.#next !== undefined;
  }

  /** What the other end has shown of itself, by the newest key that it came to. */
  get shown(): KeyNegotiation["peer"] {
    return this.#keys().find(({ peer }) => peer !== undefined)?.peer;
  }

  /** Starts key 0: with a reset (client), or behind one that was answered statelessly (server). */
  start(role: SessionRole, nowMs: number): void {
    this.#role = role;
    this.#nowMs = nowMs;
    const key = this.#createKey(0);
    const { hardResetClientV2, hardResetClientV3 } = Opcode;
    const isKeyed = this.#wrap.wrappedKey !== undefined;
    if (role.name === "client") key.reset(isKeyed ? hardResetClientV3 : hardResetClientV2);
    else key.channel.skipResets();
    this.#next = key;
  }

  /** Starts the next key id; false while one is being negotiated or none is in use yet. */
  renegotiate(nowMs: number): boolean {
    if (this.#active === undefined || this.#next !== undefined || this.#isClosed) return false;
    // Both ends' timers often ring together: whoever comes second has a new key already, and a
    // third key now would retire the first while it is still sent with.
    if (this.#settling !== undefined || nowMs - this.#renewedMs < RENEWAL_AGE_MS_MIN) return false;
    this.#nowMs = nowMs;
    this.#next = this.#createKey(nextKeyId(this.#active.keyId));
    this.#next.reset(Opcode.softReset);
    return true;
  }

  /**
   * Wraps every later key id with a key that only these two ends have (dynamic tls-crypt): an
   * export of the first key's TLS, XOR the wrapping's own key.
   */
  deriveDynamicWrap(key: KeyNegotiation): void {
    const exported = key.exportKeyingMaterial(DYNAMIC_WRAP_BYTES, DYNAMIC_WRAP_LABEL);
    const own = this.#wrap.staticKey;
    const mixed = own === undefined ? exported : exported.map((byte, at) => byte ^ (own[at] ?? 0));
    const wrap = tlsCryptWrap(Buffer.from(mixed), this.#role?.name ?? "client");
    exported.fill(0);
    this.#dynamic = newLane(wrap, 1);
  }

  /** Takes in a control datagram; call `step` afterwards. */
  receive(datagram: Buffer, nowMs: number): ControlVerdict {
    if (this.#isClosed) return "unexpected";
    this.#nowMs = nowMs;
    if (datagram.length === 0) return "malformed";
    const lane = this.#laneOf(datagram.readUInt8(0) & KEY_ID_MASK);
    const unwrapped = lane.wrap.unwrap(datagram);
    if (unwrapped === undefined) return "unverified";
    const packet = parseControlPacket(unwrapped.header, unwrapped.body);
    if (packet === undefined) return "malformed";
    if (unwrapped.packetId !== undefined && !lane.replay.accept(unwrapped.packetId)) {
      return "replayed";
    }
    if (packet.ackSessionId !== undefined && !packet.ackSessionId.equals(this.sessionId)) {
      return "otherSession";
    }
    this.#remoteSessionId ??= this.#adoptedSessionId(packet);
    if (this.#remoteSessionId === undefined || !packet.sessionId.equals(this.#remoteSessionId)) {
      return "otherSession";
    }
    // The greeter answered it, so no replay window has seen it: recorded, it would verify again.
    if (this.#role?.name === "server" && isClientReset(packet.opcode)) return "unexpected";
    return this.#receiveMessage(packet);
  }

  /** Does what is due: retransmissions, acknowledgements, switching and retiring of keys. */
  step(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#isClosed) return;
    this.#role?.step(nowMs);
    // First: with its first key, the peer needs our acknowledgement before our first packet.
    for (const key of this.#keys()) this.#flush(key);
    this.#promote();
    if (this.#settling !== undefined && nowMs >= this.#settling.untilMs) this.#settle();
    if (this.#old !== undefined && nowMs >= this.#old.untilMs) this.#retireOld();
    if (this.#next !== undefined && nowMs - this.#next.startedMs >= this.#handWindowMs) {
      const seconds = this.#handWindowMs / 1000;
      this.#role?.failed("HAND_WINDOW", `the handshake did not complete within ${seconds} s`);
    } else if (nowMs >= this.#silentMs) this.#fallenSilent();
  }

  /** When `step` is to be called again; Infinity for never. */
  get nextDueMs(): number {
    if (this.#isClosed) return Infinity;
    let dueMs = Math.min(this.#old?.untilMs ?? Infinity, this.#role?.nextDueMs ?? Infinity);
    dueMs = Math.min(dueMs, this.#settling?.untilMs ?? Infinity, this.#silentMs);
    dueMs = Math.min(dueMs, (this.#next?.startedMs ?? Infinity) + this.#handWindowMs);
    for (const key of this.#keys()) {
      dueMs = Math.min(dueMs, key.channel.hasPendingAcks ? 0 : key.channel.nextDueMs);
    }
    return dueMs;
  }

  /** Sends a control message on the newest TLS that can carry it. */
  sendText(text: string): void {
    (this.#active ?? this.#next)?.writeText(text);
  }

  /** Something happened beside the datagrams: `step` is to be called. */
  wake(): void {
    if (!this.#isClosed) this.#host.wake();
  }

  /** The other end waits for a person: the handshake under way may take so much longer. */
  extendHandWindow(seconds: number): void {
    this.#mayBeSilent = true;
    this.#silentMs = Infinity;
    this.#handWindowMs = Math.min(Math.max(this.#handWindowMs, seconds * 1000), HAND_WINDOW_MS_MAX);
  }

  /** Ends it at once; nothing more is sent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const key of this.#keys()) {
      if (key.hasDataKeys) this.#role?.retire(key);
      key.destroy();
    }
  }

  #laneOf(keyId: number): ControlLane {
    return keyId > 0 && this.#dynamic !== undefined ? this.#dynamic : this.#base;
  }

  #keys(): KeyNegotiation[] {
    return [this.#next, this.#active, this.#old?.key].filter((key) => key !== undefined);
  }

  #createKey(keyId: number): KeyNegotiation {
    const handlers: KeyNegotiationHandlers = {
      secure: (key) => this.#role?.secure(key),
      keyMethod: (key) => this.#role?.keyMethod(key),
      text: (_key, text) => this.#role?.text(text),
      failed: (key, code, message) => {
        // An old key's TLS may end as it likes: its keys live until they are retired.
        if (key !== this.#old?.key) this.#role?.failed(code, message);
      },
      wake: () => this.#host.wake(),
    };
    const role = this.#role?.name ?? "client";
    const { createTls } = this.#host;
    const wrappedKeyBytes = keyId === 0 ? (this.#wrap.wrappedKey?.length ?? 0) : 0;
    const nowMs = this.#nowMs;
    return new KeyNegotiation({ keyId, role, nowMs, createTls, handlers, wrappedKeyBytes });
  }

  /** A client learns the server's session id from the reply to its reset, and only from that. */
  #adoptedSessionId(packet: ControlPacket): Buffer | undefined {
    // One end of a pair sends its reset unasked, and answers ours with a plain acknowledgement.
    const { hardResetServerV2, ack } = Opcode;
    const isFirst = packet.opcode === hardResetServerV2 || packet.opcode === ack;
    const isReply = isFirst && packet.ackSessionId !== undefined;
    return isReply ? Buffer.from(packet.sessionId) : undefined;
  }

  #receiveMessage(packet: ControlPacket): ControlVerdict {
    let key = this.#keys().find((candidate) => candidate.keyId === packet.keyId);
    if (key === undefined || (packet.opcode === Opcode.softReset && key === this.#old?.key)) {
      key = this.#acceptSoftReset(packet);
    }
    if (key === undefined) return "unexpected";
    if (this.#active === undefined && this.#role?.name === "client" && !this.#mayBeSilent) {
      this.#silentMs = this.#nowMs + SILENCE_MS;
    }
    key.channel.acknowledge(packet.acks);
    if (packet.messageId === undefined) return "accepted";
    if (this.#settling?.key === key) this.#settling.untilMs = this.#nowMs + SETTLE_MS;
    // `receive` keeps the payload until its turn: it was copied out of the datagram already.
    const verdict = key.channel.receive(packet.messageId, packet.opcode, packet.payload);
    if (verdict === "new") key.deliver();
    return verdict === "refused" ? "unexpected" : "accepted";
  }

  /** The peer begins the next key id: only that one, and only behind a key that is in use. */
  #acceptSoftReset(packet: ControlPacket): KeyNegotiation | undefined {
    if (packet.opcode !== Opcode.softReset || packet.messageId !== 0) return undefined;
    if (this.#active === undefined || this.#next !== undefined) return undefined;
    if (packet.keyId !== nextKeyId(this.#active.keyId)) return undefined;
    this.#next = this.#createKey(packet.keyId);
    this.#next.reset(Opcode.softReset);
    return this.#next;
  }

  /** Makes the new key the active one once both ends have it. */
  #promote(): void {
    const key = this.#next;
    if (key === undefined || !key.hasDataKeys || !key.isKeyMethodAcked) return;
    key.isSending = true;
    const previous = this.#active;
    this.#active = key;
    this.#next = undefined;
    this.#handWindowMs = HAND_WINDOW_MS;
    this.#silentMs = Infinity;
    if (previous === undefined) {
      this.#role?.sendWith(key);
      return;
    }
    this.#retireOld();
    this.#renewedMs = this.#nowMs;
    this.#settling = { key, untilMs: this.#nowMs + SETTLE_MS };
    this.#old = { key: previous, untilMs: this.#nowMs + OLD_KEY_MS };
    this.#role?.renegotiated(key);
  }

  #fallenSilent(): void {
    const seconds = SILENCE_MS / 1000;
    const message =
      this.#next?.peer === undefined
        ? `the server answered and fell silent in the TLS handshake for ${seconds} s`
        : `the server fell silent for ${seconds} s once it had this end's certificate: it may refuse it, and its log says so`;
    this.#silentMs = Infinity;
    this.#role?.failed("SILENT", message);
  }

  /** Moves sending to the active key. */
  #settle(): void {
    const { key } = this.#settling ?? {};
    this.#settling = undefined;
    if (key !== undefined) this.#role?.sendWith(key);
  }

  #retireOld(): void {
    // What is retired is not sent with any more.
    this.#settle();
    const old = this.#old;
    if (old === undefined) return;
    this.#old = undefined;
    this.#role?.retire(old.key);
    old.key.destroy();
  }

  #flush(key: KeyNegotiation): void {
    for (const message of key.takeDue(this.#nowMs)) {
      this.#sendPacket(key, message.opcode, message);
    }
    while (key.channel.hasPendingAcks) this.#sendPacket(key, Opcode.ack);
  }

  #sendPacket(
    key: KeyNegotiation,
    opcode: number,
    message?: { readonly messageId: number; readonly payload: Buffer },
  ): void {
    const acks = this.#remoteSessionId === undefined ? [] : key.channel.takeAcks(opcode);
    const packet: ControlPacket = {
      opcode,
      keyId: key.keyId,
      sessionId: this.sessionId,
      acks,
      ...(this.#remoteSessionId === undefined || acks.length === 0
        ? {}
        : { ackSessionId: this.#remoteSessionId }),
      ...(message === undefined ? {} : { messageId: message.messageId }),
      payload: message?.payload ?? Buffer.alloc(0),
    };
    const lane = this.#laneOf(key.keyId);
    const packetId = { id: lane.nextPacketId, timeSeconds: this.#startSeconds };
    lane.nextPacketId += 1;
    this.#host.send(lane.wrap.wrap(controlHeader(packet), controlBody(packet), packetId));
  }
}

function isClientReset(opcode: number): boolean {
  return opcode === Opcode.hardResetClientV2 || opcode === Opcode.hardResetClientV3;
}

function newLane(wrap: ControlWrap, firstPacketId: number): ControlLane {
  return { wrap, replay: new ControlReplay(), nextPacketId: firstPacketId };
}

/** Key ids run 0, 1 … 7 and then 1 again: 0 marks the first key of a session. */
export function nextKeyId(keyId: number): number {
  return (keyId % (KEY_IDS - 1)) + 1;
}
