/**
 * The dialling end's part of the control channel: believe the server or not, ask for its
 * options, take them or say why not. One invariant: data keys exist only after PUSH_REPLY named
 * the cipher, and every later key uses the same one.
 */
import { randomBytes } from "node:crypto";
import type { DataCipher } from "../../control/tunnel-config.ts";
import { type ControlSession, HAND_WINDOW_MS } from "./control-session.ts";
import type { Credentials } from "./credentials.ts";
import { deriveKeys } from "./derive-keys.ts";
import type { KeyNegotiation } from "./key-negotiation.ts";
import { clientPeerInfo, optionsString, parseOptionsString, parsePeerInfo } from "./peer-info.ts";
import { type PushedOptions, parsePushReply } from "./push-options.ts";
import { readPushUpdate } from "./push-update.ts";
import type { Agreement, SessionEvents } from "./session-outcome.ts";
import type { SessionRole } from "./session-role.ts";
import { isTwoPeer, twoPeerInfo, twoPeerOptions } from "./two-peer.ts";

/** What the dialling end is set to. */
export interface ClientSettings {
  readonly version: string;
  readonly ciphers: readonly DataCipher[];
  /** Inner MTU in bytes, or whatever the server says. */
  readonly mtu: "Auto" | number;
  readonly mtuBytesDefault: number;
  /** This machine can compute parity. */
  readonly hasParity?: boolean;
  readonly isIpv6: boolean;
  /** What this end carries: Ethernet frames (absent), or IP packets. */
  readonly device?: "tap" | "tun";
  /** Stock's point-to-point mode: nothing is pushed. */
  readonly isTwoPeer?: boolean;
  /** The packets travel by TCP. */
  readonly isStream?: boolean;
  /** Absent: nothing but the certificate is shown. */
  readonly credentials?: Credentials;
}

/** How a listening end begins its AUTH_FAILED when it does not believe a certificate. */
export const CERTIFICATE_REFUSED = "certificate refused";
/** What devices carry. */
const KINDS: Readonly<Record<string, string>> = {
  tap: "Ethernet frames (dev tap)",
  tun: "IP packets (dev tun)",
};
/** Longest that a server may make us wait. */
const BACKOFF_SECONDS_MAX = 3600;
/** Stock asks again every five seconds. */
const PUSH_REQUEST_MS = 5000;
/** Options of one PUSH_REPLY with all its continuations. */
const PUSH_OPTIONS_MAX = 1000;

/** The client side of one control session. */
export class ClientRole implements SessionRole {
  readonly name = "client";
  readonly #session: ControlSession;
  readonly #settings: ClientSettings;
  readonly #events: SessionEvents;
  #pushOptions: string[] = [];
  #pushed: PushedOptions | undefined;
  #agreement: Agreement | undefined;
  #cipher: DataCipher | undefined;
  #first: KeyNegotiation | undefined;
  #pushRequestDueMs = Infinity;

  constructor(session: ControlSession, settings: ClientSettings, events: SessionEvents) {
    this.#session = session;
    this.#settings = settings;
    this.#events = events;
  }

  get usesExitMessage(): boolean {
    return this.#pushed?.usesExitMessage ?? false;
  }

  secure(key: KeyNegotiation): void {
    if (key.peer?.problem !== undefined) {
      const message = `the server is refused: ${key.peer.problem}; ask its administrator, or take the profile that belongs to it`;
      this.#events.ended("certificateRefused", message);
      return;
    }
    const { version, ciphers, isIpv6, mtu, mtuBytesDefault, credentials } = this.#settings;
    const { device = "tap", isStream = false } = this.#settings;
    const hasParity = this.#settings.hasParity === true;
    const mtuBytes = mtu === "Auto" ? mtuBytesDefault : mtu;
    const cipher = this.#cipher ?? ciphers[0] ?? "AES-256-GCM";
    key.writeKeyMethod({
      preMaster: randomBytes(48),
      random1: randomBytes(32),
      random2: randomBytes(32),
      options: optionsString({ role: "client", device, mtuBytes, cipher, isIpv6, isStream }),
      username: credentials?.current.username ?? "",
      password: credentials?.current.password ?? "",
      peerInfo:
        this.#settings.isTwoPeer === true
          ? twoPeerInfo(ciphers, true)
          : clientPeerInfo(version, ciphers, hasParity),
    });
  }

