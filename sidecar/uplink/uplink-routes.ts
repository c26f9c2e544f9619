/**
 * A routing table for each uplink that names its gateway, and the rules that lead to it: packets bound
 * to the uplink's interface or leaving from its address go to the gateway, whatever the main table
 * says. One invariant: tables and rules of one tunnel are told by the tables' numbers, which come
 * from its name, so what a killed process left is removed by the tunnel's next start.
 *
 * What the main table knows better than by its default route comes first (`suppressBits`): hosts on
 * the link are not sent to the gateway.
 */

import { createHash } from "node:crypto";
import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import type { Result, Route, RouteWish, Rule } from "../native/native.ts";

/** What is asked of the kernel. */
export interface RoutesKernel {
  readonly routes: () => Result & { readonly routes: readonly Route[] };
  readonly routeAdd: (route: RouteWish) => number;
  readonly routeDelete: (route: RouteWish) => number;
  readonly rules: () => Result & { readonly rules: readonly Rule[] };
  readonly ruleAdd: (rule: Rule) => number;
  readonly ruleDelete: (rule: Rule) => number;
}

/** An uplink that is to have a table of its own. */
export interface Way {
  readonly interfaceName: string;
  readonly interfaceIndex: number;
  /** The address that packets leave from, of the gateway's family. */
  readonly address: string;
  readonly gateway: string;
}

/** Tables of all tunnels are numbered from here, eight for each. */
const TABLE_FIRST = 0x4000_0000;
const TABLES_PER_TUNNEL = 8;
/** Before the main table's rule (32766); two numbers for each uplink, 800 tunnels side by side. */
const PRIORITY_FIRST = 19_000;
const TABLES_SIDE_BY_SIDE = 6400;
const TABLE_MAIN = 254;
/** Routes with this protocol are ours. */
const PROTOCOL_OURS = 250;

/** The first of a tunnel's tables, by its name. */
export function firstTableOf(tunnel: string): number {
  const hash = createHash("sha256").update(tunnel).digest().readUIntBE(0, 3);
  return TABLE_FIRST + hash * TABLES_PER_TUNNEL;
}

/** The route and the rules of an uplink with this table; pure. */
export function wayEntries(
  table: number,
  way: Way,
): { readonly route: RouteWish; readonly rules: readonly Rule[] } {
  const family = way.gateway.includes(":") ? 6 : 4;
  // Two tunnels by one interface have rules of their own.
  const priority = PRIORITY_FIRST + 2 * ((table - TABLE_FIRST) % TABLES_SIDE_BY_SIDE);
  const selectors = [{ interface: way.interfaceName }, { source: way.address }];
  return {
    route: {
      destination: family === 6 ? "::" : "0.0.0.0",
      prefixBits: 0,
      index: way.interfaceIndex,
      gateway: way.gateway,
      table,
      protocol: PROTOCOL_OURS,
    },
    rules: selectors.flatMap((selector): Rule[] => [
      { family, priority, table: TABLE_MAIN, suppressBits: 0, ...selector },
      { family, priority: priority + 1, table, ...selector },
    ]),
  };
}

/** The tables and rules of one tunnel. */
export class UplinkRoutes {
  readonly #kernel: RoutesKernel;
  readonly #firstTable: number;
  readonly #ways: (Way | undefined)[] = [];

  /** Removes what an earlier process of this tunnel left. */
  constructor(tunnel: string, kernel: RoutesKernel) {
    this.#kernel = kernel;
    this.#firstTable = firstTableOf(tunnel);
    this.#sweep();
  }

  /**
   * Sees to the table and rules of an uplink, or removes them; `routes` is what the kernel says now. A
   * text says why they cannot be had.
   */
  keep(place: number, way: Way | undefined, routes: readonly Route[]): string | undefined {
    const before = this.#ways[place];
    const isSame = before !== undefined && way !== undefined && isSameWay(before, way);
    if (before !== undefined && !isSame) this.#remove(place, before);
    if (way === undefined) return undefined;
    const table = this.#firstTable + place;
    // The kernel drops routes of an interface that goes down, and keeps rules.
    // What was just removed is still in the list.
    const hasRoute =
      isSame && routes.some((route) => route.table === table && isRouteOf(route, way));
    if (hasRoute) return undefined;
    const entries = wayEntries(table, way);
    const errno = this.#add(entries, !isSame);
    this.#ways[place] = way;
    if (errno === 0) return undefined;
    this.#remove(place, way);
    return `gateway ${way.gateway} cannot be set: ${getSystemErrorName(-errno)}`;
  }

  /** Removes all of it. */
  close(): void {
    for (const [place, way] of this.#ways.entries()) {
      if (way !== undefined) this.#remove(place, way);
    }
  }

  /** The route first: a rule that leads to an empty table would lead on to the main one. */
  #add({ route, rules }: ReturnType<typeof wayEntries>, withRules: boolean): number {
    const { EEXIST } = constants.errno;
    const errnos = [this.#kernel.routeAdd(route)];
    if (withRules) errnos.push(...rules.map((rule) => this.#kernel.ruleAdd(rule)));
    return errnos.find((errno) => errno !== 0 && errno !== EEXIST) ?? 0;
  }

  #remove(place: number, way: Way): void {
    this.#ways[place] = undefined;
    const { route, rules } = wayEntries(this.#firstTable + place, way);
    for (const rule of rules) this.#kernel.ruleDelete(rule);
    this.#kernel.routeDelete(route);
  }

  #sweep(): void {
    const limit = this.#firstTable + TABLES_PER_TUNNEL;
    const isOurs = (table: number): boolean => table >= this.#firstTable && table < limit;
    const { rules } = this.#kernel.rules();
    const left = rules.filter((rule) => isOurs(rule.table));
    for (const rule of rules) {
      // The one in front names the main table: it goes with the one that it belongs to.
      const isFront = left.some((own) => isFrontOf(rule, own));
      if (isOurs(rule.table) || isFront) this.#kernel.ruleDelete(rule);
    }
    const { routes } = this.#kernel.routes();
    for (const route of routes) if (isOurs(route.table)) this.#kernel.routeDelete(route);
  }
}

function isSameWay(one: Way, other: Way): boolean {
  return (
    one.interfaceIndex === other.interfaceIndex &&
    one.interfaceName === other.interfaceName &&
    one.address === other.address &&
    one.gateway === other.gateway
  );
}

function isRouteOf(route: Route, way: Way): boolean {
  return route.index === way.interfaceIndex && route.gateway === way.gateway;
}

function isFrontOf(rule: Rule, own: Rule): boolean {
  return (
    rule.table === TABLE_MAIN &&
    rule.suppressBits === 0 &&
    rule.priority === own.priority - 1 &&
    rule.family === own.family &&
    rule.interface === own.interface &&
    rule.source === own.source
  );
}
