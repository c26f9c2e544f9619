import assert from "node:assert/strict";
import { test } from "node:test";
import { diagnoseHost } from "./host-diagnoses.ts";
import type { HostFacts } from "./host-facts.ts";

const WALL_MS = Date.UTC(2026, 0, 10);
const OLD = new Date(WALL_MS - 3_600_000).toISOString();
const YOUNG = new Date(WALL_MS - 5000).toISOString();

type Fields = Readonly<Record<string, unknown>>;

const LINKS = [
  { index: 3, name: "seg0", master: 0 },
  { index: 5, name: "eth1", master: 0 },
  { index: 9, name: "br0", master: 0 },
];
const ADDRESSES = [
  { index: 3, address: "10.20.0.7", family: 4 },
  { index: 3, address: "fe80::1", family: 6 },
  { index: 5, address: "198.51.100.2", family: 4 },
];
const MULTICAST_ROUTE = {
  ...{ destination: "224.0.0.0", family: 4, index: 3, prefixBits: 4, table: 254 },
};

function found(tunnel: Fields, facts: Fields = {}, since = OLD): string[] {
  const whole = {
    ...{ namespace: "lab", name: "a", role: "dial", state: "Up", interface: "seg0" },
    ...{ mtuBytes: 1420, peers: [], groups: [], counters: {} },
    ...tunnel,
  };
  const findings = diagnoseHost(
    {
      processes: [{ since, refused: [], tunnels: [whole] }],
      ...{ links: LINKS, addresses: ADDRESSES, routes: [MULTICAST_ROUTE], hidden: [] },
      ...{ strict: new Set(), isBridgeFiltered: false },
      ...facts,
    } as unknown as HostFacts,
    WALL_MS,
  );
  for (const { about, cause, step } of findings) {
    assert.match(about, /^Vpn(?:Tunnel|Peer) lab\//);
    assert(!`${cause}${step}`.includes("undefined"), `${cause} ${step}`);
  }
  return findings.map(({ code }) => code);
}

test("a tunnel that is well has no finding", () => {
  assert.deepEqual(found({}), []);
  assert.deepEqual(found({ state: "Connecting" }, {}, YOUNG), []);
});

test("a tunnel that is not up for a minute, or failed, is named", () => {
  assert.deepEqual(found({ state: "Connecting" }), ["NotConnected"]);
  assert.deepEqual(found({ state: "Failed", problem: "no" }, {}, YOUNG), ["NotConnected"]);
  const processes = [{ since: OLD, tunnels: [], refused: [{ name: "lab/b", problems: ["x"] }] }];
  assert.deepEqual(found({}, { processes }), ["NotStarted"]);
});

test("multicast that the kernel takes elsewhere is named where we dial and hold an address", () => {
  assert.deepEqual(found({}, { routes: [] }), ["MulticastElsewhere"]);
  const elsewhere = { ...MULTICAST_ROUTE, index: 5 };
  assert.deepEqual(found({}, { routes: [elsewhere] }), ["MulticastElsewhere"]);
  const other = { ...MULTICAST_ROUTE, table: 100 };
  assert.deepEqual(found({}, { routes: [other] }), ["MulticastElsewhere"]);
  const six = { index: 3, address: "fd20::7", family: 6 };
  assert.deepEqual(found({}, { addresses: [...ADDRESSES, six] }), ["MulticastElsewhere"]);
  assert.deepEqual(found({ role: "listen", state: "Listening" }, { routes: [] }), []);
  assert.deepEqual(found({ routes: [] }, { routes: [] }), [], "a routed tunnel");
});

test("a packet filter is named only where the tap is in a bridge", () => {
  const links = LINKS.map((link) => (link.name === "seg0" ? { ...link, master: 9 } : link));
  assert.deepEqual(found({}, { links, isBridgeFiltered: true }), ["BridgeFiltered"]);
  assert.deepEqual(found({}, { links }), []);
  assert.deepEqual(found({}, { isBridgeFiltered: true }), []);
});

test("strict filtering is named where an uplink is usable and nothing comes back by it", () => {
  const uplinks = [{ name: "b", isUsable: true, address: "198.51.100.2", cause: "address" }];
  const silent = { uplinks, peers: [{ paths: [{ uplink: "b", isAlive: false }] }] };
  const strict = new Set(["eth1"]);
  assert.deepEqual(found(silent, { strict }), ["ReversePathStrict"]);
  assert.deepEqual(found(silent, { strict: new Set(["seg0"]) }), []);
  const heard = { uplinks, peers: [{ paths: [{ uplink: "b", isAlive: true }] }] };
  assert.deepEqual(found(heard, { strict }), []);
  const down = [{ name: "b", isUsable: false, address: "", cause: "no carrier" }];
  assert.deepEqual(found({ uplinks: down }), ["UplinkDown"]);
});

test("what status knows is said: conflicts, loops, frames too long, absent peers, silent groups", () => {
  const conflict = { address: "10.20.0.7", owner: "box", mac: "02:00:00:00:00:01", behind: "tap" };
  assert.deepEqual(found({ conflicts: [conflict] }), ["AddressConflict"]);
  assert.deepEqual(found({ shut: ["box", "van"] }), ["LoopShut"]);
  assert.deepEqual(found({ counters: { "tap.frameTooBig": 2 } }), ["FramesTooBig"]);
  const listening = { role: "listen", state: "Listening", peers: [{ name: "x", state: "Absent" }] };
  assert.deepEqual(found(listening), ["PeerAbsent"]);
  assert.deepEqual(found(listening, {}, YOUNG), [], "it may be on its way");
  const group = { group: "239.1.2.3", joinedBy: [{ behind: "box" }], note: "nobody sends" };
  assert.deepEqual(found({ groups: [group, { ...group, note: undefined }] }), ["NobodySends"]);
});

test("the gravest finding comes first", () => {
  const group = { group: "239.1.2.3", joinedBy: [{ behind: "box" }], note: "nobody sends" };
  assert.deepEqual(found({ groups: [group] }, { routes: [] }), [
    ...["MulticastElsewhere", "NobodySends"],
  ]);
});
