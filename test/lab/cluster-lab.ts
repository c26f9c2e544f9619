/**
 * `fairlead lab --cluster`: the product as its user meets it. A real node with the image of the
 * Dockerfile and the chart, a testbed in namespaces beside it, and a pod that knows nothing of the
 * tunnel. First a pod that was not attached: its join leaves by the cluster's network and nothing
 * arrives; then one that asked by its label. Everything is taken down at the end.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ensureImage } from "../cluster/container-image.ts";
import { ClusterNode } from "../cluster/node.ts";
import { MulticastReceiver, MulticastSender, type Place } from "../support/multicast.ts";
import type { Namespace, Network } from "../support/netns.ts";
import { run } from "../support/process.ts";
import { pause, waitFor } from "../support/wait.ts";
import { Helm, LAB_NAMESPACE, makeLabNamespace, PodPlace } from "./cluster-install.ts";
import {
  APP_CONTAINER,
  FIRST_GROUP,
  pingJob,
  viewerPod,
  viewerService,
} from "./cluster-objects.ts";
import { BOX_STARTERS } from "./fairlead-segment.ts";
import { type Flow, type FlowCount, RunningFlows } from "./flows.ts";
import type { Screen } from "./screen.ts";
import type { PeerKind } from "./segment.ts";
import { SERVER_STARTERS } from "./testbed-server.ts";
import { cableTestbed, LAB } from "./topology.ts";

const EXAMPLES = join(import.meta.dirname, "..", "..", "examples");
const BOX_PEER = "box-7";
const BROKEN_SECONDS = 2;
const ATTACH_MS = 150_000;
const JOB_MS = 90_000;
/** From `kubectl apply` of the tunnel to the first datagram in the pod, on a quiet machine. */
const FIRST_PACKET_MS_MAX = 15_000;
const LOST_FRACTION_MAX = 0.02;

/** Groups of global scope, of the range for single networks, and the one of mDNS. */
const FLOWS: readonly Flow[] = [
  { name: "lanToWorkload4", group: { family: 4, address: "239.1.2.3", port: 5001 } },
  { name: "lanToWorkload6", group: { family: 6, address: "ff3e::1:203", port: 5002 } },
  { name: "lanToWorkloadLocal4", group: { family: 4, address: "224.0.0.251", port: 5005 } },
  { name: "workloadToLan4", group: { family: 4, address: "239.1.2.4", port: 5003 } },
  { name: "workloadToLan6", group: { family: 6, address: "ff3e::1:204", port: 5004 } },
  { name: "workloadToLanLocal4", group: { family: 4, address: "224.0.0.251", port: 5006 } },
];

/** The figures of one run; the last line of the lab's output. */
export interface ClusterResult {
  readonly scenario: "S3";
  readonly peer: PeerKind;
  readonly cluster: true;
  /** Which end the cluster is. */
  readonly role: ClusterRole;
  /** A pod that was not attached got nothing. */
  readonly brokenFailed: boolean;
  readonly brokenJoinedBy: string;
  /** Multicast datagrams that unmodified programs really got. */
  readonly frames: number;
  readonly pass: boolean;
  readonly sent: number;
  readonly duplicates: number;
  readonly joinedBy: readonly string[];
  readonly groups: Readonly<Record<string, string>>;
  /** From `kubectl apply` of the tunnel to the first datagram in the pod. */
  readonly firstPacketMs: number;
  readonly isFirstPacketInTime: boolean;
  readonly dns: boolean;
  readonly service: boolean;
  readonly logs: boolean;
  readonly jobCompleted: boolean;
}

/** Which end the cluster is. */
export type ClusterRole = "listen" | "dial";

/** The example of each role, and the name of its tunnel. */
const ROLES: Readonly<Record<ClusterRole, { readonly file: string; readonly tunnel: string }>> = {
  listen: { file: "cluster.yaml", tunnel: "testbed-a" },
  dial: { file: "cluster-dial.yaml", tunnel: "testbed-b" },
};

