import assert from "node:assert/strict";
import { test } from "node:test";
import type { UplinkSet, VpnTunnel } from "../../crds/types.ts";
import { validate } from "../../crds/validate.ts";
import type { Documents, PlacedResource } from "./documents.ts";
import { uplinksOf } from "./uplink-set.ts";

const metadata = { name: "x", namespace: "lab" };
const tunnel = { metadata, spec: { uplinks: { name: "x" }, dial: {} } } as unknown as VpnTunnel;

function documentsWith(spec: Record<string, unknown>): Documents {
  const kind = "UplinkSet";
  const result = validate({ apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec });
  assert.ok(result.ok, JSON.stringify(result));
  const placed = { ...result.value, place: "f.yaml:1", written: {} } as PlacedResource;
  return { resources: [placed], secrets: new Map(), problems: [], invalid: new Set() };
}

const EMPTY: Documents = { resources: [], secrets: new Map(), problems: [], invalid: new Set() };
const uplinks: UplinkSet["spec"]["uplinks"] | Record<string, unknown>[] = [
  { name: "lte", interface: "wwan0", priority: 1, metered: true },
  { name: "isp", sourceAddress: "203.0.113.0/24", priority: 7 },
];

test("a tunnel without uplinks has none, and one that names a missing set is told", () => {
  const without = { metadata, spec: {} } as unknown as VpnTunnel;
  assert.equal(uplinksOf(without, EMPTY), undefined);
  assert.match(
    String(uplinksOf(tunnel, EMPTY)),
    /there is no valid UplinkSet lab\/x in these files/,
  );
});

test("a metered uplink comes behind every other one; the defaults of the probes are taken", () => {
  assert.deepEqual(uplinksOf(tunnel, documentsWith({ uplinks, policy: "Duplicate" })), {
    policy: "Duplicate",
    copies: 2,
    reorderMs: 10,
    probe: { intervalMs: 50, downAfter: 4, upAfter: 10, maxLossPercent: 20, lossWindow: 200 },
    uplinks: [
      { name: "lte", priority: 10_001, weight: 1, interface: "wwan0" },
      { name: "isp", priority: 7, weight: 1, sourceAddress: "203.0.113.0/24" },
    ],
  });
});

test("parity is taken as it is asked for, and by its defaults", () => {
  const fec = { dataPackets: 20, parityPackets: 4, maxDelayMs: 5, adaptive: false };
  const parityOf = (spec: Record<string, unknown>): unknown => {
    const config = uplinksOf(tunnel, documentsWith({ uplinks, policy: "Fec", ...spec }));
    return config === undefined || Array.isArray(config) ? config : config.parity;
  };
  const asked = { dataPackets: 20, parityPackets: 4, maxDelayMs: 5, isAdaptive: false };
  assert.deepEqual(parityOf({ fec }), asked);
  const usual = { dataPackets: 10, parityPackets: 3, maxDelayMs: 30, isAdaptive: true };
  assert.deepEqual(parityOf({}), usual);
  assert.deepEqual(parityOf({ fec: {} }), usual);
});

test("TCP is put in order as asked, and where the policy brings it out of order", () => {
  const orderOf = (spec: Record<string, unknown>): unknown => {
    const config = uplinksOf(tunnel, documentsWith({ uplinks, ...spec }));
    return config === undefined || Array.isArray(config) ? config : config.reorderMs;
  };
  for (const policy of ["Failover", "Duplicate", "Fec", "Balance"]) {
    assert.equal(orderOf({ policy }), policy === "Duplicate" || policy === "Fec" ? 10 : 0);
    assert.equal(orderOf({ policy, reorder: { maxDelayMs: 0 } }), 0);
    assert.equal(orderOf({ policy, reorder: {} }), 10);
    assert.equal(orderOf({ policy, reorder: { maxDelayMs: 1000, per: "Flow" } }), 1000);
  }
  const wrong: Record<string, unknown>[] = [
    { maxDelayMs: -1 },
    { maxDelayMs: 1001 },
    { maxDelayMs: 1.5 },
    { per: "Packet" },
  ];
  for (const reorder of wrong) assert.throws(() => orderOf({ reorder }), /reorder/);
});

test("classes are taken by their names, weights as they are", () => {
  const classes = ["EF", "VA", "LE", "CS0", "CS6", "CS7", "AF11", "AF23", "AF43"];
  const copied = uplinksOf(
    tunnel,
    documentsWith({ uplinks, policy: "Duplicate", duplicate: { classes } }),
  );
  assert(copied !== undefined && !Array.isArray(copied));
  assert.deepEqual(copied.classes, [46, 44, 1, 0, 48, 56, 10, 22, 38]);
  const weighted = uplinks.map((uplink, at) => ({ ...uplink, weight: 3 + at }));
  const balanced = uplinksOf(tunnel, documentsWith({ uplinks: weighted, policy: "Balance" }));
  assert(balanced !== undefined && !Array.isArray(balanced));
  assert.equal(balanced.policy, "Balance");
  assert.deepEqual(
    balanced.uplinks.map((uplink) => uplink.weight),
    [3, 4],
  );
});

test("what the data plane does not do yet is refused, each with its field", () => {
  const cases: readonly (readonly [string, Record<string, unknown>])[] = [
    ["uplinks.network", { uplinks: [{ name: "a", network: "lab/lte" }] }],
    [
      "uplinks.gateway",
      { uplinks: [{ name: "a", sourceAddress: "10.0.0.0/8", gateway: "fe80::1" }] },
    ],
  ];
  for (const [field, spec] of cases) {
    const problems = uplinksOf(tunnel, documentsWith(spec));
    assert.ok(Array.isArray(problems) && problems.length === 1, field);
    assert.match(
      String(problems),
      new RegExp(`^UplinkSet lab/x spec.${field}: .*not to this host: name the interface|family`),
    );
  }
});
