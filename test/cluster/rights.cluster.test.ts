import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Program } from "../support/process.ts";
import { waitFor } from "../support/wait.ts";
import { ControlPlane } from "./control-plane.ts";
import { installNetworkKind } from "./network-attachments.ts";
import { installChart, OPERATOR, startOperator } from "./operator-program.ts";
import { certManagerKinds } from "./programs.ts";

let plane: ControlPlane;
let operator: Program;
const stack: AsyncDisposableStack = new AsyncDisposableStack();

before(async () => {
  plane = stack.use(await ControlPlane.start({ hasControllers: true }));
  // kubectl asks about a kind by its group only where the kind is known: of another nobody may anything.
  await installNetworkKind(plane);
});
after(async () => await stack.disposeAsync());

/** What kubectl says that an account may do; nothing but `yes` is a yes. */
async function mayAll(
  account: string,
  namespace: string,
  asked: readonly string[],
): Promise<readonly string[]> {
  const answers = asked.map(async (text) => {
    const command = ["-n", namespace, "auth", "can-i", "--as", account, ...text.split(" ")];
    const { output } = await plane.kubectlWith("", ...command);
    return /^yes$/m.test(output) ? [text] : [];
  });
  return (await Promise.all(answers)).flat();
}

/** Rows of `kubectl auth can-i --list` that not every account has: resources, names and verbs. */
async function rightsOf(account: string, namespace: string): Promise<readonly string[]> {
  const list = ["-n", namespace, "auth", "can-i", "--list", "--no-headers", "--as", account];
  const rows = (await plane.kubectl(...list)).split("\n").map((row) => row.trim());
  const everybodys = /^(\[\/|selfsubject(access|rules)reviews|selfsubjectreviews)/;
  return rows.filter((row) => row !== "" && !row.startsWith("[/") && !everybodys.test(row));
}

const OPERATORS_ACCOUNT = `system:serviceaccount:default:${OPERATOR}`;

const NETWORKS = "network-attachment-definitions.k8s.cni.cncf.io";

const REFUSED: readonly string[] = [
  ...["create vpntunnels", "patch vpntunnels", "delete vpntunnels", "patch vpnpeers"],
  ...[
    "create pods",
    "create pods --subresource=exec",
    "get pods --subresource=log",
    "delete pods",
    "patch pods",
  ],
  ...["list nodes", "get configmaps", "create deployments", "patch daemonsets", "update roles"],
  ...["escalate roles", "bind roles", "escalate clusterroles", "create clusterrolebindings"],
  ...[
    "impersonate users",
    "impersonate serviceaccounts",
    "create serviceaccounts --subresource=token",
  ],
  ...["patch mutatingwebhookconfigurations/another", "create mutatingwebhookconfigurations"],
  ...[
    "delete namespaces",
    "create validatingwebhookconfigurations",
    "patch customresourcedefinitions",
  ],
  `get ${NETWORKS}`,
];

test("the operator may do what it does and nothing beside, also in the whole cluster", async () => {
  await installChart(plane);
  assert.deepEqual(await mayAll(OPERATORS_ACCOUNT, "default", REFUSED), []);
  assert.deepEqual(await mayAll("system:admin", "default", ["get pods"]), []);
  const rows = await rightsOf(OPERATORS_ACCOUNT, "default");
  assert(rows.length > 10, rows.join("\n"));
  for (const row of rows) assert.doesNotMatch(row, /\*/, row);
  const resources = new Set(rows.map((row) => row.split(/\s/)[0]?.split(".")[0]));
  assert.deepEqual([...resources].sort(), [
    ...["events", "leases", "mutatingwebhookconfigurations", "networkpolicies"],
    ...["poddisruptionbudgets", "pods", "rolebindings", "roles", "secrets", "serviceaccounts"],
    ...["services", "statefulsets", "uplinksets", "vpnpeers", "vpntunnels"],
  ]);
  await plane.kubectl("delete", "clusterrole,clusterrolebinding", OPERATOR);
});

test("kinds of cert-manager are the operator's only where it is told so, and issuers never to write", async () => {
  const group = "cert-manager.io";
  const allowed = [
    ...[
      `list certificates.${group}`,
      `create certificates.${group}`,
      `patch certificates.${group}`,
    ],
    ...[`delete certificates.${group}`, `get issuers.${group}`, `get clusterissuers.${group}`],
  ];
  const refused = [
    ...[`list issuers.${group}`, `patch issuers.${group}`, `create clusterissuers.${group}`],
    ...[`create certificaterequests.${group}`, `update certificates.${group} --subresource=status`],
  ];
  const asked = [...allowed, ...refused];
  for (const file of await certManagerKinds())
    await plane.kubectl("apply", "--server-side", "-f", file);
  const kinds = ["certificates", "clusterissuers"].map((name) => `crd/${name}.${group}`);
  await plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", ...kinds);
  await installChart(plane);
  assert.deepEqual(await mayAll(OPERATORS_ACCOUNT, "default", asked), []);
  await installChart(plane, "--set", "certManager.enabled=true");
  assert.deepEqual(await mayAll(OPERATORS_ACCOUNT, "default", asked), allowed);
  await plane.kubectl("delete", "clusterrole,clusterrolebinding", OPERATOR);
});

async function apply(namespace: string, name: string): Promise<void> {
  const metadata = { name, namespace };
  const spec = { listen: { advertise: [{ host: "vpn.example.org" }] } };
  const document = { apiVersion: "fairlead.dev/v1alpha1", kind: "VpnTunnel", metadata, spec };
  const { output, status } = await plane.kubectlWith(JSON.stringify(document), "apply", "-f", "-");
  assert.equal(status, 0, output);
}

async function stateOf(namespace: string, name: string): Promise<string> {
  const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}';
  return await plane.kubectl("-n", namespace, "get", "vt", name, "-o", path);
}

