import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  Helm,
  LAB_NAMESPACE,
  makeLabNamespace,
  PodPlace,
  SYSTEM_NAMESPACE,
} from "../lab/cluster-install.ts";
import { cableTestbed, LAB } from "../lab/topology.ts";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { MulticastReceiver, MulticastSender } from "../support/multicast.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { run } from "../support/process.ts";
import { Scratch } from "../support/scratch.ts";
import { type StockKeys, stockClientConfig, stockServerConfig } from "../support/stock-config.ts";
import { waitFor } from "../support/wait.ts";
import { ensureImage } from "./container-image.ts";
import { ClusterNode } from "./node.ts";
import { TOOL_IMAGE } from "./tool-image.ts";

const READY_MS = 90_000;
const METRICS_PORT = 9464;
/** capabilities(7): the only one that a gateway and a sidecar have. */
const NET_ADMIN = 1n << 12n;
const EVERYTHING =
  "vt,vp,ups,secret,service,statefulset,deployment,serviceaccount,role,rolebinding,networkpolicy,pdb,lease,pod";

let network: Network;
let scratch: Scratch;
let node: ClusterNode;
let helm: Helm;
let box: Namespace;
let lan: Namespace;
const stack: AsyncDisposableStack = new AsyncDisposableStack();

before(async () => {
  const image = await ensureImage((line) => process.stderr.write(`${line}\n`));
  network = stack.use(await Network.create());
  scratch = stack.use(await Scratch.create());
  node = stack.use(await ClusterNode.start(network, [image.path]));
  box = await network.namespace("tb");
  lan = await network.namespace("lan");
  await cableTestbed(network, { gateway: node.namespace, box, lan });
  helm = new Helm(node, scratch.path);
});
after(async () => await stack.disposeAsync());

async function kubectl(...parameters: readonly string[]): Promise<string> {
  return await node.plane.kubectl("-n", LAB_NAMESPACE, ...parameters);
}

/** Until kubectl says exactly this. */
async function waitForOutput(expected: string, ...parameters: readonly string[]): Promise<void> {
  let last = "";
  await waitFor(
    () => `${parameters.join(" ")} to say ${expected}, it says ${last}\n${node.log()}`,
    async () => {
      const command = node.plane.kubectlCommand("-n", LAB_NAMESPACE, ...parameters);
      const { stderr, stdout } = await run(command);
      last = `${stdout}${stderr}`.trim();
      return last === expected;
    },
    READY_MS,
  );
}

async function apply(kind: string, name: string, spec: unknown): Promise<void> {
  const metadata = { name, namespace: LAB_NAMESPACE };
  const document = { apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec };
  const { output, status } = await node.plane.kubectlWith(
    JSON.stringify(document),
    ...["apply", "-f", "-"],
  );
  assert.equal(status, 0, output);
}

/** The active replica of a gateway. */
async function activePod(tunnel: string): Promise<string> {
  const ready = "{.items[?(@.status.containerStatuses[0].ready==true)].metadata.name}";
  const select = ["get", "pod", "-l", `fairlead.dev/tunnel=${tunnel}`, "-o", `jsonpath=${ready}`];
  return await waitFor(
    () => `an active gateway of ${tunnel}\n${node.log()}`,
    async () => {
      const text = await kubectl(...select);
      return text !== "" && !text.includes(" ") ? text : undefined;
    },
    READY_MS,
  );
}

/** What the kernel grants the first process of a container. */
async function rightsOf(namespace: string, place: string): Promise<Record<string, string>> {
  const text = await node.plane.kubectl(
    "-n",
    namespace,
    "exec",
    place,
    "--",
    "cat",
    "/proc/1/status",
  );
  return Object.fromEntries(
    text.split("\n").map((line) => {
      const [name = "", value = ""] = line.split(":\t");
      return [name, value.trim()];
    }),
  );
}

test("installed by helm, the operator runs without root, rights or anything to write", async () => {
  const notes = await helm.install("--set", `metrics.tunnelPort=${METRICS_PORT}`);
  assert.match(notes, /Next, declare a tunnel/);
  const rights = await rightsOf(SYSTEM_NAMESPACE, "deployment/fairlead-operator");
  assert.equal(rights["Uid"]?.split("\t")[0], "65532");
  assert.deepEqual([rights["CapEff"], rights["CapBnd"]], ["0".repeat(16), "0".repeat(16)]);
  assert.deepEqual([rights["NoNewPrivs"], rights["Seccomp"]], ["1", "2"]);
  const write = ["exec", "deployment/fairlead-operator", "--", "touch", "/opt/fairlead/x"];
  const { output } = await node.plane.kubectlWith("", "-n", SYSTEM_NAMESPACE, ...write);
  assert.match(output, /Read-only file system/);
});

test("helm test asks the operator by its Service", async () => {
  const text = await helm.run("test", "fairlead");
  assert.match(text, /Phase:\s+Succeeded/);
});

