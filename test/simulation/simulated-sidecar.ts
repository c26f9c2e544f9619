/**
 * One sidecar in virtual time: the real data path's loop and the real dialling or listening end, over a
 * machine of the simulation. One invariant: both threads' parts speak only by the rings, as in the
 * program.
 */
import assert from "node:assert/strict";
import { pino } from "pino";
import { SharedRing, sharedRingMemory } from "../../sidecar/buffer/shared-ring.ts";
import { KEY_SLOTS, KeySlots } from "../../sidecar/cipher/key-slots.ts";
import { LimitedLog } from "../../sidecar/control/limited-log.ts";
import * as orders from "../../sidecar/control/orders.ts";
import type { TunnelConfig } from "../../sidecar/control/tunnel-config.ts";
import { Counters, countersSnapshot, TrafficTable } from "../../sidecar/counters.ts";
import { Dialling } from "../../sidecar/dialling.ts";
import { PORTS_MAX } from "../../sidecar/limits.ts";
import { Listening, serverTimeoutMs } from "../../sidecar/listening.ts";
import { DESCRIPTOR_WORDS, PathWord, Ready } from "../../sidecar/native/layout.ts";
import { dispatchNotice } from "../../sidecar/notice-dispatch.ts";
import { PathCounts } from "../../sidecar/path-counts.ts";
import type { PeerContext } from "../../sidecar/peer-session.ts";
import { planeSettings, REPLAY_AUTO } from "../../sidecar/plane-settings.ts";
import { createControlWrap } from "../../sidecar/session/handshake/control-wrap.ts";
import type { TlsEngineFactory } from "../../sidecar/session/handshake/tls-engine.ts";
import { createWrapFinder } from "../../sidecar/session/handshake/wrap-finder.ts";
import { UsageTable } from "../../sidecar/session/key-usage.ts";
import { PATHS_MAX } from "../../sidecar/session/path-set.ts";
import { UplinkBoard } from "../../sidecar/uplink-board.ts";
import { WorkerLoop } from "../../sidecar/worker.ts";
import { EVERYBODY, type Ledger } from "./ledger.ts";
import type { Machine } from "./machine.ts";
import type { Datagram } from "./network.ts";
import { OrderWatch } from "./order-watch.ts";
import { frameNumber, type Leaving, type StandInLane, standInLane } from "./stand-in-lane.ts";
import type { Chance, Timeline } from "./timeline.ts";

const RING_BYTES = 65_536;
const MTU_BYTES = 1500;
/** The longest that a run lets segments wait. */
export const REORDER_MS_MAX = 200;
const START_SECONDS = 1_700_000_000;
const log = pino({ level: "silent" });

/** What the sidecars of a run share. */
export interface World {
  readonly timeline: Timeline;
  readonly chance: Chance;
  readonly ledger: Ledger;
  readonly createTls: (commonName: string) => TlsEngineFactory;
  /** Where the planes' wrapping milliseconds start. */
  readonly firstMs: number;
  /** The main thread's part did something: promises may be about to settle. */
  readonly stirred: () => void;
}

/** One program on its machine. */
export class SimulatedSidecar {
  readonly number: number;
  readonly config: TunnelConfig;
  readonly end: Dialling | Listening;
  readonly loop: WorkerLoop;
  readonly keySlots: KeySlots;
  failure: Error | undefined;
  /** Killed or closed. */
  isGone = false;
  readonly #world: World;
  readonly #machine: Machine;
  readonly #lane: StandInLane;
  readonly #counters = new Counters();
  readonly #orders: SharedRing;
  readonly #notices: readonly SharedRing[];
  readonly #board: UplinkBoard;
  /** Which plan of a timer is the valid one. */
  readonly #timers = new Map<number, number>();
  /** Frames that this turn has to deliver, with the session that they came by; 0: the tap. */
  readonly #due: { readonly frame: number; readonly from: number }[] = [];
  /** Which frames left towards which sessions. */
  readonly #sealed = new Set<string>();
  readonly #live: number[] = [];
  readonly order: OrderWatch;
  #plannedMs = Number.POSITIVE_INFINITY;

