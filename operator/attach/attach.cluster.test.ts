import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { problemOf } from "../../cli/ready.ts";
import { readProcesses } from "../../cli/status.ts";
import { ControlPlane, freePort } from "../../test/cluster/control-plane.ts";
import { installChart, OPERATOR, startOperator } from "../../test/cluster/operator-program.ts";
import { Network } from "../../test/support/netns.ts";
import { Program, run } from "../../test/support/process.ts";
import { Scratch } from "../../test/support/scratch.ts";
import { waitFor } from "../../test/support/wait.ts";
import { PodNetwork, PROGRAM } from "./pod-network-harness.ts";

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly restartPolicy?: string;
  readonly startupProbe?: { readonly exec: { readonly command: readonly string[] } };
  readonly securityContext?: { readonly capabilities?: unknown; readonly runAsUser?: number };
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly spec: {
    readonly initContainers?: readonly Container[];
    readonly containers: readonly Container[];
  };
}

const GATEWAY_PORT = 21_394;
/** Where the first replica hears the second; the other one's is the next port. */
const BEAT_PORT = 21_396;

let plane: ControlPlane;
let scratch: Scratch;
let ports: readonly number[];
let account: string;
let operators: Program[] = [];

before(async () => {
  plane = await ControlPlane.start();
  account = await installChart(plane);
  await plane.startControllers();
  scratch = await Scratch.create();
  ports = [await freePort(), await freePort()];
  operators = ports.map((port) => startReplica(port));
  await applyTunnel("a", { podSelector: { matchLabels: { needs: "a" } }, interface: "tb0" });
  await waitForEntry("a");
});
after(async () => {
  for (const operator of operators) await operator.stop();
  await plane[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

/** Both call the first one's port: the API server of a test has one address to ask. */
function startReplica(port: number): Program {
  return startOperator(
    account,
    ...["--webhook-configuration", OPERATOR, "--webhook-port", String(port)],
    ...["--webhook-url", `https://localhost:${ports[0]}`],
  );
}

function said(): string {
  return operators.map((operator) => operator.output.slice(-1500)).join("\n---\n");
}

async function apply(document: object): Promise<string> {
  const { output, status } = await plane.kubectlWith(JSON.stringify(document), "apply", "-f", "-");
  assert.equal(status, 0, output);
  return output;
}

async function applyTunnel(name: string, workloads: object, spec: object = {}): Promise<void> {
  const metadata = { name, namespace: "default" };
  const addresses = { segment: "10.20.0.0/24", pool: "10.20.0.200-10.20.0.201" };
  const listen = { port: GATEWAY_PORT };
  const whole = { listen, addresses, workloads, gateway: { replicas: 2 }, ...spec };
  await apply({ apiVersion: "fairlead.dev/v1alpha1", kind: "VpnTunnel", metadata, spec: whole });
}

async function waitForEntry(tunnel: string): Promise<void> {
  await waitFor(
    () => `the entry of ${tunnel}: ${said()}`,
    async () => {
      const parameters = [OPERATOR, "--ignore-not-found", "-o", "jsonpath={.webhooks[*].name}"];
      const names = await plane.kubectl("get", "mutatingwebhookconfiguration", ...parameters);
      return names.includes(`.${tunnel}.default.attach.fairlead.dev`);
    },
    30_000,
  );
}

/** What making a pod came to: its name, or why not. */
async function makePod(
  labels: Record<string, string>,
  more: { readonly annotations?: Record<string, string>; readonly spec?: object } = {},
): Promise<{ readonly name?: string; readonly refusal?: string }> {
  const container = { name: "app", image: "localhost/app:1" };
  const { annotations = {}, spec = {} } = more;
  const document = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { generateName: "viewer-", namespace: "default", labels, annotations },
    spec: { containers: [container], initContainers: [{ ...container, name: "setup" }], ...spec },
  };
  const made = await plane.kubectlWith(
    JSON.stringify(document),
    ...["create", "-f", "-", "-o", "jsonpath={.metadata.name}"],
  );
  return made.status === 0 ? { name: made.output.trim() } : { refusal: made.output };
}

async function podOf(made: { readonly name?: string; readonly refusal?: string }): Promise<Pod> {
  assert(made.name !== undefined, made.refusal);
  return JSON.parse(await plane.kubectl("get", "pod", made.name, "-o", "json")) as Pod;
}

function peerNameOf(pod: Pod): string {
  return (pod.metadata.annotations?.["fairlead.dev/attached-to"] ?? "").split("=")[1] ?? "";
}

async function documentsOf(peer: string): Promise<string> {
  const path = "jsonpath={.data.documents\\.yaml}";
  return await waitFor(
    () => `the documents of ${peer}: ${said()}`,
    async () => {
      const secret = `${peer}-profile`;
      const text = await plane.kubectl("get", "secret", secret, "--ignore-not-found", "-o", path);
      return text === "" ? undefined : Buffer.from(text, "base64").toString("utf8");
    },
    30_000,
  );
}

test("a selected pod gets its sidecar first, and nothing else of it changes", async () => {
  const pod = await podOf(await makePod({ needs: "a" }));
  const [own, setup] = pod.spec.initContainers ?? [];
  assert.equal(own?.name, "fairlead-a");
  assert.equal(setup?.name, "setup");
  assert.equal(own.restartPolicy, "Always");
  assert.deepEqual(own.securityContext?.capabilities, { add: ["NET_ADMIN"], drop: ["ALL"] });
  assert.equal(own.startupProbe?.exec.command.at(-1), "ready");
  const token = "/var/run/secrets/kubernetes.io/serviceaccount";
  const mountsOf = (container: Container | undefined): readonly string[] =>
    (container?.volumeMounts ?? []).filter((one) => one.mountPath === token).map((one) => one.name);
  assert.deepEqual(mountsOf(own), ["fl-no-token"]);
  assert.match(mountsOf(pod.spec.containers[0])[0] ?? "", /^kube-api-access-/);
});

test("its peer is made under the stamped name, with an address, and goes with the pod", async () => {
  const pod = await podOf(await makePod({ needs: "a" }));
  const peer = peerNameOf(pod);
  const documents = await documentsOf(peer);
  assert.match(documents, /remote a-gateway-0\.a-gateway-pods\.default\.svc 21394/);
  assert.match(documents, /"interface": "tb0"/);
  const owner = "jsonpath={.metadata.ownerReferences[0].uid} {.status.address}";
  const [uid, address] = (await plane.kubectl("get", "vp", peer, "-o", owner)).split(" ");
  assert.equal(uid, pod.metadata.uid);
  assert.match(address ?? "", /^10\.20\.0\.20[01]$/);
  await plane.kubectl("delete", "pod", pod.metadata.name, "--grace-period=0", "--force");
  await waitFor(
    "the end of the peer",
    async () => (await plane.kubectl("get", "vp", peer, "--ignore-not-found")) === "",
    60_000,
  );
});

test("a pod that waits for an address says so itself", async () => {
  await podOf(await makePod({ needs: "a" }));
  const last = await podOf(await makePod({ needs: "a" }));
  await waitFor(
    () => `the event: ${said()}`,
    async () => {
      const field = `--field-selector=regarding.uid=${last.metadata.uid},reason=PoolExhausted`;
      return (await plane.kubectl("get", "events.events.k8s.io", field, "-o", "name")) !== "";
    },
    30_000,
  );
  await plane.kubectl("delete", "pods", "-l", "needs=a", "--grace-period=0", "--force");
});

test("pods that did not ask, opted out, or are a gateway are never sent", async () => {
  for (const labels of [
    { needs: "b" },
    { needs: "a", "fairlead.dev/attach": "false" },
    { needs: "a", "fairlead.dev/tunnel": "a" },
  ]) {
    const pod = await podOf(await makePod(labels));
    assert.equal(pod.spec.initContainers?.[0]?.name, "setup");
  }
});

test("a pod of the node's network is refused with the next step", async () => {
  const { refusal } = await makePod({ needs: "a" }, { spec: { hostNetwork: true } });
  assert.match(refusal ?? "", /hostNetwork cannot be attached.*fairlead\.dev\/attach=false/);
});

test("an annotation alone makes no peer, and a copied one takes nobody's", async () => {
  const forged = await podOf(
    await makePod(
      { "fairlead.dev/attached": "true" },
      { annotations: { "fairlead.dev/attached-to": "a=intruder" } },
    ),
  );
  await waitFor("the event", async () => {
    const field = `--field-selector=regarding.uid=${forged.metadata.uid},reason=NotSelected`;
    return (await plane.kubectl("get", "events.events.k8s.io", field, "-o", "name")) !== "";
  });
  assert.equal(await plane.kubectl("get", "vp", "intruder", "--ignore-not-found"), "");
  const first = await podOf(await makePod({ needs: "a" }));
  await documentsOf(peerNameOf(first));
  const { annotations = {} } = first.metadata;
  const copy = await podOf(await makePod({ needs: "a" }, { annotations }));
  assert.notEqual(peerNameOf(copy), peerNameOf(first));
  await plane.kubectl("delete", "pods", "--all", "--grace-period=0", "--force");
});

async function certificateOf(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host: "localhost", port, rejectUnauthorized: false }, () => {
    resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? "");
    socket.destroy();
  });
  socket.on("error", reject);
  return await promise;
}

