/** Validation outside Kubernetes: every error at once, each with what would be right. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Problem, printProblem } from "./problem.ts";
import { validate } from "./validate.ts";

type Fields = Readonly<Record<string, unknown>>;

function tunnel(spec: unknown, rest: Fields = {}): unknown {
  const metadata = { name: "testbed-a", namespace: "lab" };
  return { apiVersion: "fairlead.dev/v1alpha1", kind: "VpnTunnel", metadata, spec, ...rest };
}

function peer(spec: Fields): unknown {
  return tunnel({ tunnel: { name: "testbed-a" }, ...spec }, { kind: "VpnPeer" });
}

function uplinks(spec: Fields): unknown {
  return tunnel({ uplinks: [{ name: "a", interface: "eth0" }], ...spec }, { kind: "UplinkSet" });
}

function problemsOf(document: unknown): readonly Problem[] {
  const result = validate(document);
  return result.ok ? [] : result.problems;
}

test("a minimal tunnel gets every default and the input is left alone", () => {
  const document = tunnel({ listen: {} });
  const before = structuredClone(document);
  const result = validate(document);
  assert.deepEqual(document, before);
  assert.ok(result.ok && result.value.kind === "VpnTunnel");
  const { spec } = result.value.resource;
  assert.equal(spec.mode, "Bridged");
  assert.equal(spec.listen?.port, 1194);
  assert.deepEqual(spec.transport.keepalive, { intervalSeconds: 1, timeoutSeconds: 5 });
  assert.deepEqual(spec.multicast, { routes: ["224.0.0.0/4", "ff00::/8"] });
  assert.equal(spec.security.controlWrap, "TlsCryptV2");
});

test("fields that the data plane may lack have no default, so that asking for them shows", () => {
  const result = validate(tunnel({ listen: {}, addresses: {}, gateway: {} }));
  assert.ok(result.ok && result.value.kind === "VpnTunnel");
  const { transport, addresses, gateway, uplinks: set, stormLimits } = result.value.resource.spec;
  const { protocol, fragmentBytes, copyDscp } = transport;
  const lacking = [
    protocol,
    fragmentBytes,
    copyDscp,
    addresses?.dhcp,
    gateway?.replicas,
    set,
    stormLimits,
  ];
  assert.deepEqual(
    lacking,
    lacking.map(() => undefined),
  );
});

test("without a namespace a document is in default", () => {
  const result = validate(tunnel({ listen: {} }, { metadata: { name: "x" } }));
  assert.ok(result.ok);
  assert.equal(result.value.resource.metadata.namespace, "default");
});

test("all errors come at once, with path, value and what would be right", () => {
  const lines = problemsOf(
    tunnel({
      mode: "bridged",
      listen: { prot: 1, port: 70_000 },
      transport: { mtu: "auto" },
      security: { dataCiphers: ["AES-256-CBC"] },
    }),
  ).map(printProblem);
  assert.deepEqual(lines, [
    "VpnTunnel lab/testbed-a spec.listen.port: 70000 is out of range: a number from 1 to 65535",
    "VpnTunnel lab/testbed-a spec.listen.prot: is not a known field: did you mean port? Known here: port, advertise, order, service",
    'VpnTunnel lab/testbed-a spec.mode: "bridged" is not allowed: one of Bridged, Routed',
    'VpnTunnel lab/testbed-a spec.security.dataCiphers.0: "AES-256-CBC" is not allowed: one of AES-256-GCM, AES-128-GCM, CHACHA20-POLY1305',
    'VpnTunnel lab/testbed-a spec.transport.mtu: "auto" is not written as it must be: Auto',
  ]);
});

test("who asks for DHCPv6 hears that there is none and what to do", () => {
  for (const field of ["dhcp6", "dhcpv6"]) {
    const lines = problemsOf(tunnel({ listen: {}, addresses: { [field]: true } })).map(
      printProblem,
    );
    assert.deepEqual(lines, [
      `VpnTunnel lab/testbed-a spec.addresses.${field}: is not a known field: DHCPv6 servers are not asked: remove it, and set pool6, or let a router of the segment advertise addresses, which dhcp: true takes (SLAAC)`,
    ]);
  }
});

/** Each row breaks exactly one rule; the text is a part of the rule's message. */
const RULES: readonly (readonly [string, unknown, RegExp])[] = [
  ["neither dial nor listen", tunnel({}), /exactly one of dial/],
  [
    "both",
    tunnel({ listen: {}, dial: { profileSecretRef: { name: "x" } } }),
    /exactly one of dial/,
  ],
  ["routes on Bridged", tunnel({ listen: {}, routes: {} }), /routes belong to a routed tunnel/],
  [
    "proxy on Bridged",
    tunnel({ listen: {}, multicast: { proxy: true } }),
    /multicast proxy belongs/,
  ],
  ["long name", tunnel({ listen: {} }, { metadata: { name: "a".repeat(64) } }), /at most 63/],
  ["long peer name", { ...(peer({}) as Fields), metadata: { name: "a".repeat(64) } }, /at most 63/],
  ["pool without segment", address({ pool: "10.2.0.1-10.2.0.9" }), /needs addresses.segment,/],
  ["pool6 without segment6", address({ pool6: "fd20::1-fd20::2" }), /needs addresses.segment6,/],
  ["host bits", address({ segment: "10.20.0.1/24" }), /its host bits are zero, such as 10/],
  ["host bits 6", address({ segment6: "fd20::1/64" }), /its host bits are zero, such as fd/],
  [
    "pool outside",
    address({ segment: "10.20.0.0/24", pool: "10.20.0.9-10.20.1.1" }),
    /inside addresses.segment$/,
  ],
  [
    "pool6 outside",
    address({ segment6: "fd20::/64", pool6: "fd21::-fd21::1" }),
    /inside addresses.segment6$/,
  ],
  [
    "gateway outside",
    address({ segment: "10.20.0.0/24", gateway: "10.21.0.1" }),
    /addresses.gateway lies/,
  ],
  [
    "gateway6 outside",
    address({ segment6: "fd20::/64", gateway6: "fd21::1" }),
    /addresses.gateway6 lies/,
  ],
  [
    "pool and dhcp",
    address({ segment: "10.20.0.0/24", pool: "10.20.0.1-10.20.0.2", dhcp: true }),
    /not from both/,
  ],
  ["segment6 is IPv4", address({ segment6: "10.0.0.0/8" }), /is an IPv6 network/],
  [
    "pool6 is one address",
    address({ segment6: "fd20::/64", pool6: "fd20::1" }),
    /two IPv6 addresses/,
  ],
  [
    "gateway6 is no address",
    address({ segment6: "fd20::/64", gateway6: "x" }),
    /is an IPv6 address/,
  ],
  ["multicast route", tunnel({ listen: {}, multicast: { routes: ["10.0.0.0/8"] } }), /inside 224/],
  [
    "keepalive",
    tunnel({ listen: {}, transport: { keepalive: { intervalSeconds: 3 } } }),
    /at least twice/,
  ],
  ["renegotiate", tunnel({ listen: {}, transport: { renegotiateSeconds: 4 } }), /at least 5/],
  [
    "toSegment",
    tunnel({ listen: {}, mode: "Routed", routes: { toSegment: ["x"] } }),
    /routes.toSegment/,
  ],
  [
    "fromSegment",
    tunnel({ listen: {}, mode: "Routed", routes: { fromSegment: ["x"] } }),
    /routes.fromSegment/,
  ],
  ["address of a bridge", peer({ addressing: "None", address: "10.0.0.1" }), /gets no address/],
  ["address6", peer({ address6: "10.0.0.1" }), /is an IPv6 address/],
  ["networks", peer({ networks: ["10.0.0.1"] }), /each of networks/],
  ["renewal", peer({ certificate: { lifetimeDays: 30 } }), /renewed for ever/],
  ["duplicate", uplinks({ duplicate: {} }), /needs policy Duplicate/],
  ["fec", uplinks({ fec: {} }), /needs policy Fec/],
  ["balance", uplinks({ balance: {} }), /needs policy Balance/],
  [
    "two matchers",
    uplinks({ uplinks: [{ name: "a", interface: "e", network: "x/y" }] }),
    /exactly one of interface/,
  ],
  [
    "uplink gateway",
    uplinks({ uplinks: [{ name: "a", interface: "e", gateway: "x" }] }),
    /gateway is an IP/,
  ],
  [
    "source",
    uplinks({ uplinks: [{ name: "a", sourceAddress: "1.2.3.4" }] }),
    /sourceAddress is a network/,
  ],
  [
    "same name",
    uplinks({
      uplinks: [
        { name: "a", interface: "e" },
        { name: "a", interface: "f" },
      ],
    }),
    /name of its own/,
  ],
];

