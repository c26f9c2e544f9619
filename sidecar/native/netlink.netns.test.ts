/** Runs as root in a network namespace of its own, which it changes as it likes. */
import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import {
  type AddressEntry,
  addressAdd,
  addressDelete,
  addresses,
  type Link,
  linkAdd,
  linkDelete,
  linkSet,
  links,
  type Route,
  type Rule,
  routeAdd,
  routeDelete,
  routes,
  ruleAdd,
  ruleDelete,
  rules,
} from "./native.ts";
import { requireOwnNamespace } from "./own-namespace.ts";

requireOwnNamespace();

const { EEXIST, EINVAL, ENODEV, ENOENT, EADDRNOTAVAIL, ESRCH, EAFNOSUPPORT } = constants.errno;
const OURS = 250;

function listLinks(): readonly Link[] {
  const result = links();
  assert.equal(result.errno, 0);
  return result.links;
}

function link(name: string): Link {
  const found = listLinks().find((entry) => entry.name === name);
  assert.ok(found, `${name} is there`);
  return found;
}

function ofIndex<T extends AddressEntry | Route>(entries: readonly T[], index: number): T[] {
  return entries.filter((entry) => entry.index === index);
}

function ourRoutes(): Route[] {
  const result = routes();
  assert.equal(result.errno, 0);
  return result.routes.filter((route) => route.protocol === OURS);
}

test("a bridge is made, described, changed and deleted", () => {
  const made = linkAdd({ name: "flbr0", kind: "bridge" });
  assert.equal(made.errno, 0);
  assert.equal(linkAdd({ name: "flbr0", kind: "bridge" }).errno, EEXIST);
  const alias = "fairlead:lab/tunnel-ä";
  const change = { index: made.index, isUp: true, mtu: 1400, mac: "02:00:00:00:00:07", alias };
  assert.equal(linkSet(change), 0);
  assert.deepEqual(link("flbr0"), {
    index: made.index,
    name: "flbr0",
    kind: "bridge",
    master: 0,
    mtu: 1400,
    isUp: true,
    hasCarrier: false,
    mac: "02:00:00:00:00:07",
    alias,
  });
  assert.equal(linkSet({ index: made.index, isUp: false, alias: "" }), 0);
  assert.equal(link("flbr0").isUp, false);
  assert.equal(link("flbr0").alias, "");
  assert.equal(link("flbr0").mtu, 1400, "what is absent stays");
  assert.equal(linkDelete(made.index), 0);
  assert.equal(linkDelete(made.index), ENODEV);
  assert.equal(linkSet({ index: made.index, isUp: true }), ENODEV);
});

test("a link joins a bridge and leaves it", () => {
  const bridge = linkAdd({ name: "flbr1", kind: "bridge" });
  const other = linkAdd({ name: "flbr2", kind: "bridge" });
  assert.equal(linkSet({ index: other.index, master: 0 }), 0);
  const refused = linkSet({ index: other.index, master: bridge.index });
  assert.ok(refused > 0, "a bridge cannot join a bridge");
  assert.equal(linkSet({ index: other.index, mtu: -1 }), EINVAL);
  assert.equal(linkSet({ index: other.index, mac: "nonsense" }), EINVAL);
  assert.equal(linkSet({ index: other.index, alias: "x".repeat(256) }), EINVAL);
  assert.equal(linkSet({ index: other.index, alias: "x".repeat(255) }), 0);
  assert.equal(link("flbr2").alias.length, 255);
  assert.equal(linkDelete(bridge.index), 0);
  assert.equal(linkDelete(other.index), 0);
});

test("addresses of both families come and go", () => {
  const { index } = linkAdd({ name: "flbr3", kind: "bridge" });
  assert.equal(linkSet({ index, isUp: true }), 0);
  const v4 = { index, address: "192.0.2.1", prefixBits: 24 };
  const v6 = { index, address: "2001:db8::1", prefixBits: 64 };
  assert.equal(addressAdd(v4), 0);
  assert.equal(addressAdd(v6), 0);
  assert.equal(addressAdd(v4), EEXIST);
  const there = ofIndex(addresses().addresses, index);
  assert.deepEqual(
    there.filter((entry) => !entry.address.startsWith("fe80")),
    [
      { ...v4, family: 4 },
      { ...v6, family: 6 },
    ],
  );
  assert.equal(addressAdd({ ...v4, prefixBits: 33 }), EINVAL);
  assert.equal(addressAdd({ ...v4, address: "192.0.2" }), EINVAL);
  assert.equal(addressAdd({ ...v4, index: 9999 }), ENODEV);
  assert.equal(addressDelete(v4), 0);
  assert.equal(addressDelete(v4), EADDRNOTAVAIL);
  assert.equal(addressDelete(v6), 0);
  assert.equal(linkDelete(index), 0);
});

