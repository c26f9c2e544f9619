import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { VpnTunnel } from "../../crds/types.ts";
import type { Live, Named, PodObject } from "../world.ts";
import { admitPod } from "./admit.ts";
import { attachmentsOf, matches } from "./attachments.ts";
import { injectionOf, type PatchStep } from "./inject.ts";
import type { SidecarSettings } from "./sidecar.ts";

const SETTINGS = {
  image: { reference: "fairlead:1", pullPolicy: "IfNotPresent", pullSecrets: ["pull"] },
  resources: {},
} as const;

function tunnel(name: string, workloads: object = { podSelector: {} }): Live<VpnTunnel> {
  const spec = { listen: { port: 1194 }, workloads, transport: {}, multicast: {}, security: {} };
  return { metadata: { name, namespace: "lab" }, spec } as unknown as Live<VpnTunnel>;
}

/** The patch, as RFC 6902 has it for the paths that are used here. */
function patched(pod: PodObject, steps: readonly PatchStep[]): PodObject {
  const copy = structuredClone(pod) as unknown as Record<string, Record<string, unknown>>;
  for (const { path, value } of steps) {
    const [, part = "", field = ""] = path.split("/");
    copy[part] = { ...copy[part], [field]: value };
  }
  return copy as unknown as PodObject;
}

function inject(
  pod: PodObject,
  name: string,
  known: readonly string[] = [],
  settings: SidecarSettings = SETTINGS,
): PodObject {
  const injection = {
    tunnel: tunnel(name),
    newPeer: `${name}-${Math.random().toString(36).slice(2, 8)}`,
    isPeerKnown: (peer: string) => known.includes(peer),
    settings,
  };
  return patched(pod, injectionOf(pod, injection));
}

const NAMES = fc.constantFrom("app", "setup", "istio-proxy", "zz");
const PODS: fc.Arbitrary<PodObject> = fc.record({
  metadata: fc.record(
    {
      name: fc.constant("p"),
      labels: fc.dictionary(NAMES, fc.constant("x")),
      annotations: fc.dictionary(NAMES, fc.constant("y")),
    },
    { requiredKeys: ["name"] },
  ),
  spec: fc.record(
    {
      initContainers: fc.uniqueArray(NAMES).map((names) => names.map((name) => ({ name }))),
      volumes: fc.uniqueArray(NAMES).map((names) => names.map((name) => ({ name }))),
      imagePullSecrets: fc.constant([{ name: "pull" }]),
    },
    { requiredKeys: [] },
  ),
});

function initNames(pod: PodObject): string[] {
  return (pod.spec?.initContainers ?? []).map(({ name }) => name);
}

test("injected again in any order, by any number of tunnels, is injected once", () => {
  fc.assert(
    fc.property(PODS, fc.array(fc.constantFrom("a", "b.c", "d")), (pod, order) => {
      let once = pod;
      for (const name of new Set(order)) once = inject(once, name);
      let often = once;
      for (const name of order) often = inject(often, name);
      assert.deepEqual(often, once);
      const theirs = initNames(pod);
      const all = initNames(once);
      assert.deepEqual(all.slice(all.length - theirs.length), theirs);
      assert.equal(all.length, theirs.length + new Set(order).size);
      assert.equal(attachmentsOf(once.metadata).length, new Set(order).size);
      for (const volume of pod.spec?.volumes ?? []) {
        assert(once.spec?.volumes?.some((one) => one.name === volume.name));
      }
    }),
  );
});

test("the API server's defaults are not taken for a change", () => {
  const once = inject({ metadata: { name: "p" }, spec: {} }, "a");
  const [own] = once.spec?.initContainers ?? [];
  const filled = {
    ...own,
    terminationMessagePath: "/dev/termination-log",
    startupProbe: { ...(own?.["startupProbe"] as object), successThreshold: 1 },
  } as unknown as Named;
  const pod = { ...once, spec: { ...once.spec, initContainers: [filled] } };
  assert.deepEqual(inject(pod, "a"), pod);
});

