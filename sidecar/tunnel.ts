/**
 * One tunnel of this process: its device, its sockets, its data plane, and the listening or
 * dialling end on top. One invariant: `close` undoes everything that `start` did, in reverse
 * order, whatever state the tunnel is in.
 */

import { randomBytes } from "node:crypto";
import { getSystemErrorName } from "node:util";
import type { Logger } from "pino";
import { revokedSerials } from "../authority/revocation.ts";
import type { KeySlots } from "./cipher/key-slots.ts";
import { type Clock, monotonicMs, type SystemClock, steadySeconds } from "./clock.ts";
import { LimitedLog } from "./control/limited-log.ts";
import type { CaptureFilter, Notice } from "./control/orders.ts";
import type { PeerStatus, TunnelStatus } from "./control/status.ts";
import type { TunnelConfig } from "./control/tunnel-config.ts";
import { Dialling } from "./dialling.ts";
import { SESSIONS_MAX } from "./limits.ts";
import { Listening, serverTimeoutMs } from "./listening.ts";
import { loginsOf } from "./logins.ts";
import * as native from "./native/native.ts";
import { dispatchNotice } from "./notice-dispatch.ts";
import type { PeerContext } from "./peer-session.ts";
import { namesOf, peerStatuses } from "./peer-status.ts";
import { type PlaneCapture, PlaneLink } from "./plane-link.ts";
import { MTU_BYTES_AUTO_MAX, planeSettings } from "./plane-settings.ts";
import { DIALLED_INDEX } from "./ports.ts";
import { deviceAtOpening, SegmentAddresses } from "./segment-addresses.ts";
import { SegmentWatch } from "./segment-watch.ts";
import { createControlWrap } from "./session/handshake/control-wrap.ts";
import type { Agreement } from "./session/handshake/session-outcome.ts";
import type { TlsEngineFactory } from "./session/handshake/tls-engine.ts";
import { createWrapFinder } from "./session/handshake/wrap-finder.ts";
import { Device } from "./tap/device.ts";
import { MainTimer, TimerTable } from "./timer-table.ts";
import { tlsEnginesOf } from "./tls-engines.ts";
import { TunnelError } from "./tunnel-error.ts";
import { MTU_BYTES_DEFAULT, TunnelMtu } from "./tunnel-mtu.ts";
import { TunnelRoutes } from "./tunnel-routes.ts";
import { openSockets } from "./uplink/open-socket.ts";
import { UplinkBoard } from "./uplink-board.ts";

/** How long a clean stop waits for the goodbye to leave. */
const GOODBYE_MS = 150;
/** Calls back for lingering sessions and the like: behind the sessions' own timers. */
const LINGER_TIMERS = 1024;
const RENEGOTIATE_TIMER: number = SESSIONS_MAX + 1;
const FIRST_LINGER_TIMER: number = SESSIONS_MAX + 2;

/** What a tunnel uses of the process around it. */
export interface TunnelContext {
  readonly version: string;
  readonly clock: SystemClock;
  readonly keySlots: KeySlots;
  readonly log: Logger;
  readonly keepsTrying: boolean;
  /** A running session may go on with another certificate; stock servers refuse that. */
  readonly isOursAtServer: boolean;
  /** The tunnel cannot go on; the others do. */
  readonly failed: (tunnel: Tunnel, error: TunnelError) => void;
}

/** One running tunnel. */
export class Tunnel {
  readonly name: string;
  readonly log: Logger;
  readonly #config: TunnelConfig;
  readonly #context: TunnelContext;
  readonly #device: Device;
  readonly #plane: PlaneLink;
  readonly #segment: SegmentWatch;
  readonly #routes: TunnelRoutes;
  readonly #addresses: SegmentAddresses;
  readonly #timer: MainTimer;
  readonly #end: Listening | Dialling;
  readonly #undo: (() => void | Promise<void>)[] = [];
  readonly #lingering = new Map<number, () => void>();
  readonly #board: UplinkBoard;
  readonly #mtu: TunnelMtu;
  #createTls: TlsEngineFactory;
  #nextLinger = 0;
  #failure: TunnelError | undefined;
  #isClosed = false;

