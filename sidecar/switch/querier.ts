/**
 * Who asks for memberships in one VLAN and family: a router or switch that we hear, we, or nobody.
 * One invariant: groups are kept back from anybody only while somebody asks and hosts have had
 * the time to answer (`isSettled`). `Auto` yields to every other querier whatever its address, so
 * that a router's own routing is left alone; between two of us the lower MAC address asks. After
 * RFC 3376, 6.6.2 and RFC 4541, 2.1.1.
 */

import { NO_ROW } from "./group-layout.ts";

/** Who asks. */
export type QuerierMode = "Auto" | "Always" | "Never";

/** In place of a port where the querier is said: we ask. */
export const QUERIER_OURS = -2;

/** Queries are sent this often (RFC 3376, 8.2). */
const QUERY_INTERVAL_MS = 125_000;
/** Time to answer a query in ordinary times, and while we do not know the hosts yet. */
const QUERY_RESPONSE_MS = 10_000;
export const STARTUP_RESPONSE_MS = 1000;
const STARTUP_QUERIES = 3;
const STARTUP_INTERVAL_MS = 2500;
/** Without a query for so long, the other querier is gone (8.5: 255 s). */
const OTHER_QUERIER_MS = 255_000;
/** A router that speaks PIM is one for so long (its hellos come every 30 s). */
export const ROUTER_MS = 255_000;
/** What answers take beyond the time that the query gives. */
const SETTLE_SLACK_MS = 1000;
/** Ports with routers; more get groups by their memberships only. */
const ROUTER_PORTS_MAX = 64;

/** The querier and the router ports of one VLAN and family. */
export class Querier {
  readonly vlan: number;
  readonly family: 4 | 6;
  /** Ports that get every group. */
  readonly routers: Int32Array = new Int32Array(ROUTER_PORTS_MAX);
  /** Address of the other querier, as words. */
  readonly otherAddress: Int32Array = new Int32Array(4);
  routerCount = 0;
  /** The port of the querier as it was last told; see QUERIER_OURS. */
  toldPort: number = NO_ROW;
  otherPort: number = NO_ROW;
  /** We ask. */
  isAsking = false;
  readonly #routersUntilMs = new Int32Array(ROUTER_PORTS_MAX);
  #mode: QuerierMode;
  readonly #jitterMs: number;
  #otherUntilMs = 0;
  #hasOlder = false;
  #olderUntilMs = 0;
  #settlesMs = 0;
  #isKnown = false;
  #startupLeft = 0;
  #nextMs = 0;

  constructor(
    place: { readonly vlan: number; readonly family: 4 | 6 },
    mode: QuerierMode,
    times: { readonly nowMs: number; readonly jitterMs: number },
  ) {
    this.vlan = place.vlan;
    this.family = place.family;
    this.#mode = mode;
    this.#jitterMs = times.jitterMs;
    if (mode !== "Never") this.#start(times.nowMs);
  }

  /** Asks or does not from now on; what is known of the hosts stays while somebody asks. */
  setMode(mode: QuerierMode, nowMs: number): void {
    if (mode === this.#mode) return;
    this.#mode = mode;
    if (mode === "Never") {
      this.isAsking = false;
      if (this.otherPort === NO_ROW) this.#isKnown = false;
    } else if (mode === "Always" || this.otherPort === NO_ROW) this.#start(nowMs);
    else this.isAsking = false;
  }

  /** Whether memberships are known well enough to keep groups back. */
  isSettled(nowMs: number): boolean {
    // HOT PATH
    return this.#isKnown && ((nowMs - this.#settlesMs) | 0) >= 0;
  }

  /** Version to ask in: an older querier's, where we ask beside one. */
  get version(): 2 | 3 {
    return this.#hasOlder ? 2 : 3;
  }

  /** Another querier was heard. `isLower`: one of ours that has the right of way. */
  heard(
    port: number,
    query: { responseMs: number; version: number; yields: boolean },
    nowMs: number,
  ): void {
    this.addRouter(port, nowMs, OTHER_QUERIER_MS);
    if (query.version < 3) {
      this.#hasOlder = true;
      this.#olderUntilMs = (nowMs + OTHER_QUERIER_MS) | 0;
    }
    if (!query.yields || this.#mode === "Always") return;
    if (this.otherPort === NO_ROW) {
      // What is known of the hosts stays; if nothing is, they get the time to answer.
      if (!this.#isKnown) this.#settlesMs = (nowMs + query.responseMs + SETTLE_SLACK_MS) | 0;
      this.#isKnown = true;
    }
    this.otherPort = port;
    this.#otherUntilMs = (nowMs + OTHER_QUERIER_MS + this.#jitterMs) | 0;
    this.isAsking = false;
  }

  /** Every group goes to this port for a while. */
  addRouter(port: number, nowMs: number, lastsMs: number): void {
    let place = 0;
    while (place < this.routerCount && this.routers[place] !== port) place += 1;
    if (place === ROUTER_PORTS_MAX) return;
    if (place === this.routerCount) this.routerCount += 1;
    this.routers[place] = port;
    this.#routersUntilMs[place] = (nowMs + lastsMs) | 0;
  }

  /** The port ended. */
  forgetPort(port: number, nowMs: number): void {
    for (let place = this.routerCount - 1; place >= 0; place--) {
      if (this.routers[place] === port) this.#removeRouter(place);
    }
    if (this.otherPort === port) this.#otherUntilMs = nowMs;
  }

  /** Lets times run out; returns how long hosts may take to answer a query due now, or 0. */
  tick(nowMs: number): number {
    for (let place = this.routerCount - 1; place >= 0; place--) {
      if ((((this.#routersUntilMs[place] as number) - nowMs) | 0) <= 0) this.#removeRouter(place);
    }
    if (this.#hasOlder && ((this.#olderUntilMs - nowMs) | 0) <= 0) this.#hasOlder = false;
    if (this.otherPort !== NO_ROW && ((this.#otherUntilMs - nowMs) | 0) <= 0) {
      this.otherPort = NO_ROW;
      if (this.#mode === "Never") this.#isKnown = false;
      else this.#start(nowMs);
    }
    if (!this.isAsking || ((nowMs - this.#nextMs) | 0) < 0) return 0;
    if (!this.#isKnown) {
      this.#isKnown = true;
      this.#settlesMs = (nowMs + STARTUP_RESPONSE_MS + SETTLE_SLACK_MS) | 0;
    }
    const isStartup = this.#startupLeft > 0;
    if (isStartup) this.#startupLeft -= 1;
    this.#nextMs = (nowMs + (this.#startupLeft > 0 ? STARTUP_INTERVAL_MS : QUERY_INTERVAL_MS)) | 0;
    return isStartup ? STARTUP_RESPONSE_MS : QUERY_RESPONSE_MS;
  }

  #start(nowMs: number): void {
    this.isAsking = true;
    this.#startupLeft = STARTUP_QUERIES;
    this.#nextMs = nowMs;
  }

  #removeRouter(place: number): void {
    this.routerCount -= 1;
    this.routers[place] = this.routers[this.routerCount] as number;
    this.#routersUntilMs[place] = this.#routersUntilMs[this.routerCount] as number;
  }
}
