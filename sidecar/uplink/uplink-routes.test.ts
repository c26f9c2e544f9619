import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import fc from "fast-check";
import type { Route, RouteWish, Rule } from "../native/native.ts";
import {
  firstTableOf,
  type RoutesKernel,
  UplinkRoutes,
  type Way,
  wayEntries,
} from "./uplink-routes.ts";

const { EEXIST, ENOENT, ESRCH, ENETUNREACH } = constants.errno;
const OTHERS_RULE: Rule = { family: 4, priority: 32766, table: 254 };

/** A kernel that keeps what it is given, and what it kept when it is asked to refuse. */
class FakeKernel implements RoutesKernel {
  readonly held = new Map<string, Route>();
  readonly heldRules = new Map<string, Rule>([[JSON.stringify(OTHERS_RULE), OTHERS_RULE]]);
  refusedGateway = "";

  readonly routes = (): { errno: number; routes: Route[] } => {
    return { errno: 0, routes: [...this.held.values()] };
  };
  readonly routeAdd = (wish: RouteWish): number => {
    if (wish.gateway === this.refusedGateway) return ENETUNREACH;
    const key = `${wish.destination} ${wish.table}`;
    if (this.held.has(key)) return EEXIST;
    const family = wish.destination === "::" ? 6 : 4;
    this.held.set(key, { ...wish, family, table: wish.table ?? 254, metric: wish.metric ?? 0 });
    return 0;
  };
  readonly routeDelete = (wish: RouteWish): number =>
    this.held.delete(`${wish.destination} ${wish.table}`) ? 0 : ESRCH;
  readonly rules = (): { errno: number; rules: Rule[] } => {
    return { errno: 0, rules: [...this.heldRules.values()] };
  };
  readonly ruleAdd = (rule: Rule): number => {
    const key = JSON.stringify(rule);
    if (this.heldRules.has(key)) return EEXIST;
    this.heldRules.set(key, rule);
    return 0;
  };
  readonly ruleDelete = (rule: Rule): number =>
    this.heldRules.delete(JSON.stringify(rule)) ? 0 : ENOENT;

  /** As the kernel does with an interface that goes down. */
  dropRoutesOf(index: number): void {
    for (const [key, route] of this.held) if (route.index === index) this.held.delete(key);
  }
}

const ways = fc.record({
  interfaceName: fc.constantFrom("up0", "up1"),
  interfaceIndex: fc.integer({ min: 1, max: 3 }),
  address: fc.constantFrom("192.0.2.2", "192.0.2.3"),
  gateway: fc.constantFrom("192.0.2.1", "192.0.2.254"),
});
const steps = fc.array(
  fc.oneof(
    fc.record({ place: fc.nat(7), way: fc.option(ways, { nil: undefined }) }),
    fc.record({ down: fc.integer({ min: 1, max: 3 }) }),
    fc.constant({ kill: true }),
  ),
  { maxLength: 20 },
);

test("what the kernel has is what the uplinks need and nothing else, whatever dies in between", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const kernel = new FakeKernel();
      const other = new UplinkRoutes("lab/other", kernel);
      const otherWay: Way = {
        interfaceName: "up0",
        interfaceIndex: 1,
        address: "192.0.2.2",
        gateway: "192.0.2.1",
      };
      other.keep(0, otherWay, []);
      const kept = wayEntries(firstTableOf("lab/other"), otherWay);
      let own = new UplinkRoutes("lab/own", kernel);
      let wanted = new Map<number, Way>();
      for (const step of all) {
        if ("kill" in step) {
          own = new UplinkRoutes("lab/own", kernel);
          wanted = new Map();
        } else if ("down" in step) {
          kernel.dropRoutesOf(step.down);
        } else {
          if (step.way === undefined) wanted.delete(step.place);
          else wanted.set(step.place, step.way);
        }
        for (let place = 0; place < 8; place++) {
          assert.equal(own.keep(place, wanted.get(place), kernel.routes().routes), undefined);
        }
        const entries = [...wanted].map(([place, way]) =>
          wayEntries(firstTableOf("lab/own") + place, way),
        );
        const rules = [OTHERS_RULE, ...kept.rules, ...entries.flatMap((entry) => entry.rules)];
        assert.deepEqual(new Set(kernel.heldRules.keys()), new Set(rules.map(asText)));
        const tables = entries.map(({ route }) => route.table);
        const held = [...kernel.held.values()].map(({ table }) => table);
        for (const table of tables) assert(held.includes(table as number));
        const limit = tables.length + 1;
        assert(held.length <= limit, "no table of nobody's");
      }
      own.close();
      assert.equal(kernel.heldRules.size, 1 + kept.rules.length);
    }),
  );
});

test("a gateway that the kernel refuses is told, with nothing left of it", () => {
  const kernel = new FakeKernel();
  kernel.refusedGateway = "192.0.2.9";
  const routes = new UplinkRoutes("lab/own", kernel);
  const way: Way = {
    interfaceName: "up0",
    interfaceIndex: 1,
    address: "192.0.2.2",
    gateway: "192.0.2.9",
  };
  assert.equal(routes.keep(0, way, []), "gateway 192.0.2.9 cannot be set: ENETUNREACH");
  assert.deepEqual([kernel.held.size, kernel.heldRules.size], [0, 1]);
});

function asText(rule: Rule): string {
  return JSON.stringify(rule);
}
