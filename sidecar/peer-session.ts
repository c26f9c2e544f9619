/**
 * One peer's session on the main thread: its control channel, the timer that drives it, and the
 * orders that follow from it. One invariant: the data plane has a session only between
 * `established` and `close`, and every key slot that was taken is released once.
 */

import type { KeySlots, SlotName } from "./cipher/key-slots.ts";
import type { Notice } from "./control/orders.ts";
import { Counter } from "./counters.ts";
import { parityUsable } from "./native/native.ts";
import type { PlaneLink } from "./plane-link.ts";
import { EpochRing } from "./session/epoch-ring.ts";
import { ControlSession, type ControlVerdict } from "./session/handshake/control-session.ts";
import type { ControlWrap } from "./session/handshake/control-wrap.ts";
import type { DataKeys, EpochSecrets } from "./session/handshake/data-keys.ts";
import { EpochChain } from "./session/handshake/epoch-keys.ts";
import type { Agreement, SessionEvents } from "./session/handshake/session-outcome.ts";
import type { SessionRole } from "./session/handshake/session-role.ts";
import type { TlsEngineFactory } from "./session/handshake/tls-engine.ts";

/** What a session tells the end that it belongs to. */
export interface PeerEvents {
  readonly established: (agreement: Agreement) => void;
  readonly updated: (agreement: Agreement) => void;
  readonly renegotiated: () => void;
  readonly notice: (message: string) => void;
  readonly ended: SessionEvents["ended"];
}

/** A data plane's word that packets of another epoch leave or arrive. */
export type EpochChange = Pick<
  Extract<Notice, { kind: "epoch" }>,
  "index" | "keyId" | "epoch" | "isOurs"
>;

/** What a session uses of its surroundings. */
export interface PeerContext {
  readonly plane: Pick<PlaneLink, "order" | "sendControl" | "count">;
  readonly keySlots: KeySlots;
  readonly createTls: TlsEngineFactory;
  readonly keepalive: { readonly pingIntervalMs: number; readonly timeoutMs: number };
  /** Monotonic milliseconds that never wrap. */
  readonly nowMs: () => number;
  readonly wallSeconds: () => number;
  /** Seconds for packet ids of control packets: they never go back. */
  readonly packetSeconds: () => number;
  /** Asks for `step` after so many milliseconds; Infinity for never. */
  readonly schedule: (index: number, delayMs: number) => void;
  /** Calls back once after so many milliseconds, unless the tunnel was closed. */
  readonly linger: (then: () => void, delayMs: number) => void;
}

/** A role that can say how it wants to be told of the end. */
export type DrivenRole = SessionRole & { readonly usesExitMessage: boolean };

const NO_SLOT = "no key slot is free: too many sessions in this process";

const VERDICT_COUNTERS: Record<Exclude<ControlVerdict, "accepted">, Counter> = {
  unverified: Counter.controlUnverified,
  replayed: Counter.controlReplayed,
  malformed: Counter.controlMalformed,
  otherSession: Counter.controlOtherSession,
  unexpected: Counter.controlUnexpected,
};

/** One peer. */
export class PeerSession {
  readonly index: number;
  readonly control: ControlSession;
  agreement: Agreement | undefined;
  /** When it was established, wall clock in milliseconds. */
  sinceMs = 0;
  /** Path of its control packets: by which the last fresh one came. */
  row: Int32Array;
  readonly #context: PeerContext;
  readonly #role: DrivenRole;
  readonly #isDialled: boolean;
  readonly #isStream: boolean;
  readonly #silentMsMax: number;
  readonly #wrap: ControlWrap;
  readonly #uplink: number;
  readonly #keys = new Map<number, { open: SlotName; seal: SlotName }>();
  readonly #epochs = new Map<number, EpochRing>();
  #isClosed = false;
  #isCutOff = false;