test("with namespaces named, it sees these alone and reads no Secret of another", async () => {
  for (const name of ["lab", "second", "other"]) await plane.kubectl("create", "namespace", name);
  const values = [
    "namespaces={lab,second}",
    "multus.enabled=true",
    "multus.sharedNamespaces={other}",
  ];
  const account = await installChart(plane, ...values.flatMap((value) => ["--set", value]));
  const secrets = ["get secrets", "list secrets", "create roles", "list vpntunnels", "list pods"];
  assert.deepEqual(await mayAll(OPERATORS_ACCOUNT, "lab", secrets), secrets);
  assert.deepEqual(await mayAll(OPERATORS_ACCOUNT, "other", secrets), []);
  assert.deepEqual(await mayAll(OPERATORS_ACCOUNT, "kube-system", secrets), []);
  const [get, list] = ["get", "list"].map((verb) => `${verb} ${NETWORKS}`);
  for (const namespace of ["lab", "other"]) {
    assert.deepEqual(await mayAll(OPERATORS_ACCOUNT, namespace, [`${get}`, `${list}`]), [get]);
  }
  assert.deepEqual(await mayAll(OPERATORS_ACCOUNT, "kube-system", [`${get}`]), []);
  // Its own namespace: the two objects that the chart made, by name.
  const own = [`update secrets/${OPERATOR}-webhook`, "update leases/fairlead-operator"];
  const foreign = ["get secrets/another", "update leases/another", "create secrets"];
  assert.deepEqual(await mayAll(OPERATORS_ACCOUNT, "default", [...own, ...foreign]), own);
  operator = stack.use(startOperator(account, "--watch-namespace", "lab", "second"));
  for (const namespace of ["lab", "second", "other"]) await apply(namespace, "t");
  for (const namespace of ["lab", "second"]) {
    await waitFor(
      () => `${namespace}/t: ${operator.output.slice(-3000)}`,
      async () => (await stateOf(namespace, "t")) === "GatewayStarting",
      40_000,
    );
  }
  assert.equal(await stateOf("other", "t"), "");
  assert.doesNotMatch(operator.output, /forbidden|ApiError:[^"]*: 403 /i);
});

test("a gateway reads its own Secret and reports about its own, and no more", async () => {
  const account = "system:serviceaccount:lab:t-gateway";
  const allowed = [
    ...["get secrets/t-gateway", "update leases/t-gateway", "create leases"],
    "patch vpntunnels/t --subresource=status",
  ];
  const refused = [
    ...["get secrets/t-authority", "list secrets", "update secrets/t-gateway", "list vpntunnels"],
    ...["patch vpntunnels/t", "patch vpntunnels/u --subresource=status", "update leases/u-gateway"],
    ...["delete leases/t-gateway", "list pods", "create events", "patch vpnpeers"],
  ];
  assert.deepEqual(await mayAll(account, "lab", [...allowed, ...refused]), allowed);
  assert.deepEqual(await mayAll(account, "second", [...allowed, ...refused]), []);
});
