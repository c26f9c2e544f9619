/** Uplinks that are networks of Multus, before a real API server; the node's part is played here. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ControlPlane } from "../test/cluster/control-plane.ts";
import { applyNetwork, installNetworkKind } from "../test/cluster/network-attachments.ts";
import { installChart, startOperator } from "../test/cluster/operator-program.ts";
import { type Program, run } from "../test/support/process.ts";
import { waitFor } from "../test/support/wait.ts";

const NETWORKS = "k8s.v1.cni.cncf.io/networks";
const STATUS = "k8s.v1.cni.cncf.io/network-status";

let plane: ControlPlane;
let operator: Program;

before(async () => {
  plane = await ControlPlane.start({ hasControllers: true });
  operator = startOperator(await installChart(plane));
  await plane.kubectl("create", "secret", "generic", "admin", "--from-literal=client.ovpn=client");
});
after(async () => {
  await operator.stop();
  await plane[Symbol.asyncDispose]();
});

async function apply(kind: string, name: string, spec: unknown): Promise<void> {
  const metadata = { name, namespace: "default" };
  const document = { apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec };
  const { output, status } = await plane.kubectlWith(JSON.stringify(document), "apply", "-f", "-");
  assert.equal(status, 0, output);
}

async function applySet(...uplinks: readonly object[]): Promise<void> {
  await apply("UplinkSet", "ways", { uplinks });
}

async function applyTunnel(gateway: object = {}): Promise<void> {
  const dial = { profileSecretRef: { name: "admin" } };
  await apply("VpnTunnel", "t", { dial, uplinks: { name: "ways" }, gateway });
}

const ISP = { name: "isp", interface: "eth0", priority: 1 };
const LTE = { name: "lte", network: "lte-nad", priority: 2 };

async function shown(what: string, name: string, path: string): Promise<string> {
  const parameters = ["get", what, name, "--ignore-not-found", "-o", `jsonpath=${path}`];
  return await plane.kubectl(...parameters);
}

/** What the condition says once it has this reason. */
async function waitForReason(reason: string, type = "Ready"): Promise<string> {
  const condition = `{.status.conditions[?(@.type=="${type}")]`;
  let last = "";
  await waitFor(
    () => `${type} to be ${reason}, it is ${last}\n${operator.output.slice(-2000)}`,
    async () => {
      last = await shown("vt", "t", `${condition}.reason}`);
      return last === reason;
    },
    30_000,
  );
  return await shown("vt", "t", `${condition}.message}`);
}

async function documentsText(): Promise<string> {
  const text = await shown("secret", "t-gateway", "{.data.documents\\.yaml}");
  return Buffer.from(text, "base64").toString();
}

async function templateNetworks(): Promise<unknown> {
  const path = "{.spec.template.metadata.annotations.k8s\\.v1\\.cni\\.cncf\\.io/networks}";
  const text = await shown("sts", "t-gateway", path);
  return text === "" ? undefined : JSON.parse(text);
}

/** What kubelet and Multus would write of a pod that came up. */
async function playNode(pod: string, noted?: string): Promise<void> {
  const status = JSON.stringify({ status: { phase: "Running" } });
  if (noted !== undefined) await plane.kubectl("annotate", "pod", pod, `${STATUS}=${noted}`);
  await plane.kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", status);
}

test("without the chart's value a network is refused, with the value's name", async () => {
  await applySet(ISP, LTE);
  await applyTunnel();
  const message = await waitForReason("NetworkDenied");
  assert.match(
    message,
    /the uplink lte of the UplinkSet ways .* the chart's value multus\.enabled$/,
  );
  assert.equal(await shown("sts", "t-gateway", "{.metadata.name}"), "");
});

test("what is missing is named, and no more once it is there", async () => {
  await operator.stop();
  const values = ["multus.enabled=true", "multus.sharedNamespaces={plant}"];
  await plane.kubectl("create", "namespace", "plant");
  const account = await installChart(plane, ...values.flatMap((value) => ["--set", value]));
  const flags = ["--multus", "--multus-shared-namespace", "plant", "--host-access", "default"];
  operator = startOperator(account, ...flags);
  assert.match(await waitForReason("MultusMissing"), /install Multus/);
  await installNetworkKind(plane);
  assert.match(
    await waitForReason("NetworkMissing"),
    /the network default\/lte-nad, which is not there: create it/,
  );
  assert.equal(await shown("sts", "t-gateway", "{.metadata.name}"), "");
  await applyNetwork(plane, { namespace: "default", name: "lte-nad" }, { type: "macvlan" });
  await waitForReason("Attaching");
});

