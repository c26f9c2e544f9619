/**
 * A gateway's pod with two uplinks on a real node: the cluster's own network, and a second one that
 * Multus attaches (macvlan on another card of the node). Broken first: a node without Multus.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Helm, LAB_NAMESPACE, makeLabNamespace } from "../lab/cluster-install.ts";
import { viewerPod } from "../lab/cluster-objects.ts";
import { SERVER_STARTERS } from "../lab/testbed-server.ts";
import { cableTestbed } from "../lab/topology.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { Program, run } from "../support/process.ts";
import { Scratch } from "../support/scratch.ts";
import { pause, waitFor } from "../support/wait.ts";
import { ensureImage } from "./container-image.ts";
import { applyNetwork, installNetworkKind } from "./network-attachments.ts";
import { ClusterNode } from "./node.ts";

const UP_MS = 120_000;
/** The second way to the box: its address there, and the pods' in each of two networks. */
const SECOND = { box: "203.0.113.2", first: "203.0.113.100", other: "203.0.113.200" } as const;

let network: Network;
let scratch: Scratch;
let node: ClusterNode;
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
  const near = { namespace: node.namespace, interface: "up1" };
  await network.cable(near, { namespace: box, interface: "up1" });
  await box.addresses("up1", `${SECOND.box}/24`);
  await new Helm(node, scratch.path).install("--set", "multus.enabled=true");
  await makeLabNamespace(node);
  await installNetworkKind(node.plane);
  for (const [name, start] of [
    ["lte", SECOND.first],
    ["lte-two", SECOND.other],
  ] as const) {
    const ranges = [[{ subnet: "203.0.113.0/24", rangeStart: start }]];
    const ipam = { type: "host-local", ranges };
    const config = { type: "macvlan", master: "up1", mode: "bridge", ipam };
    await applyNetwork(node.plane, { namespace: LAB_NAMESPACE, name }, config);
  }
  const server = stack.use(await SERVER_STARTERS.fairlead(box, scratch.file("server")));
  const secret = `--from-literal=client.ovpn=${server.profile}`;
  await kubectl("create", "secret", "generic", "testbed-profile", secret);
});
after(async () => await stack.disposeAsync());

async function kubectl(...parameters: readonly string[]): Promise<string> {
  return await node.plane.kubectl("-n", LAB_NAMESPACE, ...parameters);
}

async function apply(kind: string, name: string, spec: unknown): Promise<void> {
  const metadata = { name, namespace: LAB_NAMESPACE };
  const document = { apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec };
  const command = ["apply", "-f", "-"];
  const { output, status } = await node.plane.kubectlWith(JSON.stringify(document), ...command);
  assert.equal(status, 0, output);
}

async function applySet(network: string): Promise<void> {
  const uplinks = [
    { name: "isp", interface: "eth0", priority: 1 },
    { name: "lte", network, priority: 2, gateway: SECOND.box },
  ];
  await apply("UplinkSet", "ways", { uplinks, policy: "Duplicate" });
}

/** Until the tunnel shows this; what it showed. */
async function waitForShown(expected: RegExp, path: string): Promise<string> {
  let last = "";
  return await waitFor(
    () => `${path} to show ${expected}, it shows ${last}\n${node.log()}`,
    async () => {
      last = await kubectl("get", "vt", "t", "-o", `jsonpath=${path}`);
      return expected.test(last) ? last : undefined;
    },
    UP_MS,
  );
}

const READY = '{.status.conditions[?(@.type=="Ready")].reason}';
const MESSAGE = '{.status.conditions[?(@.type=="Ready")].message}';
const ATTACHED = '{.status.conditions[?(@.type=="UplinksAttached")].reason}';
const CONNECTED = '{.status.conditions[?(@.type=="Connected")].reason}';
const UP = '{.status.paths[?(@.state=="Up")].uplink}';

/** Echoes from the LAN to a pod that is attached by the gateway, and when each was answered. */
class Echoes implements AsyncDisposable {
  readonly answeredMs: number[] = [];
  readonly #program: Program;

