/**
 * The dialling end of a tunnel: tries the remotes in turn until one answers, believes or
 * refuses it, and starts again when the session ends. One invariant: there is at most one
 * session, and it stays on the path that it was begun on (the server's cookie binds the address).
 */

import { randomBytes, randomInt } from "node:crypto";
import { lookup } from "node:dns/promises";
import type { Logger } from "pino";
import type { DialConfig, TunnelConfig } from "./control/tunnel-config.ts";
import { PathWord } from "./native/layout.ts";
import { parityUsable } from "./native/native.ts";
import { type EpochChange, type PeerContext, PeerSession } from "./peer-session.ts";
import { DIALLED_INDEX } from "./ports.ts";
import { REPLICA_SILENT_MS, Redial } from "./redial.ts";
import { ClientRole } from "./session/handshake/client-role.ts";
import type { ControlWrap } from "./session/handshake/control-wrap.ts";
import { Credentials } from "./session/handshake/credentials.ts";
import type { Agreement, EndCause } from "./session/handshake/session-outcome.ts";
import { shuffled } from "./shuffled.ts";
import { TunnelError, type TunnelFailure } from "./tunnel-error.ts";
import {
  addressWords,
  isSameRemoteRow,
  localText,
  pathTo,
  remoteText,
} from "./uplink/address-words.ts";
import { connectionText } from "./uplink/connection-text.ts";
import type { UplinkBoard, UsableUplink } from "./uplink-board.ts";
import { EARLY_PACKET_ID_FIRST } from "./wire/early-negotiation.ts";

/** A tunnel that was never up gives up after this long without any answer. */
const NO_ANSWER_MS = 30_000;
/** The same for names that do not resolve: a name server that starts later gets its chance. */
const UNRESOLVED_MS = 5000;
const RETRY_MS_FIRST = 500;
const RETRY_MS_MAX = 15_000;

/** Sockets of the lane, where routing finds the way. */
const DATAGRAM_SOCKET = 0;
const STREAM_SOCKET = 1;

/** What the dialling end is made with. */
export interface DiallingOptions {
  readonly config: TunnelConfig;
  readonly role: DialConfig;
  readonly version: string;
  readonly mtuBytesDefault: number;
  readonly keepsTrying: boolean;
  readonly plane: PeerContext["plane"];
  readonly context: PeerContext;
  readonly wrap: ControlWrap;
  readonly log: Logger;
  /** Usable uplinks, the most wanted first; undefined where routing finds the way. */
  readonly uplinks: () => readonly UsableUplink[] | undefined;
  /** What of the uplinks' policy the other end does not go along with. */
  readonly policyNote: UplinkBoard["policyNote"];
  readonly established: (agreement: Agreement) => void;
  /** The server changed what it pushed. */
  readonly updated: (agreement: Agreement) => void;
  /** It was up and is not any more. */
  readonly lost: () => void;
  readonly failed: (error: TunnelError) => void;
}

interface Candidate {
  readonly name: string;
  readonly row: Int32Array;
  readonly uplink: number;
  readonly isStream: boolean;
}

/** How one attempt went: the end of a session that was up, or why there never was one. */
interface Outcome {
  readonly wasUp: boolean;
  readonly failure?: TunnelError;
  /** The server asked not to be tried again before. */
  readonly retryMs?: number;
}

const FAILURES: Partial<Record<EndCause, TunnelFailure>> = {
  certificateRefused: "certificateRefused",
  tlsFailed: "certificateRefused",
  authenticationFailed: "authenticationFailed",
  noCommonCipher: "noCommonCipher",
  mtuMismatch: "mtuMismatch",
  optionRefused: "optionRefused",
};

