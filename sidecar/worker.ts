/**
 * The data path's loop: waits for packets, moves them, does nothing else. `worker-thread.ts` runs it
 * on a thread that never returns to its event loop, so control comes by a shared ring and an eventfd;
 * a simulation gives it a clock, a kernel and a lane of its own. One invariant: a turn is bounded
 * (packets per turn, orders per turn), whatever arrives.
 */

import { randomInt } from "node:crypto";
import { SharedRing } from "./buffer/shared-ring.ts";
import type { CaptureMemory } from "./capture-tap.ts";
import type { Clock } from "./clock.ts";
import { closeConnection, sweepConnections } from "./connections.ts";
import { decodeOrder, type Order, OrderRecord } from "./control/orders.ts";
import { Counter, Counters, TrafficTable } from "./counters.ts";
import { takeIcmpErrors } from "./icmp-errors.ts";
import { keepAlive } from "./keepalive.ts";
import { carryOutKeyOrder } from "./key-orders.ts";
import {
  SESSIONS_MAX,
  STATION_SWEEP_INTERVAL_MS,
  STATION_SWEEP_ROWS,
  WAIT_MS_MAX,
} from "./limits.ts";
import { LANE_SOCKETS_MAX, Ready } from "./native/layout.ts";
import type { LaneOpen } from "./native/native.ts";
import { type Kernel, NetworkWatch } from "./network-watch.ts";
import { notice } from "./notices.ts";
import { releaseDue } from "./ordering.ts";
import { sendLoopProbes, sendQueries, sendStationQuestions } from "./own-frames.ts";
import { PathCounts } from "./path-counts.ts";
import { PathReports } from "./path-reports.ts";
import { createPlane, type Plane } from "./plane.ts";
import { endPlan } from "./planning.ts";
import { DIALLED_INDEX, TAP_PORT } from "./ports.ts";
import { leaveSilentPaths, probePaths } from "./probing.ts";
import { receive, recoverLost } from "./receive.ts";
import { createSwitching, takeRoutes } from "./routing.ts";
import { createSegment } from "./segment.ts";
import {
  EVENTS_INTERVAL_MS,
  guardLoops,
  sweepGroups,
  tellAddressConflict,
  tellEvents,
} from "./segment-events.ts";
import { carryOutSegmentOrder } from "./segment-orders.ts";
import { closeDueBlocks, send, sendExit, sendPing } from "./send.ts";
import { sendControl } from "./send-plain.ts";
import { DataSession } from "./session/data-session.ts";
import { UsageTable } from "./session/key-usage.ts";
import { PATHS_MAX } from "./session/path-set.ts";
import { sizePaths } from "./sizing.ts";
import { createOwnStation } from "./switch/own-station.ts";
import type { PrefixWords } from "./switch/prefix-table.ts";
import { TimerTable } from "./timer-table.ts";
import type { WorkerData, WorkerTables } from "./worker-data.ts";

/** Orders carried out in one turn: a burst of handshakes does not hold packets up. */
const ORDERS_PER_TURN_MAX = 64;
/** Timer 0 ages stations; timer n watches session n; the last ones are the dialling end's. */
const SWEEP_TIMER = 0;
const PROBE_TIMER: number = SESSIONS_MAX + 1;
const CHANGES_TIMER: number = SESSIONS_MAX + 2;
const REPORT_TIMER: number = SESSIONS_MAX + 3;
const PARITY_TIMER: number = SESSIONS_MAX + 4;
const ORDER_TIMER: number = SESSIONS_MAX + 5;
/** How often silence is looked for between two probes. */
const LOOKS_PER_PROBE = 5;
/** How often status hears of the paths. */
const REPORT_MS = 1000;
/** Refused packets let netlink be read again this often at most. */
const REFUSED_MS_MIN = 200;
const EAGAIN = -11;
const EINTR = -4;

/** What the loop takes from the machine around it. */
export interface Surroundings {
  readonly clock: Clock;
  readonly kernel: Kernel;
  readonly laneOpen: LaneOpen;
  /** Told once, before the first turn. */
  readonly tables: (tables: WorkerTables) => void;
  /** Memory that the main thread made for the next capture; absent: there are none. */
  readonly captureMemory?: () => CaptureMemory | undefined;
  /** The table that the main thread made for the router; absent: there are none. */
  readonly routes?: () => PrefixWords | undefined;
}

