/**
 * The worker's eye on links, addresses and routes: looks again when netlink says that something
 * changed, and lets a dialling end be heard at once by the path that is right now. One invariant:
 * dumps are bounded in rate, and what is opened here is closed with the plane.
 */

import type { Order } from "./control/orders.ts";
import { SOCKET_BUFFER_BYTES } from "./limits.ts";
import type * as native from "./native/native.ts";
import type { Plane } from "./plane.ts";
import { DIALLED_INDEX } from "./ports.ts";
import {
  announce,
  dropPath,
  openDialledPaths,
  redeclarePaths,
  takeUplinkChanges,
  tellUplinks,
} from "./probing.ts";
import type { DataSession } from "./session/data-session.ts";
import { PATHS_MAX } from "./session/path-set.ts";
import { type RoutesKernel, UplinkRoutes } from "./uplink/uplink-routes.ts";
import { type NetworkView, Uplinks } from "./uplink/uplinks.ts";
import type { WorkerData } from "./worker-data.ts";

/** Dumps of links, addresses and routes are at least this far apart. */
const CHANGES_MS_MIN = 20;
/** What was sent before the other end knew of another path has arrived after this long. */
const LEFT_MS = 2000;
/** An uplink that is not declared any more is closed after this long even if nothing else works. */
const LEAVING_MS_MAX = 10_000;

/** What is asked of the kernel; a simulation has one of its own. */
export type Kernel = Pick<
  typeof native,
  "watchOpen" | "udpOpen" | "handleClose" | "links" | "addresses" | "routes"
> &
  Partial<Omit<RoutesKernel, "routes">>;

/** Uplinks and network changes of one data plane. */
export class NetworkWatch {
  readonly #plane: Plane;
  readonly #kernel: Kernel;
  readonly #uplinks: Uplinks | undefined;
  readonly #watchHandle: number;
  /** The call that failed at the start, and its errno; undefined when none did. */
  readonly failure: { readonly operation: string; readonly errno: number } | undefined;
  #family: 4 | 6 = 4;
  #changesMs = 0;
  /** Since when each uplink is leaving, and when it was last sent by. */
  readonly #leaving = new Map<number, { readonly sinceMs: number; usedMs: number }>();