  constructor(world: World, number: number, config: TunnelConfig, machine: Machine) {
    this.#world = world;
    this.number = number;
    this.config = config;
    this.#machine = machine;
    this.order = new OrderWatch(number, world.ledger);
    this.keySlots = new KeySlots(machine.keys);
    this.#board = new UplinkBoard(config.uplinks, log);
    machine.start({
      wake: () => this.#wake(0),
      handed: (datagram) => this.#handed(datagram),
      sent: (leaving) => this.#sent(leaving),
      wrote: (frame) => this.#wrote(frame),
      read: (frame) => this.#due.push({ frame: frameNumber(frame), from: 0 }),
    });
    const memory = [1, 2, 3].map(() => sharedRingMemory(RING_BYTES));
    const [ordersMemory, notices, strangers] = memory as [
      SharedArrayBuffer,
      SharedArrayBuffer,
      SharedArrayBuffer,
    ];
    this.#orders = new SharedRing(ordersMemory);
    this.#notices = [new SharedRing(notices), new SharedRing(strangers)];
    const { lane, loop } = this.#createLoop({ orders: ordersMemory, notices, strangers });
    this.#lane = lane;
    this.loop = loop;
    this.end = this.#createEnd();
    if (this.end instanceof Dialling) void this.end.run();
    this.#wake(0);
  }

  get isUp(): boolean {
    if (this.end instanceof Dialling) {
      const session = this.loop.plane.sessions.at(1);
      return this.end.session?.isUp === true && session !== undefined && session.sealSlot >= 0;
    }
    return true;
  }

  counters(): Record<string, number> {
    return countersSnapshot([this.#counters]);
  }

  /** Ends as a killed process: nobody hears of it. */
  crash(): void {
    this.isGone = true;
    this.#machine.stop();
    this.end.close();
  }

  /** Ends in order; nothing may be left behind. */
  close(): void {
    this.end.close();
    this.#turn();
    this.isGone = true;
    this.loop.close();
    assert.equal(this.keySlots.freeCount, KEY_SLOTS, "every key slot was given back");
    assert.equal(this.#machine.keys.count, 0, "every key was wiped");
    assert.equal(this.loop.plane.sessions.count, 0, "every session was closed");
  }

  #createLoop(rings: Record<"orders" | "notices" | "strangers", SharedArrayBuffer>): {
    lane: StandInLane;
    loop: WorkerLoop;
  } {
    const { config } = this;
    const sockets = config.uplinks === undefined ? [this.#openSocket()] : [];
    const settings = planeSettings(config, {
      clockOrigin: { monotonicMs: 0, firstMs: 0 },
      controlHandle: 1,
      tapHandle: 2,
      socketHandles: sockets,
      mtuBytes: MTU_BYTES,
    });
    const data = {
      ...settings,
      ...rings,
      lastHeard: new Int32Array(PORTS_MAX),
      traffic: new TrafficTable(PORTS_MAX).memory,
      pathCounts: new PathCounts().memory,
      usage: new UsageTable(PORTS_MAX, settings.keyLimits).memory,
      counters: this.#counters.values.buffer as SharedArrayBuffer,
    };
    let made: StandInLane | undefined;
    const laneOpen = standInLane(this.#machine, (lane) => {
      made = lane;
    });
    const { timeline, firstMs } = this.#world;
    const clock = {
      nowMs: () => (Math.floor(timeline.nowMs) + firstMs) | 0,
      wallSeconds: () => START_SECONDS + Math.floor(timeline.nowMs / 1000),
    };
    const surroundings = { clock, kernel: this.#machine, laneOpen, tables: () => undefined };
    const loop = new WorkerLoop(data, surroundings);
    assert(made !== undefined, "the loop made its lane");
    return { lane: made, loop };
  }

  #openSocket(): number {
    const { role } = this.config;
    const port = role.kind === "listen" ? role.port : (role.localPort ?? 0);
    const buffers = { receiveBufferBytes: 0, sendBufferBytes: 0 };
    return this.#machine.udpOpen({ address: "", family: 6, port, ...buffers }).handle;
  }

  #createEnd(): Dialling | Listening {
    const { role, security, transport } = this.config;
    const { timeline, createTls } = this.#world;
    const { intervalSeconds, timeoutSeconds } = transport.keepalive;
    const isListening = role.kind === "listen";
    const plane = {
      order: (order: orders.Order) => this.#order(order),
      sendControl: (row: Int32Array, datagram: Buffer) => this.#sendControl(row, datagram),
      count: () => undefined,
    };
    const context: PeerContext = {
      plane,
      keySlots: this.keySlots,
      createTls: createTls(isListening ? "gateway" : `box-${this.number}`),
      keepalive: {
        pingIntervalMs: intervalSeconds * 1000,
        timeoutMs: isListening ? serverTimeoutMs(timeoutSeconds) : timeoutSeconds * 1000,
      },
      nowMs: () => timeline.nowMs,
      wallSeconds: () => START_SECONDS + Math.floor(timeline.nowMs / 1000),
      packetSeconds: () => START_SECONDS + Math.floor(timeline.nowMs / 1000),
      schedule: (index, delayMs) => this.#schedule(index, delayMs),
      linger: (then, delayMs) => this.#linger(then, delayMs),
    };
    const shared = { config: this.config, plane, context, log };
    if (role.kind === "listen") {
      const limitedLog = new LimitedLog(log, () => timeline.nowMs);
      const findWrap = createWrapFinder(security.wrap);
      const cookieSecret = this.#world.chance.bytes(32);
      return new Listening({
        ...shared,
        role,
        mtuBytes: MTU_BYTES,
        routes: undefined,
        cookieSecret,
        findWrap,
        limitedLog,
        watch: { refusedPeer: () => undefined },
      });
    }
    assert(security.wrap.kind !== "TlsCryptV2Server");
    return new Dialling({
      ...shared,
      role,
      wrap: createControlWrap(security.wrap, "client"),
      version: "0",
      mtuBytesDefault: MTU_BYTES,
      keepsTrying: true,
      uplinks: () => this.#board.usable(),
      policyNote: () => undefined,
      established: () => undefined,
      updated: () => undefined,
      lost: () => undefined,
      failed: (error) => {
        this.failure = error;
      },
    });
  }

  #order(order: orders.Order): void {
    const bytes = orders.encodeJson(order);
    const isPushed = this.#orders.push(orders.OrderRecord.json, bytes, 0, bytes.length);
    assert(isPushed, "the ring of orders has room");
    this.#wake(0);
  }

