import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { ControlPlane, freePort } from "../../test/cluster/control-plane.ts";
import { installChart, OPERATOR, startOperator } from "../../test/cluster/operator-program.ts";
import { makeStaticKey, TestAuthority } from "../../test/support/certificates.ts";
import { MulticastReceiver, MulticastSender } from "../../test/support/multicast.ts";
import { type Namespace, Network } from "../../test/support/netns.ts";
import { OpenvpnPeer } from "../../test/support/openvpn-peer.ts";
import { Program, run, runFine } from "../../test/support/process.ts";
import { Scratch } from "../../test/support/scratch.ts";
import {
  type StockKeys,
  stockClientConfig,
  stockServerConfig,
} from "../../test/support/stock-config.ts";
import { waitFor } from "../../test/support/wait.ts";
import { PodNetwork, PROGRAM } from "./pod-network-harness.ts";

/** The testbed's box, and what this machine has on the way to it. */
const BOX = "192.0.2.2";
const OWN = "192.0.2.1";

let plane: ControlPlane;
let scratch: Scratch;
let network: Network;
let operator: Program;
let box: Namespace;
let lan: Namespace;
let profile: string;
const stack: AsyncDisposableStack = new AsyncDisposableStack();

before(async () => {
  plane = stack.use(await ControlPlane.start({ hasControllers: true }));
  const account = await installChart(plane);
  scratch = stack.use(await Scratch.create());
  network = stack.use(await Network.create());
  await startTestbed();
  const port = await freePort();
  operator = stack.use(
    startOperator(
      account,
      ...["--webhook-configuration", OPERATOR, "--webhook-port", String(port)],
      ...["--webhook-url", `https://localhost:${port}`],
    ),
  );
});
after(async () => await stack.disposeAsync());

/** A stock server, its tap and a LAN's card in one bridge. */
async function startTestbed(): Promise<void> {
  box = await network.namespace("tb");
  lan = await network.namespace("lan");
  const far = ["type", "veth", "peer", "up0", "netns", box.name];
  await runFine(["ip", "link", "add", "box0", ...far]);
  await runFine(["ip", "address", "add", `${OWN}/24`, "dev", "box0"]);
  await runFine(["ip", "link", "set", "box0", "up"]);
  await box.addresses("up0", `${BOX}/24`);
  await box.ip("link set up0 up");
  await network.cable({ namespace: box, interface: "lan0" }, { namespace: lan, interface: "eth0" });
  await box.bridge("br-lan", "lan0");
  await lan.addresses("eth0", "10.20.0.7/24");
  await lan.ip("route add 224.0.0.0/4 dev eth0");
  const authority = await TestAuthority.create(scratch.file("authority"));
  const wrapKey = makeStaticKey();
  const keys = async (commonName: string, use: "server" | "client"): Promise<StockKeys> => {
    const identity = await authority.issue({ commonName, use });
    return { authority: authority.certificate, identity, wrap: "tls-crypt", wrapKey };
  };
  const config = stockServerConfig(await keys("server", "server"), ["data-ciphers AES-128-GCM"]);
  const folder = scratch.file("server");
  const server = stack.use(await OpenvpnPeer.start({ namespace: box, folder, config }));
  await server.waitUntilUp();
  await box.ip("link set tap0 master br-lan up");
  // A cipher that is none of the resource's defaults: the profile's word counts.
  const only = ["data-ciphers AES-128-GCM"];
  profile = stockClientConfig(await keys("cluster", "client"), [BOX], only);
}

async function apply(document: object): Promise<void> {
  const { output, status } = await plane.kubectlWith(JSON.stringify(document), "apply", "-f", "-");
  assert.equal(status, 0, output);
}

async function applyTunnel(spec: object): Promise<void> {
  const metadata = { name: "d", namespace: "default" };
  await apply({ apiVersion: "fairlead.dev/v1alpha1", kind: "VpnTunnel", metadata, spec });
}

async function shown(what: string, name: string, path: string): Promise<string> {
  return await plane.kubectl("get", what, name, "--ignore-not-found", "-o", `jsonpath=${path}`);
}

/** Until kubectl shows what is expected; what it showed. */
async function waitForShown(
  expected: RegExp,
  ...[what, name, path]: readonly [string, string, string]
): Promise<string> {
  let last = "";
  return await waitFor(
    () => `${what} ${name} to show ${expected}, it shows ${last}; ${operator.output.slice(-2000)}`,
    async () => {
      last = await shown(what, name, path);
      return expected.test(last) ? last : undefined;
    },
    40_000,
  );
}

const READY = '{.status.conditions[?(@.type=="Ready")].reason}';
const MESSAGE = '{.status.conditions[?(@.type=="Ready")].message}';

function dialling(more: object = {}): object {
  return {
    dial: { profileSecretRef: { name: "admin" } },
    addresses: { segment: "10.20.0.0/24", pool: "10.20.0.200-10.20.0.239" },
    workloads: { podSelector: { matchLabels: { needs: "d" } }, interface: "tb0" },
    gateway: { replicas: 1 },
    ...more,
  };
}

