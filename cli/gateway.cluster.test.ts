import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { PeerStatus } from "../sidecar/control/status.ts";
import { ControlPlane } from "../test/cluster/control-plane.ts";
import { installChart, startOperator } from "../test/cluster/operator-program.ts";
import { ensureCommands } from "../test/support/packages.ts";
import { Program, runFine } from "../test/support/process.ts";
import { Scratch } from "../test/support/scratch.ts";
import { StallWatch } from "../test/support/stall-watch.ts";
import { pause, waitFor } from "../test/support/wait.ts";
import { readProcesses } from "./status.ts";

const ROOT: string = join(import.meta.dirname, "..");

/** Where the replicas hear each other. */
const BEAT_PORTS: readonly number[] = [21_294, 21_295];

let plane: ControlPlane;
let operator: Program;
let scratch: Scratch;
let account: string;
let operatorAccount: string;
const gateways: Program[] = [];
let client: Program;

before(async () => {
  await ensureCommands(["openvpn", "socat"]);
  plane = await ControlPlane.start({ hasControllers: true });
  operatorAccount = await installChart(plane);
  scratch = await Scratch.create();
  operator = startOperator(operatorAccount);
  const listen = { port: 21_194, advertise: [{ host: "127.0.0.1" }] };
  await apply("VpnTunnel", "g", { listen, addresses: { segment: "10.20.0.0/24" } });
  await apply("VpnPeer", "box", { tunnel: { name: "g" }, addressing: "None" });
  await waitFor("the gateway's account", async () => await exists("sa", "g-gateway"), 20_000);
  account = await plane.serviceAccountConfig("default", "g-gateway");
});
after(async () => {
  for (const program of [client, ...gateways, operator]) await program?.stop();
  await plane[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

async function apply(kind: string, name: string, spec: unknown): Promise<void> {
  const metadata = { name, namespace: "default" };
  const document = { apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec };
  const { output, status } = await plane.kubectlWith(JSON.stringify(document), "apply", "-f", "-");
  assert.equal(status, 0, output);
}

async function exists(what: string, name: string): Promise<boolean> {
  return (await plane.kubectl("get", what, name, "--ignore-not-found")) !== "";
}

function runFolder(index: number): string {
  return scratch.file(`replica-${index}`);
}

/** One replica as its pod would run it, made from `template`, with the rights of its own account. */
function startGateway(index: number, template: string): Program {
  const command = [join(ROOT, "node_modules/.bin/node"), join(ROOT, "cli/main.ts"), "gateway"];
  const flags = ["--namespace", "default", "--tunnel", "g", "--run", runFolder(index)];
  const [own, other] = index === 0 ? BEAT_PORTS : [...BEAT_PORTS].reverse();
  flags.push("--heartbeat-port", String(own), "--replica", `127.0.0.1:${other}`);
  const environment = { POD_NAME: `g-gateway-${index}`, FAIRLEAD_POD_TEMPLATE: template };
  const gateway = Program.start([...command, ...flags, "--kubeconfig", account], { environment });
  gateways[index] = gateway;
  return gateway;
}

async function peerOf(index: number): Promise<PeerStatus | undefined> {
  const processes = await readProcesses(runFolder(index));
  return processes.flatMap(({ tunnels }) => tunnels.flatMap(({ peers }) => peers))[0];
}

/** The stock client with the file that was fetched for it. */
function startClient(): Program {
  const config = ["--config", scratch.file("box.ovpn")];
  return Program.start(["openvpn", ...config, "--dev", "cl0", "--route-noexec"]);
}

function logs(): string {
  return [...gateways, client].map((program) => program?.output.slice(-1500)).join("\n---\n");
}

test("of two replicas one carries frames, and a stock client connects with the profile Secret", async () => {
  const [active, standby] = [startGateway(0, "former"), startGateway(1, "former")];
  await Promise.race([
    active.waitForOutput(/this replica is active/),
    standby.waitForOutput(/this replica is active/),
  ]);
  await waitFor("the profile", async () => await exists("secret", "box-profile"), 20_000);
  const path = "jsonpath={.data.client\\.ovpn}";
  const profile = await plane.kubectl("get", "secret", "box-profile", "-o", path);
  const file = scratch.file("box.ovpn");
  await writeFile(file, Buffer.from(profile, "base64"), { mode: 0o600 });
  client = startClient();
  await waitFor(
    () => `the session: ${logs()}`,
    async () => {
      const peers = [await peerOf(0), await peerOf(1)];
      return peers.some((peer) => peer?.name === "box" && peer.state === "Up");
    },
    30_000,
  );
  await client.waitForOutput(/Initialization Sequence Completed/);
  // A peer that bridges gets no address, so nobody has set its interface up: stock OpenVPN stops
  // reading at the first frame that it cannot hand over.
  await runFine(["ip", "link", "set", "cl0", "up"]);
});

async function shown(what: string, name: string, path: string): Promise<string> {
  return await plane.kubectl("get", what, name, "-o", `jsonpath=${path}`);
}

test("the active replica reports the data plane, once", async () => {
  const path = '{.status.summary.peers} {.status.conditions[?(@.type=="Connected")].reason}';
  await waitFor(
    () => `the report: ${logs()}`,
    async () => (await shown("vt", "g", path)) === "1/1 PeersConnected",
    20_000,
  );
  assert.match(await shown("vt", "g", "{.status.active.pod}"), /^g-gateway-[01]$/);
  const peer = await waitFor("the peer's report", async () => {
    const text = await shown("vp", "box", "{.status.connected} {.status.cipher}");
    return text.startsWith("true") ? text : undefined;
  });
  assert.equal(peer, "true AES-256-GCM");
  const notes = "jsonpath={.items[?(@.reason=='PeerCame')].note}";
  await waitFor("the event", async () => {
    const said = await plane.kubectl("get", "events.events.k8s.io", "-o", notes);
    return /^Connected from .*127\.0\.0\.1.* with AES-256-GCM\.$/.test(said);
  });
  // The operator's part is still there: two field owners, one status.
  assert.equal(await shown("vt", "g", "{.status.peers.total}"), "1");
  // What the stock client does in its first seconds (neighbour discovery, MLD) is news.
  const versions = async (): Promise<string> =>
    await plane.kubectl("get", "vt,vp", "-o", "jsonpath={..resourceVersion}");
  await waitFor(
    "five seconds without a write",
    async () => {
      const before = await versions();
      await pause(5_000);
      return (await versions()) === before;
    },
    40_000,
  );
});

test("a storm on the segment is an event of the tunnel, once, with what to do", async () => {
  await runFine(["ip", "address", "add", "10.20.0.77/24", "dev", "cl0"]);
  const target = "UDP4-DATAGRAM:10.20.0.255:9,broadcast,so-bindtodevice=cl0";
  await using storm = Program.start(["socat", "-u", "-b", "1358", "/dev/zero", target]);
  const notes = async (): Promise<readonly string[]> => {
    const path = `jsonpath={range .items[?(@.reason=="StormDropped")]}{.regarding.kind} {.regarding.name}: {.note}{"\\n"}{end}`;
    const said = await plane.kubectl("get", "events.events.k8s.io", "-o", path);
    return said.split("\n").filter((line) => line !== "");
  };
  const [note = "", ...more] = await waitFor(
    () => `the event: ${storm.output}\n${operator.output.slice(-1500)}\n${logs()}`,
    async () => {
      const said = await notes();
      return said.length > 0 ? said : undefined;
    },
    30_000,
  );
  assert.match(
    note,
    /^VpnTunnel g: Storm of broadcasts by box: frames dropped.*: stop the sender, or raise spec\.stormLimits\.$/,
  );
  assert.deepEqual(more, []);
  const told = await shown("vt", "g", "{.status.segment[*].reason}");
  assert.match(told, /StormDropped/);
  await storm.stop();
  await runFine(["ip", "address", "delete", "10.20.0.77/24", "dev", "cl0"]);
});

test("a killed replica is followed by the other long before its Lease runs out, and the client comes back", async (context) => {
  const index = (await peerOf(0)) === undefined ? 1 : 0;
  const other = gateways[1 - index];
  const startedMs = performance.now();
  gateways[index]?.signal("SIGKILL");
  await other?.waitForOutput(/this replica is active/);
  const tookMs = performance.now() - startedMs;
  context.diagnostic(`the other replica is active after ${tookMs.toFixed(0)} ms`);
  // Three seconds on an idle machine; the Lease is good for twenty-five.
  assert(tookMs < 12_000, `${tookMs} ms`);
  await waitFor(
    () => `the session at the other replica: ${logs()}`,
    async () => (await peerOf(1 - index))?.state === "Up",
    40_000,
  );
});

test("a replica in an old pod hands over to one in a new pod, once that could go on at once", async (context) => {
  const index = (await peerOf(0)) === undefined ? 1 : 0;
  const former = gateways[index];
  const secret = await shown("secret", "g-gateway", "{.data.pod-template}");
  const template = Buffer.from(secret, "base64").toString();
  assert.match(template, /^[0-9a-f]{16}$/);
  const next = startGateway(1 - index, template);
  await next.waitForOutput(/"standing by"/, 30_000);
  const startedMs = performance.now();
  await next.waitForOutput(/this replica is active/, 30_000);
  context.diagnostic(`active ${(performance.now() - startedMs).toFixed(0)} ms after standing by`);
  assert.equal(await former?.waitForEnd(), 0, logs());
  assert.match(former?.output ?? "", /this one hands over/);
  await waitFor(
    () => `the session at the new replica: ${logs()}`,
    async () => (await peerOf(1 - index))?.state === "Up",
    40_000,
  );
  // Neither of two that are made the same hands over to the other.
  startGateway(index, template);
  await gateways[index]?.waitForOutput(/"standing by"/, 30_000);
  await pause(2_000);
  assert.doesNotMatch(next.output, /this one hands over/);
});

test("without the API server the active replica goes on", async () => {
  const index = (await peerOf(0)) === undefined ? 1 : 0;
  await plane.stopApiServer();
  try {
    await new Promise((resolve) => setTimeout(resolve, 8_000));
    assert.equal((await peerOf(index))?.state, "Up", logs());
  } finally {
    await plane.startApiServer();
  }
});

test("a deleted peer is cut off within a second", async (context) => {
  const index = (await peerOf(0)) === undefined ? 1 : 0;
  // An operator without the API server ends before its Lease does; its Deployment starts it again.
  await operator.stop();
  operator = startOperator(operatorAccount);
  // The one before may have ended without its Lease, which is good for another 15 seconds.
  await operator.waitForOutput(/this replica leads/, 60_000);
  // The watches come back with a pause of at most so long after an outage.
  await waitFor(
    "the gateway to follow again",
    async () => {
      await plane.kubectl(
        "annotate",
        "secret",
        "g-gateway",
        `n=${performance.now()}`,
        "--overwrite",
      );
      return gateways[index]?.output.includes("new documents") === true;
    },
    40_000,
  );
  await plane.kubectl("delete", "vp", "box", "--wait=false");
  const startedMs = performance.now();
  const stall = new StallWatch();
  await waitFor(
    () => `the end of the session: ${logs()}`,
    async () => (await peerOf(index)) === undefined,
    40_000,
  );
  const tookMs = performance.now() - startedMs;
  const { stalledMs } = stall;
  const told = `${tookMs.toFixed(0)} ms, in ${stalledMs.toFixed(0)} of which programs waited for a processor`;
  context.diagnostic(`cut off after ${told}`);
  assert(tookMs < 1_000 + stalledMs, told);
});

test("whoever comes without a VpnPeer is an event of the tunnel, with what to do", async () => {
  await client.waitForEnd();
  client = startClient();
  const path = `jsonpath={range .items[?(@.reason=="PeerRefused")]}{.regarding.name}: {.note}{"\\n"}{end}`;
  const note = await waitFor(
    () => `the event: ${operator.output.slice(-1500)}\n${logs()}`,
    async () => {
      const said = await plane.kubectl("get", "events.events.k8s.io", "-o", path);
      return said === "" ? undefined : said;
    },
    60_000,
  );
  assert.match(
    note,
    /^g: Peer box refused: no VpnPeer of this tunnel is named box.*: create its VpnPeer, or hand out/,
  );
});