  #sendControl(row: Int32Array, datagram: Buffer): void {
    const record = orders.joinControl(row, datagram);
    this.#orders.push(orders.OrderRecord.sendControl, record, 0, record.length);
    this.#wake(0);
  }

  #schedule(index: number, delayMs: number): void {
    const plan = (this.#timers.get(index) ?? 0) + 1;
    this.#timers.set(index, plan);
    this.#world.stirred();
    if (delayMs === Number.POSITIVE_INFINITY) return;
    this.#world.timeline.after(Math.ceil(delayMs), () => {
      if (this.isGone || this.#timers.get(index) !== plan) return;
      if (this.end instanceof Dialling) this.end.step();
      else this.end.step(index);
      this.#world.stirred();
    });
  }

  #linger(then: () => void, delayMs: number): void {
    this.#world.timeline.after(delayMs, () => {
      if (this.isGone) return;
      then();
      this.#world.stirred();
    });
  }

  /** A turn of the data path after so long, unless there is an earlier one. */
  #wake(delayMs: number): void {
    const atMs = this.#world.timeline.nowMs + delayMs;
    if (this.#plannedMs <= atMs || this.isGone) return;
    this.#plannedMs = atMs;
    this.#world.timeline.after(delayMs, () => {
      if (this.#plannedMs === atMs && !this.isGone) this.#turn();
    });
  }

  #turn(): void {
    this.#plannedMs = Number.POSITIVE_INFINITY;
    this.#due.length = 0;
    this.#live.length = 0;
    for (let index = 1; index <= 8; index++) {
      if (this.#canSend(index)) this.#live.push(index);
    }
    const changes = this.#machine.hasChanges ? Ready.changes : 0;
    this.#machine.hasChanges = false;
    this.loop.turn(this.#lane.wait() | changes);
    for (const due of this.#due) this.#check(due);
    this.#takeNotices();
    this.#wake(this.#lane.wait() === 0 ? Math.max(1, this.loop.waitMs()) : 0);
  }

  /** A datagram goes to the plane: is it one that has to be taken? */
  #handed({ bytes, sealed }: Datagram): void {
    if (sealed === undefined) return;
    const header = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    const session = this.loop.plane.sessions.byPeerId(header & 0xff_ffff);
    if (session === undefined) return;
    const place = session.placeOf((header >>> 24) & 7, sealed.idHigh);
    const slot = session.openSlots[place] ?? -1;
    const key = this.#machine.keys.find(slot, session.openGenerations[place] ?? 0);
    if (key?.name !== sealed.key) return;
    const { packets } = this.config.transport.replayWindow;
    const packetsMin = packets === "Auto" ? REPLAY_AUTO.packets : packets;
    const isDue = this.#world.ledger.arrive(this.number, sealed, packetsMin);
    // What parity made again was taken then, and sent on to those who were there then.
    const isNew = !this.#world.ledger.isDelivered(this.number, sealed.frame);
    if (!isDue || !isNew || sealed.frame < 0) return;
    this.#due.push({ frame: sealed.frame, from: session.index });
    this.order.arrived(sealed.frame, session, this.#world.timeline.nowMs);
  }

  #wrote(bytes: Uint8Array): void {
    this.#world.ledger.deliver(this.number, bytes);
    this.order.delivered(frameNumber(bytes));
  }

  #sent({ path, sealed }: Leaving): void {
    if (sealed === undefined || sealed.frame < 0) return;
    this.#sealed.add(`${Math.floor(path / PATHS_MAX)} ${sealed.frame}`);
  }

  #check({ frame, from }: { readonly frame: number; readonly from: number }): void {
    const { ledger } = this.#world;
    const sent = ledger.frame(frame);
    if (sent === undefined) return;
    const isForUs = sent.target === EVERYBODY || sent.target === this.number;
    if (from !== 0 && isForUs) {
      const isHere = ledger.isDelivered(this.number, frame);
      if (!isHere && sent.isTcp && this.loop.plane.order.table.heldCount > 0) {
        this.#checkLater(frame);
        return;
      }
      assert(isHere, `sidecar ${this.number}: frame ${frame} arrived intact and came out`);
    }
    if (sent.target !== EVERYBODY) return;
    for (const index of this.#live) {
      const isSealed = index === from || this.#sealed.has(`${index} ${frame}`);
      if (isSealed || !this.#canSend(index)) continue;
      assert.fail(`sidecar ${this.number}: frame ${frame} was not sent to session ${index}`);
    }
  }

  /** It waits for others, and not for long. */
  #checkLater(frame: number): void {
    this.#world.timeline.after(REORDER_MS_MAX + 5, () => {
      const isHere = this.isGone || this.#world.ledger.isDelivered(this.number, frame);
      assert(isHere, `sidecar ${this.number}: frame ${frame} came out after it had waited`);
    });
  }

  #canSend(index: number): boolean {
    const { sessions, paths } = this.loop.plane;
    const session = sessions.at(index);
    if (session === undefined || session.sealSlot < 0) return false;
    return Array.from(session.paths.sendPaths.subarray(0, session.paths.sendCount)).some((path) => {
      const row = (index * PATHS_MAX + path) * DESCRIPTOR_WORDS;
      return (paths[row + PathWord.socket] ?? -1) >= 0;
    });
  }

  #takeNotices(): void {
    this.#notices.forEach((ring, at) => {
      for (let record = ring.take(); record !== undefined; record = ring.take()) {
        this.#world.stirred();
        if (record.kind === orders.NoticeRecord.json) {
          this.#take(orders.decodeNotice(record.payload));
          continue;
        }
        const parts = orders.splitControl(record.payload);
        assert(parts !== undefined || at < 0, "a control record is whole");
        if (parts !== undefined) this.end.control(parts.row, parts.datagram);
      }
    });
  }

  #take(notice: orders.Notice): void {
    dispatchNotice(notice, {
      end: this.end,
      board: this.#board,
      segment: () => undefined,
      way: () => undefined,
      failed: (operation) => assert.fail(`the data path failed: ${operation}`),
    });
  }
}