function address(addresses: Fields): unknown {
  return tunnel({ listen: {}, addresses });
}

for (const [name, document, message] of RULES) {
  test(`rule: ${name}`, () => {
    const problems = problemsOf(document);
    assert.equal(problems.length, 1, problems.map(printProblem).join("\n"));
    assert.match(problems[0]?.wanted ?? "", message);
  });
}

test("what would be right is said for every field of the wrong form", () => {
  const wanted = (document: unknown): string => problemsOf(document)[0]?.wanted ?? "";
  assert.match(wanted(address({ segment: "10.20.0.0" })), /such as 10\.20\.0\.0\/24/);
  assert.match(wanted(peer({ stations: ["02:00"] })), /such as 02:00:00:00:00:07/);
  assert.match(wanted(tunnel({ listen: {}, stormLimits: { multicast: "10M" } })), /10Mbit/);
  assert.match(wanted(tunnel({ listen: { port: "1194" } })), /a whole number/);
  assert.match(wanted(tunnel({ listen: {} }, { metadata: { name: "A_b" } })), /lower-case letters/);
  assert.match(wanted(tunnel({ listen: {}, transport: { mtu: 100 } })), /from 576 to 9000/);
  assert.match(wanted(tunnel({ dial: {} })), /add it/);
  assert.match(wanted({ ...(tunnel({}) as Fields), apiVersion: "fairlead.dev/v1" }), /v1alpha1/);
  assert.match(wanted({ ...(tunnel({}) as Fields), kind: "VpnTunel" }), /one of VpnTunnel/);
});