test("the pod is asked for the network, and the documents name the interface", async () => {
  const wanted = [{ name: "lte-nad", namespace: "default", interface: "up-lte" }];
  assert.deepEqual(await templateNetworks(), wanted);
  const documents = await documentsText();
  assert.match(documents, /"name": "lte",\s[^}]*"interface": "up-lte"/);
  assert.doesNotMatch(documents, /"network": "lte-nad"/);
});

test("a change that is not about networks leaves the pods as they are", async () => {
  const before = await shown("sts", "t-gateway", "{.metadata.generation}");
  await applySet({ ...LTE, priority: 1, gateway: "203.0.113.1" }, { ...ISP, priority: 7 });
  await waitFor("the new gateway", async () =>
    (await documentsText()).includes('"gateway": "203.0.113.1"'),
  );
  assert.equal(await shown("sts", "t-gateway", "{.metadata.generation}"), before);
});

test("a pod that came up without the interface says so, and why", async () => {
  await waitFor(
    "both pods",
    async () => (await shown("pod", "t-gateway-1", "{.metadata.name}")) !== "",
  );
  await playNode("t-gateway-0");
  const message = await waitForReason("InterfaceMissing");
  assert.match(
    message,
    /t-gateway-0 .* uplink lte \(up-lte\), .* Multus is not at work on that node/,
  );
  const main = join(import.meta.dirname, "..", "cli", "main.ts");
  const flags = ["-n", "default", "--kubeconfig", plane.kubeconfig, "-o", "json"];
  const doctor = await run([process.execPath, main, "doctor", ...flags]);
  const { findings } = JSON.parse(doctor.stdout) as {
    findings: readonly { code: string; cause: string; step: string }[];
  };
  const found = findings.find(({ code }) => code === "InterfaceMissing");
  assert.match(found?.cause ?? "", /lte \(up-lte\)/, doctor.stdout);
  assert.match(
    found?.step ?? "",
    /install it there, then kubectl -n default delete pod t-gateway-0/,
  );
  const noted = JSON.stringify([{ name: "default/lte-nad", interface: "up-lte" }]);
  await playNode("t-gateway-0", noted);
  await waitForReason("Attached", "UplinksAttached");
  await waitForReason("GatewayStarting");
});

test("another network means new pods, which is said before the first one goes", async () => {
  await applyNetwork(plane, { namespace: "plant", name: "shared" }, { type: "macvlan" });
  const uid = await shown("pod", "t-gateway-1", "{.metadata.uid}");
  const [told, deleted] = [[] as string[], [] as string[]];
  await applySet(ISP, { ...LTE, network: "plant/shared" });
  await waitFor("the pod's end", async () => {
    told.push(await shown("vt", "t", '{.status.conditions[?(@.type=="Ready")].reason}'));
    const now = await shown("pod", "t-gateway-1", "{.metadata.uid}");
    if (now !== uid) deleted.push(now);
    return deleted.length > 0;
  });
  assert.equal(told.at(-1), "Rolling", told.join(" "));
  assert.match(await waitForReason("Rolling"), /hands over to one that is ready/);
  assert.deepEqual(await templateNetworks(), [
    { name: "shared", namespace: "plant", interface: "up-lte" },
  ]);
  // The other pod keeps what it was made with until the new one is ready.
  const kept = await shown("pod", "t-gateway-0", `{.metadata.annotations}`);
  assert.equal(JSON.parse(JSON.parse(kept)[NETWORKS])[0].name, "lte-nad");
  const events = await plane.kubectl("get", "events.events.k8s.io", "-o", "jsonpath={..reason}");
  assert.match(events, /\bRolling\b/);
});

test("what cannot be had is refused, and what runs goes on", async () => {
  const version = async (): Promise<string> =>
    await shown("sts", "t-gateway", "{.metadata.generation}");
  const before = await version();
  await applySet(ISP, { ...LTE, network: "kube-system/secret" });
  assert.match(await waitForReason("NetworkDenied"), /of another namespace, kube-system\/secret: /);
  await applySet(ISP, { ...LTE, network: "plant/shared" });
  await waitForReason("Rolling");
  await applyTunnel({ network: "Host" });
  assert.match(
    await waitForReason("Unsupported"),
    /^spec\.gateway\.network: Host: .*the uplink lte /,
  );
  assert.equal(await version(), before);
  assert.doesNotMatch(operator.output, /forbidden|ApiError:[^"]*: 403 /i);
});

test("without its last network the pods lose the annotation, and the condition goes", async () => {
  await applyTunnel();
  await applySet(ISP);
  await waitFor("the annotation's end", async () => (await templateNetworks()) === undefined);
  await plane.kubectl("delete", "pod", "t-gateway-0", "t-gateway-1", "--force");
  await waitForReason("GatewayStarting");
  await waitFor(
    "the condition's end",
    async () =>
      (await shown("vt", "t", "{.status.conditions[*].type}")).includes("Attached") === false,
    20_000,
  );
});