/** One tunnel's data path. */
export class WorkerLoop {
  readonly #plane: Plane;
  readonly #clock: Clock;
  readonly #timers: TimerTable;
  readonly #orders: SharedRing;
  readonly #network: NetworkWatch;
  readonly #usage: UsageTable;
  readonly #posted: Pick<Surroundings, "captureMemory" | "routes">;
  #probedMs = 0;
  #isStopped = false;
  #toldMs = 0;
  #refusedMs = 0;
  readonly #reports: PathReports;

  constructor(data: WorkerData, around: Surroundings) {
    const { clock, kernel, laneOpen, tables } = around;
    this.#posted = around;
    this.#clock = clock;
    this.#orders = new SharedRing(data.orders);
    this.#usage = new UsageTable(data.usage, data.keyLimits);
    this.#timers = new TimerTable(ORDER_TIMER + 1);
    const counters = new Counters(data.counters);
    const own = createOwnStation(randomInt(2 ** 24));
    const segment = createSegment(data, { own, counters, nowMs: this.#clock.nowMs() });
    const { stations } = segment;
    tables({ stations: stations?.memory, groups: segment.groups?.memory });
    this.#plane = createPlane(laneOpen, {
      isDialling: data.isDialling,
      isStream: data.isStream,
      ...createSwitching(data, segment, { counters, nowMs: this.#clock.nowMs() }),
      stations,
      own,
      address4: segment.address4,
      counters,
      traffic: new TrafficTable(data.traffic),
      pathCounts: new PathCounts(data.pathCounts),
      lastHeard: data.lastHeard,
      toMain: new SharedRing(data.notices),
      strangers: new SharedRing(data.strangers),
      replay: data.replay,
      mss: data.mss,
      dscpFrom: data.dscpFrom,
      probing: data.probing,
      frameBytesMax: data.frameBytesMax,
      fragmentBytes: data.fragmentBytes,
      mssFixBytes: data.mssFixBytes,
      uplinkCount: data.uplinks.length,
    });
    this.#reports = new PathReports(this.#plane);
    const { lane, groups, switching } = this.#plane;
    switching.openPort(TAP_PORT);
    groups?.portReady(TAP_PORT, this.#clock.nowMs());
    this.#attach("control", lane.attachControl(data.controlHandle));
    this.#attach("tap", lane.attachTap(data.tapHandle));
    for (const handle of data.socketHandles) this.#attach("socket", lane.attachSocket(handle));
    if (data.isDialling) this.#timers.set(PROBE_TIMER, this.#clock.nowMs());
    this.#timers.set(REPORT_TIMER, this.#clock.nowMs());
    this.#timers.set(SWEEP_TIMER, this.#clock.nowMs() + STATION_SWEEP_INTERVAL_MS);
    this.#network = new NetworkWatch(this.#plane, data, kernel);
    const { failure } = this.#network;
    if (failure !== undefined) this.#fail(failure.operation, failure.errno);
  }

  /** Until an order to stop, or a failure. */
  run(): void {
    const { lane } = this.#plane;
    while (!this.#isStopped) {
      const ready = lane.wait(this.waitMs());
      if (ready < 0 && ready !== EINTR) this.#fail("epoll_wait", -ready);
      else this.turn(Math.max(0, ready));
    }
    this.close();
  }

  /** What the stages share; for a simulation's checks. */
  get plane(): Plane {
    return this.#plane;
  }

  /** Longest wait until the next turn. */
  waitMs(): number {
    return this.#timers.waitMs(this.#clock.nowMs(), WAIT_MS_MAX);
  }

  close(): void {
    this.#network.close();
  }

  /** One round over everything that is ready, as the lane's `wait` said it. */
  turn(ready: number): void {
    // HOT PATH
    const plane = this.#plane;
    const nowMs = this.#clock.nowMs();
    plane.nowMs = nowMs;
    plane.switching.nowMs = nowMs;
    const socketBits = (ready >> Ready.socketShift) & ((1 << LANE_SOCKETS_MAX) - 1);
    plane.hasWritten = false;
    if (socketBits !== 0) this.#receiveAll(socketBits);
    if (ready >> Ready.errorsShift !== 0) takeIcmpErrors(plane, ready);
    // Our host answers an echo or acknowledges a segment while we write it: the answer is there.
    if (((ready >> Ready.tapShift) & 1) !== 0 || plane.hasWritten) {
      const count = send(plane);
      if (count < 0 && count !== EAGAIN) plane.counters.add(Counter.tapReadError, 1);
    }
    if ((ready & Ready.changes) !== 0) this.#takeChanges(nowMs);
    this.#takeOrders(nowMs);
    this.#takeTimers(nowMs);
    if (plane.isRefused) this.#lookAgain(nowMs);
    sendQueries(plane);
    sendStationQuestions(plane);
    // A block that stays short is closed in time, whoever's it is.
    if (plane.parity.isDue) this.#timers.set(PARITY_TIMER, plane.parity.dueMs);
    const { table } = plane.order;
    if (table.isDue) this.#timers.set(ORDER_TIMER, table.dueMs);
  }

  #receiveAll(socketBits: number): void {
    // HOT PATH
    for (let socket = 0; socket < LANE_SOCKETS_MAX; socket++) {
      if (((socketBits >> socket) & 1) === 0) continue;
      const count = receive(this.#plane, socket);
      if (count < 0 && count !== EAGAIN) this.#plane.counters.add(Counter.rxSocketError, 1);
    }
    recoverLost(this.#plane);
  }

  #takeOrders(nowMs: number): void {
    for (let count = 0; count < ORDERS_PER_TURN_MAX; count++) {
      const record = this.#orders.take();
      if (record === undefined) return;
      if (record.kind === OrderRecord.sendControl) sendControl(this.#plane, record.payload);
      else if (record.kind === OrderRecord.json) this.#carryOut(decodeOrder(record.payload), nowMs);
      else this.#plane.counters.add(Counter.ringOrderUnknown, 1);
    }
    // More may wait: come back at once.
    this.#timers.set(SWEEP_TIMER, nowMs);
  }

  #takeTimers(nowMs: number): void {
    for (;;) {
      const timer = this.#timers.takeDue(nowMs);
      if (timer < 0) return;
      if (timer === SWEEP_TIMER) this.#sweep(nowMs);
      else if (timer === PROBE_TIMER) this.#probe(nowMs);
      else if (timer === CHANGES_TIMER) this.#takeChanges(nowMs);
      else if (timer === REPORT_TIMER) this.#report(nowMs);
      else if (timer === PARITY_TIMER) closeDueBlocks(this.#plane);
      else if (timer === ORDER_TIMER) releaseDue(this.#plane);
      else this.#watch(timer, nowMs);
    }
  }

  /** A refusal may be quicker than netlink; when it lasts, looking now and then is enough. */
  #lookAgain(nowMs: number): void {
    this.#plane.isRefused = false;
    if (((nowMs - this.#refusedMs) | 0) < REFUSED_MS_MIN) return;
    this.#refusedMs = nowMs;
    this.#takeChanges(nowMs);
  }

  #takeChanges(nowMs: number): void {
    const waitMs = this.#network.changed(nowMs);
    if (waitMs > 0) this.#timers.set(CHANGES_TIMER, nowMs + waitMs);
  }

  #probe(nowMs: number): void {
    const session = this.#plane.sessions.at(DIALLED_INDEX);
    const { intervalMs } = this.#plane.probing;
    const lookMs = Math.ceil(intervalMs / LOOKS_PER_PROBE);
    if (session !== undefined) leaveSilentPaths(this.#plane, session, lookMs);
    if (((nowMs - this.#probedMs) | 0) >= intervalMs) {
      this.#probedMs = nowMs;
      if (session !== undefined) probePaths(this.#plane, session);
    }
    if (session !== undefined) sizePaths(this.#plane, session);
    this.#network.dropLeft(nowMs);
    this.#timers.set(PROBE_TIMER, nowMs + lookMs);
  }

  #report(nowMs: number): void {
    this.#reports.look();
    this.#timers.set(REPORT_TIMER, nowMs + REPORT_MS);
  }

  #sweep(nowMs: number): void {
    const { groups, switching } = this.#plane;
    switching.sweep(STATION_SWEEP_ROWS);
    if (this.#plane.isStream) sweepConnections(this.#plane);
    sendLoopProbes(this.#plane);
    guardLoops(this.#plane);
    tellAddressConflict(this.#plane);
    if (((nowMs - this.#toldMs) | 0) >= EVENTS_INTERVAL_MS) {
      this.#toldMs = nowMs;
      tellEvents(this.#plane);
    }
    if (groups !== undefined) sweepGroups(this.#plane, groups);
    this.#timers.set(SWEEP_TIMER, nowMs + STATION_SWEEP_INTERVAL_MS);
  }

  #watch(index: number, nowMs: number): void {
    const session = this.#plane.sessions.at(index);
    if (session !== undefined) this.#timers.set(index, keepAlive(this.#plane, session, nowMs));
  }

  #carryOut(order: Order, nowMs: number): void {
    const plane = this.#plane;
    switch (order.kind) {
      case "openSession":
        this.#openSession(order, nowMs);
        return;
      case "sendWith": {
        const session = plane.sessions.at(order.index);
        session?.beginSending(order.keyId);
        // At once: a fresh session shows each end's address and that its keys work.
        if (session !== undefined && session.sealSlot >= 0) sendPing(plane, session);
        plane.groups?.portReady(order.index, nowMs);
        return;
      }
      case "closeSession":
        plane.sessions.remove(order.index);
        endPlan(plane, order.index);
        plane.switching.closePort(order.index);
        plane.forwarding?.questions?.watch?.forgetPort(order.index);
        this.#timers.cancel(order.index);
        return;
      case "sendExit": {
        const session = plane.sessions.at(order.index);
        if (session !== undefined) sendExit(plane, session);
        return;
      }
      default:
        if (!carryOutKeyOrder(plane, order)) this.#carryOutOther(order);
    }
  }

  #carryOutOther(order: Order): void {
    const { known, router } = this.#plane;
    switch (order.kind) {
      case "knowSession":
        if (order.index > 0) known.set(order.sessionId, order.index);
        else known.delete(order.sessionId);
        return;
      case "ownPort":
        router?.setOwner(order.index, order.owner, order.mtuBytes);
        return;
      case "takeRoutes":
        takeRoutes(router, this.#posted.routes?.());
        return;
      case "changeUplinks":
        this.#network.declare(order);
        // The other end hears of the new interval at once.
        this.#timers.set(PROBE_TIMER, this.#plane.nowMs);
        this.#probedMs = this.#plane.nowMs - this.#plane.probing.intervalMs;
        return;
      case "disconnect":
        closeConnection(this.#plane, order.path);
        return;
      case "stop":
        this.#isStopped = true;
        return;
      default:
        if (carryOutSegmentOrder(this.#plane, order, this.#posted.captureMemory)) return;
        this.#plane.counters.add(Counter.ringOrderUnknown, 1);
    }
  }

  #openSession(order: Extract<Order, { kind: "openSession" }>, nowMs: number): void {
    const plane = this.#plane;
    const { index } = order;
    endPlan(plane, index);
    const pathRow = index * PATHS_MAX + order.uplink;
    plane.paths.set(order.path, pathRow * order.path.length);
    if (order.isStream) plane.lane.streamKeep(pathRow);
    plane.traffic.clear(index);
    plane.pathCounts.clearSession(index);
    plane.mtus.fill(0, index * PATHS_MAX, (index + 1) * PATHS_MAX);
    plane.fragments?.reassembly.forget(index);
    const usage = this.#usage.begin(index);
    const session = new DataSession({ ...order, nowMs, usage });
    this.#network.openPaths(session, order.uplink);
    const hasForeignId = order.isDialled || order.peerId !== index;
    plane.sessions.put(session, hasForeignId ? order.peerId : -1);
    plane.switching.openPort(index);
    this.#reports.forget(index);
    this.#timers.set(index, nowMs);
  }

  #attach(operation: string, index: number): void {
    if (index < 0) this.#fail(`attach ${operation}`, -index);
  }

  #fail(operation: string, errno: number): void {
    notice(this.#plane, { kind: "failed", operation, errno });
    this.#isStopped = true;
  }
}
