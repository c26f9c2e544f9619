import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterFacts } from "./cluster-facts.ts";
import { diagnose } from "./diagnoses.ts";

const WALL_MS = Date.UTC(2026, 0, 10);
const OLD = "2026-01-01T00:00:00Z";

function found(facts: Partial<Record<keyof ClusterFacts, unknown>>): string[] {
  const nothing = {
    ...{ tunnels: [], peers: [], uplinkSets: [], pods: [], events: [], webhooks: [] },
    ...{ endpoints: new Map(), hidden: [] },
  };
  const findings = diagnose({ ...nothing, ...facts } as unknown as ClusterFacts, WALL_MS);
  for (const { cause, step } of findings) assert(cause !== "" && step !== "");
  return findings.map(({ about, code }) => `${code} ${about}`);
}

function ready(status: string, reason: string, message = "A cause: a next step"): object {
  return { type: "Ready", status, reason, message, lastTransitionTime: OLD };
}

function peer(status: object): object {
  return { metadata: { name: "box", namespace: "lab" }, spec: { tunnel: { name: "a" } }, status };
}

function event(fields: object): object {
  const regarding = { kind: "StatefulSet", name: "a-gateway" };
  return { metadata: { name: "e", namespace: "lab" }, type: "Warning", regarding, ...fields };
}

function pod(exitCode: number, name = "gateway"): object {
  const containerStatuses = [{ name, lastState: { terminated: { exitCode } } }];
  return { metadata: { name: "p", namespace: "lab" }, status: { containerStatuses } };
}

test("each known trouble is named, and what is well is not", () => {
  const service = "fl/fl-operator-webhook";
  const slices = (isReady: boolean): unknown => [
    { endpoints: [{ conditions: { ready: isReady } }] },
  ];
  assert.deepEqual(found({ endpoints: new Map([[service, slices(true)]]) }), []);
  const unreachable = [`WebhookUnreachable Service ${service}`];
  assert.deepEqual(found({ endpoints: new Map([[service, slices(false)]]) }), unreachable);
  assert.deepEqual(found({ endpoints: new Map([[service, []]]) }), unreachable);
  const called = { note: 'failed calling webhook "1.a.lab.attach.fairlead.dev": timeout' };
  assert.deepEqual(found({ events: [event(called)] }), [
    "WebhookUnreachable StatefulSet lab/a-gateway",
  ]);
  assert.deepEqual(found({ events: [event({ note: 'failed calling webhook "x.y": no' })] }), []);
  const security = event({ note: 'pods "p" is forbidden: violates PodSecurity "baseline"' });
  assert.deepEqual(found({ events: [security, security] }), [
    "PodSecurityRefused StatefulSet lab/a-gateway",
  ]);
  const mount = { reason: "FailedMount", note: "hostPath type check failed: /dev/net/tun" };
  assert.deepEqual(found({ events: [event(mount)] }), ["TunDenied StatefulSet lab/a-gateway"]);
  const sandbox = { reason: "FailedCreatePodSandBox", note: 'plugin type="multus" failed (add)' };
  assert.deepEqual(found({ events: [event(sandbox)] }), [
    "NetworkNotAttached StatefulSet lab/a-gateway",
  ]);
  const lacking = { type: "UplinksAttached", status: "False", reason: "InterfaceMissing" };
  const conditions = [
    ready("False", "InterfaceMissing"),
    { ...lacking, message: "No up-lte: install Multus" },
  ];
  const tunnel = { metadata: { name: "a", namespace: "lab" }, spec: {}, status: { conditions } };
  assert.deepEqual(found({ tunnels: [tunnel] }), ["InterfaceMissing VpnTunnel lab/a"]);
  assert.deepEqual(found({ pods: [pod(12)] }), ["TunDenied Pod lab/p"]);
  assert.deepEqual(found({ pods: [pod(11, "fairlead-a")] }), ["NotPermitted Pod lab/p"]);
  assert.deepEqual(found({ pods: [pod(12, "app"), pod(0)] }), []);
  assert.deepEqual(found({ pods: [pod(10)] }), ["ContainerEnds Pod lab/p"]);
});

test("a container that ended is told with its last words, one that runs again is not", () => {
  const causeOf = (terminated: object, state: object = {}): string | undefined => {
    const containerStatuses = [{ name: "gateway", state, lastState: { terminated } }];
    const one = { metadata: { name: "p", namespace: "lab" }, status: { containerStatuses } };
    const nothing = { tunnels: [], peers: [], pods: [one], events: [], endpoints: new Map() };
    return diagnose(nothing as unknown as ClusterFacts, WALL_MS)[0]?.cause;
  };
  const message = '{"level":30,"msg":"standing by"}\n{"level":50,"msg":"line 3: up is refused"}\n';
  const cause = "The container gateway ended with status 10: line 3: up is refused";
  assert.equal(causeOf({ exitCode: 10, message }), cause);
  const killed = "The container gateway ended with status 137 (OOMKilled).";
  assert.equal(causeOf({ exitCode: 137, reason: "OOMKilled" }), killed);
  assert.equal(causeOf({ exitCode: 10, message }, { running: {} }), undefined);
});

test("peers without an address, a certificate or a connection say so", () => {
  const of = (status: object): string[] => found({ peers: [peer(status)] });
  assert.deepEqual(of({ conditions: [ready("False", "PoolExhausted")] }), [
    "NoAddressLeft VpnPeer lab/box",
  ]);
  const conditions = [ready("True", "ProfileMade")];
  assert.deepEqual(of({ conditions }), ["PeerNeverCame VpnPeer lab/box"]);
  assert.deepEqual(of({ conditions, connected: true }), []);
  const fresh = { ...ready("True", "ProfileMade"), lastTransitionTime: "2026-01-09T23:59:30Z" };
  assert.deepEqual(of({ conditions: [fresh] }), []);
  const ends = (expires: string): string[] =>
    of({ conditions, connected: true, certificate: { expires } });
  assert.deepEqual(ends("2026-01-09T00:00:00Z"), ["CertificateExpired VpnPeer lab/box"]);
  assert.deepEqual(ends("2026-01-12T00:00:00Z"), ["CertificateEndsSoon VpnPeer lab/box"]);
  assert.deepEqual(ends("2026-03-12T00:00:00Z"), []);
  assert.deepEqual(of({}), ["NotReady VpnPeer lab/box"]);
});

test("the gravest comes first, and a group that nobody sends to is one", () => {
  const groups = [
    { group: "239.1.2.3", joinedBy: ["box"], note: "nobody sends" },
    { group: "239.1.2.4", joinedBy: ["box"] },
  ];
  const metadata = { name: "a", namespace: "lab" };
  const tunnel = {
    metadata,
    spec: {},
    status: { conditions: [ready("True", "GatewayUp")], groups },
  };
  assert.deepEqual(found({ tunnels: [tunnel], pods: [pod(12)] }), [
    "TunDenied Pod lab/p",
    "NobodySends VpnTunnel lab/a",
  ]);
  const bad = { metadata, spec: {}, status: { conditions: [ready("False", "ProfileMissing")] } };
  assert.deepEqual(found({ tunnels: [bad] }), ["NotReady VpnTunnel lab/a"]);
});