  keyMethod(key: KeyNegotiation): void {
    if (this.#cipher !== undefined && this.#pushed !== undefined) {
      this.#deriveKeys(key, this.#cipher, this.#pushed);
      return;
    }
    this.#first = key;
    if (this.#settings.isTwoPeer === true) {
      this.#agreeAsPair(key);
      return;
    }
    this.#pushRequestDueMs = 0;
    key.writeText("PUSH_REQUEST");
  }

  /** Nothing is pushed between two ends of a pair: what both announce says it. */
  #agreeAsPair(key: KeyNegotiation): void {
    const info = parsePeerInfo(key.remoteKeyMethod?.peerInfo ?? "");
    if (!isTwoPeer(info)) {
      const message =
        "the other end is no end of a pair: it is a server that pushes (write client instead of tls-client), or older than OpenVPN 2.6";
      this.#events.ended("optionRefused", message);
      return;
    }
    const theirs = info.ciphers.map((name) => name.toUpperCase());
    const cipher = theirs.find((name) => this.#settings.ciphers.some((own) => own === name));
    if (cipher === undefined) {
      const message = `no common cipher: the other end offers ${theirs.map(printable).join(", ")}, this end has ${this.#settings.ciphers.join(", ")}`;
      this.#events.ended("noCommonCipher", message);
      return;
    }
    this.#takePush(twoPeerOptions(key, info, cipher as DataCipher));
  }

  text(text: string): void {
    const comma = text.indexOf(",");
    const word = comma < 0 ? text : text.slice(0, comma);
    const rest = comma < 0 ? "" : text.slice(comma + 1);
    switch (word) {
      case "PUSH_REPLY":
        this.#takePush(rest === "" ? [] : rest.split(","));
        return;
      case "PUSH_UPDATE":
        this.#takeUpdate(rest === "" ? [] : rest.split(","));
        return;
      case "AUTH_FAILED":
        this.#takeAuthFailed(rest);
        return;
      case "AUTH_PENDING":
        this.#session.extendHandWindow(pendingSeconds(rest));
        this.#events.notice("the server waits for somebody to allow this session");
        return;
      case "INFO":
      case "INFO_PRE":
        this.#events.notice(`the server says: ${printable(rest)}`);
        return;
      case "RESTART":
        this.#events.ended("peerRestarts", "the server asks for a new session");
        return;
      case "EXIT":
      case "HALT":
        this.#events.ended("peerLeft", "the server ends the session");
        return;
      default:
        this.#events.notice(`the server says: ${printable(text)}`);
    }
  }

