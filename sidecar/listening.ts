/**
 * The listening end of a tunnel: greets strangers, keeps one session per peer, tells each what
 * to use. One invariant: a peer's older session ends only when its newer one has authenticated,
 * so nobody who cannot do that ends anybody's session.
 */

import type { Logger } from "pino";
import { serialForm } from "../authority/revocation.ts";
import type { LimitedLog } from "./control/limited-log.ts";
import type {
  ListenConfig,
  LoginConfig,
  PeerConfig,
  TunnelConfig,
} from "./control/tunnel-config.ts";
import { Counter } from "./counters.ts";
import { HALF_OPEN_MAX, SESSIONS_MAX } from "./limits.ts";
import type { Logins } from "./logins.ts";
import { type EpochChange, type PeerContext, PeerSession } from "./peer-session.ts";
import type { RouteBook } from "./route-book.ts";
import { watchPeer } from "./segment-addresses.ts";
import type { SegmentWatch } from "./segment-watch.ts";
import { isOwnCertificate, serverSettings } from "./server-settings.ts";
import { printable } from "./session/handshake/client-role.ts";
import {
  FIRST_PACKET_ID_AFTER_GREETING,
  Greeter,
  type Greeting,
} from "./session/handshake/greeter.ts";
import { ServerRole } from "./session/handshake/server-role.ts";
import type { Agreement, EndCause } from "./session/handshake/session-outcome.ts";
import type { WrapFinder } from "./session/handshake/wrap-finder.ts";
import { isSameRemoteRow, remoteText } from "./uplink/address-words.ts";
import { connectionText } from "./uplink/connection-text.ts";

/** A refused peer's session is kept this long, so that it surely hears why. */
const REFUSED_LINGER_MS = 5000;
/** A server's own patience is double what it pushes, as stock's --keepalive. */
const SERVER_TIMEOUT_FACTOR = 2;

/** What the listening end is made with. */
export interface ListeningOptions {
  readonly config: TunnelConfig;
  readonly role: ListenConfig;
  readonly mtuBytes: number;
  /** Of a routed tunnel. */
  readonly routes: RouteBook | undefined;
  readonly cookieSecret: Buffer;
  readonly findWrap: WrapFinder;
  /** Absent: a certificate is enough. */
  readonly logins?: Logins | undefined;
  readonly plane: PeerContext["plane"];
  readonly context: PeerContext;
  readonly log: Logger;
  readonly limitedLog: LimitedLog;
  readonly watch: Pick<SegmentWatch, "refusedPeer">;
}

/** All peers of a listening tunnel. */
export class Listening {
  readonly #options: ListeningOptions;
  readonly #greeter: Greeter;
  readonly #sessions = new Map<number, PeerSession>();
  readonly #bySessionId = new Map<string, PeerSession>();
  readonly #names = new Map<number, PeerConfig>();
  #peers: readonly PeerConfig[];
  #nextIndex = 1;