test("a key pasted into the wrong field is not shown", () => {
  const secret = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\n";
  for (const document of [
    tunnel({ listen: { port: secret } }),
    tunnel({ listen: {}, addresses: { segment: secret } }),
    tunnel({ listen: {}, link: secret }),
  ]) {
    const lines = problemsOf(document).map(printProblem).join("\n");
    assert.notEqual(lines, "");
    assert.ok(!lines.includes("MIGH"), lines);
  }
});

test("no value makes validation throw", () => {
  const anything = fc.anything({ maxDepth: 3 });
  const spec = fc.record(
    {
      listen: anything,
      dial: anything,
      addresses: anything,
      transport: anything,
      multicast: anything,
    },
    { requiredKeys: [] },
  );
  const document = fc.oneof(
    anything,
    spec.map((value) => tunnel(value)),
    anything.map((value) => peer({ stations: value, address6: value, certificate: value })),
    anything.map((value) => uplinks({ uplinks: [value], fec: value })),
  );
  fc.assert(
    fc.property(document, (value) => {
      let plain: unknown;
      try {
        plain = JSON.parse(JSON.stringify(value) ?? "null");
      } catch {
        return; // Not JSON: YAML cannot give such a value.
      }
      const result = validate(plain);
      if (!result.ok) assert.ok(result.problems.length > 0 && result.problems.every(printProblem));
    }),
    { numRuns: 300 },
  );
});
