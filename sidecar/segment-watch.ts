/**
 * What the main thread knows of a tunnel's segment: stations and groups from the worker's tables,
 * the rest from its notices, told in the log. One invariant: a flood of events is at most one line
 * per cause and minute.
 */

import type { Logger } from "pino";
import { monotonicMs } from "./clock.ts";
import { LimitedLog } from "./control/limited-log.ts";
import type { Notice } from "./control/orders.ts";
import {
  type ConflictStatus,
  type EventStatus,
  groupStatus,
  portName,
  querierStatus,
  stationStatus,
  type TunnelStatus,
} from "./control/status.ts";
import { CONFLICTS_SHOWN_MAX, EVENTS_SHOWN_MAX, REFUSED_SHOWN_MAX } from "./limits.ts";
import type { PlaneLink } from "./plane-link.ts";
import { addressText } from "./uplink/address-words.ts";

/** The segment's part of a tunnel's status. */
export type SegmentStatus = Pick<
  TunnelStatus,
  "stations" | "groups" | "queriers" | "shut" | "conflicts" | "events"
>;

/** A conflict is shown for so long after it was last heard. */
const CONFLICT_MS = 300_000;
const STORM_NAMES = {
  broadcast: "broadcasts",
  unknownUnicast: "frames to unknown stations",
  multicast: "multicast",
} as const;

type AddressConflict = Omit<ConflictStatus, "silentMs"> & { readonly heardMs: number };
type QuerierNotice = Extract<Notice, { kind: "querier" }>;

/** The segment of one tunnel. */
export class SegmentWatch {
  readonly #plane: Pick<PlaneLink, "stations" | "groups">;
  readonly #log: Logger;
  readonly #limitedLog: LimitedLog;
  readonly #shut = new Set<number>();
  readonly #conflicts = new Map<string, AddressConflict>();
  readonly #queriers = new Map<string, QuerierNotice>();
  /** By what happened, the longest ago first. */
  readonly #events = new Map<
    string,
    Pick<EventStatus, "kind" | "count"> & { readonly heardMs: number }
  >();

  constructor(plane: Pick<PlaneLink, "stations" | "groups">, log: Logger) {
    this.#plane = plane;
    this.#log = log;
    this.#limitedLog = new LimitedLog(log, monotonicMs);
  }

