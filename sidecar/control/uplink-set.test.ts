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
    probe: { intervalMs: 50, downAfter: 4, upAfter: 10 },
    uplinks: [
      { name: "lte", priority: 10_001, interface: "wwan0" },
      { name: "isp", priority: 7, sourceAddress: "203.0.113.0/24" },
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

test("what the data plane does not do yet is refused, each with its field", () => {
  const cases: readonly (readonly [string, Record<string, unknown>])[] = [
    ["policy", { uplinks, policy: "Balance" }],
    ["duplicate.classes", { uplinks, policy: "Duplicate", duplicate: { classes: ["EF"] } }],
    ["reorder", { uplinks, reorder: {} }],
    ["uplinks.network", { uplinks: [{ name: "a", network: "lab/lte" }] }],
    ["uplinks.gateway", { uplinks: [{ name: "a", interface: "eth0", gateway: "192.0.2.1" }] }],
  ];
  for (const [field, spec] of cases) {
    const problems = uplinksOf(tunnel, documentsWith(spec));
    assert.ok(Array.isArray(problems) && problems.length === 1, field);
    assert.match(
      String(problems),
      new RegExp(`^UplinkSet lab/x spec.${field}: .*not|cluster only`),
    );
  }
});
