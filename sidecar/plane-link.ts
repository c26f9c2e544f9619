/**
 * The main thread's end of a data plane: starts its worker, gives it orders, hears what it
 * says. One invariant: nothing here waits for the worker but `stop`; a full ring is a counted
 * drop on either side.
 */

import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { SharedRing, sharedRingMemory } from "./buffer/shared-ring.ts";
import type { CaptureMemory } from "./capture-tap.ts";
import type { ClockOrigin } from "./clock.ts";
import {
  type CaptureFilter,
  decodeNotice,
  encodeJson,
  joinControl,
  type Notice,
  NoticeRecord,
  type Order,
  OrderRecord,
  splitControl,
} from "./control/orders.ts";
import { Counter, Counters, countersSnapshot, type Traffic, TrafficTable } from "./counters.ts";
import { CAPTURE_RING_BYTES, CAPTURES_MAX, PORTS_MAX, RING_BYTES } from "./limits.ts";
import { kick } from "./native/native.ts";
import { PathCounts } from "./path-counts.ts";
import { type KeyUse, UsageTable } from "./session/key-usage.ts";
import { type GroupRow, readGroups } from "./switch/group-layout.ts";
import { readStations, type Station } from "./switch/mac-table.ts";
import type { PrefixWords } from "./switch/prefix-table.ts";
import type { WorkerData, WorkerTables } from "./worker-data.ts";

/** What the owner of a plane is told. */
export interface PlaneEvents {
  readonly control: (row: Int32Array, datagram: Buffer, isStranger: boolean) => void;
  readonly notice: (notice: Notice) => void;
  /** The worker is gone without having been asked to stop. */
  readonly died: (error: Error) => void;
}

/** What a plane is started with, beside its memory. */
export type PlaneOptions = Pick<
  WorkerData,
  | "owner"
  | "isDialling"
  | "isStream"
  | "link"
  | "segment"
  | "routing"
  | "controlHandle"
  | "tapHandle"
  | "socketHandles"
  | "replay"
  | "mss"
  | "mssFixBytes"
  | "dscpFrom"
  | "probing"
  | "uplinks"
  | "frameBytesMax"
  | "fragmentBytes"
  | "keyLimits"
> & { readonly clockOrigin: ClockOrigin };

/** A capture of this plane's frames. */
export interface PlaneCapture {
  /** Frame messages, for the one consumer. */
  readonly ring: SharedRing;
  /** Frames that did not fit. */
  missed(): number;
  setFilter(filter: CaptureFilter): void;
  end(): void;
}

/** Records worked on before the event loop gets its turn. */
const RECORDS_PER_TURN_MAX = 16;
/** Rings are looked at this often even if a wake-up was lost. */
const LOOK_MS = 1000;

/** One tunnel's data plane, seen from the main thread. */
export class PlaneLink {
  readonly #orders: SharedRing;
  readonly #notices: SharedRing;
  readonly #strangers: SharedRing;
  readonly #workerCounters: Counters;
  readonly #counters = new Counters();
  readonly #traffic: TrafficTable;
  readonly #pathCounts = new PathCounts();
  readonly #lastHeard: Int32Array;
  readonly #usage: UsageTable;
  readonly #controlHandle: number;
  readonly #worker: Worker;
  readonly #events: PlaneEvents;
  #tables: WorkerTables = { stations: undefined, groups: undefined };
  readonly #captures = new Set<number>();
  #captureId = 0;
  #isStopped = false;

