/**
 * One key id: a reliable channel, the TLS connection inside it, the key-method-2 exchange and
 * the control messages behind it. One invariant: no plaintext is looked at before the other
 * end was judged, and nothing here knows whether it is the first key or a renewal.
 */

import { Opcode } from "../../wire/control-packet.ts";
import { asksForWrappedKey } from "../../wire/early-negotiation.ts";
import {
  type KeyMethodMessage,
  parseKeyMethod,
  serialiseKeyMethod,
} from "../../wire/key-method.ts";
import type { OutgoingMessage } from "./reliable-channel.ts";
import { ReliableChannel } from "./reliable-channel.ts";
import type { TlsEngine, TlsEngineFactory, TlsPeer } from "./tls-engine.ts";

/** What a key negotiation tells the session that owns it. */
export interface KeyNegotiationHandlers {
  /** TLS is up and the peer was judged. */
  readonly secure: (key: KeyNegotiation) => void;
  /** The other end's key-method-2 message is here. */
  readonly keyMethod: (key: KeyNegotiation) => void;
  /** A control message after it. */
  readonly text: (key: KeyNegotiation, text: string) => void;
  readonly failed: (key: KeyNegotiation, code: string, message: string) => void;
  /** Something is to be sent: call `takeDue` soon. */
  readonly wake: () => void;
}

/** TLS payload in one control packet: with every wrapping it stays below stock's 1206 bytes. */
const PAYLOAD_BYTES_MAX = 1100;
/** Plaintext kept while a control message is incomplete. */
const TEXT_BYTES_MAX = 65536;

/** The negotiation of one key id, from its reset to its messages. */
export class KeyNegotiation {
  readonly keyId: number;
  readonly startedMs: number;
  readonly channel: ReliableChannel = new ReliableChannel();
  peer: TlsPeer | undefined;
  localKeyMethod: KeyMethodMessage | undefined;
  remoteKeyMethod: KeyMethodMessage | undefined;
  /** Set when data keys of this id were handed to the data plane, and when it sends with them. */
  hasDataKeys = false;
  isSending = false;
  isDead = false;
  readonly #role: "client" | "server";
  readonly #createTls: TlsEngineFactory;
  readonly #handlers: KeyNegotiationHandlers;
  readonly #wrappedKeyBytes: number;
  /** The server asked for our wrapped key again: it goes behind our first control packet. */
  #mustResendKey = false;
  #tls: TlsEngine | undefined;
  #plaintext: Buffer = Buffer.alloc(0);
  /** Message id behind the last packet of our key-method-2 message; Infinity until written. */
  #keyMethodLimit = Infinity;
  #isKeyMethodWritten = false;

  constructor(options: {
    readonly keyId: number;
    readonly role: "client" | "server";
    readonly nowMs: number;
    readonly createTls: TlsEngineFactory;
    readonly handlers: KeyNegotiationHandlers;
    /** Bytes of a tls-crypt-v2 client's wrapped key; 0 for none. */
    readonly wrappedKeyBytes?: number;
  }) {
    this.keyId = options.keyId;
    this.startedMs = options.nowMs;
    this.#role = options.role;
    this.#createTls = options.createTls;
    this.#handlers = options.handlers;
    this.#wrappedKeyBytes = options.wrappedKeyBytes ?? 0;
  }

  /** Queues our reset, message 0 of this key id. */
  reset(opcode: number): void {
    this.channel.enqueue(opcode, Buffer.alloc(0));
  }

  /** Takes in what the reliable channel has in order. */
  deliver(): void {
    for (;;) {
      const message = this.channel.takeDelivered();
      if (message === undefined || this.isDead) return;
      if (message.opcode === Opcode.control || message.opcode === Opcode.controlWkc) {
        this.#ensureTls().receive(message.payload);
      } else if (this.#role === "client") {
        // The other end's reset is here: TLS may begin, and the client speaks first.
        this.#mustResendKey ||= this.#wrappedKeyBytes > 0 && asksForWrappedKey(message.payload);
        this.#ensureTls();
      }
    }
  }

  /** Writes our key-method-2 message. */
  writeKeyMethod(message: KeyMethodMessage): void {
    this.localKeyMethod = message;
    this.#isKeyMethodWritten = true;
    this.#ensureTls().write(serialiseKeyMethod(message));
  }

  /** Writes one control message. */
  writeText(text: string): void {
    if (!this.isDead) this.#ensureTls().write(Buffer.from(`${text}\0`, "utf8"));
  }