  /** Takes a notice that is about the segment. */
  take(notice: Notice, names: ReadonlyMap<number, string>): void {
    const name = (port: number): string => portName(port, names);
    switch (notice.kind) {
      case "querier":
        this.#takeQuerier(notice, names);
        return;
      case "loop": {
        const fields = { behind: name(notice.port) };
        const state = notice.isShut ? "shut" : "opened again";
        this.#note("loop", `loop by ${fields.behind}: ${state}`, 1);
        if (notice.isShut) {
          this.#shut.add(notice.port);
          this.#log.warn(
            fields,
            "loop found: this way is shut, the others go on; remove one of the bridges",
          );
        } else {
          this.#shut.delete(notice.port);
          this.#log.info(fields, "way opened again, to see whether the loop is gone");
        }
        return;
      }
      case "moved": {
        const { mac, count } = notice;
        const fields = { station: mac, from: name(notice.from), to: name(notice.to), count };
        this.#note("moved", `station ${mac} moved from ${fields.from} to ${fields.to}`, count);
        this.#limitedLog.warn(`moved ${mac}`, fields, "station moved");
        return;
      }
      case "conflict": {
        const fields = { station: notice.mac, by: name(notice.port), count: notice.count };
        const message = "frames refused: the source address is declared for another peer";
        const what = `station ${notice.mac} refused behind ${fields.by}: another's`;
        this.#note("refused", what, notice.count);
        this.#limitedLog.warn(`conflict ${notice.mac} ${notice.port}`, fields, message);
        return;
      }
      case "addressConflict":
        this.#takeAddressConflict(notice, name);
        return;
      case "storm": {
        const { of, count } = notice;
        const fields = { by: name(notice.port), of, count };
        const message = "frames dropped: more than stormLimits lets through";
        const what = `storm of ${STORM_NAMES[of]} by ${fields.by}: frames dropped`;
        this.#note("storm", what, count);
        this.#limitedLog.warn(`storm ${of} ${notice.port}`, fields, message);
      }
    }
  }

  /** A peer was not let in. Strangers choose their names: a few are kept, beside what is known for sure. */
  refusedPeer(kind: "peer" | "cipher", name: string, why: string): void {
    const what = `peer ${name} refused: ${why}`;
    const others = [...this.#events].filter(([known, one]) => one.kind === kind && known !== what);
    const [oldest] = others;
    if (oldest !== undefined && others.length >= REFUSED_SHOWN_MAX) this.#events.delete(oldest[0]);
    this.#note(kind, what, 1);
  }

  #note(kind: EventStatus["kind"], what: string, count: number): void {
    const known = this.#events.get(what);
    putLast(this.#events, EVENTS_SHOWN_MAX, what, {
      kind,
      count: (known?.count ?? 0) + count,
      heardMs: monotonicMs(),
    });
  }

  #eventStatus(): EventStatus[] {
    const nowMs = monotonicMs();
    const shown = [...this.#events].map(([what, { kind, count, heardMs }]) => {
      return { kind, what, count, silentMs: Math.round(nowMs - heardMs) };
    });
    return shown.reverse();
  }

  #takeAddressConflict(
    notice: Extract<Notice, { kind: "addressConflict" }>,
    name: (port: number) => string,
  ): void {
    const { mac } = notice;
    const address = addressText(Int32Array.from(notice.address));
    const told = { address, mac, owner: name(notice.owner), behind: name(notice.port) };
    const key = `${address} ${mac}`;
    putLast(this.#conflicts, CONFLICTS_SHOWN_MAX, key, { ...told, heardMs: monotonicMs() });
    const message = "address in use twice: the other host has it too; give one of them another";
    this.#limitedLog.warn(`address ${key}`, told, message);
  }

  #conflictStatus(): ConflictStatus[] {
    const nowMs = monotonicMs();
    for (const [key, { heardMs }] of this.#conflicts) {
      if (nowMs - heardMs > CONFLICT_MS) this.#conflicts.delete(key);
    }
    return [...this.#conflicts.values()].map(({ heardMs, ...told }) => {
      return { ...told, silentMs: Math.round(nowMs - heardMs) };
    });
  }

  #takeQuerier(notice: QuerierNotice, names: ReadonlyMap<number, string>): void {
    this.#queriers.set(`${notice.vlan}/${notice.family}`, notice);
    const { where, address, vlan, family } = querierStatus(notice, names);
    const protocol = family === 4 ? "IGMP" : "MLD";
    this.#log.info({ protocol, vlan, querier: where, address }, "querier changed");
  }

  /** What status shows, with the names of the peers by port. */
  status(names: ReadonlyMap<number, string>, nowMs: number): SegmentStatus {
    return {
      stations: this.#plane.stations().map((station) => stationStatus(station, names, nowMs)),
      groups: this.#plane.groups(nowMs).map((group) => groupStatus(group, names, nowMs)),
      shut: [...this.#shut].map((port) => portName(port, names)),
      conflicts: this.#conflictStatus(),
      events: this.#eventStatus(),
      queriers: [...this.#queriers.values()].map((told) => querierStatus(told, names)),
    };
  }
}

/** Puts a value behind all others; the first one gives way where there would be more than `max`. */
function putLast<Value>(map: Map<string, Value>, max: number, key: string, value: Value): void {
  map.delete(key);
  const oldest = map.keys().next();
  if (map.size >= max && oldest.done !== true) map.delete(oldest.value);
  map.set(key, value);
}