  constructor(options: PlaneOptions, events: PlaneEvents) {
    const memory = {
      orders: sharedRingMemory(RING_BYTES),
      notices: sharedRingMemory(RING_BYTES),
      strangers: sharedRingMemory(RING_BYTES),
      lastHeard: new Int32Array(new SharedArrayBuffer(PORTS_MAX * 4)),
    };
    this.#orders = new SharedRing(memory.orders);
    this.#notices = new SharedRing(memory.notices);
    this.#strangers = new SharedRing(memory.strangers);
    this.#traffic = new TrafficTable(PORTS_MAX);
    this.#workerCounters = new Counters();
    this.#lastHeard = memory.lastHeard;
    this.#usage = new UsageTable(PORTS_MAX, options.keyLimits);
    this.#controlHandle = options.controlHandle;
    this.#events = events;
    const workerData: WorkerData = {
      ...options,
      ...memory,
      traffic: this.#traffic.memory,
      pathCounts: this.#pathCounts.memory,
      usage: this.#usage.memory,
      counters: this.#workerCounters.values.buffer as SharedArrayBuffer,
    };
    this.#worker = new Worker(new URL("./worker-thread.ts", import.meta.url), { workerData });
    this.#worker.once("message", (tables: WorkerTables) => {
      this.#tables = tables;
    });
    this.#worker.on("error", (error: Error) => this.#events.died(error));
    this.#worker.on("exit", (code) => {
      if (!this.#isStopped) this.#events.died(new Error(`the data path ended (status ${code})`));
    });
    void this.#listen(this.#notices, false);
    void this.#listen(this.#strangers, true);
  }

  /** Gives an order; counted when the ring is full. */
  order(order: Order): void {
    const bytes = encodeJson(order);
    if (!this.#orders.push(OrderRecord.json, bytes, 0, bytes.length)) {
      this.#counters.add(Counter.ringOrderFull, 1);
    }
    kick(this.#controlHandle);
  }

  /** Gives the router another table. */
  setRoutes(prefixes: PrefixWords): void {
    // By message, since it is long; the worker looks for it when it is told to.
    this.#worker.postMessage(prefixes);
    this.order({ kind: "takeRoutes" });
  }

  /** Sends a control datagram by the path in `row`. */
  sendControl(row: Int32Array, datagram: Buffer): void {
    const record = joinControl(row, datagram);
    if (!this.#orders.push(OrderRecord.sendControl, record, 0, record.length)) {
      this.#counters.add(Counter.txControlRingFull, 1);
    }
    kick(this.#controlHandle);
  }

  /** Counters of both threads, by name. */
  counters(): Record<string, number> {
    return countersSnapshot([this.#workerCounters, this.#counters]);
  }

  count(counter: Counter): void {
    this.#counters.add(counter, 1);
  }

  traffic(port: number): Traffic {
    return this.#traffic.snapshot(port);
  }

  /** What crossed the paths of sessions. */
  get pathCounts(): Pick<PathCounts, "figures" | "lost"> {
    return this.#pathCounts;
  }

  /** How much the sending key of session `index` was used. */
  keyUse(index: number): KeyUse {
    return this.#usage.use(index);
  }

  /** The stations of the segment; none between two peers. */
  stations(): Station[] {
    const { stations } = this.#tables;
    return stations === undefined ? [] : (readStations(stations) ?? []);
  }

  /** The multicast groups of the segment, with their members. */
  groups(nowMs: number): GroupRow[] {
    const { groups } = this.#tables;
    return groups === undefined ? [] : (readGroups(groups, nowMs) ?? []);
  }

  /** When session `index` was last heard, in the wrapping milliseconds of the shared clock. */
  lastHeardMs(index: number): number {
    return this.#lastHeard[index] ?? 0;
  }

  /** Begins a capture; undefined when as many as may be are running. */
  capture(filter: CaptureFilter): PlaneCapture | undefined {
    if (this.#captures.size >= CAPTURES_MAX || this.#isStopped) return undefined;
    this.#captureId += 1;
    const memory: CaptureMemory = {
      id: this.#captureId,
      ring: sharedRingMemory(CAPTURE_RING_BYTES),
      missed: new SharedArrayBuffer(4),
    };
    const { id } = memory;
    const missed = new Int32Array(memory.missed);
    this.#captures.add(id);
    this.#worker.postMessage(memory);
    this.order({ kind: "capture", id, filter });
    return {
      ring: new SharedRing(memory.ring),
      missed: () => Atomics.load(missed, 0),
      setFilter: (changed) => this.order({ kind: "capture", id, filter: changed }),
      end: () => {
        if (this.#captures.delete(id)) this.order({ kind: "endCapture", id });
      },
    };
  }

  /** Ends the worker; what is in its ring is carried out first. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    const exited = once(this.#worker, "exit");
    this.order({ kind: "stop" });
    await exited;
  }

  async #listen(ring: SharedRing, isStranger: boolean): Promise<void> {
    let count = 0;
    while (!this.#isStopped) {
      const record = ring.take();
      if (record === undefined) {
        await ring.whenPushed(LOOK_MS);
        continue;
      }
      if (record.kind === NoticeRecord.json) {
        this.#events.notice(decodeNotice(record.payload));
      } else {
        const parts = splitControl(record.payload);
        if (parts !== undefined) this.#events.control(parts.row, parts.datagram, isStranger);
      }
      count += 1;
      if (count % RECORDS_PER_TURN_MAX === 0) await setImmediate();
    }
  }
}
