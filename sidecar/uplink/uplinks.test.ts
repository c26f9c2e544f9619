import assert from "node:assert/strict";
import { test } from "node:test";
import type { UplinkConfig } from "../control/tunnel-config.ts";
import { judgeUplink, type NetworkView, Uplinks } from "./uplinks.ts";

const BY_INTERFACE: UplinkConfig = { name: "a", priority: 1, interface: "eth0" };
const BY_ADDRESS: UplinkConfig = { name: "b", priority: 2, sourceAddress: "203.0.113.0/24" };

function network(changes: Partial<NetworkView> = {}): NetworkView {
  const link = { kind: "", master: 0, mtu: 1500, isUp: true, hasCarrier: true, mac: "", alias: "" };
  const route = {
    destination: "0.0.0.0",
    prefixBits: 0,
    family: 4 as const,
    table: 254,
    metric: 0,
    protocol: 3,
  };
  return {
    links: [
      { ...link, index: 2, name: "eth0" },
      { ...link, index: 3, name: "wwan0" },
    ],
    addresses: [
      { index: 2, address: "192.0.2.4", prefixBits: 24, family: 4 },
      { index: 3, address: "203.0.113.4", prefixBits: 24, family: 4 },
      { index: 3, address: "fe80::1", prefixBits: 64, family: 6 },
    ],
    routes: [
      { ...route, index: 2 },
      { ...route, index: 3 },
    ],
    ...changes,
  };
}

test("an uplink is found by its interface or by the network of its address", () => {
  const byName = judgeUplink(BY_INTERFACE, network(), 4);
  assert.deepEqual(
    [byName.isUsable, byName.address, byName.interfaceIndex],
    [true, "192.0.2.4", 2],
  );
  const byAddress = judgeUplink(BY_ADDRESS, network(), 4);
  assert.deepEqual([byAddress.isUsable, byAddress.interfaceName], [true, "wwan0"]);
});

test("an uplink without interface, link, carrier, address or route is not usable, and says why", () => {
  const { links, addresses, routes } = network();
  const causeOf = (view: NetworkView, config: UplinkConfig = BY_INTERFACE): string => {
    const state = judgeUplink(config, view, 4);
    assert.equal(state.isUsable, false);
    return state.cause;
  };
  const first = links[0];
  assert.ok(first !== undefined);
  assert.equal(causeOf(network({ links: [] })), "no such interface");
  assert.equal(causeOf(network({ links: [{ ...first, isUp: false }] })), "interface is down");
  assert.equal(causeOf(network({ links: [{ ...first, hasCarrier: false }] })), "no carrier");
  assert.equal(causeOf(network({ addresses: addresses.slice(1) })), "no address");
  assert.equal(causeOf(network({ routes: routes.slice(1) })), "no route");
  const none = network({ addresses: [] });
  assert.equal(causeOf(none, BY_ADDRESS), "no address in its range");
  assert.equal(judgeUplink(BY_ADDRESS, network(), 6).isUsable, false, "link-local does not count");
});

test("an interface that is another one of the same name gets a new socket; changes are told once", () => {
  const log: string[] = [];
  let next = 1;
  const sockets = {
    open: () => ({ errno: 0, handle: next++, port: 1, operation: "" }),
    attach: (handle: number) => {
      log.push(`attach ${handle}`);
      return handle - 1;
    },
    detach: (index: number) => {
      log.push(`detach ${index}`);
      return 0;
    },
    close: (handle: number) => {
      log.push(`close ${handle}`);
      return 0;
    },
  };
  const uplinks = new Uplinks([BY_INTERFACE], sockets, { bufferBytes: 0, uplinksMax: 8 });
  assert.deepEqual(uplinks.refresh(network(), 4), [0]);
  assert.deepEqual(uplinks.refresh(network(), 4), []);
  assert.equal(uplinks.socketOf(0), 0);
  assert.deepEqual(uplinks.refresh(network({ addresses: [] }), 4), [0]);
  assert.equal(uplinks.states[0]?.isUsable, false);
  assert.equal(uplinks.changeOf(0), "address 192.0.2.4 removed");
  const again = network();
  const moved: NetworkView = {
    links: again.links.map((link) => (link.index === 2 ? { ...link, index: 9 } : link)),
    addresses: again.addresses.map((entry) => (entry.index === 2 ? { ...entry, index: 9 } : entry)),
    routes: again.routes.map((route) => (route.index === 2 ? { ...route, index: 9 } : route)),
  };
  assert.deepEqual(uplinks.refresh(moved, 4), [0]);
  assert.equal(uplinks.changeOf(0), "address 192.0.2.4");
  const other = moved.addresses.map((entry) =>
    entry.index === 9 ? { ...entry, address: "192.0.2.9" } : entry,
  );
  assert.deepEqual(uplinks.refresh({ ...moved, addresses: other }, 4), [0]);
  assert.equal(uplinks.changeOf(0), "address 192.0.2.4 became 192.0.2.9");
  const down = moved.links.map((link) => (link.index === 9 ? { ...link, isUp: false } : link));
  assert.deepEqual(uplinks.refresh({ ...moved, links: down }, 4), [0]);
  assert.equal(uplinks.changeOf(0), "interface is down");
  assert.deepEqual(log, ["attach 1", "detach 0", "close 1", "attach 2"]);
});