/** The one peer of a dialling tunnel. */
export class Dialling {
  readonly #options: DiallingOptions;
  #session: PeerSession | undefined;
  #finish: ((outcome: Outcome) => void) | undefined;
  #hasBeenUp = false;
  #isStopped = false;
  readonly #startMs: number;
  readonly #credentials: Credentials | undefined;
  readonly #redial = new Redial();
  #begunMs = 0;
  #upMs = 0;
  #dialled = "";
  #hasReplicas = false;

  constructor(options: DiallingOptions) {
    const { userPass } = options.role;
    this.#credentials = userPass === undefined ? undefined : new Credentials(userPass);
    this.#options = options;
    this.#startMs = options.context.nowMs();
  }

  get session(): PeerSession | undefined {
    return this.#session;
  }

  /** Dials until `close`; ends early only for a tunnel that was never up. */
  async run(): Promise<void> {
    let retryMs = RETRY_MS_FIRST;
    while (!this.#isStopped) {
      const outcome = await this.#round();
      if (this.#isStopped) return;
      if (outcome.wasUp) retryMs = RETRY_MS_FIRST;
      if (outcome.failure !== undefined) {
        if (outcome.retryMs === undefined && this.#isFinal(outcome.failure)) {
          this.#options.failed(outcome.failure);
          return;
        }
        this.#options.log.warn({ cause: outcome.failure.failure }, outcome.failure.message);
      }
      const patientMs = retryMs / 2 + randomInt(retryMs);
      const pauseMs = this.#redial.pauseMs(patientMs, this.#options.context.nowMs());
      await this.#pause(Math.max(pauseMs, outcome.retryMs ?? 0));
      retryMs = Math.min(retryMs * 2, RETRY_MS_MAX);
    }
  }

  step(): void {
    this.#session?.step();
  }

  control(row: Int32Array, datagram: Buffer): void {
    const session = this.#session;
    if (session === undefined) return;
    // Before the server proved itself, only the address that was dialled may speak.
    if (!session.isUp && !isSameRemoteRow(row, session.row)) return;
    session.receive(row, datagram);
  }

  silent(): void {
    this.#sessionEnded("peerSilent", "nothing was heard of the server");
  }

  /** A TCP connection is over; errno 0: the server closed it. */
  disconnected(row: Int32Array, errno: number): void {
    const session = this.#session;
    if (session === undefined || !isSameRemoteRow(session.row, row)) return;
    const cause = errno === 0 && session.isUp ? "peerLeft" : "connectionLost";
    this.#sessionEnded(cause, `${remoteText(row)}: ${connectionText(errno)}`);
  }

  exited(): void {
    this.#sessionEnded("peerLeft", "the server ends the session");
  }

  followEpoch(change: EpochChange): void {
    this.#session?.followEpoch(change);
  }

  needsKey(index: number): void {
    if (this.#session?.index === index) this.#session.renegotiate();
  }

  renegotiateAll(): void {
    this.#session?.renegotiate();
  }

  /** The data plane leaves by another path: control packets do too. */
  floated(index: number, row: Int32Array): void {
    const session = this.#session;
    if (session?.index === index && session.isUp) session.row = row;
  }

  /** Uplinks came or went: a handshake whose uplink is not what it was goes on by the next one. */
  uplinksChanged(): void {
    if (this.#session === undefined || this.#session.isUp) return;
    if (this.#isStillThere(this.#session.row)) return;
    const failure = new TunnelError("noAnswer", "the uplink went away during the handshake");
    this.#finish?.({ wasUp: false, failure });
  }

  sayGoodbye(): void {
    this.#session?.sayGoodbye();
  }

  close(): void {
    this.#isStopped = true;
    this.#dropSession();
    this.#finish?.({ wasUp: false });
  }

  /** Every address of every remote once, until one was up or one refused for good. */
  async #round(): Promise<Outcome> {
    const { candidates, unresolved } = await this.#candidates();
    if (candidates.length === 0) {
      const failure = unresolved.length > 0 ? unresolvedError(unresolved) : noUplinkError();
      return { wasUp: false, failure };
    }
    let failure: TunnelError | undefined;
    for (const candidate of candidates) {
      if (this.#isStopped) return { wasUp: false };
      if (!this.#isStillThere(candidate.row)) continue;
      const outcome = await this.#attempt(candidate);
      if (outcome.wasUp || outcome.retryMs !== undefined) return outcome;
      failure = outcome.failure ?? failure;
      if (outcome.failure !== undefined && outcome.failure.failure !== "noAnswer") return outcome;
    }
    return { wasUp: false, ...(failure === undefined ? {} : { failure }) };
  }

  async #candidates(): Promise<{ candidates: Candidate[]; unresolved: string[] }> {
    const { role } = this.#options;
    const remotes = role.order === "Random" ? shuffled(role.remotes) : role.remotes;
    const candidates: Candidate[] = [];
    const unresolved: string[] = [];
    for (const { host, port, protocol } of remotes) {
      const isStream = protocol === "Tcp";
      try {
        for (const { address } of await lookup(host, { all: true })) {
          const plain = host === address ? `${host}:${port}` : `${host}:${port} (${address})`;
          const name = isStream ? `${plain} by TCP` : plain;
          const row = pathTo({ address, port });
          row[PathWord.socket] = isStream ? STREAM_SOCKET : DATAGRAM_SOCKET;
          candidates.push(...this.#ways({ name, row, uplink: 0, isStream }));
        }
      } catch (error) {
        if (!(error instanceof Error) || !("code" in error)) throw error;
        unresolved.push(`${host} (${String(error.code)})`);
      }
    }
    this.#hasReplicas = new Set(candidates.map(({ row }) => remoteText(row))).size > 1;
    return { candidates: [...this.#redial.ordered(candidates)], unresolved };
  }

  /** One remote address by each usable uplink in turn: a handshake stays on the path it began on. */
  #ways(candidate: Candidate): Candidate[] {
    const uplinks = this.#options.uplinks();
    if (uplinks === undefined) return [candidate];
    return uplinks.map(({ uplink, name, socket, address }) => {
      const row = Int32Array.from(candidate.row);
      row[PathWord.socket] = socket;
      row.set(addressWords(address), PathWord.localIp);
      return { ...candidate, name: `${candidate.name} by ${name}`, row, uplink };
    });
  }

  /** Whether a row's socket and address still are those of a usable uplink. */
  #isStillThere(row: Int32Array): boolean {
    const uplinks = this.#options.uplinks();
    if (uplinks === undefined) return true;
    const local = localText(row);
    return uplinks.some((one) => one.socket === row[PathWord.socket] && one.address === local);
  }

  #attempt(candidate: Candidate): Promise<Outcome> {
    const { context, config, log } = this.#options;
    log.debug({ remote: candidate.name }, "dialling");
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.#finish = (outcome) => {
      this.#finish = undefined;
      this.#dropSession();
      resolve(outcome);
    };
    this.#begunMs = context.nowMs();
    this.#session = new PeerSession({
      index: DIALLED_INDEX,
      row: candidate.row,
      wrap: this.#options.wrap,
      sessionId: randomBytes(8),
      firstPacketId: this.#options.wrap.wrappedKey === undefined ? 1 : EARLY_PACKET_ID_FIRST,
      isDialled: true,
      isStream: candidate.isStream,
      uplink: candidate.uplink,
      ...(this.#hasReplicas ? { silentMsMax: REPLICA_SILENT_MS } : {}),
      context,
      events: {
        established: (agreement) => this.#established(agreement, candidate),
        updated: (agreement) => this.#options.updated(agreement),
        renegotiated: () => log.debug("key renewed"),
        notice: (message) => log.info({ message }, "message from the server"),
        ended: (cause, message, retryMs) => this.#sessionEnded(cause, message, retryMs),
      },
      createRole: (control, events) =>
        new ClientRole(
          control,
          {
            version: this.#options.version,
            ciphers: config.security.dataCiphers,
            device: config.device.kind,
            mtu: config.device.mtu,
            mtuBytesDefault: this.#options.mtuBytesDefault,
            hasParity: parityUsable(),
            isIpv6: remoteText(candidate.row).startsWith("["),
            isStream: candidate.isStream,
            isTwoPeer: this.#options.role.isTwoPeer === true,
            ...(this.#credentials === undefined ? {} : { credentials: this.#credentials }),
          },
          events,
        ),
    });
    const session = this.#session;
    context.linger(
      () => this.#checkAnswer(session, candidate),
      this.#redial.answerMs(this.#begunMs),
    );
    return promise;
  }

  #checkAnswer(session: PeerSession, candidate: Candidate): void {
    if (this.#session !== session || session.control.remoteSessionId !== undefined) return;
    const protocol = candidate.isStream ? "TCP" : "UDP";
    const message = `no answer from ${candidate.name}: is the address right, is ${protocol} let through, and do both ends have the same tls-crypt or tls-auth key?`;
    this.#finish?.({ wasUp: false, failure: new TunnelError("noAnswer", message) });
  }

  #established(agreement: Agreement, candidate: Candidate): void {
    this.#hasBeenUp = true;
    this.#upMs = this.#options.context.nowMs();
    this.#dialled = candidate.name;
    const { cipher, tlsVersion, commonName, pushed } = agreement;
    const fields = { remote: candidate.name, server: commonName, cipher, tls: tlsVersion };
    this.#options.log.info(fields, "connected");
    const { hasProbes = false, hasParity = false } = pushed ?? {};
    const note = this.#options.policyNote({ hasProbes, hasParity });
    if (note !== undefined) this.#options.log.warn(note);
    for (const option of pushed?.ignored ?? []) {
      this.#options.log.info({ option }, "pushed option ignored");
    }
    this.#options.established(agreement);
  }

  #sessionEnded(cause: EndCause, message: string, retryMs?: number): void {
    const session = this.#session;
    if (session === undefined) return;
    const later = retryMs === undefined ? {} : { retryMs };
    if (session.isUp) {
      this.#options.log.warn({ cause }, `disconnected: ${message}`);
      this.#options.lost();
      const isOurs = session.agreement?.pushed?.hasProbes === true;
      const times = { begunMs: this.#begunMs, upMs: this.#upMs };
      this.#redial.lost({ name: this.#dialled, isOurs }, times, this.#options.context.nowMs());
      this.#finish?.({ wasUp: true, ...later });
      return;
    }
    const failure = FAILURES[cause] ?? "noAnswer";
    this.#finish?.({ wasUp: false, failure: new TunnelError(failure, message), ...later });
  }

  /** Time cures silence and name servers, up to a limit; it does not cure a refusal. */
  #isFinal(error: TunnelError): boolean {
    if (this.#hasBeenUp || this.#options.keepsTrying) return false;
    if (error.failure !== "noAnswer" && error.failure !== "nameUnresolved") return true;
    const patienceMs = error.failure === "noAnswer" ? NO_ANSWER_MS : UNRESOLVED_MS;
    return this.#options.context.nowMs() - this.#startMs >= patienceMs;
  }

  #dropSession(): void {
    this.#session?.close();
    this.#session = undefined;
  }

  #pause(delayMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#finish = () => {
      this.#finish = undefined;
      resolve();
    };
    this.#options.context.linger(() => resolve(), delayMs);
    return promise;
  }
}

function unresolvedError(unresolved: readonly string[]): TunnelError {
  const names = unresolved.join(", ");
  const message = `dial.remotes: no name resolves: ${names}; check the names and this machine's name server`;
  return new TunnelError("nameUnresolved", message);
}

function noUplinkError(): TunnelError {
  const message =
    "no uplink is usable: fairlead status says why for each; check interfaces, addresses and routes";
  return new TunnelError("noAnswer", message);
}