test("what cannot be had together is said with the next step, and no pod is asked for", async () => {
  await plane.kubectl(
    "create",
    "secret",
    "generic",
    "admin",
    `--from-literal=client.ovpn=${profile}`,
  );
  await applyTunnel(dialling({ gateway: { bridge: { interface: "br0" } } }));
  await waitForShown(/^Unsupported$/, "vt", "d", READY);
  assert.match(await shown("vt", "d", MESSAGE), /^spec\.gateway\.bridge: .*remove it/);
  const entries = "{..webhooks[*].name}";
  assert.equal(await shown("mutatingwebhookconfiguration", OPERATOR, entries), "");
  await applyTunnel(dialling());
  await waitForShown(/^GatewayStarting$/, "vt", "d", READY);
  await waitForShown(/\.d\.default\./, "mutatingwebhookconfiguration", OPERATOR, entries);
  const identity = { name: "stranger", namespace: "default" };
  const spec = { tunnel: { name: "d" } };
  await apply({ apiVersion: "fairlead.dev/v1alpha1", kind: "VpnPeer", metadata: identity, spec });
  await waitForShown(/^TunnelDials$/, "vp", "stranger", READY);
  await plane.kubectl("delete", "vp", "stranger");
});

/** A pod that the tunnel selects, as far as there is one without a node; the name of its peer. */
async function makePod(): Promise<string> {
  const metadata = { name: "viewer", namespace: "default", labels: { needs: "d" } };
  const containers = [{ name: "app", image: "localhost/app:1" }];
  await apply({ apiVersion: "v1", kind: "Pod", metadata, spec: { containers } });
  const stamped = await shown(
    "pod",
    "viewer",
    "{.metadata.annotations.fairlead\\.dev/attached-to}",
  );
  return stamped.split("=")[1] ?? "";
}

test("an attached pod hears the LAN behind the stock server that its gateway dials", async () => {
  const peer = await makePod();
  assert.match(peer, /^d-[0-9a-f]+$/);
  const documents = await waitForShown(
    /./,
    "secret",
    `${peer}-profile`,
    "{.data.documents\\.yaml}",
  );
  const file = scratch.file("documents.yaml");
  await writeFile(file, Buffer.from(documents, "base64"), { mode: 0o400 });
  const account = await plane.serviceAccountConfig("default", "d-gateway");
  const flags = ["--namespace", "default", "--tunnel", "d", "--run", scratch.file("gateway")];
  const command = [...PROGRAM, "gateway", ...flags, "--kubeconfig", account];
  await using gateway = Program.start(command, { environment: { POD_NAME: "d-gateway-0" } });
  await gateway.waitForOutput(/"connected"/, 40_000);
  await using place = await PodNetwork.create(network, "d", 1);
  const folder = scratch.file("pod");
  await using attached = Program.start(place.sidecar("attach", "-f", file, "--run", folder));
  const said = (): string => `${gateway.output.slice(-2000)}\n${attached.output.slice(-2000)}`;
  await waitFor(
    () => `the probe: ${said()}`,
    async () => (await run(place.sidecar("ready", "--run", folder))).status === 0,
    40_000,
  );
  const { namespace: pod } = place;
  const ping = ["ping", "-c1", "-W1", "10.20.0.7"];
  await waitFor(
    () => `an echo from the LAN: ${said()}`,
    async () => (await pod.try(ping)).status === 0,
    20_000,
  );
  const group = { family: 4, address: "239.1.2.3", port: 5001 } as const;
  const back = { family: 4, address: "239.1.2.4", port: 5002 } as const;
  await using inPod = await MulticastReceiver.start(pod, group);
  await using onLan = await MulticastReceiver.start(lan, back);
  assert.equal(await inPod.joinedInterface(), "tb0");
  await using _fromLan = await MulticastSender.start(lan, group, 20);
  await using _fromPod = await MulticastSender.start(pod, back, 20);
  await waitFor(
    () => `multicast both ways, ${inPod.frames} and ${onLan.frames}: ${said()}`,
    () => inPod.frames > 20 && onLan.frames > 20,
    30_000,
  );
  assert.deepEqual([inPod.duplicates, onLan.duplicates], [0, 0]);
  await waitForShown(/^Connected 1\/1$/, "vt", "d", `${CONNECTED} {.status.summary.peers}`);
  const joined = '{.status.groups[?(@.group=="239.1.2.3")].joinedBy}';
  assert.match(await waitForShown(new RegExp(peer), "vt", "d", joined), /^\["d-/);
  await checkRefusal();
  assert.equal((await pod.try(ping)).status, 0, said());
});

const CONNECTED = '{.status.conditions[?(@.type=="Connected")].reason}';

/** A profile that can never work: what ran goes on, and the status says why. */
async function checkRefusal(): Promise<void> {
  const exchange = async (text: string): Promise<void> => {
    const metadata = { name: "admin", namespace: "default" };
    const stringData = { "client.ovpn": text };
    await apply({ apiVersion: "v1", kind: "Secret", metadata, stringData });
    // Secrets of others are looked at every half minute, and whenever the tunnel is.
    await plane.kubectl("patch", "vt", "d", "--type=merge", "-p", NUDGES.shift() ?? "");
  };
  await exchange(`${profile}\nup /bin/evil\n`);
  const path = '{.status.conditions[?(@.type=="Current")]';
  await waitForShown(
    /^Refused What ran before goes on: .*\bup\b/,
    "vt",
    "d",
    `${path}.reason} ${path}.message}`,
  );
  await exchange(profile);
  await waitForShown(/^Current$/, "vt", "d", `${path}.reason}`);
}

/** Changes of no consequence that make the operator look. */
const NUDGES: string[] = ["Start", "Hold"].map((onTunnelDown) =>
  JSON.stringify({ spec: { workloads: { onTunnelDown } } }),
);