test("both replicas serve one certificate; a new one is served and believed at once", async () => {
  const both = async (): Promise<readonly string[]> =>
    await Promise.all(ports.map((port) => certificateOf(port)));
  const [first, second] = await both();
  assert.equal(first, second);
  await plane.kubectl("delete", "secret", "fairlead-webhook");
  await waitFor(
    () => `another certificate: ${said()}`,
    async () => {
      const [now, other] = await both();
      return now !== first && now === other;
    },
    20_000,
  );
  // The leader tells the API server of the new authority in the same moment.
  await waitFor("a pod again", async () => (await makePod({ needs: "a" })).name !== undefined);
});

/** One replica, with the rights of its account; it hears the other one on this machine. */
function startGateway(index: number, kubeconfig: string): Program {
  const flags = ["--namespace", "default", "--tunnel", "a", "--run", scratch.file(`gw-${index}`)];
  const beats = ["--heartbeat-port", String(BEAT_PORT + index)];
  const other = ["--replica", `127.0.0.1:${BEAT_PORT + 1 - index}`, "--kubeconfig", kubeconfig];
  const environment = { POD_NAME: `a-gateway-${index}` };
  return Program.start([...PROGRAM, "gateway", ...flags, ...beats, ...other], { environment });
}

/** When the pod's session began, once a round trip was measured. */
async function upSince(folder: string): Promise<number | undefined> {
  const processes = await readProcesses(folder);
  const tunnels = processes.flatMap((one) => one.tunnels);
  if (problemOf(tunnels) !== undefined) return undefined;
  return Date.parse(tunnels[0]?.peers[0]?.since ?? "");
}