  constructor(options: ListeningOptions) {
    this.#options = options;
    this.#peers = options.role.peers;
    this.#greeter = new Greeter(options.cookieSecret, options.findWrap);
    for (const peer of this.#peers) this.#declareStations(peer, -1);
  }

  /** Every live session with the peer that it belongs to, once that is known. */
  *sessions(): Generator<{ session: PeerSession; peer: PeerConfig | undefined }> {
    for (const session of this.#sessions.values()) {
      yield { session, peer: this.#names.get(session.index) };
    }
  }

  get peers(): readonly PeerConfig[] {
    return this.#peers;
  }

  /** Takes a new list of peers: those that are gone lose their session at once. */
  setPeers(peers: readonly PeerConfig[]): void {
    this.#peers = peers;
    this.#options.routes?.setPeers(peers);
    for (const [index, peer] of [...this.#names]) {
      const session = this.#sessions.get(index);
      const still = peers.find((candidate) => candidate.commonName === peer.commonName);
      if (session === undefined) continue;
      if (still === undefined) this.#cutOff(session, "the peer was deleted");
      else if (!isOwnCertificate(still, session.agreement?.fingerprint)) {
        this.#cutOff(session, "its certificate is none of the peer's any more");
      }
    }
    for (const peer of peers) this.#declareStations(peer, this.#indexOf(peer.commonName) ?? -1);
  }

  /** Ends the sessions of revoked certificates at once. */
  setRevoked(serials: ReadonlySet<string>): void {
    this.#cutOffAll("its certificate is revoked", ({ serialNumber }) => {
      return serialNumber !== undefined && serials.has(serialForm(serialNumber));
    });
  }

  /** Takes who may log in from now on; sessions of users that are gone or changed end at once. */
  setLogin(login: LoginConfig): void {
    const changed = this.#options.logins?.update(login);
    this.#cutOffAll("its user was removed or has another password", ({ username }) => {
      return username !== undefined && changed?.has(username) === true;
    });
  }

  step(index: number): void {
    this.#sessions.get(index)?.step();
  }

  /** A control datagram arrived. */
  control(row: Int32Array, datagram: Buffer): void {
    const sessionId = datagram.toString("hex", 1, 9);
    const session = this.#bySessionId.get(sessionId);
    if (session !== undefined) {
      session.receive(row, datagram);
      return;
    }
    const { context, plane, limitedLog } = this.#options;
    const address = Buffer.from(new Uint8Array(row.buffer, row.byteOffset, 20));
    const greeting = this.#greeter.greet(datagram, address, context.packetSeconds());
    switch (greeting.kind) {
      case "reply":
        plane.count(Counter.controlGreeted);
        plane.sendControl(row, greeting.datagram);
        return;
      case "accept":
        this.#accept(row, datagram, greeting);
        return;
      case "drop":
        if (greeting.reason === "unverified") {
          plane.count(Counter.controlUnverified);
          const message = "a control packet does not verify: another tls-crypt or tls-auth key?";
          limitedLog.warn("unverified", { from: remoteText(row) }, message);
        } else if (greeting.reason === "malformed") plane.count(Counter.controlMalformed);
        else plane.count(Counter.controlOtherSession);
    }
  }

  /** The data plane followed a peer to another path: control packets go there too. */
  floated(index: number, row: Int32Array): void {
    const session = this.#sessions.get(index);
    if (session === undefined) return;
    session.row = row;
    const peer = this.#names.get(index)?.name;
    this.#options.log.info({ peer, path: remoteText(row) }, "peer moved to another address");
  }

  silent(index: number): void {
    const session = this.#sessions.get(index);
    if (session !== undefined) this.#end(session, "peerSilent", "nothing was heard of it");
  }

  /** A TCP connection is over; errno 0: the peer closed it. */
  disconnected(row: Int32Array, errno: number): void {
    for (const session of this.#sessions.values()) {
      if (!isSameRemoteRow(session.row, row)) continue;
      this.#end(session, errno === 0 ? "peerLeft" : "connectionLost", connectionText(errno));
      return;
    }
  }

  exited(index: number): void {
    const session = this.#sessions.get(index);
    if (session !== undefined) this.#end(session, "peerLeft", "it ends the session");
  }

  followEpoch(change: EpochChange): void {
    this.#sessions.get(change.index)?.followEpoch(change);
  }

  needsKey(index: number): void {
    this.#sessions.get(index)?.renegotiate();
  }

  renegotiateAll(): void {
    for (const session of this.#sessions.values()) if (session.isUp) session.renegotiate();
  }

  sayGoodbye(): void {
    for (const session of this.#sessions.values()) session.sayGoodbye();
  }

  close(): void {
    for (const session of [...this.#sessions.values()]) this.#forget(session);
  }

  #accept(
    row: Int32Array,
    datagram: Buffer,
    greeting: Extract<Greeting, { kind: "accept" }>,
  ): void {
    const { sessionId, remoteSessionId, found } = greeting;
    const { plane, context } = this.#options;
    if (!this.#hasRoomForHalfOpen()) {
      plane.count(Counter.controlHalfOpenFull);
      return;
    }
    const index = this.#takeIndex();
    if (index === undefined) {
      plane.count(Counter.controlSessionsFull);
      return;
    }
    const session: PeerSession = new PeerSession({
      index,
      row,
      wrap: found.wrap,
      sessionId,
      remoteSessionId,
      firstPacketId: FIRST_PACKET_ID_AFTER_GREETING,
      isDialled: false,
      isStream: this.#options.role.protocol === "Tcp",
      context,
      events: {
        established: (agreement) => this.#established(session, agreement),
        updated: () => undefined,
        renegotiated: () => this.#logOf(session).debug("key renewed"),
        notice: (message) => this.#logOf(session).info({ message }, "message from the peer"),
        ended: (cause, message) => this.#ended(session, cause, message),
      },
      createRole: (control, events) => {
        const stranger = { index, row, keyPeer: found.keyPeer };
        const settings = serverSettings(this.#options, () => this.#peers, stranger);
        return new ServerRole(control, settings, events);
      },
    });
    const name = remoteSessionId.toString("hex");
    this.#sessions.set(index, session);
    this.#bySessionId.set(name, session);
    plane.order({ kind: "knowSession", sessionId: name, index });
    session.receive(row, datagram);
  }

  /**
   * Whether one more may be half open; of those without a good certificate the oldest gives way, so
   * that nobody who only begins handshakes keeps others out.
   */
  #hasRoomForHalfOpen(): boolean {
    if (this.#sessions.size - this.#names.size < HALF_OPEN_MAX) return true;
    // The map keeps the order in which sessions began.
    for (const session of this.#sessions.values()) {
      const { shown } = session.control;
      if (session.isUp || (shown !== undefined && shown.problem === undefined)) continue;
      this.#options.plane.count(Counter.controlHalfOpenGone);
      this.#forget(session);
      return true;
    }
    return false;
  }

  #established(session: PeerSession, agreement: Agreement): void {
    const peer = this.#peers.find((candidate) => candidate.commonName === agreement.commonName);
    if (peer === undefined) return;
    for (const [index, known] of [...this.#names]) {
      const older = this.#sessions.get(index);
      if (known.commonName !== peer.commonName || older === undefined) continue;
      this.#end(older, "replaced", "its newer session takes over");
    }
    this.#names.set(session.index, peer);
    this.#declareStations(peer, session.index);
    watchPeer(this.#options.plane, peer, session.index);
    const { cipher, tlsVersion, remoteMtuBytes, peerInfo } = agreement;
    const fields = { peer: peer.name, path: remoteText(session.row), cipher, tls: tlsVersion };
    this.#options.log.info({ ...fields, version: peerInfo?.version }, "peer connected");
    const { mtuBytes, routes } = this.#options;
    const peerMtuBytes = peerInfo?.takesMtu === true ? 0 : (remoteMtuBytes ?? 0);
    routes?.connected(session.index, peer.commonName, peerMtuBytes);
    if (
      remoteMtuBytes !== undefined &&
      remoteMtuBytes !== mtuBytes &&
      peerInfo?.takesMtu !== true
    ) {
      const message = `MTU mismatch: the peer's tun-mtu is ${remoteMtuBytes}, this segment's ${mtuBytes}; set both alike`;
      this.#options.log.warn({ peer: peer.name }, message);
    }
  }

  #ended(session: PeerSession, cause: EndCause, message: string): void {
    const isRefusal =
      cause === "certificateRefused" ||
      cause === "authenticationFailed" ||
      cause === "noCommonCipher";
    if (!isRefusal) {
      this.#end(session, cause, message);
      return;
    }
    const from = remoteText(session.row);
    const name = session.control.shown?.commonName;
    const fields = { from, name, cause };
    const kind = cause === "noCommonCipher" ? "cipher" : "peer";
    this.#options.watch.refusedPeer(kind, printable(name ?? "without a name"), message);
    this.#options.limitedLog.warn(`${cause} ${from}`, fields, `peer refused: ${message}`);
    this.#options.context.schedule(session.index, 0);
    this.#options.context.linger(() => this.#forget(session), REFUSED_LINGER_MS);
  }

  /** The peers of whom it holds that they may not go on. */
  #cutOffAll(reason: string, isGone: (agreement: Agreement) => boolean): void {
    for (const session of [...this.#sessions.values()]) {
      const { agreement, isUp } = session;
      if (isUp && agreement !== undefined && isGone(agreement)) this.#cutOff(session, reason);
    }
  }

  /** The peer may not go on: no frame of it from now on, and it hears why. */
  #cutOff(session: PeerSession, reason: string): void {
    const peer = this.#names.get(session.index);
    const fields = { peer: peer?.name, path: remoteText(session.row), cause: "certificateRefused" };
    this.#options.log.info(fields, `peer cut off: ${reason}`);
    session.cutOff(reason);
    this.#names.delete(session.index);
    if (peer !== undefined && this.#indexOf(peer.commonName) === undefined) {
      this.#declareStations(peer, -1);
    }
    this.#options.context.linger(() => this.#forget(session), REFUSED_LINGER_MS);
  }

  #end(session: PeerSession, cause: EndCause, message: string): void {
    const peer = this.#names.get(session.index)?.name;
    const from = remoteText(session.row);
    if (peer !== undefined) {
      this.#options.log.info({ peer, path: from, cause }, `peer disconnected: ${message}`);
    } else {
      this.#options.limitedLog.warn(
        `${cause} ${from}`,
        { from, cause },
        `handshake failed: ${message}`,
      );
    }
    this.#forget(session);
  }

  #forget(session: PeerSession): void {
    if (!this.#sessions.delete(session.index)) return;
    const sessionId = session.control.remoteSessionId?.toString("hex") ?? "";
    this.#bySessionId.delete(sessionId);
    this.#options.plane.order({ kind: "knowSession", sessionId, index: 0 });
    const peer = this.#names.get(session.index);
    this.#names.delete(session.index);
    session.close();
    if (peer !== undefined && this.#indexOf(peer.commonName) === undefined) {
      this.#declareStations(peer, -1);
    }
  }

  #indexOf(commonName: string): number | undefined {
    for (const [index, peer] of this.#names) if (peer.commonName === commonName) return index;
    return undefined;
  }

  #declareStations(peer: PeerConfig, index: number): void {
    for (const mac of peer.stations) {
      this.#options.plane.order({ kind: "declareStation", index, mac });
    }
  }

  /** The next free number, round and round: a late packet of an old session meets no new one. */
  #takeIndex(): number | undefined {
    for (let count = 0; count < SESSIONS_MAX; count++) {
      const index = this.#nextIndex;
      this.#nextIndex = (index % SESSIONS_MAX) + 1;
      if (!this.#sessions.has(index)) return index;
    }
    return undefined;
  }

  #logOf(session: PeerSession): Logger {
    return this.#options.log.child({ peer: this.#names.get(session.index)?.name });
  }
}

/** How long a silent peer is believed, milliseconds. */
export function serverTimeoutMs(timeoutSeconds: number): number {
  return timeoutSeconds * SERVER_TIMEOUT_FACTOR * 1000;
}