  /** Starts a tunnel; throws a TunnelError, with nothing left behind. */
  constructor(config: TunnelConfig, context: TunnelContext) {
    this.name = `${config.namespace}/${config.name}`;
    this.log = context.log.child({ tunnel: this.name });
    this.#config = config;
    this.#context = context;
    this.#createTls = tlsEnginesOf(config.security, context.clock);
    this.#board = new UplinkBoard(config.uplinks, this.log);
    const mtuBytes = config.device.mtu === "Auto" ? MTU_BYTES_DEFAULT : config.device.mtu;
    try {
      const sockets = config.uplinks === undefined ? this.#openSockets() : [];
      this.#device = Device.open(deviceAtOpening(config), this.name, mtuBytes);
      this.#mtu = new TunnelMtu(mtuBytes, this.#device, this.log);
      this.#undo.push(() => this.#device.close());
      this.#timer = this.#createTimer(context.clock);
      this.#plane = this.#startPlane(sockets);
      this.#segment = new SegmentWatch(this.#plane, this.log);
      const linger: PeerContext["linger"] = (then, delayMs) => this.#linger(then, delayMs);
      const around = { plane: this.#plane, device: this.#device, log: this.log, linger };
      this.#routes = new TunnelRoutes(config, this.#device, around);
      this.#addresses = new SegmentAddresses({ config, ...around });
      this.#undo.push(() => this.#routes.close());
      this.#end = this.#createEnd();
    } catch (error) {
      for (const step of this.#undo.reverse()) void step();
      throw error;
    }
    if (this.#end instanceof Dialling) void this.#end.run();
    this.#scheduleRenegotiation();
    const { name, segmentName: segment } = this.#device;
    this.log.info({ interface: name, segment }, "tunnel started");
  }

  get failure(): TunnelError | undefined {
    return this.#failure;
  }

  /** Takes what of a new configuration can be taken without dropping a frame; else says no. */
  update(config: TunnelConfig): boolean {
    if (config.role.kind === "dial" && this.#end instanceof Dialling) {
      this.#createTls = tlsEnginesOf(config.security, this.#context.clock);
      if (config.uplinks !== undefined) this.#plane.order(this.#board.declare(config.uplinks));
      return true;
    }
    if (!(this.#end instanceof Listening) || config.role.kind !== "listen") return false;
    this.#createTls = tlsEnginesOf(config.security, this.#context.clock);
    this.#end.setRevoked(revokedSerials(config.security.crlPem ?? ""));
    this.#end.setPeers(config.role.peers);
    if (config.security.login !== undefined) this.#end.setLogin(config.security.login);
    this.#routes.peersChanged();
    const { segment } = config;
    if (segment !== undefined) this.#plane.order({ kind: "changeSegment", segment });
    return true;
  }

  /** Says goodbye to the peers, stops the data plane, removes what was made. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#addresses.close();
    this.#end.sayGoodbye();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#linger(resolve, GOODBYE_MS);
    await promise;
    this.#end.close();
    for (const step of this.#undo.reverse()) await step();
    this.log.info("tunnel stopped");
  }

  status(): TunnelStatus {
    const { role, namespace, name } = this.#config;
    const nowMs = this.#context.clock.nowMs();
    const peers = this.#peers(nowMs);
    const isUp = peers.some((peer) => peer.state === "Up") && !this.#addresses.isAsking;
    const names = namesOf(peers);
    const routes = this.#routes.status(peers);
    const problem = this.#failure?.message ?? this.#addresses.problem;
    const state =
      this.#failure !== undefined
        ? "Failed"
        : isUp
          ? "Up"
          : role.kind === "listen"
            ? "Listening"
            : "Connecting";
    return {
      namespace,
      name,
      role: role.kind,
      state,
      ...(problem === undefined ? {} : { problem }),
      interface: this.#device.name,
      segmentInterface: this.#device.segmentName,
      mtuBytes: this.#mtu.bytes,
      uplinks: this.#board.uplinks(),
      peers,
      ...this.#segment.status(names, nowMs),
      ...(routes === undefined ? {} : { routes }),
      ...this.#addresses.status(),
      tap: this.#plane.traffic(0),
      counters: this.#plane.counters(),
    };
  }

  /** Begins a capture at the switch; undefined: as many as may be are running. */
  capture(filter: CaptureFilter): PlaneCapture | undefined {
    return this.#plane.capture(filter);
  }

  /** Names of the peers that are here, by switch port. */
  names(): ReadonlyMap<number, string> {
    return namesOf(this.#peers(this.#context.clock.nowMs()));
  }

  #openSockets(): number[] {
    const handles = openSockets(native, this.#config.role);
    this.#undo.push(() => handles.forEach(native.handleClose));
    return handles;
  }

  #createTimer(clock: Pick<Clock, "nowMs">): MainTimer {
    const table = new TimerTable(FIRST_LINGER_TIMER + LINGER_TIMERS);
    const timer = new MainTimer(table, clock, (due) => this.#onTimer(due));
    this.#undo.push(() => timer.stop());
    return timer;
  }

  #startPlane(sockets: readonly number[]): PlaneLink {
    const control = native.eventOpen();
    if (control.errno !== 0) {
      throw new TunnelError("internal", `eventfd: ${getSystemErrorName(-control.errno)}`);
    }
    this.#undo.push(() => {
      native.handleClose(control.handle);
    });
    const plane = new PlaneLink(
      planeSettings(this.#config, {
        mtuBytes: this.#mtu.bytes,
        clockOrigin: this.#context.clock.origin,
        controlHandle: control.handle,
        tapHandle: this.#device.handle,
        socketHandles: sockets,
      }),
      {
        control: (row, datagram) => {
          if (!this.#isClosed) this.#end.control(row, datagram);
        },
        notice: (notice) => this.#onNotice(notice),
        died: (error) => {
          this.log.error({ err: error }, "the data path died");
          this.#fail(
            new TunnelError("internal", `the data path died: ${error.message}`, { cause: error }),
          );
        },
      },
    );
    this.#undo.push(() => plane.stop());
    return plane;
  }

  #createEnd(): Listening | Dialling {
    const { role, transport, security } = this.#config;
    const { intervalSeconds, timeoutSeconds } = transport.keepalive;
    const isListening = role.kind === "listen";
    const context: PeerContext = {
      plane: this.#plane,
      keySlots: this.#context.keySlots,
      createTls: (role, handlers) => this.#createTls(role, handlers),
      keepalive: {
        pingIntervalMs: intervalSeconds * 1000,
        timeoutMs: isListening ? serverTimeoutMs(timeoutSeconds) : timeoutSeconds * 1000,
      },
      nowMs: monotonicMs,
      wallSeconds: () => this.#context.clock.wallSeconds(),
      packetSeconds: steadySeconds(this.#context.clock, monotonicMs),
      schedule: (index, delayMs) => this.#schedule(index, delayMs),
      linger: (then, delayMs) => this.#linger(then, delayMs),
    };
    const shared = { config: this.#config, plane: this.#plane, context, log: this.log };
    if (role.kind === "listen") {
      const limitedLog = new LimitedLog(this.log, monotonicMs);
      const cookieSecret = randomBytes(32);
      const findWrap = createWrapFinder(security.wrap);
      const mtuBytes = this.#mtu.bytes;
      const { book: routes } = this.#routes;
      const logins = loginsOf(security.login, { context, limitedLog });
      const own = { cookieSecret, findWrap, limitedLog, logins, watch: this.#segment };
      return new Listening({ ...shared, role, routes, mtuBytes, ...own });
    }
    if (security.wrap.kind === "TlsCryptV2Server") {
      throw new TunnelError("internal", "a dialling tunnel has no tls-crypt-v2 server key");
    }
    return new Dialling({
      ...shared,
      wrap: createControlWrap(security.wrap, "client"),
      role,
      version: this.#context.version,
      mtuBytesDefault: MTU_BYTES_DEFAULT,
      keepsTrying: this.#context.keepsTrying,
      uplinks: () => this.#board.usable(),
      policyNote: (peer) => this.#board.policyNote(peer),
      established: (agreement) => {
        this.#mtu.follow(0);
        this.#takePushed(agreement);
      },
      updated: (agreement) => this.#takePushed(agreement),
      lost: () => undefined,
      failed: (error) => this.#fail(error),
    });
  }

  /** What the server said about this end's interface; an address of our own configuration wins. */
  #takePushed(agreement: Agreement): void {
    const { device } = this.#config;
    const mtuBytes = agreement.remoteMtuBytes;
    try {
      if (device.mtu === "Auto" && mtuBytes !== undefined) {
        this.#mtu.agree(Math.min(mtuBytes, MTU_BYTES_AUTO_MAX));
      }
      this.#addresses.established(agreement);
      const { session } = this.#end as Dialling;
      if (session !== undefined) this.#routes.connected(agreement.pushed, session.row);
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      this.log.error({ cause: error.failure }, `pushed settings not taken: ${error.message}`);
    }
  }

  #peers(nowMs: number): PeerStatus[] {
    return peerStatuses(this.#end, { plane: this.#plane, board: this.#board, nowMs });
  }

  #onNotice(notice: Notice): void {
    if (this.#isClosed) return;
    dispatchNotice(notice, {
      end: this.#end,
      board: this.#board,
      segment: (told) => {
        if (told.kind === "addressConflict") this.#addresses.conflict(told);
        this.#segment.take(told, this.names());
      },
      way: (mtuBytes) => this.#mtu.follow(mtuBytes),
      failed: (operation, errno) => {
        const why = `the data path failed: ${operation}: ${getSystemErrorName(-errno)}`;
        this.#fail(new TunnelError("internal", why));
      },
    });
  }

  #onTimer(timer: number): void {
    if (timer >= FIRST_LINGER_TIMER) {
      const then = this.#lingering.get(timer);
      this.#lingering.delete(timer);
      then?.();
      return;
    }
    if (timer === RENEGOTIATE_TIMER) {
      this.#end.renegotiateAll();
      this.#scheduleRenegotiation();
      return;
    }
    if (this.#end instanceof Listening) this.#end.step(timer);
    else if (timer === DIALLED_INDEX) this.#end.step();
  }

  #scheduleRenegotiation(): void {
    const { renegotiateSeconds } = this.#config.transport;
    if (renegotiateSeconds > 0) this.#schedule(RENEGOTIATE_TIMER, renegotiateSeconds * 1000);
  }

  #schedule(timer: number, delayMs: number): void {
    if (delayMs === Infinity) this.#timer.cancel(timer);
    else
      this.#timer.set(timer, (this.#context.clock.nowMs() + Math.max(0, Math.ceil(delayMs))) | 0);
  }

  #linger(then: () => void, delayMs: number): void {
    for (let tries = 0; tries < LINGER_TIMERS; tries++) {
      const timer = FIRST_LINGER_TIMER + this.#nextLinger;
      this.#nextLinger = (this.#nextLinger + 1) % LINGER_TIMERS;
      if (this.#lingering.has(timer)) continue;
      this.#lingering.set(timer, then);
      this.#schedule(timer, delayMs);
      return;
    }
    // All taken: what was to happen later happens now.
    then();
  }

  #fail(error: TunnelError): void {
    if (this.#failure !== undefined || this.#isClosed) return;
    this.#failure = error;
    this.#context.failed(this, error);
  }
}
