import assert from "node:assert/strict";
import { test } from "node:test";
import type { UplinkSet, VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import { validate } from "../../../crds/validate.ts";
import type { DesiredObject } from "../../api/object.ts";
import { desiredChildren } from "./desired.ts";
import { PROFILE_DEFAULTS } from "./dial-document.ts";
import { gatewayDocuments } from "./gateway-documents.ts";
import type { GatewaySettings } from "./gateway-pod.ts";
import { listeningSide, podsProblem } from "./listening-side.ts";

const GATEWAYS = {
  image: { reference: "fairlead:1", pullPolicy: "IfNotPresent", pullSecrets: [] },
  resources: { requests: { cpu: "100m" } },
} as const;

function tunnel(spec: object): VpnTunnel {
  const metadata = { name: "testbed-a", namespace: "lab" };
  const document = { apiVersion: "fairlead.dev/v1alpha1", kind: "VpnTunnel", metadata, spec };
  const result = validate(document);
  assert(result.ok && result.value.kind === "VpnTunnel");
  return result.value.resource;
}

function peer(name: string): VpnPeer {
  const metadata = { name, namespace: "lab" };
  const spec = { tunnel: { name: "testbed-a" } };
  const result = validate({ apiVersion: "fairlead.dev/v1alpha1", kind: "VpnPeer", metadata, spec });
  assert(result.ok && result.value.kind === "VpnPeer");
  return result.value.resource;
}

function children(spec: object, gateways: GatewaySettings = GATEWAYS): readonly DesiredObject[] {
  return desiredChildren({
    tunnel: tunnel(spec),
    gateways,
    isForPods: false,
    attachments: [],
    files: { "a.pem": "x" },
    peers: ["p2", "p1"],
  });
}

function find(all: readonly DesiredObject[], kind: string): Record<string, unknown> {
  const found = all.find((child) => child.kind === kind);
  assert(found !== undefined, `${kind} is desired`);
  return found as unknown as Record<string, unknown>;
}

test("the same input gives the same bytes, whatever the order of the peers", () => {
  const spec = { listen: {}, addresses: { segment: "10.20.0.0/24" } };
  assert.equal(JSON.stringify(children(spec)), JSON.stringify(children(structuredClone(spec))));
  const placed = ["b", "a", "c"].map((name) => ({ peer: peer(name), address: "10.20.0.9" }));
  const input = { tunnel: tunnel(spec), peers: placed, secrets: [] };
  const reversed = { ...input, peers: [...placed].reverse() };
  assert.equal(gatewayDocuments(input), gatewayDocuments(reversed));
});

test("the gateway may make interfaces and nothing more", () => {
  const text = JSON.stringify(find(children({ listen: {} }), "StatefulSet"));
  assert.match(text, /"capabilities":\{"drop":\["ALL"\],"add":\["NET_ADMIN"\]\}/);
  assert.match(text, /"readOnlyRootFilesystem":true/);
  assert.match(text, /"allowPrivilegeEscalation":false/);
  assert.match(text, /"seccompProfile":\{"type":"RuntimeDefault"\}/);
  assert.doesNotMatch(text, /privileged|hostNetwork|SYS_ADMIN/);
  assert.match(text, /"resources":\{"requests":\{"cpu":"100m"\}\}/);
  const asked = { requests: { cpu: "1" } };
  const own = JSON.stringify(children({ listen: {}, gateway: { resources: asked } }));
  assert.match(own, /"resources":\{"requests":\{"cpu":"1"\}\}/);
});

test("figures are served only where the chart says so, at the pod's address, and let through", () => {
  const spec = { listen: {} };
  assert.doesNotMatch(JSON.stringify(children(spec)), /metrics|POD_IP/);
  const from = [{ namespaceSelector: { matchLabels: { a: "b" } } }];
  const metrics = { port: 9464, from };
  const all = children(spec, { ...GATEWAYS, metrics });
  const pod = JSON.stringify(find(all, "StatefulSet"));
  assert.match(pod, /"--metrics","\[\$\(POD_IP\)\]:9464"/);
  assert.match(pod, /"name":"POD_IP","valueFrom":\{"fieldRef":\{"fieldPath":"status\.podIP"/);
  assert.match(pod, /"name":"fl-metrics","containerPort":9464,"protocol":"TCP"/);
  const rulesOf = (made: readonly DesiredObject[]): readonly object[] =>
    (find(made, "NetworkPolicy") as unknown as { spec: { ingress: object[] } }).spec.ingress;
  const ports = [{ port: 9464, protocol: "TCP" }];
  assert.deepEqual(rulesOf(all).at(-1), { ports, from });
  const open = children(spec, { ...GATEWAYS, metrics: { port: 9464, from: [] } });
  assert.deepEqual(rulesOf(open).at(-1), { ports });
  // On the node's own network the port would be the node's.
  const onNode = children({ ...spec, gateway: { network: "Host" } }, { ...GATEWAYS, metrics });
  assert.doesNotMatch(JSON.stringify(onNode), /9464/);
});

/** The annotations of a gateway's pods, and what its Secret says that pods are made from. */
function made(all: readonly DesiredObject[]): readonly [Record<string, string>, string] {
  const set = find(all, "StatefulSet") as unknown as {
    spec: { template: { metadata: { annotations: Record<string, string> } } };
  };
  const secret = find(all, "Secret") as unknown as { data: Record<string, string> };
  const digest = Buffer.from(secret.data["pod-template"] ?? "", "base64").toString();
  return [set.spec.template.metadata.annotations, digest];
}

test("pods and their Secret carry one digest, which is another where pods are made otherwise", () => {
  const [annotations, digest] = made(children({ listen: {} }));
  assert.match(digest, /^[0-9a-f]{16}$/);
  assert.deepEqual(annotations, { "fairlead.dev/pod-template": digest });
  assert.equal(made(children({ listen: {}, stormLimits: { broadcast: "1Mbit" } }))[1], digest);
  const image = { ...GATEWAYS.image, reference: "fairlead:2" };
  assert.notEqual(made(children({ listen: {} }, { ...GATEWAYS, image }))[1], digest);
  const lte = { uplink: "lte", namespace: "lab", name: "nad", interface: "up-lte" };
  const input = { tunnel: tunnel({ listen: {} }), gateways: GATEWAYS, isForPods: false };
  const attached = desiredChildren({ ...input, attachments: [lte], files: {}, peers: [] });
  const [withNetwork, other] = made(attached);
  assert.notEqual(other, digest);
  const networks = [{ name: "nad", namespace: "lab", interface: "up-lte" }];
  assert.deepEqual(withNetwork, {
    "k8s.v1.cni.cncf.io/networks": JSON.stringify(networks),
    "fairlead.dev/pod-template": other,
  });
});

test("its role reads one Secret, writes one Lease, and reports about its own", () => {
  const role = find(children({ listen: {} }), "Role") as unknown as {
    rules: { resources: string[]; resourceNames?: string[]; verbs: string[] }[];
  };
  const [secrets, lease, tunnels, peers, create] = role.rules;
  assert.deepEqual([tunnels?.resources, tunnels?.verbs], [["vpntunnels/status"], ["patch"]]);
  assert.deepEqual(tunnels?.resourceNames, ["testbed-a"]);
  assert.deepEqual([peers?.resources, peers?.resourceNames], [["vpnpeers/status"], ["p1", "p2"]]);
  assert.deepEqual(secrets?.resourceNames, ["testbed-a-gateway"]);
  assert.deepEqual(lease?.resourceNames, ["testbed-a-gateway"]);
  assert.deepEqual([create?.resources, create?.verbs], [["leases"], ["create"]]);
});

test("one replica needs no disruption budget, a dialling tunnel no Service in front", () => {
  const kinds = (spec: object): string[] => children(spec).map(({ kind }) => kind);
  assert(kinds({ listen: {} }).includes("PodDisruptionBudget"));
  assert(!kinds({ listen: {}, gateway: { replicas: 1 } }).includes("PodDisruptionBudget"));
  const services = (spec: object): number =>
    kinds(spec).filter((kind) => kind === "Service").length;
  assert.equal(services({ listen: {} }), 2);
  assert.equal(services({ listen: { service: { type: "None" } } }), 1);
  assert.equal(services({ dial: { profileSecretRef: { name: "x" } } }), 1);
});

test("the documents are what fairlead up reads, without what only a cluster understands", () => {
  const spec = {
    listen: { service: { type: "NodePort" } },
    security: { caSecretRef: { name: "own" } },
    gateway: { replicas: 2, nodeSelector: { a: "b" } },
    workloads: { interface: "tb0" },
  };
  const secrets = [{ name: "list", texts: { "crl.pem": "text" } }];
  const text = gatewayDocuments({ tunnel: tunnel(spec), peers: [{ peer: peer("a") }], secrets });
  const documents = text.split("---\n").map((one) => JSON.parse(one));
  for (const document of documents.slice(0, 2)) assert(validate(document).ok);
  assert.doesNotMatch(text, /caSecretRef|nodeSelector|NodePort|tb0/);
  assert.deepEqual(documents[2].stringData, { "crl.pem": "text" });
});

test("a tunnel that dials gets its UplinkSet along, and another one when that changes", () => {
  const spec = { dial: { profileSecretRef: { name: "p" } }, uplinks: { name: "ways" } };
  const setOf = (priority: number): UplinkSet => {
    const metadata = { name: "ways", namespace: "lab", resourceVersion: String(priority) };
    const uplinks = [{ name: "isp", interface: "net1", priority }];
    const kind = "UplinkSet";
    const document = { apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec: { uplinks } };
    const result = validate(document);
    assert(result.ok && result.value.kind === "UplinkSet");
    return result.value.resource;
  };
  const textOf = (set: UplinkSet): string =>
    gatewayDocuments({ tunnel: tunnel(spec), peers: [], secrets: [], uplinkSet: set });
  const [, set] = textOf(setOf(1))
    .split("---\n")
    .map((one) => JSON.parse(one));
  assert(validate(set).ok);
  assert.equal(set.spec.uplinks[0].priority, 1);
  assert.doesNotMatch(textOf(setOf(1)), /resourceVersion/);
  assert.notEqual(textOf(setOf(1)), textOf(setOf(2)));
});

const DIAL = { profileSecretRef: { name: "x" } };
const PODS = { podSelector: { matchLabels: { needs: "a" } }, interface: "tb0" };

function documentsOf(spec: object): { kind: string; metadata: { name: string }; spec: object }[] {
  const input = { tunnel: tunnel(spec), peers: [], secrets: [] };
  const documents = gatewayDocuments(input)
    .split("---\n")
    .map((one) => JSON.parse(one));
  for (const document of documents) assert(validate(document).ok, JSON.stringify(document));
  return documents;
}

test("a dialling tunnel follows its profile but where its resource says more than the defaults", () => {
  const { security, transport } = tunnel({ dial: DIAL }).spec;
  assert.deepEqual({ security, transport }, PROFILE_DEFAULTS);
  const [plain] = documentsOf({ dial: DIAL, uplinks: { name: "u" } });
  assert.deepEqual(plain?.spec, {
    ...{ dial: { ...DIAL, profileSecretRef: { name: "x", key: "client.ovpn" } }, mode: "Bridged" },
    ...{ link: "Segment", uplinks: { name: "u" }, transport: {}, security: {} },
    multicast: { routes: ["224.0.0.0/4", "ff00::/8"] },
  });
  const [written] = documentsOf({ dial: DIAL, transport: { keepalive: { intervalSeconds: 2 } } });
  assert.match(JSON.stringify(written), /"transport":\{"keepalive":\{"intervalSeconds":2/);
});

test("one that takes pods has a listening side in one bridge with it, under the tunnel's name", () => {
  const transport = { protocol: "Tcp", mtu: 1400 };
  const addresses = { segment: "10.20.0.0/24", pool: "10.20.0.200-10.20.0.239" };
  const spec = { dial: DIAL, workloads: PODS, uplinks: { name: "u" }, addresses, transport };
  const [inside, far] = documentsOf(spec);
  assert.deepEqual([inside?.metadata.name, far?.metadata.name], ["testbed-a", "far-end"]);
  for (const side of [inside, far]) {
    assert.match(JSON.stringify(side), /"gateway":\{"bridge":\{"interface":"fl-segment"\}\}/);
    assert.match(JSON.stringify(side), /"mtu":1400/);
  }
  assert.match(JSON.stringify(inside), /"pool".*"listen":\{"port":1194/);
  assert.doesNotMatch(JSON.stringify(inside), /dial|uplinks|Tcp|ClusterIP/);
  assert.doesNotMatch(JSON.stringify(far), /addresses|listen|workloads/);
  const side = listeningSide(tunnel(spec));
  assert(side !== undefined);
  const input = {
    tunnel: side,
    gateways: GATEWAYS,
    isForPods: true,
    attachments: [],
    files: {},
    peers: [],
  };
  const policy = JSON.stringify(find(desiredChildren(input), "NetworkPolicy"));
  assert.match(policy, /"port":1194,"protocol":"UDP"\}\],"from":.*fairlead\.dev\/attached":"true"/);
  assert.match(JSON.stringify(desiredChildren(input)), /"type":"ClusterIP"/);
});

test("what keeps a dialling tunnel from taking pods is said with the next step", () => {
  const base = { dial: DIAL, workloads: PODS };
  assert.equal(podsProblem(tunnel(base).spec), undefined);
  const segment = "10.20.0.0/24";
  const cases: readonly (readonly [RegExp, object])[] = [
    [/^spec\.workloads\.podSelector: .*Bridged$/, { mode: "Routed" }],
    [/^spec\.gateway\.network: .*remove it/, { gateway: { network: "Host" } }],
    [/^spec\.gateway\.bridge: .*remove it/, { gateway: { bridge: { interface: "br0" } } }],
    [/^spec\.addresses\.gateway: .*remove it/, { addresses: { segment, gateway: "10.20.0.1" } }],
  ];
  for (const [expected, spec] of cases) {
    const asked = tunnel({ ...base, ...spec });
    assert.match(podsProblem(asked.spec) ?? "", expected);
    assert.equal(listeningSide(asked), undefined);
    const { workloads: _, ...unasked } = asked.spec;
    assert.equal(podsProblem(unasked), undefined);
  }
});