/** What the lab is run with. */
export interface ClusterOptions {
  readonly folder: string;
  readonly screen: Screen;
  readonly peer: PeerKind;
  readonly role: ClusterRole;
  readonly seconds: number;
}

/** Brings everything up, counts, and takes everything down. */
export async function runCluster(
  network: Network,
  options: ClusterOptions,
): Promise<ClusterResult> {
  await using lab = await ClusterLab.start(network, options);
  const broken = await lab.countBroken();
  const firstPacketMs = await lab.attach();
  const counts = await lab.count();
  const checks = await lab.checkOrdinary();
  return judge(options, { broken, counts, firstPacketMs, checks });
}

interface Checks {
  readonly dns: boolean;
  readonly service: boolean;
  readonly logs: boolean;
  readonly jobCompleted: boolean;
}

interface Observed {
  readonly broken: { readonly frames: number; readonly joinedBy: string };
  readonly counts: readonly FlowCount[];
  readonly firstPacketMs: number;
  readonly checks: Checks;
}

function judge({ peer, role }: ClusterOptions, observed: Observed): ClusterResult {
  const { broken, counts, firstPacketMs, checks } = observed;
  const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
  const duplicates = sum(counts.map((flow) => flow.duplicates));
  const joinedBy = counts.filter(({ name }) => name.startsWith("lanTo")).map((f) => f.joinedBy);
  const brokenFailed = broken.frames === 0;
  const isComplete = counts.every(
    (flow) => flow.received > 0 && flow.received >= flow.sent * (1 - LOST_FRACTION_MAX),
  );
  const isJoinedRight = joinedBy.every((name) => name === LAB.workloadInterface);
  const isOrdinary = Object.values(checks).every(Boolean);
  return {
    scenario: "S3",
    peer,
    cluster: true,
    role,
    brokenFailed,
    brokenJoinedBy: broken.joinedBy,
    frames: sum(counts.map((flow) => flow.received)),
    pass: brokenFailed && isComplete && duplicates === 0 && isJoinedRight && isOrdinary,
    sent: sum(counts.map((flow) => flow.sent)),
    duplicates,
    joinedBy: [...new Set(joinedBy)],
    groups: Object.fromEntries(
      counts.map((flow) => [`${flow.name} ${flow.group}`, `${flow.received} of ${flow.sent}`]),
    ),
    firstPacketMs: Math.round(firstPacketMs),
    isFirstPacketInTime: firstPacketMs <= FIRST_PACKET_MS_MAX,
    ...checks,
  };
}

