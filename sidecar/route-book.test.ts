import assert from "node:assert/strict";
import { test } from "node:test";
import type { Order } from "./control/orders.ts";
import type { ListenConfig, PeerConfig, RoutingConfig } from "./control/tunnel-config.ts";
import { PUSHED_ROUTES_MAX } from "./limits.ts";
import { chooseRoutes } from "./pushed-routes.ts";
import { RouteBook } from "./route-book.ts";
import { NOBODY, PrefixTable, type PrefixWords } from "./switch/prefix-table.ts";

const DEVICE = {
  kind: "tun",
  multicastRoutes: [],
  mtu: 1500,
  address4: { address: "10.20.0.1", prefixBits: 24 },
} as const;
const ROUTING: RoutingConfig = {
  fromSegment: ["10.96.0.0/12"],
  isPeerToPeer: true,
  masquerade: false,
};

function peer(name: string, address4: string, ...networks: string[]): PeerConfig {
  return { name, commonName: name, address4, stations: [], networks };
}

const BOX = peer("box", "10.20.0.7", "10.31.0.0/16", "fd31::/64");
const DESK = peer("desk", "10.20.0.8", "10.31.7.0/24");

function open(routing: Partial<RoutingConfig> = {}, peers: readonly PeerConfig[] = [BOX, DESK]) {
  const tables: PrefixTable[] = [];
  const orders: Order[] = [];
  const plane = {
    order: (order: Order) => void orders.push(order),
    setRoutes: (words: PrefixWords) => void tables.push(new PrefixTable(words)),
  };
  const role: ListenConfig = {
    kind: "listen",
    protocol: "Udp",
    port: 1194,
    peers,
    segment4: { address: "10.20.0.0", prefixBits: 24 },
  };
  const book = new RouteBook(
    { device: DEVICE },
    { role, routing: { ...ROUTING, ...routing } },
    plane,
  );
  const owner = (address: string): number => {
    const word = address.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0);
    return tables.at(-1)?.lookup4(word) ?? Number.NaN;
  };
  return { book, orders, owner };
}

test("the table knows whose each address is", () => {
  const { book, orders, owner } = open();
  assert.equal(owner("10.20.0.1"), 0);
  assert.equal(owner("10.97.0.1"), 0);
  assert.equal(owner("10.20.0.99"), NOBODY, "an address of the tunnel that nobody has");
  assert.equal(owner("192.0.2.1"), NOBODY);
  const [box, desk] = [owner("10.20.0.7"), owner("10.20.0.8")];
  assert.notEqual(box, desk);
  assert.equal(owner("10.31.1.1"), box);
  assert.equal(owner("10.31.7.1"), desk);
  book.connected(4, "desk", 1400);
  book.connected(5, "stranger", 0);
  assert.deepEqual(orders, [{ kind: "ownPort", index: 4, owner: desk, mtuBytes: 1400 }]);
});

test("a peer keeps its number while others come and go", () => {
  const { book, owner } = open();
  const desk = owner("10.20.0.8");
  book.setPeers([DESK, peer("new", "10.20.0.9")]);
  assert.equal(owner("10.20.0.8"), desk);
  assert.equal(owner("10.31.1.1"), NOBODY);
  assert.notEqual(owner("10.20.0.9"), desk);
});

test("a peer hears of this side's networks and the others', not of its own", () => {
  assert.deepEqual(open().book.pushedTo("desk").networks, [
    "10.96.0.0/12",
    "10.31.0.0/16",
    "fd31::/64",
  ]);
  assert.deepEqual(open({ isPeerToPeer: false }).book.pushedTo("desk").networks, ["10.96.0.0/12"]);
  const many = Array.from({ length: PUSHED_ROUTES_MAX + 9 }, (_, index) =>
    peer(`p${index}`, "10.20.0.9", `10.${128 + (index >> 8)}.${index & 255}.0/24`),
  );
  const { networks, leftOutCount } = open({}, many).book.pushedTo("desk");
  assert.deepEqual([networks.length, leftOutCount], [PUSHED_ROUTES_MAX, 10]);
});

test("the kernel gets what peers declare, within what this side is to reach", () => {
  const names = (routing: Partial<RoutingConfig>): string[] =>
    open(routing)
      .book.kernelRoutes()
      .map(({ network }) => network);
  assert.deepEqual(names({}), ["10.31.0.0/16", "fd31::/64", "10.31.7.0/24"]);
  assert.deepEqual(names({ toSegment: ["10.31.0.0/16"] }), ["10.31.0.0/16", "10.31.7.0/24"]);
  assert.deepEqual(names({ toSegment: [] }), []);
});

test("of pushed routes those are taken that are asked for, none that leads into itself", () => {
  const remote = "192.0.2.1";
  const routes = [
    { network: "10.30.4.0/24", metric: 7 },
    { network: "10.99.0.0/16" },
    { network: "192.0.2.0/24" },
    { network: "224.0.0.0/4" },
  ];
  const routing = { ...ROUTING, toSegment: ["10.30.0.0/16"] };
  const within = { ...routing, pushed: { within: ["10.30.0.0/16"] } };
  const some = chooseRoutes(within, { routes, routeMetric: 3 }, remote);
  assert.deepEqual(some.taken, [
    { network: "10.30.0.0/16" },
    { network: "10.30.4.0/24", metric: 7 },
  ]);
  assert.equal(some.left.length, 3);
  const all = chooseRoutes({ ...ROUTING, pushed: {} }, { routes, routeMetric: 3 }, remote);
  assert.deepEqual(all.taken, [
    { network: "10.30.4.0/24", metric: 7 },
    { network: "10.99.0.0/16", metric: 3 },
  ]);
  assert.match(all.left[0]?.why ?? "", /the server itself/);
  assert.match(all.left[1]?.why ?? "", /groups/);
  assert.deepEqual(chooseRoutes(routing, { routes }, remote).taken, [{ network: "10.30.0.0/16" }]);
  const far = chooseRoutes(ROUTING, { routes: [], remoteAddress4: "10.8.0.5" }, remote);
  assert.deepEqual(far.taken, [{ network: "10.8.0.5/32" }]);
});