test("routes of both families come and go, and ours are known by their protocol", () => {
  const { index } = linkAdd({ name: "flbr4", kind: "bridge" });
  assert.equal(linkSet({ index, isUp: true }), 0);
  assert.equal(addressAdd({ index, address: "192.0.2.1", prefixBits: 24 }), 0);
  assert.equal(addressAdd({ index, address: "2001:db8::1", prefixBits: 64 }), 0);
  const wishes = [
    { destination: "198.51.100.0", prefixBits: 24, gateway: "192.0.2.2", table: 254, metric: 7 },
    { destination: "203.0.113.0", prefixBits: 24, table: 254, metric: 0 },
    { destination: "0.0.0.0", prefixBits: 0, gateway: "192.0.2.2", table: 1000, metric: 0 },
    { destination: "2001:db8:1::", prefixBits: 48, gateway: "2001:db8::2", table: 254, metric: 5 },
    { destination: "::", prefixBits: 0, gateway: "2001:db8::2", table: 1000, metric: 9 },
  ].map((wish) => ({ ...wish, index, protocol: OURS }));
  for (const wish of wishes) {
    assert.equal(routeAdd(wish), 0, wish.destination);
    assert.equal(routeAdd(wish), EEXIST, wish.destination);
  }
  const found = ourRoutes();
  assert.equal(found.length, wishes.length);
  for (const wish of wishes) {
    const match = found.find(
      (route) => route.destination === wish.destination && route.table === wish.table,
    );
    assert.deepEqual(match, { ...wish, family: wish.destination.includes(":") ? 6 : 4 });
  }
  const mixed = { destination: "10.0.0.0", prefixBits: 8, gateway: "2001:db8::2" };
  assert.equal(routeAdd({ ...mixed, index, protocol: OURS }), EAFNOSUPPORT);
  assert.equal(routeAdd({ destination: "10.0.0.0", prefixBits: 8, index, protocol: 256 }), EINVAL);
  for (const route of found) assert.equal(routeDelete(route), 0, route.destination);
  assert.equal(routeDelete(found[0] as Route), ESRCH);
  assert.deepEqual(ourRoutes(), []);
  assert.equal(linkDelete(index), 0);
});

test("a long list comes whole", () => {
  const made = Array.from({ length: 30 }, (_, at) => linkAdd({ name: `flm${at}`, kind: "bridge" }));
  const names = new Set(listLinks().map((entry) => entry.name));
  for (let at = 0; at < 30; at++) assert.ok(names.has(`flm${at}`));
  for (const { index } of made) assert.equal(linkDelete(index), 0);
});

test("rules of both families are added, listed as they were asked for, and deleted", () => {
  const wishes: Rule[] = [
    { family: 4, priority: 100, table: 254, interface: "veth9", suppressBits: 0 },
    { family: 4, priority: 101, table: 0x4000_0001, source: "192.0.2.7" },
    { family: 6, priority: 102, table: 0x4000_0001, interface: "veth9" },
    { family: 6, priority: 103, table: 7, source: "2001:db8::7" },
  ];
  for (const wish of wishes) {
    assert.equal(ruleAdd(wish), 0, JSON.stringify(wish));
    assert.equal(ruleAdd(wish), EEXIST, JSON.stringify(wish));
  }
  const listed = rules().rules.filter((rule) => rule.priority >= 100 && rule.priority <= 103);
  assert.deepEqual(
    listed.sort((a, b) => a.priority - b.priority),
    wishes,
  );
  for (const wish of wishes) {
    assert.equal(ruleDelete(wish), 0);
    assert.equal(ruleDelete(wish), ENOENT);
  }
  assert.equal(ruleAdd({ family: 4, priority: 1, table: 1, source: "::1" }), EAFNOSUPPORT);
  assert.equal(ruleAdd({ family: 4, priority: -1, table: 1 }), EINVAL);
});
