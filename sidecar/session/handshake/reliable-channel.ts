/**
 * OpenVPN's reliability layer for one key id: numbered messages, selective acknowledgements,
 * retransmission, delivery in order (openvpn-rfc, "acks"; there are no cumulative ACKs). One
 * invariant: a message is delivered once, in order, and never before all those ahead of it.
 */
import { ACKS_MAX, Opcode } from "../../wire/control-packet.ts";

/** A message to put on the wire now. */
export interface OutgoingMessage {
  readonly opcode: number;
  readonly messageId: number;
  readonly payload: Buffer;
}

interface Unacked extends OutgoingMessage {
  dueMs: number;
  timeoutMs: number;
  /** Acknowledgements seen for later messages since this one was last sent. */
  overtaken: number;
}

/** Messages in flight at once, as stock (TLS_RELIABLE_N_SEND_BUFFERS). */
const SEND_WINDOW = 6;
/** Messages kept that arrived before their turn, as stock (TLS_RELIABLE_N_REC_BUFFERS). */
const RECEIVE_WINDOW = 12;
/** Messages waiting for the window: a TLS flight of 64 KiB in 1100-byte messages, and some. */
const QUEUE_MAX = 128;
const TIMEOUT_MS_FIRST = 500;
const TIMEOUT_MS_MAX = 8000;
/** Later messages acknowledged before one is taken for lost, as stock (N_ACK_RETRANSMIT). */
const OVERTAKEN_MAX = 3;
/** Acknowledgements that ride on a control packet, as stock (CONTROL_SEND_ACK_MAX). */
export const PIGGYBACK_ACKS_MAX = 4;

/** Both directions of one key id's numbered messages. */
export class ReliableChannel {
  #nextSendId = 0;
  #nextReceiveId = 0;
  #queue: { opcode: number; payload: Buffer }[] = [];
  #unacked: Unacked[] = [];
  #early = new Map<number, { opcode: number; payload: Buffer }>();
  #pendingAcks: number[] = [];
  #recentAcks: number[] = [];

  /** Continues where a stateless reply left off: message 0 went out and came in already. */
  skipResets(): void {
    this.#nextSendId = 1;
    this.#nextReceiveId = 1;
  }

  /** Queues a message; false when the queue is full, and the session cannot go on. */
  enqueue(opcode: number, payload: Buffer): boolean {
    if (this.#queue.length >= QUEUE_MAX) return false;
    this.#queue.push({ opcode, payload });
    return true;
  }

  /** Id that the next enqueued message will carry. */
  get nextMessageId(): number {
    return this.#nextSendId + this.#queue.length;
  }

  /** True once every message below `messageId` was acknowledged. */
  isAckedBelow(messageId: number): boolean {
    if (this.#nextSendId < messageId) return false;
    return this.#unacked.every((message) => message.messageId >= messageId);
  }

  /** True when nothing waits for an acknowledgement. */
  get isIdle(): boolean {
    return this.#queue.length === 0 && this.#unacked.length === 0;
  }

  /** The peer acknowledged these of our messages. */
  acknowledge(ids: readonly number[]): void {
    for (const id of ids) {
      const before = this.#unacked.length;
      this.#unacked = this.#unacked.filter((message) => message.messageId !== id);
      if (this.#unacked.length === before) continue;
      for (const message of this.#unacked) if (message.messageId < id) message.overtaken += 1;
    }
  }

  /**
   * A message arrived. "refused" means it lies beyond the window and must come again; else it is
   * to be acknowledged, also when it was seen before (our acknowledgement may have been lost).
   */
  receive(messageId: number, opcode: number, payload: Buffer): "new" | "seen" | "refused" {
    if (messageId - this.#nextReceiveId >= RECEIVE_WINDOW) return "refused";
    this.#queueAck(messageId);
    if (messageId < this.#nextReceiveId || this.#early.has(messageId)) return "seen";
    this.#early.set(messageId, { opcode, payload });
    return "new";
  }

  /** The next message in order, once. */
  takeDelivered(): { opcode: number; payload: Buffer } | undefined {
    const message = this.#early.get(this.#nextReceiveId);
    if (message === undefined) return undefined;
    this.#early.delete(this.#nextReceiveId);
    this.#nextReceiveId += 1;
    return message;
  }

  /** True when an acknowledgement waits that no packet has carried yet. */
  get hasPendingAcks(): boolean {
    return this.#pendingAcks.length > 0;
  }

  /** Ids to acknowledge in the next packet: the pending ones, then recent ones again. */
  takeAcks(opcode: number): number[] {
    const max = opcode === Opcode.ack ? ACKS_MAX : PIGGYBACK_ACKS_MAX;
    const acks = this.#pendingAcks.splice(0, max);
    for (const id of this.#recentAcks) {
      if (acks.length >= max) break;
      if (!acks.includes(id)) acks.push(id);
    }
    this.#recentAcks = [...acks, ...this.#recentAcks.filter((id) => !acks.includes(id))].slice(
      0,
      ACKS_MAX,
    );
    return acks;
  }

  /** Messages to send now: new ones as the window allows, and those whose time is up. */
  takeDue(nowMs: number): OutgoingMessage[] {
    while (this.#unacked.length < SEND_WINDOW && this.#oldestAllows()) {
      const next = this.#queue.shift();
      if (next === undefined) break;
      const messageId = this.#nextSendId;
      this.#nextSendId += 1;
      this.#unacked.push({
        ...next,
        messageId,
        dueMs: nowMs,
        timeoutMs: TIMEOUT_MS_FIRST,
        overtaken: 0,
      });
    }
    const due: OutgoingMessage[] = [];
    for (const message of this.#unacked) {
      if (message.dueMs > nowMs && message.overtaken < OVERTAKEN_MAX) continue;
      due.push({ opcode: message.opcode, messageId: message.messageId, payload: message.payload });
      message.dueMs = nowMs + message.timeoutMs;
      message.timeoutMs = Math.min(message.timeoutMs * 2, TIMEOUT_MS_MAX);
      message.overtaken = 0;
    }
    return due;
  }

  /** When `takeDue` has something again; Infinity for never. */
  get nextDueMs(): number {
    if (this.#queue.length > 0 && this.#unacked.length < SEND_WINDOW && this.#oldestAllows())
      return 0;
    return this.#unacked.reduce((least, message) => Math.min(least, message.dueMs), Infinity);
  }

  /** The peer keeps 12 messages in order: never run further ahead of the oldest unacked one. */
  #oldestAllows(): boolean {
    const oldest = this.#unacked[0];
    return oldest === undefined || this.#nextSendId - oldest.messageId < RECEIVE_WINDOW;
  }

  #queueAck(id: number): void {
    if (this.#pendingAcks.includes(id)) return;
    this.#pendingAcks.push(id);
    if (this.#pendingAcks.length > RECEIVE_WINDOW) this.#pendingAcks.shift();
  }
}