test("with only NET_ADMIN and what is mounted, the sidecar attaches, is ready, and follows a failover", async (context) => {
  await waitFor("the tunnel's addresses", async () => {
    return (await plane.kubectl("get", "vp", "-o", "name")).split("\n").length < 4;
  });
  await plane.kubectl("delete", "pods", "--all", "--grace-period=0", "--force");
  const pod = await podOf(await makePod({ needs: "a" }));
  const sidecar = pod.spec.initContainers?.[0];
  const documents = await documentsOf(peerNameOf(pod));
  const own = await plane.serviceAccountConfig("default", "a-gateway");
  await using gateway = startGateway(0, own);
  await gateway.waitForOutput(/tunnel started/, 40_000);
  await using standby = startGateway(1, own);
  await standby.waitForOutput(/standing by/, 40_000);
  await using network = await Network.create();
  await using place = await PodNetwork.create(network, "a", 2);
  const { namespace } = place;
  const file = scratch.file("documents.yaml");
  await writeFile(file, documents, { mode: 0o400 });
  const folder = scratch.file("pod");
  const asPod = (...parameters: readonly string[]): readonly string[] =>
    place.sidecar(...parameters, "--run", folder);
  const [command = "", ...rest] = sidecar?.args ?? [];
  assert.deepEqual(rest, ["-f", "/etc/fairlead/documents.yaml"]);
  const before = await run(asPod("ready"));
  assert.equal(before.status, 16, before.stderr);
  await using attached = Program.start(asPod(command, "-f", file));
  await attached.waitForOutput(/connected/, 40_000);
  await waitFor(
    () => `the probe: ${attached.output.slice(-1500)}`,
    async () => (await run(asPod("ready"))).status === 0,
    40_000,
  );
  const links = await namespace.ip("-o addr show dev tb0");
  assert.match(links, /inet 10\.20\.0\.20[01]\/24/);
  const routes = await namespace.ip("route show");
  assert.match(routes, /^224\.0\.0\.0\/4 dev tb0/m);
  assert.match(routes, /^198\.51\.100\.0\/29 dev eth0/m);
  assert.doesNotMatch(routes, /^default/m);
  const killedMs = performance.now();
  const killedAtMs = Date.now();
  gateway.signal("SIGKILL");
  await waitFor(
    () => `the other replica: ${standby.output.slice(-1500)}\n${attached.output.slice(-1500)}`,
    async () => ((await upSince(folder)) ?? 0) > killedAtMs - 1000,
    20_000,
  );
  const tookMs = performance.now() - killedMs;
  context.diagnostic(`a frame crosses again ${tookMs.toFixed(0)} ms after SIGKILL`);
  // Three seconds on an idle machine; the Lease is good for twenty-five.
  assert(tookMs < 15_000, `${tookMs} ms`);
  assert.equal(await attached.stop(), 0);
  assert.doesNotMatch(await namespace.ip("-o link"), /tb0/);
});

test("while no operator answers, only pods that asked are refused, with the reason", async () => {
  for (const operator of operators) await operator.stop();
  assert((await makePod({ needs: "nothing" })).name !== undefined);
  const { refusal } = await makePod({ needs: "a" });
  assert.match(refusal ?? "", /failed calling webhook .*a\.default\.attach\.fairlead\.dev/);
});
