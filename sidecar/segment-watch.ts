/**
 * What the main thread knows of a tunnel's segment: stations and groups from the worker's tables,
 * the rest from its notices, told in the log. One invariant: a flood of events is at most one line
 * per cause and minute.
 */

import type { Logger } from "pino";
import type { Notice } from "./control/orders.ts";
import { groupStatus, querierStatus, stationStatus, type TunnelStatus } from "./control/status.ts";
import type { PlaneLink } from "./plane-link.ts";

/** The segment's part of a tunnel's status. */
export type SegmentStatus = Pick<TunnelStatus, "stations" | "groups" | "queriers">;

type QuerierNotice = Extract<Notice, { kind: "querier" }>;

/** The segment of one tunnel. */
export class SegmentWatch {
  readonly #plane: Pick<PlaneLink, "stations" | "groups">;
  readonly #log: Logger;
  readonly #queriers = new Map<string, QuerierNotice>();

  constructor(plane: Pick<PlaneLink, "stations" | "groups">, log: Logger) {
    this.#plane = plane;
    this.#log = log;
  }

  /** Takes a notice that is about the segment. */
  take(notice: Notice, names: ReadonlyMap<number, string>): void {
    if (notice.kind === "querier") {
      this.#queriers.set(`${notice.vlan}/${notice.family}`, notice);
      const { where, address, vlan, family } = querierStatus(notice, names);
      const protocol = family === 4 ? "IGMP" : "MLD";
      this.#log.info({ protocol, vlan, querier: where, address }, "querier changed");
    }
  }

  /** What status shows, with the names of the peers by port. */
  status(names: ReadonlyMap<number, string>, nowMs: number): SegmentStatus {
    return {
      stations: this.#plane.stations().map((station) => stationStatus(station, names, nowMs)),
      groups: this.#plane.groups(nowMs).map((group) => groupStatus(group, names, nowMs)),
      queriers: [...this.#queriers.values()].map((told) => querierStatus(told, names)),
    };
  }
}
