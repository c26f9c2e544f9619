import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { UplinkSet } from "../../../crds/types.ts";
import { validate } from "../../../crds/validate.ts";
import { attachmentsOf, networkAnnotations, withInterfaces } from "./networks.ts";

function uplinkSet(...uplinks: readonly object[]): UplinkSet {
  const metadata = { name: "ways", namespace: "lab" };
  const spec = { uplinks };
  const kind = "UplinkSet";
  const result = validate({ apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec });
  assert(result.ok && result.value.kind === "UplinkSet", JSON.stringify(result));
  return result.value.resource;
}

test("a network without a namespace is one of the tunnel's own", () => {
  const attachments = attachmentsOf(
    uplinkSet({ name: "b", network: "plant/lte" }, { name: "a", network: "lte" }),
  );
  assert.deepEqual(networkAnnotations(attachments), {
    "k8s.v1.cni.cncf.io/networks": JSON.stringify([
      { name: "lte", namespace: "lab", interface: "up-a" },
      { name: "lte", namespace: "plant", interface: "up-b" },
    ]),
  });
});

test("without a network there is no annotation, and the documents are as declared", () => {
  const plain = uplinkSet({ name: "a", interface: "eth0" });
  assert.deepEqual(networkAnnotations(attachmentsOf(plain)), {});
  assert.deepEqual(networkAnnotations(attachmentsOf(undefined)), {});
  assert.deepEqual(withInterfaces(plain, attachmentsOf(plain)), plain);
});

test("the documents name the interface, and keep the uplink's name and all else of it", () => {
  const set = uplinkSet(
    { name: "isp", interface: "eth0", priority: 1 },
    { name: "lte", network: "lte-nad", priority: 2, metered: true, gateway: "203.0.113.1" },
  );
  const { spec } = withInterfaces(set, attachmentsOf(set));
  assert.deepEqual(spec.uplinks, [
    { name: "isp", interface: "eth0", priority: 1, metered: false, weight: 1 },
    {
      ...{ name: "lte", interface: "up-lte", priority: 2, metered: true, weight: 1 },
      gateway: "203.0.113.1",
    },
  ]);
});

test("the annotation stays the same when what is not about networks changes", () => {
  const text = (set: UplinkSet): string => JSON.stringify(networkAnnotations(attachmentsOf(set)));
  const [a, b] = [
    { name: "a", network: "one" },
    { name: "b", network: "two" },
  ];
  const before = text(uplinkSet(a, b));
  assert.equal(text(uplinkSet({ ...b, priority: 7 }, { ...a, metered: true })), before);
  assert.equal(text(uplinkSet(a, { name: "c", interface: "eth0" }, b)), before);
  assert.notEqual(text(uplinkSet(a)), before);
  assert.notEqual(text(uplinkSet(a, { ...b, network: "three" })), before);
});

test("an interface that the set names itself is not taken for a network", () => {
  const [own] = attachmentsOf(
    uplinkSet({ name: "a", interface: "up-lte" }, { name: "lte", network: "lte-nad" }),
  );
  assert.match(own?.interface ?? "", /^up-lte-[0-9a-f]{6}$/);
});

test("whatever the uplinks are called, each interface is a valid name and no other's", () => {
  const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
  const names = fc.uniqueArray(name, { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(names, fc.boolean(), (all, isFirstTaken) => {
      const uplinks = all.map((one) => ({ name: one, network: "lte" }));
      const [first, ...rest] = uplinks;
      assert(first !== undefined);
      // The name that the second one would get is an interface of the first one's own.
      const wanted = attachmentsOf(uplinkSet(...uplinks)).find(
        ({ uplink }) => uplink !== first.name,
      );
      const own = { name: first.name, interface: wanted?.interface ?? "eth0" };
      const set = isFirstTaken ? uplinkSet(own, ...rest) : uplinkSet(...uplinks);
      const used = attachmentsOf(set).map((one) => one.interface);
      const declared = set.spec.uplinks.flatMap((one) => one.interface ?? []);
      assert.equal(new Set([...used, ...declared]).size, used.length + declared.length);
      for (const one of used) assert.match(one, /^[a-z0-9-]{4,15}$/);
      assert.deepEqual(
        attachmentsOf(uplinkSet(...[...set.spec.uplinks].reverse())),
        attachmentsOf(set),
      );
    }),
  );
});
