/**
 * The worker's eye on links, addresses and routes: looks again when netlink says that something
 * changed, and lets a dialling end be heard at once by the path that is right now. One invariant:
 * dumps are bounded in rate, and what is opened here is closed with the plane.
 */

import { SOCKET_BUFFER_BYTES } from "./limits.ts";
import type * as native from "./native/native.ts";
import type { Plane } from "./plane.ts";
import { DIALLED_INDEX } from "./ports.ts";
import { announce, openDialledPaths, takeUplinkChanges, tellUplinks } from "./probing.ts";
import type { DataSession } from "./session/data-session.ts";
import { type NetworkView, Uplinks } from "./uplink/uplinks.ts";
import type { WorkerData } from "./worker-data.ts";

/** Dumps of links, addresses and routes are at least this far apart. */
const CHANGES_MS_MIN = 20;

/** What is asked of the kernel; a simulation has one of its own. */
export type Kernel = Pick<
  typeof native,
  "watchOpen" | "udpOpen" | "handleClose" | "links" | "addresses" | "routes"
>;

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

  constructor(plane: Plane, data: Pick<WorkerData, "uplinks">, kernel: Kernel) {
    this.#plane = plane;
    this.#kernel = kernel;
    const watch = kernel.watchOpen();
    this.#watchHandle = watch.handle;
    const errno = watch.errno === 0 ? plane.lane.attachWatch(watch.handle) : watch.errno;
    this.failure = errno === 0 ? undefined : { operation: "netlink socket", errno };
    if (data.uplinks.length === 0) return;
    const sockets = {
      open: kernel.udpOpen,
      attach: (handle: number) => plane.lane.attachSocket(handle),
      detach: (index: number) => plane.lane.detachSocket(index),
      close: kernel.handleClose,
    };
    this.#uplinks = new Uplinks(data.uplinks, sockets, SOCKET_BUFFER_BYTES);
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

  close(): void {
    this.#uplinks?.close();
    this.#kernel.handleClose(this.#watchHandle);
  }

  /** Judged by the family of the session's remote address; before there is one, by what works. */
  #refresh(uplinks: Uplinks): number[] {
    const network = networkView(this.#kernel);
    const changed = uplinks.refresh(network, this.#family);
    const isSettled = this.#plane.sessions.count > 0 || uplinks.states.some((one) => one.isUsable);
    if (isSettled) return changed;
    this.#family = this.#family === 4 ? 6 : 4;
    return [...new Set([...changed, ...uplinks.refresh(network, this.#family)])];
  }
}

function networkView(kernel: Kernel): NetworkView {
  return {
    links: kernel.links().links,
    addresses: kernel.addresses().addresses,
    routes: kernel.routes().routes,
  };
}
