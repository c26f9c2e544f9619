/**
 * The listening end's part of the control channel: judge the client, choose the cipher, push
 * its options. One invariant: nobody gets data keys whose certificate was refused or whose name
 * is not a peer of this tunnel; they get the reason (AUTH_FAILED) and nothing else.
 */
import { randomBytes } from "node:crypto";
import type { DataCipher } from "../../control/tunnel-config.ts";
import { CERTIFICATE_REFUSED, printable } from "./client-role.ts";
import type { ControlSession } from "./control-session.ts";
import { chooseCipher } from "./data-ciphers.ts";
import { deriveKeys } from "./derive-keys.ts";
import type { KeyNegotiation } from "./key-negotiation.ts";
import type { Login, LoginAnswer } from "./login.ts";
import {
  optionsString,
  type PeerInfo,
  Proto,
  parseOptionsString,
  parsePeerInfo,
} from "./peer-info.ts";
import { pushReplyMessages } from "./push-options.ts";
import type { Agreement, EndCause, SessionEvents } from "./session-outcome.ts";
import type { SessionRole } from "./session-role.ts";
import { isTwoPeer, twoPeerId, twoPeerInfo } from "./two-peer.ts";

/** How long a client is told to wait when nobody could decide. */
const BACKOFF_SECONDS = 30;

/** What the listening end is set to, for one session. */
export interface ServerSettings {
  readonly ciphers: readonly DataCipher[];
  readonly mtuBytes: number;
  readonly isIpv6: boolean;
  /** What this end carries: Ethernet frames (absent), or IP packets. */
  readonly device?: "tap" | "tun";
  /** The packets travel by TCP. */
  readonly isStream?: boolean;
  readonly peerId: number;
  /** One end of a pair may connect as well, which is pushed nothing. */
  readonly takesPair?: boolean;
  /** Undefined when the name may connect with this certificate, else why not. */
  readonly refusalOf: (
    commonName: string | undefined,
    fingerprint: string | undefined,
  ) => string | undefined;
  /** Absent: a certificate is enough. */
  readonly login?: Login;
  /** Where the client is, for whoever decides on its login. */
  readonly remote?: string;
  /** There is room for the key slots of epochs. */
  readonly offersEpochs?: boolean;
  /** Options for the PUSH_REPLY of this client. */
  readonly pushFor: (commonName: string, agreed: PushAgreement) => string[];
}

/** What the PUSH_REPLY depends on beside the peer itself. */
export interface PushAgreement {
  readonly cipher: DataCipher;
  readonly peerInfo: PeerInfo;
  /** What this end and the client both can, and use. */
  readonly hasDynamicWrap: boolean;
  readonly hasEpochs: boolean;
}

/** The server side of one control session. */
export class ServerRole implements SessionRole {
  readonly name = "server";
  readonly #session: ControlSession;
  readonly #settings: ServerSettings;
  readonly #events: SessionEvents;
  #cipher: DataCipher | undefined;
  #peerInfo: PeerInfo | undefined;
  #commonName: string | undefined;
  #pushReply: string[] | undefined;
  #hasEpochs = false;
  /** It asked for its options, perhaps before it was let in. */
  #hasAsked = false;
  #token: string | undefined;
  #agreement: Agreement | undefined;
  #username: string | undefined;

  constructor(session: ControlSession, settings: ServerSettings, events: SessionEvents) {
    this.#session = session;
    this.#settings = settings;
    this.#events = events;
  }