  constructor(address: string) {
    const command = lan.inside(["ping", "-O", "-i", "0.02", "-W", "1", address]);
    this.#program = Program.start(command, {
      onLine: (line) => {
        if (line.includes("bytes from")) this.answeredMs.push(performance.now());
      },
    });
  }

  /** The longest that no answer came since a moment, up to now. */
  gapMsSince(sinceMs: number): number {
    const times = [sinceMs, ...this.answeredMs.filter((time) => time > sinceMs), performance.now()];
    return Math.max(...times.slice(1).map((time, index) => time - (times[index] ?? 0)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.stop();
  }
}

/** The attached pod's address on the segment, once it is ready. */
async function segmentAddress(): Promise<string> {
  const ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
  await waitFor(
    () => `the viewer\n${node.log()}`,
    async () => (await kubectl("get", "pod", "viewer", "-o", ready)) === "True",
    UP_MS,
  );
  return await kubectl("get", "vp", "-o", "jsonpath={.items[0].status.address}");
}

/** Both ends are there, and the first way is cut: how long nothing is answered. */
async function cutFirst(seconds: number): Promise<number> {
  await using echoes = new Echoes(await segmentAddress());
  await waitFor("echoes", () => echoes.answeredMs.length > 50, 60_000);
  const cutMs = performance.now();
  await box.ip("link set up0 down");
  await pause(seconds * 1000);
  const gapMs = echoes.gapMsSince(cutMs);
  await box.ip("link set up0 up");
  return gapMs;
}

test("on a node without Multus the condition says so, and the one uplink that is there is cut", async () => {
  await applySet("lte");
  const dial = { profileSecretRef: { name: "testbed-profile" } };
  await apply("VpnTunnel", "t", {
    ...{ dial, uplinks: { name: "ways" } },
    addresses: { segment: "10.20.0.0/24", pool: "10.20.0.200-10.20.0.239" },
    workloads: { podSelector: { matchLabels: { needs: "t" } }, interface: "tb0" },
  });
  await waitForShown(/^InterfaceMissing$/, READY);
  assert.match(
    await waitForShown(/./, MESSAGE),
    /on the node node-1 came up without .* lte \(up-lte\), .* Multus is not at work on that node: install it/,
  );
  await waitForShown(/^Connected$/, CONNECTED);
  await waitForShown(/^isp$/, UP);
  const viewer = JSON.stringify(viewerPod("viewer", "t"));
  const { output, status } = await node.plane.kubectlWith(viewer, "apply", "-f", "-");
  assert.equal(status, 0, output);
  const gapMs = await cutFirst(3);
  assert(gapMs > 2_900, `nothing is answered while it is cut: ${gapMs} ms`);
});

test("with Multus, and the pods made anew as it said, both uplinks are there", async () => {
  await node.installMultus();
  // containerd has taken it up when a pod that is made has a note of its networks.
  await waitFor(
    () => `the networks' note\n${node.log()}`,
    async () => {
      await kubectl("delete", "pod", "-l", "fairlead.dev/tunnel=t", "--wait=true");
      await pause(3_000);
      const notes =
        "jsonpath={.items[*].metadata.annotations.k8s\\.v1\\.cni\\.cncf\\.io/network-status}";
      return (await kubectl("get", "pod", "-l", "fairlead.dev/tunnel=t", "-o", notes)).includes(
        "up-lte",
      );
    },
    UP_MS,
  );
  await waitForShown(/^Attached$/, ATTACHED);
  await waitForShown(/^GatewayUp$/, READY);
  await waitForShown(/^(isp lte|lte isp)$/, UP);
});

test("with the first way cut, the other one carries everything on", async () => {
  const gapMs = await cutFirst(3);
  process.stdout.write(`# longest without an answer, isp cut: ${Math.round(gapMs)} ms\n`);
  assert(gapMs < 1_000, `${gapMs} ms`);
  await waitForShown(/^(isp lte|lte isp)$/, UP);
});

test("another network: said first, then one pod after the other, and the old one that forwards hands over", async () => {
  await using echoes = new Echoes(await segmentAddress());
  await waitFor("echoes", () => echoes.answeredMs.length > 50, 60_000);
  const [startedMs, former] = [performance.now(), await activePod()];
  await applySet("lte-two");
  await waitForShown(/^Rolling$/, ATTACHED);
  for (const pod of ["t-gateway-0", "t-gateway-1"])
    await waitForAddress(pod, /203\.0\.113\.2\d\d\n/);
  await waitForShown(/^Attached$/, ATTACHED);
  await waitForShown(/^GatewayUp$/, READY);
  await waitForShown(/^(isp lte|lte isp)$/, UP);
  const before = echoes.answeredMs.length;
  await waitFor("echoes at the end", () => echoes.answeredMs.length > before, 30_000);
  const tookMs = performance.now() - startedMs;
  const gapMs = echoes.gapMsSince(startedMs);
  const figures = `both pods made anew in ${Math.round(tookMs)} ms, longest without an answer ${Math.round(gapMs)} ms`;
  process.stdout.write(`# ${figures}, ${former} forwarded before and ${await activePod()} after\n`);
  // A second pod is made anew only when the first one is ready, which takes a hand-over.
  const answered = echoes.answeredMs.filter((time) => time > startedMs).length;
  assert(answered > 50 && gapMs < tookMs, `${answered} answers; ${figures}`);
});

async function waitForAddress(pod: string, expected: RegExp): Promise<void> {
  await waitFor(
    () => `${pod} to have ${expected}\n${node.log()}`,
    async () => {
      const command = ["-n", LAB_NAMESPACE, "exec", pod, "--", "cat", "/proc/net/fib_trie"];
      return expected.test((await run(node.plane.kubectlCommand(...command))).stdout);
    },
    UP_MS,
  );
}

async function activePod(): Promise<string> {
  return await kubectl("get", "vt", "t", "-o", "jsonpath={.status.active.pod}");
}
