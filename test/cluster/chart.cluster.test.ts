import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Program, run } from "../support/process.ts";
import { Scratch } from "../support/scratch.ts";
import { waitFor } from "../support/wait.ts";
import { ControlPlane } from "./control-plane.ts";
import { startOperator } from "./operator-program.ts";
import { ensurePrograms, programPath } from "./programs.ts";

const CHART: string = join(import.meta.dirname, "..", "..", "charts", "fairlead");
const NAMESPACE = "fairlead-system";

let plane: ControlPlane;
let scratch: Scratch;
let operator: Program | undefined;

before(async () => {
  await ensurePrograms(["helm"], (line) => process.stderr.write(`${line}\n`));
  scratch = await Scratch.create();
  plane = await ControlPlane.start({ hasControllers: true });
});
after(async () => {
  await operator?.stop();
  await plane[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

async function helm(
  ...parameters: readonly string[]
): Promise<{ readonly status: number; readonly output: string }> {
  const environment = { KUBECONFIG: plane.kubeconfig, HELM_CACHE_HOME: scratch.path };
  const command = [programPath("helm"), ...parameters];
  const { status, stderr, stdout } = await run(command, { environment, timeoutMs: 60_000 });
  return { status, output: `${stdout}${stderr}` };
}

async function fine(...parameters: readonly string[]): Promise<string> {
  const { output, status } = await helm(...parameters);
  assert.equal(status, 0, `helm ${parameters.join(" ")}: ${output}`);
  return output;
}

async function apply(kind: string, name: string, spec: unknown): Promise<void> {
  const metadata = { name, namespace: "default" };
  const document = { apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec };
  const { output, status } = await plane.kubectlWith(JSON.stringify(document), "apply", "-f", "-");
  assert.equal(status, 0, output);
}

async function reasonOf(what: string, name: string): Promise<string> {
  const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}';
  return await plane.kubectl("get", what, name, "-o", path);
}

test("the chart lints clean, and a wrong value is refused with its name", async () => {
  assert.match(await fine("lint", "--strict", CHART), /0 chart\(s\) failed/);
  const { output, status } = await helm("lint", CHART, "--set", "operator.replicas=0");
  assert.notEqual(status, 0);
  assert.match(output, /replicas/);
});

test("values that are off by default are rendered where they belong", async () => {
  const options = [
    ...["--set", "hostAccess.namespaces={lab,other}", "--set", "imagePullSecrets={pull}"],
    ...["--set", `image.digest=sha256:${"a".repeat(64)}`, "--set", "operator.podLabels.a=b"],
    ...["--set", "operator.nodeSelector.a=b", "--set", "operator.priorityClassName=high"],
    ...["--set", "namespaces={default}", "--set", "gateway.resources.limits.memory=1Gi"],
    ...["--set", "networkPolicy.metricsFrom[0].podSelector.matchLabels.a=b"],
    ...["--set", "networkPolicy.webhookFrom[0].ipBlock.cidr=192.0.2.0/24"],
    ...["--set", "metrics.tunnelPort=9464"],
    ...["--set", "multus.enabled=true", "--set", "multus.sharedNamespaces={default}"],
    ...["--set", "certManager.enabled=true"],
  ];
  const version = ["--kube-version", "1.34.0"];
  const text = await fine("template", "x", CHART, ...version, ...options);
  assert.match(text, /fairlead@sha256:a{64}/);
  assert.match(text, /--host-access\n\s+- lab\n\s+- other/);
  assert.match(text, /runAsNonRoot: true/);
  assert.match(text, /--multus\n\s+- --multus-shared-namespace\n\s+- default/);
  assert.match(text, /--watch-namespace\n\s+- default/);
  assert.match(text, /- --cert-manager\n/);
  assert.match(text, /--gateway-resources=\{"limits":\{"memory":"1Gi"\},"requests":/);
  const monitors = ["--set", "metrics.podMonitors=true"];
  const monitored = await fine("template", "x", CHART, ...version, ...options, ...monitors);
  assert.equal(monitored.match(/^kind: PodMonitor$/gm)?.length, 2);
  assert.match(text, /--tunnel-metrics-port=9464\n.*--tunnel-metrics-from=\[\{"podSelector":/);
  // No field that the API server does not know, and none of a wrong type.
  const check = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
  const checked = await plane.kubectlWith(text.replaceAll(/^walk\.go.*$/gm, ""), ...check);
  assert.equal(checked.status, 0, checked.output);
});

test("values that were kept of an older chart lack whole groups, and do", async () => {
  const groups = ["gateway", "sidecar", "metrics", "multus", "networkPolicy", "namespaces"];
  groups.push("hostAccess", "certManager");
  const older = groups.flatMap((group) => ["--set", `${group}=null`]);
  const text = await fine("template", "x", CHART, "--kube-version", "1.34.0", ...older);
  assert.match(text, /--gateway-resources=\{\}/);
  const dry = ["install", "x", CHART, "--dry-run=client"];
  assert.match(await fine(...dry, ...older), /kubectl create namespace lab/);
});

test("installed, the operator does its work with the chart's own account", async () => {
  await fine("install", "fl", CHART, "--namespace", NAMESPACE, "--create-namespace");
  const names = ["vpntunnels", "vpnpeers", "uplinksets"].map((name) => `crd/${name}.fairlead.dev`);
  await plane.kubectl("wait", "--for=condition=Established", "--timeout=20s", ...names);
  const kubeconfig = await plane.serviceAccountConfig(NAMESPACE, "fl-operator");
  const webhook = ["--webhook-configuration", "fl-operator", "--webhook-port", "0"];
  const service = ["--webhook-service", "fl-operator-webhook"];
  const secret = ["--webhook-secret", "fl-operator-webhook"];
  const flags = ["--namespace", NAMESPACE, ...webhook, ...service, ...secret];
  operator = startOperator(kubeconfig, ...flags);
  await apply("VpnTunnel", "t", {
    listen: { advertise: [{ host: "vpn.example.org" }] },
    addresses: { segment: "10.20.0.0/24", pool: "10.20.0.9-10.20.0.9" },
    workloads: { podSelector: { matchLabels: { a: "b" } } },
  });
  await apply("VpnTunnel", "d", {
    dial: { profileSecretRef: { name: "admin" } },
    uplinks: { name: "u" },
  });
  await apply("UplinkSet", "u", { uplinks: [{ name: "a", interface: "eth0" }] });
  await apply("VpnPeer", "p", { tunnel: { name: "t" } });
  for (const [what, name, reason] of [
    ["vt", "t", "GatewayStarting"],
    ["vt", "d", "ProfileMissing"],
    ["vp", "p", "ProfileMade"],
    ["ups", "u", "InUse"],
  ] as const) {
    const text = (): string => `${what} ${name}: ${operator?.output.slice(-3000)}`;
    await waitFor(text, async () => (await reasonOf(what, name)) === reason, 20_000);
  }
  await waitFor("the webhook's entry", async () => {
    const path = "jsonpath={.webhooks[0].clientConfig.service.name}";
    const name = ["mutatingwebhookconfiguration", "fl-operator"];
    return (await plane.kubectl("get", ...name, "-o", path)) === "fl-operator-webhook";
  });
  // The fixed address is outside the pool: the former claim is given back, which is a delete.
  await apply("VpnPeer", "p", { tunnel: { name: "t" }, address: "10.20.0.7" });
  await waitFor("the claim given back", async () => {
    const claims = await plane.kubectl("get", "lease", "-o", "name");
    return claims.includes("t-10.20.0.7") && !claims.includes("t-10.20.0.9");
  });
  await apply("VpnTunnel", "t", {
    listen: { advertise: [{ host: "vpn.example.org" }] },
    addresses: { segment: "10.20.0.0/24" },
    gateway: { replicas: 1 },
  });
  await waitFor("the budget's end", async () => (await plane.kubectl("get", "pdb")) === "");
  assert.doesNotMatch(operator.output, /forbidden|ApiError:[^"]*: 403 /i);
});

test("an upgrade upgrades the kinds; uninstalling keeps them and the tunnels, or neither", async () => {
  await fine("upgrade", "fl", CHART, "--namespace", NAMESPACE, "--set", "operator.replicas=1");
  const columns = await plane.kubectl("get", "crd", "vpntunnels.fairlead.dev", "-o", "json");
  assert.match(columns, /"helm.sh\/resource-policy": "keep"/);
  await operator?.stop();
  await fine("uninstall", "fl", "--namespace", NAMESPACE);
  const left = ["secret,mutatingwebhookconfiguration", "-o", "name"];
  assert.equal(await plane.kubectl("-n", NAMESPACE, "get", ...left), "");
  assert.match(await plane.kubectl("get", "vt"), /^t\s/m);
  await fine(
    ...["install", "fl", CHART, "--namespace", NAMESPACE, "--take-ownership"],
    ...["--set", "crds.keep=false"],
  );
  await fine("uninstall", "fl", "--namespace", NAMESPACE, "--wait", "--timeout", "50s");
  assert.equal(await plane.kubectl("get", "crd", "-o", "name"), "");
});