test("somebody else that came first is put behind again", () => {
  const once = inject({ metadata: { name: "p" }, spec: {} }, "a");
  const initContainers = [{ name: "istio-proxy" }, ...(once.spec?.initContainers ?? [])];
  const again = inject({ ...once, spec: { ...once.spec, initContainers } }, "a");
  assert.deepEqual(initNames(again), ["fairlead-a", "istio-proxy"]);
});

test("two sidecars of a pod serve their figures at two ports, which stay and are nobody else's", () => {
  const settings = { ...SETTINGS, metricsPort: 9464 };
  const containers = [{ name: "app", ports: [{ containerPort: 9465 }] }];
  const bare = { metadata: { name: "p" }, spec: { containers } };
  const portsOf = (pod: PodObject): unknown[] =>
    (pod.spec?.initContainers ?? []).map(({ args }) => (args as string[]).at(-1));
  const both = inject(inject(bare, "b", [], settings), "a", [], settings);
  assert.deepEqual(portsOf(both), ["[$(POD_IP)]:9466", "[$(POD_IP)]:9464"]);
  for (const name of ["a", "b"]) assert.deepEqual(inject(both, name, [], settings), both);
});

test("a pod that was copied with its annotation gets a peer of its own", () => {
  const once = inject({ metadata: { name: "p" }, spec: {} }, "a");
  const [former] = attachmentsOf(once.metadata);
  const copied = inject(once, "a", [former?.peer ?? ""]);
  const [now] = attachmentsOf(copied.metadata);
  assert.notEqual(now?.peer, former?.peer);
  const secret = copied.spec?.volumes?.find(({ name }) => name === "fairlead-a")?.["secret"];
  assert.equal((secret as { secretName: string }).secretName, `${now?.peer}-profile`);
});

test("a pod that cannot be attached is refused with the next step", () => {
  const tunnels = new Map([
    ["lab/a", tunnel("a", { podSelector: {}, interface: "tb0" })],
    ["lab/b", tunnel("b", { podSelector: {}, interface: "tb0" })],
  ]);
  const known = { tunnels, peers: new Map() };
  const admit = (path: string, object: PodObject): string => {
    const answer = admitPod(known, SETTINGS, { path, request: { uid: "1", object } });
    return answer.allowed ? "" : answer.message;
  };
  const pod = { metadata: { name: "p" }, spec: {} };
  assert.equal(admit("/attach/lab/a", pod), "");
  assert.match(admit("/attach/lab/x", pod), /there is no VpnTunnel lab\/x/);
  assert.match(admit("/elsewhere", pod), /there is no VpnTunnel/);
  assert.match(admit("/attach/lab/a", { ...pod, spec: { hostNetwork: true } }), /hostNetwork/);
  const other = { metadata: { name: "p", annotations: { "fairlead.dev/attached-to": "b=b-1" } } };
  assert.match(admit("/attach/lab/a", other), /a and b both .* the interface tb0/);
});

test("selectors are matched as the API server matches them", () => {
  const rows: readonly [object, Record<string, string>, boolean][] = [
    [{}, {}, true],
    [{ matchLabels: { a: "1" } }, { a: "1", b: "2" }, true],
    [{ matchLabels: { a: "1" } }, { a: "2" }, false],
    [{ matchExpressions: [{ key: "a", operator: "In", values: ["1"] }] }, {}, false],
    [{ matchExpressions: [{ key: "a", operator: "NotIn", values: ["1"] }] }, {}, true],
    [{ matchExpressions: [{ key: "a", operator: "NotIn", values: ["1"] }] }, { a: "1" }, false],
    [{ matchExpressions: [{ key: "a", operator: "Exists" }] }, { a: "" }, true],
    [{ matchExpressions: [{ key: "a", operator: "DoesNotExist" }] }, { a: "" }, false],
  ];
  for (const [selector, labels, isMatch] of rows) {
    assert.equal(matches(selector, labels), isMatch, JSON.stringify([selector, labels]));
  }
});