test("the cluster dials a stock server with its administrator's profile: multicast reaches the gateway's pod", async () => {
  const authority = await TestAuthority.create(join(scratch.path, "authority"));
  const wrapKey = makeStaticKey();
  const keys = async (commonName: string, use: "server" | "client"): Promise<StockKeys> => {
    const identity = await authority.issue({ commonName, use });
    return { authority: authority.certificate, identity, wrap: "tls-crypt", wrapKey };
  };
  const config = stockServerConfig(await keys("server", "server"));
  const folder = join(scratch.path, "server");
  const server = stack.use(await OpenvpnPeer.start({ namespace: box, folder, config }));
  await server.waitUntilUp();
  await box.ip(`link set tap0 master ${LAB.boxBridge} up`);
  await makeLabNamespace(node);
  const profile = stockClientConfig(await keys("cluster", "client"), [LAB.boxUplink]);
  const literal = `--from-literal=client.ovpn=${profile}`;
  await kubectl("create", "secret", "generic", "testbed-b-profile", literal);
  await apply("VpnTunnel", "testbed-b", {
    dial: { profileSecretRef: { name: "testbed-b-profile" } },
  });
  const pod = await activePod("testbed-b");
  const rights = await rightsOf(LAB_NAMESPACE, pod);
  assert.equal(BigInt(`0x${rights["CapEff"]}`), NET_ADMIN);
  assert.deepEqual([rights["NoNewPrivs"], rights["Seccomp"]], ["1", "2"]);
  await server.waitForLog(/cluster\/.*MULTI: Learn|\[cluster\] Peer Connection Initiated/, 30_000);
  // An unmodified program beside the gateway, in its network.
  const debug = ["debug", pod, `--image=${TOOL_IMAGE}`, "--container=probe", "--quiet"];
  await kubectl(...debug, "--attach=false", "--", "sleep", "1000");
  const running = "jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}";
  await waitFor("the probe", async () => (await kubectl("get", "pod", pod, "-o", running)) !== "");
  const place = new PodPlace(node, pod, "probe");
  const group = { family: 4, address: "239.1.2.3", port: 5001 } as const;
  // The routes of multicast are for attached pods: here the program names the interface itself.
  const joined = { ...group, interface: "tap0" };
  await using receiver = await MulticastReceiver.start(place, joined);
  await using _ = await MulticastSender.start(lan, group, 20);
  await waitFor(
    () => `multicast at the gateway\n${server.log.slice(-2000)}`,
    () => receiver.frames > 20,
    30_000,
  );
});

test("its figures are there for Prometheus, at the pod's address and not inside the segment", async () => {
  const pod = await activePod("testbed-b");
  const address = await kubectl("get", "pod", pod, "-o", "jsonpath={.status.podIP}");
  const fetched = ["busybox", "wget", "-qO-", `http://${address}:${METRICS_PORT}/metrics`];
  const { stdout } = await run(node.inside(fetched));
  assert.match(stdout, /^fairlead_tunnel_up\{tunnel="lab\/testbed-b"\} 1$/m);
  const inside = ["exec", pod, "--", "cat", "/proc/1/net/tcp", "/proc/1/net/tcp6"];
  const port = METRICS_PORT.toString(16).toUpperCase();
  const listening = (await kubectl(...inside)).split("\n").filter((line) => line.includes(` 0A `));
  const places = listening.flatMap((line) => line.trim().split(/\s+/)[1] ?? []);
  const hex = address.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"));
  const own = hex.reverse().join("").toUpperCase();
  assert.deepEqual(
    places.filter((place) => place.endsWith(`:${port}`)),
    [`${own}:${port}`],
  );
});

test("the active gateway killed outright, the other one takes over", async () => {
  const former = await activePod("testbed-b");
  const id = await kubectl(
    "get",
    "pod",
    former,
    "-o",
    "jsonpath={.status.containerStatuses[0].containerID}",
  );
  const kill = [
    "ctr",
    "-n",
    "k8s.io",
    "task",
    "kill",
    "-s",
    "SIGKILL",
    id.replace("containerd://", ""),
  ];
  const startedMs = performance.now();
  assert.equal((await run(node.inside(kill))).status, 0);
  await waitFor(
    "another active gateway",
    async () => (await activePod("testbed-b")) !== former,
    READY_MS,
  );
  process.stdout.write(
    `# another replica was ready ${Math.round(performance.now() - startedMs)} ms after the kill\n`,
  );
});

test("deleting a tunnel removes what it made, and only that", async () => {
  await kubectl("create", "secret", "generic", "mine", "--from-literal=a=b");
  const made = ["get", EVERYTHING, "-l", "fairlead.dev/tunnel=testbed-b", "-o", "name"];
  assert.match(await kubectl(...made), /statefulset.apps\/testbed-b-gateway/);
  await kubectl("delete", "vt", "testbed-b");
  await waitForOutput("", ...made);
  const left = (await kubectl("get", EVERYTHING, "-o", "name")).split("\n").filter(Boolean);
  assert.deepEqual(left.sort(), [
    "secret/mine",
    "secret/testbed-b-profile",
    "serviceaccount/default",
  ]);
});

test("uninstalling leaves the kinds and the users' objects, or neither", async () => {
  await apply("UplinkSet", "kept", { uplinks: [{ name: "a", interface: "eth0" }] });
  await helm.uninstall();
  const things = EVERYTHING.replace("vt,vp,ups,", "");
  const accounts = "serviceaccount/default";
  await waitForOutput(accounts, "get", things, "-n", SYSTEM_NAMESPACE, "-o", "name");
  assert.equal(await kubectl("get", "ups", "-o", "name"), "uplinkset.fairlead.dev/kept\n");
  for (const kind of ["clusterrole", "clusterrolebinding", "mutatingwebhookconfiguration"]) {
    assert.doesNotMatch(await kubectl("get", kind, "-o", "name"), /fairlead/);
  }
  await helm.install("--set", "crds.keep=false", "--take-ownership");
  await helm.uninstall();
  await waitForOutput("", "get", "crd", "-o", "name");
  assert.equal(await kubectl("get", "secret", "mine", "-o", "name"), "secret/mine\n");
});