  step(nowMs: number): void {
    if (this.#first === undefined || nowMs < this.#pushRequestDueMs) return;
    if (this.#pushRequestDueMs > 0) this.#first.writeText("PUSH_REQUEST");
    this.#pushRequestDueMs = nowMs + PUSH_REQUEST_MS;
  }

  get nextDueMs(): number {
    return this.#pushRequestDueMs;
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
    const isTimeout = code === "HAND_WINDOW" || code === "SILENT";
    const cause = isTimeout ? "handshakeTimeout" : "tlsFailed";
    this.#events.ended(cause, `the handshake with the server failed: ${message} (${code})`);
  }

  #takePush(options: readonly string[]): void {
    if (this.#pushed !== undefined) {
      this.#takeToken(parsePushReply(options));
      return;
    }
    if (this.#first === undefined) return;
    this.#pushOptions.push(...options);
    if (this.#pushOptions.length > PUSH_OPTIONS_MAX) {
      this.#events.ended("protocolError", "the server pushes more than 1000 options");
      return;
    }
    if (options.includes("push-continuation 2")) return;
    const pushed = parsePushReply(this.#pushOptions);
    const key = this.#first;
    const remote = parseOptionsString(key.remoteKeyMethod?.options ?? "");
    const refusal = this.#refusalOf(pushed, remote);
    if (refusal !== undefined) {
      this.#events.ended(refusal.cause, refusal.message);
      return;
    }
    this.#accept(key, pushed, remote.mtuBytes);
  }

  #accept(key: KeyNegotiation, pushed: PushedOptions, remoteMtuBytes: number | undefined): void {
    const cipher = pushed.cipher;
    if (cipher === undefined || pushed.peerId === undefined) return;
    this.#pushed = pushed;
    this.#cipher = cipher;
    this.#first = undefined;
    this.#pushRequestDueMs = Infinity;
    this.#pushOptions = [];
    this.#takeToken(pushed);
    const mtuBytes = pushed.mtuBytes ?? remoteMtuBytes;
    this.#agreement = {
      cipher,
      tlsVersion: key.peer?.protocol ?? "unknown",
      commonName: key.peer?.commonName,
      fingerprint: key.peer?.fingerprint,
      validTo: key.peer?.validTo,
      usesEpochs: pushed.usesEpoch,
      peerId: pushed.peerId,
      pushed,
      ...(mtuBytes === undefined ? {} : { remoteMtuBytes: mtuBytes }),
    };
    this.#events.established(this.#agreement);
    if (pushed.usesDynamicWrap) this.#session.deriveDynamicWrap(key);
    this.#deriveKeys(key, cipher, pushed);
  }

  /** The server changes what it pushed; what cannot change here takes a new session. */
  #takeUpdate(options: readonly string[]): void {
    if (this.#pushed === undefined || this.#agreement === undefined) return;
    this.#pushOptions.push(...options);
    if (this.#pushOptions.length > PUSH_OPTIONS_MAX) {
      this.#events.ended("protocolError", "the server pushes more than 1000 options");
      return;
    }
    if (options.includes("push-continuation 2")) return;
    const { pushed, taken, ignored, refused } = readPushUpdate(this.#pushed, this.#pushOptions);
    this.#pushOptions = [];
    const mtuBytes = pushed.mtuBytes ?? this.#agreement.remoteMtuBytes;
    const { mtu } = this.#settings;
    const isFixed = mtu !== "Auto" && mtuBytes !== undefined && mtuBytes !== mtu;
    if (refused.length > 0 || isFixed) {
      const what = printable(isFixed ? `tun-mtu ${mtuBytes}` : refused.join(", "));
      const message = `the server changes what cannot change in a session (${what}): connecting again`;
      this.#events.ended("peerRestarts", message);
      return;
    }
    this.#pushed = pushed;
    this.#agreement = {
      ...this.#agreement,
      pushed,
      ...(mtuBytes === undefined ? {} : { remoteMtuBytes: mtuBytes }),
    };
    const [changed, without] = [taken, ignored].map(
      (list) => printable(list.join(", ")) || "nothing",
    );
    this.#events.notice(`the server changes ${changed}; without meaning here: ${without}`);
    this.#events.updated(this.#agreement);
  }

  /** In place of the password, here and in the next session: another one with each key. */
  #takeToken({ authToken, authTokenUser }: PushedOptions): void {
    if (authToken !== undefined) this.#settings.credentials?.takeToken(authToken, authTokenUser);
  }