  constructor(options: {
    readonly index: number;
    readonly row: Int32Array;
    readonly wrap: ControlWrap;
    readonly sessionId: Buffer;
    readonly remoteSessionId?: Buffer;
    readonly firstPacketId: number;
    readonly isDialled: boolean;
    /** `row` is a TCP connection, which is this session's alone. */
    readonly isStream: boolean;
    /** Towards an end of ours: longest silence, when there is another one to go to. */
    readonly silentMsMax?: number;
    /** Number of the uplink that `row` leaves by; absent: 0. */
    readonly uplink?: number;
    readonly context: PeerContext;
    readonly events: PeerEvents;
    readonly createRole: (control: ControlSession, events: SessionEvents) => DrivenRole;
  }) {
    const { context, events } = options;
    this.index = options.index;
    this.row = options.row;
    this.#context = context;
    this.#isDialled = options.isDialled;
    this.#isStream = options.isStream;
    this.#silentMsMax = options.silentMsMax ?? Number.POSITIVE_INFINITY;
    this.#wrap = options.wrap;
    this.#uplink = options.uplink ?? 0;
    this.control = new ControlSession({
      sessionId: options.sessionId,
      ...(options.remoteSessionId === undefined
        ? {}
        : { remoteSessionId: options.remoteSessionId }),
      wrap: options.wrap,
      startSeconds: context.packetSeconds(),
      firstPacketId: options.firstPacketId,
      host: {
        createTls: context.createTls,
        send: (datagram) => context.plane.sendControl(this.row, datagram),
        wake: () => context.schedule(this.index, 0),
      },
    });
    this.#role = options.createRole(this.control, this.#sessionEvents(events));
    this.control.start(this.#role, context.nowMs());
    context.schedule(this.index, 0);
  }

  get isUp(): boolean {
    return this.agreement !== undefined && !this.#isClosed && !this.#isCutOff;
  }

  /** Ends its data at once and tells the peer why; its control channel lives until `close`. */
  cutOff(reason: string): void {
    if (!this.isUp) return;
    this.#isCutOff = true;
    for (const keyId of [...this.#keys.keys(), ...this.#epochs.keys()]) this.#retire(keyId);
    this.#context.plane.order({ kind: "closeSession", index: this.index });
    this.control.sendText(`AUTH_FAILED,${reason}`);
    this.#context.schedule(this.index, 0);
  }

  /** Takes in a control datagram that came by the path in `row`; true when it was good. */
  receive(row: Int32Array, datagram: Buffer): boolean {
    const { nowMs, plane, schedule } = this.#context;
    const verdict = this.control.receive(datagram, nowMs());
    schedule(this.index, 0);
    if (verdict !== "accepted") {
      plane.count(VERDICT_COUNTERS[verdict]);
      return false;
    }
    // Only what the wrapping authenticated moves the answers; a dialling end chose its path. Until it is
    // up a session stays where its cookie was answered from: data begins there without another check,
    // and a copy of a packet can be quicker than the packet.
    const isFixed = this.#isDialled || this.#isStream || this.agreement === undefined;
    if (this.#wrap.isAuthenticated && !isFixed) this.row = row;
    return true;
  }

  /** Does what is due and asks to be called again. */
  step(): void {
    const { nowMs, schedule } = this.#context;
    this.control.step(nowMs());
    schedule(this.index, this.control.nextDueMs - nowMs());
  }

  /** An end went to another epoch: the other's first packet of it arrived, or ours left. */
  followEpoch({ keyId, epoch, isOurs }: EpochChange): void {
    const ring = this.#epochs.get(keyId);
    if (isOurs) ring?.sending(epoch);
    else ring?.received(epoch);
  }

  /** Starts a new key, if none is being negotiated. */
  renegotiate(): boolean {
    const isStarted = this.control.renegotiate(this.#context.nowMs());
    if (isStarted) this.step();
    return isStarted;
  }

  /** Tells the peer that we go, in the way that it understands. */
  sayGoodbye(): void {
    if (!this.isUp) return;
    if (this.#role.usesExitMessage) this.control.sendText("EXIT");
    else this.#context.plane.order({ kind: "sendExit", index: this.index });
    this.#context.schedule(this.index, 0);
  }

  /** Ends it on both threads; nothing is sent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.control.close();
    for (const keyId of [...this.#keys.keys(), ...this.#epochs.keys()]) this.#retire(keyId);
    if (this.agreement !== undefined && !this.#isCutOff) {
      this.#context.plane.order({ kind: "closeSession", index: this.index });
    }
    if (this.#isStream) {
      this.#context.plane.order({ kind: "disconnect", path: Array.from(this.row) });
    }
    this.#context.schedule(this.index, Infinity);
  }

  #sessionEvents(events: PeerEvents): SessionEvents {
    const { plane } = this.#context;
    return {
      installKeys: (keyId, keys) => {
        if (!this.#isCutOff) this.#install(keyId, keys, events);
      },
      installEpochs: (keyId, secrets) => {
        if (!this.#isCutOff) this.#installEpochs(keyId, secrets, events);
      },
      sendWith: (keyId) => plane.order({ kind: "sendWith", index: this.index, keyId }),
      retireKey: (keyId) => this.#retire(keyId),
      established: (agreement) => {
        this.#open(agreement);
        events.established(agreement);
      },
      updated: (agreement) => {
        this.agreement = agreement;
        events.updated(agreement);
      },
      renegotiated: events.renegotiated,
      notice: events.notice,
      ended: (cause, message, retryMs) => {
        if (!this.#isClosed) events.ended(cause, message, retryMs);
      },
    };
  }

  #open(agreement: Agreement): void {
    this.agreement = agreement;
    this.sinceMs = this.#context.wallSeconds() * 1000;
    const pushed = agreement.pushed;
    const { keepalive, plane } = this.#context;
    const hasProbes = pushed?.hasProbes ?? agreement.peerInfo?.hasProbes ?? false;
    const silentMsMax = hasProbes ? this.#silentMsMax : Number.POSITIVE_INFINITY;
    const timeoutMs =
      pushed?.pingRestartSeconds === undefined
        ? keepalive.timeoutMs
        : pushed.pingRestartSeconds * 1000;
    plane.order({
      kind: "openSession",
      index: this.index,
      peerId: agreement.peerId,
      isDialled: this.#isDialled,
      isStream: this.#isStream,
      path: Array.from(this.row),
      hasProbes,
      hasParity: parityUsable() && (pushed?.hasParity ?? agreement.peerInfo?.hasParity ?? false),
      uplink: this.#uplink,
      // What the server pushes wins, as with stock.
      pingIntervalMs:
        pushed?.pingSeconds === undefined ? keepalive.pingIntervalMs : pushed.pingSeconds * 1000,
      timeoutMs: Math.min(timeoutMs, silentMsMax),
    });
  }

  #install(keyId: number, keys: DataKeys, events: PeerEvents): void {
    this.#retire(keyId);
    const slots = this.#context.keySlots.install(keys);
    if (slots === undefined) {
      events.ended("protocolError", NO_SLOT);
      return;
    }
    this.#keys.set(keyId, slots);
    this.#context.plane.order({ kind: "installKey", index: this.index, keyId, ...slots });
  }

  #installEpochs(keyId: number, secrets: EpochSecrets, events: PeerEvents): void {
    this.#retire(keyId);
    const { plane, keySlots } = this.#context;
    const { cipher } = secrets;
    const chains = {
      send: new EpochChain(secrets.send, cipher),
      receive: new EpochChain(secrets.receive, cipher),
    };
    const to = { index: this.index, keyId };
    const ring = new EpochRing(chains, {
      install: (key) => keySlots.installOne(key, cipher, "epoch"),
      release: (slot) => keySlots.release(slot),
      receiveWith: (epoch, open) => plane.order({ kind: "receiveEpoch", ...to, epoch, open }),
      sendNext: (epoch, seal, isNow) =>
        plane.order({ kind: "sendEpoch", ...to, epoch, seal, isNow }),
    });
    this.#epochs.set(keyId, ring);
    plane.order({ kind: "installEpochs", ...to });
    if (!ring.start()) events.ended("protocolError", NO_SLOT);
  }

  #retire(keyId: number): void {
    const ring = this.#epochs.get(keyId);
    if (ring !== undefined) {
      this.#epochs.delete(keyId);
      this.#context.plane.order({ kind: "retireKey", index: this.index, keyId });
      ring.close();
    }
    const slots = this.#keys.get(keyId);
    if (slots === undefined) return;
    this.#keys.delete(keyId);
    this.#context.plane.order({ kind: "retireKey", index: this.index, keyId });
    this.#context.keySlots.release(slots.open);
    this.#context.keySlots.release(slots.seal);
  }
}
