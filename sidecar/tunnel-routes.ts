/**
 * The routes of one tunnel, seen from the main thread: what its kernel sends into the tunnel, and
 * what status says. One invariant: a route that cannot be set is told and shown; the tunnel goes on.
 */

import type { Logger } from "pino";
import type { PeerStatus, RouteStatus } from "./control/status.ts";
import type { RoutingConfig, TunnelConfig } from "./control/tunnel-config.ts";
import { PathWord } from "./native/layout.ts";
import type { PlaneLink } from "./plane-link.ts";
import { chooseRoutes } from "./pushed-routes.ts";
import { RouteBook } from "./route-book.ts";
import type { PushedOptions } from "./session/handshake/push-options.ts";
import type { Device } from "./tap/device.ts";
import { PacketFilter, sweepFilter } from "./tap/packet-filter.ts";
import { addressText } from "./uplink/address-words.ts";

type Routed = Pick<Device, "setRoutes" | "name">;

/** What a routed tunnel routes; of a bridged one, nothing. */
export class TunnelRoutes {
  /** Of a listening end. */
  readonly book: RouteBook | undefined;
  readonly #config: TunnelConfig;
  readonly #device: Routed;
  readonly #log: Logger;
  #filter: PacketFilter | undefined;
  #dialled: readonly RouteStatus[] = [];
  #notes: ReadonlyMap<string, string> = new Map();

  constructor(
    config: TunnelConfig,
    device: Routed,
    around: { readonly plane: Pick<PlaneLink, "order" | "setRoutes">; readonly log: Logger },
  ) {
    const { role, routing } = config;
    this.#config = config;
    this.#device = device;
    this.#log = around.log;
    if (routing === undefined) {
      // The run before may have been a routed tunnel, and killed.
      sweepFilter(`${config.namespace}/${config.name}`);
      return;
    }
    this.#openFilter(routing);
    if (role.kind === "dial") return;
    this.book = new RouteBook(config, { role, routing }, around.plane);
    this.peersChanged();
  }

  /** The declared peers are others: the kernel's routes follow. */
  peersChanged(): void {
    if (this.book !== undefined) this.#set(this.book.kernelRoutes());
  }

  /** A dialling end is connected to the server whose path is in `row`. */
  connected(pushed: PushedOptions | undefined, row: Int32Array): void {
    const { routing } = this.#config;
    if (routing === undefined || this.book !== undefined) return;
    const remote = addressText(row.subarray(PathWord.remoteIp, PathWord.remoteIp + 4));
    const { taken, left } = chooseRoutes(routing, pushed, remote);
    for (const { network, why } of left) {
      this.#log.warn({ network }, `route not taken: ${why}`);
    }
    this.#set(taken);
    this.#dialled = [
      ...taken.map(({ network }) => ({ network, behind: "server" })),
      ...left.map(({ network, why }) => ({ network, behind: "server", note: why })),
    ];
  }

  /** Removes what this host's kernel was told beside routes, which go with the device. */
  close(): void {
    this.#filter?.close();
    this.#filter = undefined;
  }

  #openFilter({ fromSegment, masquerade, isProxy }: RoutingConfig): void {
    const { namespace, name } = this.#config;
    const { filter, problems } = PacketFilter.open({
      owner: `${namespace}/${name}`,
      interface: this.#device.name,
      networks: fromSegment,
      masquerade,
      hasGroups: isProxy === true,
    });
    this.#filter = filter;
    for (const problem of problems) this.#log.error(problem);
  }

  /** What status shows; undefined for a bridged tunnel. */
  status(peers: readonly PeerStatus[]): readonly RouteStatus[] | undefined {
    if (this.#config.routing === undefined) return undefined;
    const up = new Set(peers.filter(({ state }) => state === "Up").map(({ name }) => name));
    const routes = this.book?.status((name) => up.has(name)) ?? this.#dialled;
    return routes.map((route) => {
      const note = route.note ?? this.#notes.get(route.network);
      return note === undefined ? route : { ...route, note };
    });
  }

  #set(routes: Parameters<Routed["setRoutes"]>[0]): void {
    const failed = this.#device.setRoutes(routes);
    for (const { network, why } of failed) this.#log.error({ network }, `route not set: ${why}`);
    this.#notes = new Map(failed.map(({ network, why }) => [network, `not set: ${why}`]));
  }
}