class ClusterLab implements AsyncDisposable {
  readonly #options: ClusterOptions;
  readonly #node: ClusterNode;
  readonly #box: Namespace;
  readonly #lan: Namespace;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    options: ClusterOptions,
    hosts: { readonly node: ClusterNode; readonly box: Namespace; readonly lan: Namespace },
    stack: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.#node = hosts.node;
    this.#box = hosts.box;
    this.#lan = hosts.lan;
    this.#stack = stack;
  }

  static async start(network: Network, options: ClusterOptions): Promise<ClusterLab> {
    const { screen, folder } = options;
    await using stack = new AsyncDisposableStack();
    const image = await ensureImage((line) => screen.step(line));
    screen.step("starting the node");
    const node = stack.use(await ClusterNode.start(network, [image.path]));
    const box = await network.namespace("tb");
    const lan = await network.namespace("lan");
    await cableTestbed(network, { gateway: node.namespace, box, lan });
    screen.step("helm install");
    await new Helm(node, folder).install();
    await makeLabNamespace(node);
    return new ClusterLab(options, { node, box, lan }, stack.move());
  }

  /** A pod that asked for nothing: what it gets of the LAN's multicast. */
  async countBroken(): Promise<Observed["broken"]> {
    const { screen } = this.#options;
    screen.step("S3, broken first: a pod that is not attached");
    await this.#apply([viewerPod("bystander"), viewerService("bystander")]);
    await this.#waitForPod("bystander");
    const pod = new PodPlace(this.#node, "bystander", APP_CONTAINER);
    const group = { family: 4, address: "239.1.2.3", port: 5001 } as const;
    await using receiver = await MulticastReceiver.start(pod, group);
    await using _ = await MulticastSender.start(this.#lan, group, 10);
    await pause(BROKEN_SECONDS * 1000);
    const joinedBy = (await receiver.joinedInterface()) ?? "none";
    screen.step(`  its join left by ${joinedBy}: ${receiver.frames} frames arrived`);
    return { frames: receiver.frames, joinedBy };
  }

  /** Applies the example, connects the box, starts the viewer; ms until it has a datagram. */
  async attach(): Promise<number> {
    const { screen } = this.#options;
    const { plane } = this.#node;
    this.#stack.use(await MulticastSender.start(this.#lan, FIRST_GROUP, 50));
    const { file } = ROLES[this.#options.role];
    if (this.#options.role === "dial") await this.#startServer();
    screen.step(`S3, right: kubectl apply -f examples/${file}, and a pod with its label`);
    const startedMs = performance.now();
    await plane.kubectl("apply", "-f", join(EXAMPLES, file));
    const isDialled = this.#options.role === "listen";
    const dialled = isDialled ? [this.#balanceLoad(), this.#connectBox()] : [];
    await Promise.all([...dialled, this.#startViewer()]);
    try {
      const came = async (): Promise<boolean> => (await this.#viewerLog()) !== "";
      await waitFor("the first datagram in the pod", came, ATTACH_MS);
    } catch (cause) {
      throw new Error(`no datagram came:\n${await this.#story()}`, { cause });
    }
    const tookMs = performance.now() - startedMs;
    screen.step(`  the first datagram is in the pod's log after ${(tookMs / 1000).toFixed(1)} s`);
    return tookMs;
  }

  async count(): Promise<readonly FlowCount[]> {
    const { screen, seconds } = this.#options;
    const workload: Place = new PodPlace(this.#node, "viewer", APP_CONTAINER);
    await using flows = await RunningFlows.start({ lan: this.#lan, workload }, FLOWS);
    await pause(seconds * 1000);
    await flows.stopSending();
    await pause(500);
    for (const flow of flows.counts()) {
      screen.step(`  ${flow.name} ${flow.group}: ${flow.received} of ${flow.sent} frames`);
    }
    return flows.counts();
  }

  /** What a pod relies on besides the tunnel. */
  async checkOrdinary(): Promise<Checks> {
    const { plane } = this.#node;
    const pod = new PodPlace(this.#node, "viewer", APP_CONTAINER);
    const name = `bystander.${LAB_NAMESPACE}.svc.cluster.local`;
    const looked = await run(plane.kubectlCommand(...inPod("nslookup", name)));
    const page = await pod.run(["wget", "-qO-", `http://${name}/page`]);
    await this.#apply([pingJob("reach", this.#tunnel)]);
    const done = ["wait", "--for=condition=Complete", "job/reach", `--timeout=${JOB_MS}ms`];
    const command = plane.kubectlCommand("-n", LAB_NAMESPACE, ...done);
    const job = await run(command, { timeoutMs: 2 * JOB_MS });
    const checks = {
      dns: looked.status === 0,
      service: page === "ready\n",
      logs: (await this.#viewerLog()) !== "",
      jobCompleted: job.status === 0,
    };
    this.#options.screen.step(`  beside it: ${JSON.stringify(checks)}`);
    return checks;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  /** What the cluster says of the tunnel and its pods, for the text of a failure. */
  async #story(): Promise<string> {
    const asked = [
      ["get", "vt,vp,pods", "-o", "wide"],
      ["logs", "-l", `fairlead.dev/tunnel=${this.#tunnel}`, "--all-containers", "--tail=25"],
      ["logs", "viewer", "-c", `fairlead-${this.#tunnel}`, "--tail=25"],
      ["get", "events", "--sort-by=.lastTimestamp"],
    ];
    const told: string[] = [];
    for (const parameters of asked) {
      const command = this.#node.plane.kubectlCommand("-n", LAB_NAMESPACE, ...parameters);
      const { stderr, stdout } = await run(command);
      told.push(`${stdout}${stderr}`.slice(-4000));
    }
    return told.join("\n");
  }

  get #tunnel(): string {
    return ROLES[this.#options.role].tunnel;
  }

  /** The testbed's server, and its administrator's file in a Secret. */
  async #startServer(): Promise<void> {
    const { peer, folder, screen } = this.#options;
    screen.step(`the testbed's server, ${peer}, and its administrator's file in a Secret`);
    const server = this.#stack.use(await SERVER_STARTERS[peer](this.#box, join(folder, "server")));
    const secret = ["secret", "generic", `${this.#tunnel}-profile`];
    const text = `--from-literal=client.ovpn=${server.profile}`;
    await this.#node.plane.kubectl("-n", LAB_NAMESPACE, "create", ...secret, text);
  }

  /** What a load balancer does: gives the Service the node's outside address. */
  async #balanceLoad(): Promise<void> {
    const status = { loadBalancer: { ingress: [{ ip: LAB.gatewayUplink }] } };
    const patch = ["--subresource=status", "--type=merge", "-p", JSON.stringify({ status })];
    const service = ["-n", LAB_NAMESPACE, "patch", "service", `${this.#tunnel}-gateway`];
    await this.#waitFor("the gateway's Service", [...service, ...patch]);
  }

  async #connectBox(): Promise<void> {
    const { peer, folder } = this.#options;
    const path = "jsonpath={.data.client\\.ovpn}";
    const command = ["-n", LAB_NAMESPACE, "get", "secret", `${BOX_PEER}-profile`, "-o", path];
    const text = await this.#waitFor("the box's profile", command);
    const profile = Buffer.from(text, "base64").toString("utf8");
    // The active gateway is there a little later: a stock client dials until it is.
    const box = await BOX_STARTERS[peer]({ box: this.#box }, join(folder, "box"), profile);
    this.#stack.use(box);
  }

  async #startViewer(): Promise<void> {
    const entry = ["get", "mutatingwebhookconfigurations", "-o", "jsonpath={..webhooks[*].name}"];
    const takesPods = async (): Promise<boolean> => {
      const { stdout } = await run(this.#node.plane.kubectlCommand(...entry));
      return stdout.includes(`.${this.#tunnel}.`);
    };
    await waitFor("the tunnel to take pods", takesPods, ATTACH_MS);
    await this.#apply([viewerPod("viewer", this.#tunnel)]);
  }

  async #viewerLog(): Promise<string> {
    const { plane } = this.#node;
    const command = ["-n", LAB_NAMESPACE, "logs", "viewer", "-c", APP_CONTAINER, "--tail=1"];
    return (await run(plane.kubectlCommand(...command))).stdout;
  }

  async #waitForPod(name: string): Promise<void> {
    const condition = ["--for=condition=Ready", `pod/${name}`, "--timeout=1s"];
    await this.#waitFor(`the pod ${name}`, ["-n", LAB_NAMESPACE, "wait", ...condition]);
  }

  /** Until kubectl succeeds with some output. */
  async #waitFor(what: string, parameters: readonly string[]): Promise<string> {
    return await waitFor(
      () => `${what}\n${this.#node.log()}`,
      async () => {
        const { status, stdout } = await run(this.#node.plane.kubectlCommand(...parameters));
        return status === 0 && stdout !== "" ? stdout : undefined;
      },
      ATTACH_MS,
    );
  }

  async #apply(items: readonly object[]): Promise<void> {
    const list = JSON.stringify({ apiVersion: "v1", kind: "List", items });
    const { output, status } = await this.#node.plane.kubectlWith(list, "apply", "-f", "-");
    assert.equal(status, 0, output);
  }
}

function inPod(...command: readonly string[]): readonly string[] {
  return ["-n", LAB_NAMESPACE, "exec", "viewer", "-c", APP_CONTAINER, "--", ...command];
}