  constructor(plane: Plane, data: Pick<WorkerData, "uplinks" | "owner">, kernel: Kernel) {
    this.#plane = plane;
    this.#kernel = kernel;
    const watch = kernel.watchOpen();
    this.#watchHandle = watch.handle;
    const errno = watch.errno === 0 ? plane.lane.attachWatch(watch.handle) : watch.errno;
    this.failure = errno === 0 ? undefined : { operation: "netlink socket", errno };
    const routes = plane.isDialling ? uplinkRoutes(data.owner, kernel) : undefined;
    if (data.uplinks.length === 0) return;
    const sockets = {
      open: kernel.udpOpen,
      attach: (handle: number) => plane.lane.attachSocket(handle),
      detach: (index: number) => plane.lane.detachSocket(index),
      close: kernel.handleClose,
    };
    const limits = { bufferBytes: SOCKET_BUFFER_BYTES, uplinksMax: PATHS_MAX };
    this.#uplinks = new Uplinks(data.uplinks, sockets, limits, routes);
    this.#refresh(this.#uplinks);
    tellUplinks(plane, this.#uplinks, undefined, "start");
  }

  /** Gives a new session its paths: one, or one per uplink with the one it was begun on first. */
  openPaths(session: DataSession, uplink: number): void {
    if (this.#uplinks === undefined) session.paths.open(0, 0, this.#plane.nowMs);
    else openDialledPaths(this.#plane, session, this.#uplinks, uplink);
  }

  /** Something changed: 0 when it was looked at, else in how many milliseconds to call again. */
  changed(nowMs: number): number {
    const waitMs = (this.#changesMs + CHANGES_MS_MIN - nowMs) | 0;
    if (waitMs > 0 && waitMs <= CHANGES_MS_MIN) return waitMs;
    this.#changesMs = nowMs;
    const session = this.#plane.sessions.at(DIALLED_INDEX);
    if (this.#uplinks !== undefined) {
      const changed = this.#refresh(this.#uplinks);
      takeUplinkChanges(this.#plane, session, this.#uplinks, changed);
    } else if (this.#plane.isDialling && session !== undefined && session.sealSlot >= 0) {
      announce(this.#plane, session);
    }
    return 0;
  }

  /**
   * Uplinks are declared anew: sockets of new ones are opened, and those of the ones that are not
   * declared any more stay open until another path works and what is under way has arrived.
   */
  declare(order: Pick<Extract<Order, { kind: "changeUplinks" }>, "uplinks" | "probing">): void {
    const uplinks = this.#uplinks;
    if (uplinks === undefined) return;
    const plane = this.#plane;
    const session = plane.sessions.at(DIALLED_INDEX);
    const before = uplinks.places;
    uplinks.declare(order.uplinks);
    const { places } = uplinks;
    plane.probing = {
      ...order.probing,
      priorities: places.map((one) => one?.config.priority ?? 0),
      weights: places.map((one) => one?.config.weight ?? 1),
    };
    for (const [uplink, one] of places.entries()) {
      if (one?.isLeaving !== true) this.#leaving.delete(uplink);
      else if (!this.#leaving.has(uplink)) {
        this.#leaving.set(uplink, { sinceMs: plane.nowMs, usedMs: plane.nowMs });
      }
    }
    this.#refresh(uplinks);
    if (session !== undefined) redeclarePaths(plane, session, uplinks, before);
    tellUplinks(plane, uplinks, session, "declared anew");
    if (session !== undefined && session.sealSlot >= 0) announce(plane, session);
  }

  /** Closes the leaving uplinks whose time has come. */
  dropLeft(nowMs: number): void {
    const uplinks = this.#uplinks;
    if (uplinks === undefined || this.#leaving.size === 0) return;
    const session = this.#plane.sessions.at(DIALLED_INDEX);
    for (const [uplink, times] of this.#leaving) {
      const state = uplinks.states[uplink];
      if (session?.paths.isActive(uplink) === true && state?.isUsable === true) {
        times.usedMs = nowMs;
      }
      const isDue =
        ((nowMs - times.usedMs) | 0) >= LEFT_MS || ((nowMs - times.sinceMs) | 0) >= LEAVING_MS_MAX;
      if (!isDue) continue;
      this.#leaving.delete(uplink);
      if (session !== undefined) dropPath(this.#plane, session, uplink);
      uplinks.drop(uplink);
      tellUplinks(this.#plane, uplinks, session, `${state?.name}: closed, not declared any more`);
    }
  }

  close(): void {
    this.#uplinks?.close();
    this.#kernel.handleClose(this.#watchHandle);
  }

  /** Judged by the family of the session's remote address; before there is one, by what works. */
  #refresh(uplinks: Uplinks): number[] {
    const network = networkView(this.#kernel);
    const changed = uplinks.refresh(network, this.#family);
    const isSettled = this.#plane.sessions.count > 0 || uplinks.states.some((one) => one?.isUsable);
    if (isSettled) return changed;
    this.#family = this.#family === 4 ? 6 : 4;
    return [...new Set([...changed, ...uplinks.refresh(network, this.#family)])];
  }
}

/** Also where no uplinks are declared any more: what was left is swept. */
function uplinkRoutes(owner: string, kernel: Kernel): UplinkRoutes | undefined {
  const { routes, routeAdd, routeDelete, rules, ruleAdd, ruleDelete } = kernel;
  if (routeAdd === undefined || routeDelete === undefined) return undefined;
  if (rules === undefined || ruleAdd === undefined || ruleDelete === undefined) return undefined;
  return new UplinkRoutes(owner, { routes, routeAdd, routeDelete, rules, ruleAdd, ruleDelete });
}

function networkView(kernel: Kernel): NetworkView {
  return {
    links: kernel.links().links,
    addresses: kernel.addresses().addresses,
    routes: kernel.routes().routes,
  };
}