  /** True once the other end surely has our key-method-2 message. */
  get isKeyMethodAcked(): boolean {
    return this.#keyMethodLimit !== Infinity && this.channel.isAckedBelow(this.#keyMethodLimit);
  }

  exportKeyingMaterial(bytes: number, label: string): Buffer {
    return this.#ensureTls().exportKeyingMaterial(bytes, label);
  }

  takeDue(nowMs: number): OutgoingMessage[] {
    return this.channel.takeDue(nowMs);
  }

  destroy(): void {
    this.isDead = true;
    this.#tls?.destroy();
    this.#plaintext.fill(0);
    this.#plaintext = Buffer.alloc(0);
    this.wipeKeyMethods();
    this.remoteKeyMethod = undefined;
  }

  /** The password was handed on: it is not kept with the session. */
  forgetPassword(): void {
    if (this.remoteKeyMethod === undefined) return;
    this.remoteKeyMethod = { ...this.remoteKeyMethod, password: "" };
  }

  /** Overwrites the random halves of both ends: the keys that came of them are installed. */
  wipeKeyMethods(): void {
    for (const message of [this.localKeyMethod, this.remoteKeyMethod]) {
      message?.preMaster?.fill(0);
      message?.random1.fill(0);
      message?.random2.fill(0);
    }
    this.localKeyMethod = undefined;
  }

  #ensureTls(): TlsEngine {
    this.#tls ??= this.#createTls(this.#role, {
      ciphertext: (bytes) => this.#enqueueCiphertext(bytes),
      secure: (peer) => {
        this.peer = peer;
        if (!this.isDead) this.#handlers.secure(this);
      },
      plaintext: (bytes) => this.#takePlaintext(bytes),
      failed: (code, message) => {
        if (!this.isDead) this.#handlers.failed(this, code, message);
      },
    });
    return this.#tls;
  }

  #enqueueCiphertext(bytes: Buffer): void {
    if (this.isDead) return;
    let offset = 0;
    while (offset < bytes.length) {
      const opcode = this.#mustResendKey ? Opcode.controlWkc : Opcode.control;
      const room = PAYLOAD_BYTES_MAX - (this.#mustResendKey ? this.#wrappedKeyBytes : 0);
      this.#mustResendKey = false;
      const payload = Buffer.from(bytes.subarray(offset, offset + room));
      offset += payload.length;
      if (!this.channel.enqueue(opcode, payload)) {
        this.#handlers.failed(this, "CONTROL_QUEUE_FULL", "the peer acknowledges nothing");
        return;
      }
    }
    // The first ciphertext behind the key-method-2 message holds it (TLS writes in order).
    if (this.#isKeyMethodWritten && this.#keyMethodLimit === Infinity) {
      this.#keyMethodLimit = this.channel.nextMessageId;
    }
    this.#handlers.wake();
  }

  #takePlaintext(bytes: Buffer): void {
    if (this.isDead || this.peer === undefined) return;
    const joined = Buffer.concat([this.#plaintext, bytes]);
    // Random halves and a password may be in there, and what stays here is never read again.
    for (const part of [this.#plaintext, bytes]) part.fill(0);
    this.#plaintext = joined;
    if (this.remoteKeyMethod === undefined) {
      const parsed = parseKeyMethod(this.#plaintext, this.#role === "client" ? "server" : "client");
      if (parsed === "incomplete") return;
      if (parsed === "malformed") {
        this.#handlers.failed(
          this,
          "KEY_METHOD_MALFORMED",
          "its key exchange message is malformed",
        );
        return;
      }
      // Stock discards what rides behind the key-method-2 message; a message of ours never does.
      this.#plaintext.fill(0, 0, parsed.bytesRead);
      this.#plaintext = this.#plaintext.subarray(parsed.bytesRead);
      this.remoteKeyMethod = parsed.message;
      this.#handlers.keyMethod(this);
    }
    this.#takeTexts();
  }

  #takeTexts(): void {
    for (;;) {
      const end = this.#plaintext.indexOf(0);
      if (end < 0 || this.isDead) break;
      const text = this.#plaintext.toString("utf8", 0, end);
      this.#plaintext = this.#plaintext.subarray(end + 1);
      if (text !== "") this.#handlers.text(this, text);
    }
    if (this.#plaintext.length > TEXT_BYTES_MAX) {
      this.#handlers.failed(this, "CONTROL_MESSAGE_TOO_LONG", "a control message never ended");
    }
  }
}