  get usesExitMessage(): boolean {
    return ((this.#peerInfo?.proto ?? 0) & Proto.exitNotify) !== 0;
  }

  /** The client speaks first: nothing to do before its key-method-2 message. */
  secure(): void {}

  keyMethod(key: KeyNegotiation): void {
    const info = parsePeerInfo(key.remoteKeyMethod?.peerInfo ?? "");
    const cipher = this.#cipher ?? chooseCipher(this.#settings.ciphers, info.ciphers);
    // A client sends with a renewed key once it has our half: not before the verdict, then.
    const { login } = this.#settings;
    const waits = login !== undefined && this.#cipher !== undefined;
    if (!waits) this.#writeKeyMethod(key, cipher);
    const refusal = this.#refusalOf(key, cipher, info);
    if (refusal !== undefined || cipher === undefined) {
      if (waits) this.#writeKeyMethod(key, cipher);
      this.#refuse(key, refusal ?? { cause: "noCommonCipher", reason: "no cipher", message: "" });
      return;
    }
    if (login === undefined) this.#admit(key, cipher, info);
    else void this.#logIn(login, { key, cipher, info });
  }

  /** Believed and allowed: the first key makes the session, a later one takes over. */
  #admit(key: KeyNegotiation, cipher: DataCipher, info: PeerInfo): void {
    const isFirst = this.#cipher === undefined;
    this.#cipher = cipher;
    this.#peerInfo = info;
    this.#commonName = key.peer?.commonName;
    if (isFirst) this.#establish(key, cipher, info);
    else this.#renew(key);
    this.#deriveKeys(key, cipher, info);
    const wantsPush = (info.proto & Proto.requestPush) !== 0 || this.#hasAsked;
    if (isFirst && wantsPush) this.#push(key);
    else if (!isFirst && this.#token !== undefined) {
      key.writeText(`PUSH_REPLY,auth-token ${this.#token}`);
    }
  }

  /** Asks for a verdict on username and password; the handshake goes on when it is there. */
  async #logIn(
    login: Login,
    at: { readonly key: KeyNegotiation; readonly cipher: DataCipher; readonly info: PeerInfo },
  ): Promise<void> {
    const { key, cipher, info } = at;
    const { username = "", password = "" } = key.remoteKeyMethod ?? {};
    key.forgetPassword();
    const commonName = key.peer?.commonName ?? "";
    const { remote = "" } = this.#settings;
    const isOther = this.#username !== undefined && this.#username !== username;
    const answer: LoginAnswer = isOther
      ? { ok: false, reason: "the username changed: begin a new session", isTemporary: false }
      : await login.check({ username, password, commonName, remote });
    if (key.isDead) return;
    if (this.#cipher !== undefined) this.#writeKeyMethod(key, cipher);
    if (answer.ok) {
      this.#token = answer.token;
      this.#username = username;
      this.#admit(key, cipher, info);
    } else {
      const isTemporary = answer.isTemporary && hasBits(info, Proto.authFailedTemporarily);
      const mark = isTemporary ? `TEMP[backoff ${BACKOFF_SECONDS}]:` : "";
      const message = `${printable(username) || "nobody"} may not log in: ${answer.reason}`;
      this.#refuse(key, {
        cause: "authenticationFailed",
        reason: `${mark}${answer.reason}`,
        message,
      });
    }
    this.#session.wake();
  }

  text(text: string): void {
    if (text === "PUSH_REQUEST") {
      this.#hasAsked = true;
      this.#push();
      return;
    }
    if (text === "EXIT") {
      this.#events.ended("peerLeft", "it ends the session");
      return;
    }
    this.#events.notice(`it says: ${printable(text)}`);
  }

  step(): void {}

  get nextDueMs(): number {
    return Infinity;
  }

  sendWith(key: KeyNegotiation): void {
    this.#events.sendWith(key.keyId);
  }

  retire(key: KeyNegotiation): void {
    this.#events.retireKey(key.keyId);
  }

  renegotiated(): void {
    this.#events.renegotiated();
  }

  failed(code: string, message: string): void {
    const cause = code === "HAND_WINDOW" ? "handshakeTimeout" : "tlsFailed";
    this.#events.ended(cause, `the handshake failed: ${message} (${code})`);
  }

  #writeKeyMethod(key: KeyNegotiation, cipher: DataCipher | undefined): void {
    const info = parsePeerInfo(key.remoteKeyMethod?.peerInfo ?? "");
    const { offersEpochs } = this.#settings;
    const { mtuBytes, isIpv6, isStream = false, ciphers, device = "tap" } = this.#settings;
    key.writeKeyMethod({
      random1: randomBytes(32),
      random2: randomBytes(32),
      options: optionsString({
        role: "server",
        device,
        mtuBytes,
        cipher: cipher ?? ciphers[0] ?? "AES-256-GCM",
        isIpv6,
        isStream,
      }),
      username: "",
      password: "",
      peerInfo: isTwoPeer(info) ? twoPeerInfo(ciphers, offersEpochs === true) : "",
    });
  }

  #refusalOf(
    key: KeyNegotiation,
    cipher: DataCipher | undefined,
    info: PeerInfo,
  ): { cause: EndCause; reason: string; message: string } | undefined {
    const problem = key.peer?.problem;
    if (problem !== undefined) {
      return {
        cause: "certificateRefused",
        reason: `${CERTIFICATE_REFUSED}: ${problem}`,
        message: problem,
      };
    }
    const name = key.peer?.commonName;
    const isRenamed = this.#cipher !== undefined && name !== this.#commonName;
    const reason = isRenamed
      ? "the certificate's name changed"
      : this.#settings.refusalOf(name, key.peer?.fingerprint);
    if (reason !== undefined) return { cause: "authenticationFailed", reason, message: reason };
    if (isTwoPeer(info) && this.#settings.takesPair !== true) {
      const message =
        "it is an end of a pair (tls-client without pull): set spec.link: TwoPeer here, or write client in its file";
      return { cause: "optionRefused", reason: "not a two-peer link", message };
    }
    if (cipher !== undefined) return undefined;
    const theirs = info.ciphers.length > 0 ? info.ciphers.map(printable).join(", ") : "none";
    return {
      cause: "noCommonCipher",
      reason: "Data channel cipher negotiation failed (no shared cipher)",
      message: `no common cipher: it offers ${theirs}, this end has ${this.#settings.ciphers.join(", ")}`,
    };
  }

  #refuse(
    key: KeyNegotiation,
    refusal: { cause: EndCause; reason: string; message: string },
  ): void {
    key.writeText(`AUTH_FAILED,${refusal.reason}`);
    this.#events.ended(refusal.cause, refusal.message);
  }

  #establish(key: KeyNegotiation, cipher: DataCipher, info: PeerInfo): void {
    const remote = parseOptionsString(key.remoteKeyMethod?.options ?? "");
    const commonName = this.#commonName ?? "";
    const hasDynamicWrap = hasBits(info, Proto.dynamicTlsCrypt | Proto.exitNotify);
    const canEpochs = hasBits(info, Proto.epoch | Proto.exitNotify | Proto.tlsKeyExport);
    this.#hasEpochs = canEpochs && this.#settings.offersEpochs === true;
    const agreed = { cipher, peerInfo: info, hasDynamicWrap, hasEpochs: this.#hasEpochs };
    const token = this.#token === undefined ? [] : [`auth-token ${this.#token}`];
    this.#pushReply = pushReplyMessages([...this.#settings.pushFor(commonName, agreed), ...token]);
    if (hasDynamicWrap) this.#session.deriveDynamicWrap(key);
    this.#agreement = {
      cipher,
      tlsVersion: key.peer?.protocol ?? "unknown",
      commonName,
      ...(this.#username === undefined ? {} : { username: this.#username }),
      fingerprint: key.peer?.fingerprint,
      serialNumber: key.peer?.serialNumber,
      validTo: key.peer?.validTo,
      usesEpochs: this.#hasEpochs,
      peerId: isTwoPeer(info) ? twoPeerId(key, info) : this.#settings.peerId,
      peerInfo: info,
      ...(remote.mtuBytes === undefined ? {} : { remoteMtuBytes: remote.mtuBytes }),
    };
    this.#events.established(this.#agreement);
  }

  /** It may show a newer certificate when keys are renewed: that one is judged by from then on. */
  #renew(key: KeyNegotiation): void {
    const { fingerprint, serialNumber, validTo } = key.peer ?? {};
    if (this.#agreement === undefined || this.#agreement.fingerprint === fingerprint) return;
    this.#agreement = { ...this.#agreement, fingerprint, serialNumber, validTo };
    this.#events.updated(this.#agreement);
  }

  #push(key?: KeyNegotiation): void {
    for (const message of this.#pushReply ?? []) {
      if (key === undefined) this.#session.sendText(message);
      else key.writeText(message);
    }
  }

  #deriveKeys(key: KeyNegotiation, cipher: DataCipher, info: PeerInfo): void {
    const agreement = {
      role: "server",
      cipher,
      usesKeyExport: (info.proto & Proto.tlsKeyExport) !== 0,
      usesEpochs: this.#hasEpochs,
    } as const;
    deriveKeys(this.#session, key, agreement, this.#events);
  }
}

function hasBits(info: PeerInfo, bits: number): boolean {
  return (info.proto & bits) === bits;
}