  #refusalOf(
    pushed: PushedOptions,
    remote: { readonly deviceType?: string; readonly mtuBytes?: number },
  ):
    | {
        cause: "noCommonCipher" | "mtuMismatch" | "optionRefused" | "protocolError";
        message: string;
      }
    | undefined {
    const { ciphers, mtu, device = "tap" } = this.#settings;
    if (remote.deviceType !== undefined && remote.deviceType !== device) {
      const message = `the server carries ${KINDS[remote.deviceType] ?? printable(remote.deviceType)}, this end ${KINDS[device]}: set dev and, where there is a VpnTunnel, spec.mode alike at both ends`;
      return { cause: "optionRefused", message };
    }
    if (pushed.compression !== undefined) {
      const message = `the server pushes "${pushed.compression}": compression leaks what is encrypted; take it out of the server's configuration`;
      return { cause: "optionRefused", message };
    }
    if (pushed.cipher === undefined || !ciphers.includes(pushed.cipher)) {
      const theirs = pushed.cipherUnknown ?? pushed.cipher ?? "none that it names";
      const message = `no common cipher: the server uses ${printable(theirs)}, this end has ${ciphers.join(", ")}; set data-ciphers on one of them`;
      return { cause: "noCommonCipher", message };
    }
    if (pushed.peerId === undefined) {
      return {
        cause: "protocolError",
        message:
          "the server pushes no peer-id: it is older than OpenVPN 2.4, or not OpenVPN; use OpenVPN 2.4 or later there",
      };
    }
    const mtuBytes = pushed.mtuBytes ?? remote.mtuBytes;
    if (mtu !== "Auto" && mtuBytes !== undefined && mtuBytes !== mtu) {
      const message = `MTU mismatch: the server's segment has ${mtuBytes} bytes, transport.mtu says ${mtu}; set both alike, or transport.mtu: Auto`;
      return { cause: "mtuMismatch", message };
    }
    return undefined;
  }

  #takeAuthFailed(reason: string): void {
    if (reason.startsWith("TEMP")) {
      const { backoffSeconds, why } = temporaryOf(reason);
      const message = `the server cannot take this end now: ${printable(why)}; trying again in ${backoffSeconds} s`;
      this.#events.ended("peerRestarts", message, backoffSeconds * 1000);
      return;
    }
    if (this.#settings.credentials?.dropToken() === true) {
      const message = `the server does not take its auth-token any more: ${printable(reason)}; trying the password`;
      this.#events.ended("peerRestarts", message);
      return;
    }
    const isCipher = reason.startsWith("Data channel cipher negotiation failed");
    const why = reason === "" ? "it gives no reason" : printable(reason);
    if (isCipher) {
      const message = `no common cipher: the server shares none of ${this.#settings.ciphers.join(", ")}; set data-ciphers alike at both ends`;
      this.#events.ended("noCommonCipher", message);
      return;
    }
    // A listening end of ours says so; stock falls silent instead.
    const cause = reason.startsWith(CERTIFICATE_REFUSED)
      ? "certificateRefused"
      : "authenticationFailed";
    const message = `the server refuses this end: ${why}; ask its administrator for another profile`;
    this.#events.ended(cause, message);
  }

  #deriveKeys(key: KeyNegotiation, cipher: DataCipher, pushed: PushedOptions): void {
    const agreement = {
      role: "client",
      cipher,
      usesKeyExport: pushed.usesKeyExport,
      usesEpochs: pushed.usesEpoch,
    } as const;
    deriveKeys(this.#session, key, agreement, this.#events);
  }
}

/** Seconds that AUTH_PENDING asks for; stock's hand-window when it does not say. */
function pendingSeconds(rest: string): number {
  const match = /(?:^|,)timeout (\d{1,6})(?:,|$)/.exec(rest);
  return match === null ? HAND_WINDOW_MS / 1000 : Number(match[1]);
}

/** `TEMP[backoff 42,advance no]:reason`: how long to wait, and why. */
function temporaryOf(reason: string): { backoffSeconds: number; why: string } {
  const match = /^TEMP(?:\[([^\]]{0,100})\])?[:,]? ?(.*)$/s.exec(reason);
  const backoff = Number(/(?:^|,) ?backoff (\d{1,6})(?:,|$)/.exec(match?.[1] ?? "")?.[1] ?? 0);
  const why = match?.[2] ?? "";
  return {
    backoffSeconds: Math.min(backoff, BACKOFF_SECONDS_MAX),
    why: why || "it gives no reason",
  };
}

/** Text from the other end, fit for a log line. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 200);
}
