import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalNetwork, isInside, peerModeProblem, routingProblems } from "./routing.ts";
import type { VpnPeer, VpnTunnel } from "./types.ts";

const ADDRESSES = {
  segment: "10.20.0.0/24",
  gateway: "10.20.0.1",
  segment6: "fd20::/64",
  gateway6: "fd20::1",
};

function tunnel(spec: object): VpnTunnel {
  const plain = { mode: "Routed", listen: { port: 1194 }, addresses: ADDRESSES };
  return { spec: { ...plain, ...spec } } as unknown as VpnTunnel;
}

function peer(spec: object): VpnPeer {
  return { spec: { addressing: "Assigned", ...spec } } as unknown as VpnPeer;
}

const ROUTES = { fromSegment: ["10.96.0.0/12"], toSegment: ["10.30.0.0/16", "fd30::/48"] };

test("a routed tunnel with its own addresses and networks has no problems", () => {
  assert.deepEqual(routingProblems(tunnel({ routes: ROUTES })), []);
  assert.deepEqual(routingProblems(tunnel({ mode: "Bridged", addresses: {} })), []);
  const dial = { listen: undefined, dial: {}, addresses: undefined, routes: ROUTES };
  assert.deepEqual(routingProblems(tunnel(dial)), []);
});

const REFUSED: readonly (readonly [string, object, string])[] = [
  ["a bridge", { gateway: { bridge: { interface: "br0" } } }, "spec.gateway.bridge"],
  ["storm limits", { stormLimits: { broadcast: "1Mbit" } }, "spec.stormLimits"],
  ["no network", { addresses: {} }, "spec.addresses.segment"],
  ["no address", { addresses: { segment: "10.20.0.0/24" } }, "spec.addresses.gateway"],
  [
    "no IPv6 address",
    { addresses: { ...ADDRESSES, gateway6: undefined } },
    "spec.addresses.gateway6",
  ],
  ["host bits", { routes: { fromSegment: ["10.96.0.1/12"] } }, "spec.routes.fromSegment"],
  ["groups", { routes: { toSegment: ["239.0.0.0/8"] } }, "spec.routes.toSegment"],
  ["IPv6 groups", { routes: { toSegment: ["ff00::/8"] } }, "spec.routes.toSegment"],
  [
    "the tunnel's own network",
    { routes: { toSegment: ["10.20.0.0/25"] } },
    "spec.routes.toSegment",
  ],
  [
    "everything",
    { listen: undefined, dial: {}, routes: { toSegment: ["0.0.0.0/0"] } },
    "spec.routes.toSegment",
  ],
];

for (const [name, spec, field] of REFUSED) {
  test(`refused in a routed tunnel: ${name}`, () => {
    assert.deepEqual(
      routingProblems(tunnel(spec)).map((problem) => problem.field),
      [field],
    );
  });
}

test("a missing address of our own is suggested", () => {
  const [problem] = routingProblems(tunnel({ addresses: { segment: "10.20.0.0/24" } }));
  assert.match(problem?.reason ?? "", /such as 10\.20\.0\.1$/);
});

test("a peer's fields go with the tunnel's mode", () => {
  const routed = tunnel({ routes: ROUTES });
  const bridged = tunnel({ mode: "Bridged" });
  const networks = (...texts: string[]): VpnPeer => peer({ networks: texts });
  assert.equal(peerModeProblem(peer({}), routed), undefined);
  assert.equal(
    peerModeProblem(networks("10.31.0.0/24", "0.0.0.0/0", "fd31::/64"), routed),
    undefined,
  );
  assert.equal(peerModeProblem(peer({ stations: ["02:00:00:00:00:07"] }), bridged), undefined);
  for (const [bad, where, pattern] of [
    [networks("10.31.0.0/24"), bridged, /belong to a routed tunnel/],
    [networks("10.31.0.7/24"), routed, /write 10\.31\.0\.0\/24/],
    [networks("10.20.0.128/25"), routed, /inside the tunnel's own network/],
    [networks("10.96.0.0/12"), routed, /fromSegment/],
    [networks("224.0.0.0/4"), routed, /groups/],
    [peer({ stations: ["02:00:00:00:00:07"] }), routed, /no MAC addresses/],
    [peer({ addressing: "None" }), routed, /needs an address/],
  ] as const) {
    assert.match(peerModeProblem(bad, where) ?? "", pattern);
  }
});

test("networks are inside others by prefix, whatever their spelling", () => {
  assert.equal(canonicalNetwork("10.31.0.7/24"), "10.31.0.0/24");
  assert.equal(canonicalNetwork("FD31:0:0::/64"), "fd31::/64");
  assert(isInside("10.31.0.0/24", "10.31.0.0/24"));
  assert(isInside("10.31.0.0/24", "0.0.0.0/0"));
  assert(!isInside("10.0.0.0/8", "10.31.0.0/24"));
  assert(!isInside("fd31::/64", "0.0.0.0/0"));
});
