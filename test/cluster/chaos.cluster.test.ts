import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { IS_FULL } from "../support/full.ts";
import { Network } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { Program, runFine } from "../support/process.ts";
import { Scratch } from "../support/scratch.ts";
import { pause, waitFor } from "../support/wait.ts";
import { ControlPlane } from "./control-plane.ts";
import { installChart, startOperator } from "./operator-program.ts";

/** The long version has more of everything; FAIRLEAD_SEED repeats a run's choices. */
const SEED: number = Number(process.env["FAIRLEAD_SEED"] ?? randomInt(2 ** 31));
/** What kills the operator and the API server, and changes in between. */
const TROUBLES: readonly ("operator" | "apiServer")[] = IS_FULL
  ? ["operator", "operator", "apiServer", "operator", "apiServer", "operator", "operator"]
  : ["operator", "apiServer", "operator"];
const CHANGES_EACH = 4;
const ROOT: string = join(import.meta.dirname, "..", "..");
const GATEWAY = "10.20.0.1";
const PORT = 21_594;

let plane: ControlPlane;
let scratch: Scratch;
let network: Network;
let account: string;
let operator: Program;
const stack: AsyncDisposableStack = new AsyncDisposableStack();

before(async () => {
  plane = stack.use(await ControlPlane.start({ hasControllers: true }));
  scratch = stack.use(await Scratch.create());
  network = stack.use(await Network.create());
  account = await installChart(plane);
  operator = startOperator(account);
  stack.defer(async () => void (await operator.stop()));
});
after(async () => await stack.disposeAsync());

function random(): (below: number) => number {
  let state = SEED;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return Math.floor((state / 0x8000_0000) * below);
  };
}

function documentOf(kind: string, name: string, spec: unknown): string {
  const metadata = { name, namespace: "default" };
  return JSON.stringify({ apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec });
}

/** As a user does it: again, until the API server is there. */
async function apply(document: string): Promise<void> {
  let last = "";
  await waitFor(
    () => `kubectl apply: ${last}`,
    async () => {
      const { output, status } = await plane.kubectlWith(document, "apply", "-f", "-");
      last = output;
      return status === 0;
    },
    60_000,
  );
}

async function shown(...parameters: readonly string[]): Promise<string> {
  return (await plane.kubectlWith("", "get", "--ignore-not-found", ...parameters)).output.trim();
}

/** A gateway process, a stock client behind it, and echoes from one to the other that do not end. */
async function startTraffic(): Promise<Program> {
  const gateway = await waitFor(
    "the gateway's account",
    async () =>
      (await shown("sa", "t-gateway", "-o", "name")) === ""
        ? undefined
        : await plane.serviceAccountConfig("default", "t-gateway"),
    60_000,
  );
  const program = [join(ROOT, "node_modules/.bin/node"), join(ROOT, "cli/main.ts"), "gateway"];
  const flags = ["--namespace", "default", "--tunnel", "t", "--run", scratch.file("gateway")];
  const environment = { POD_NAME: "t-gateway-0" };
  const command = [...program, ...flags, "--kubeconfig", gateway];
  const started = stack.use(Program.start(command, { environment }));
  await started.waitForOutput(/tunnel started/, 60_000);
  const client = await network.namespace("cl");
  const far = ["type", "veth", "peer", "up0", "netns", client.name];
  await runFine(["ip", "link", "add", "out0", ...far]);
  await runFine(["ip", "address", "add", "192.0.2.1/24", "dev", "out0"]);
  await runFine(["ip", "link", "set", "out0", "up"]);
  await client.addresses("up0", "192.0.2.2/24");
  await client.ip("link set up0 up");
  const path = "jsonpath={.data.client\\.ovpn}";
  const profile = await waitFor(
    "the profile",
    async () => {
      const text = await shown("secret", "box-profile", "-o", path);
      return text === "" ? undefined : Buffer.from(text, "base64").toString("utf8");
    },
    60_000,
  );
  await writeFile(scratch.file("box.ovpn"), profile, { mode: 0o600 });
  const folder = scratch.file("client");
  const peer = await OpenvpnPeer.start({ namespace: client, folder, config: profile });
  stack.use(peer);
  await peer.waitUntilUp(60_000);
  const echoes = client.start(["ping", "-i", "0.1", "-W", "20", GATEWAY]);
  stack.use(echoes);
  await echoes.waitForOutput(/icmp_seq=20 /, 30_000);
  return echoes;
}

/** Peers come and go, the tunnel is edited: what is there at the end. */
async function changeAtRandom(pick: (below: number) => number, alive: Set<string>): Promise<void> {
  for (let change = 0; change < CHANGES_EACH; change++) {
    const name = `p${pick(8)}`;
    switch (pick(3)) {
      case 0:
        await apply(documentOf("VpnPeer", name, { tunnel: { name: "t" } }));
        alive.add(name);
        break;
      case 1:
        await waitFor(
          "kubectl delete",
          async () => {
            const remove = ["delete", "vp", name, "--ignore-not-found", "--wait=false"];
            return (await plane.kubectlWith("", ...remove)).status === 0;
          },
          60_000,
        );
        alive.delete(name);
        break;
      default: {
        const limit = `${10 + pick(90)}Mbit`;
        await apply(documentOf("VpnTunnel", "t", { ...TUNNEL, stormLimits: { broadcast: limit } }));
      }
    }
    await pause(pick(400));
  }
}

const TUNNEL = {
  listen: { port: PORT, advertise: [{ host: "192.0.2.1" }] },
  addresses: { segment: "10.20.0.0/24", gateway: GATEWAY, pool: "10.20.0.100-10.20.0.119" },
  gateway: { replicas: 1 },
};

test("operator and API server killed while objects change: all converges, and frames cross throughout", async (context) => {
  context.diagnostic(`FAIRLEAD_SEED=${SEED}`);
  const pick = random();
  const alive = new Set(["box"]);
  await apply(documentOf("VpnTunnel", "t", TUNNEL));
  await apply(documentOf("VpnPeer", "box", { tunnel: { name: "t" } }));
  const echoes = await startTraffic();
  for (const trouble of TROUBLES) {
    const changed = changeAtRandom(pick, alive);
    await pause(pick(900));
    if (trouble === "operator") {
      operator.signal("SIGKILL");
      await operator.waitForEnd();
    } else {
      await plane.stopApiServer();
      await plane.startApiServer();
    }
    if (operator.status !== undefined) operator = startOperator(account);
    await changed;
  }
  await waitForConverged([...alive].sort());
  echoes.signal("SIGINT");
  await echoes.waitForEnd();
  const { received, sent } = countsOf(echoes.output);
  context.diagnostic(`${received} of ${sent} echoes came back`);
  assert(received > 100, echoes.output.slice(-500));
  // The last one may have been under way.
  assert(received >= sent - 1, echoes.output.slice(-1000));
});

function countsOf(output: string): { readonly sent: number; readonly received: number } {
  const found = /(\d+) packets transmitted, (\d+) received/.exec(output);
  return { sent: Number(found?.[1]), received: Number(found?.[2]) };
}

/** Each peer has one address, one Secret, one place in the documents; nobody else has any. */
async function waitForConverged(alive: readonly string[]): Promise<void> {
  let last = "";
  const seed = `FAIRLEAD_SEED=${SEED}`;
  await waitFor(
    () => `${alive.join(" ")} and nothing else; ${seed}\n${last}\n${operator.output.slice(-1500)}`,
    async () => {
      // An operator without the API server for long ends; its Deployment would start it again.
      if (operator.status !== undefined) operator = startOperator(account);
      last = await worldText();
      return last === expectedText(alive);
    },
    180_000,
  );
  const path = "jsonpath={.items[*].status.address}";
  const addresses = (await shown("vp", "-o", path)).split(" ");
  assert.equal(new Set(addresses).size, alive.length, addresses.join(" "));
}

function expectedText(alive: readonly string[]): string {
  const names = alive.join(" ");
  return [names, names, names, names].join("\n");
}

async function worldText(): Promise<string> {
  const of = async (what: string, item: string, ...more: readonly string[]): Promise<string[]> =>
    (await shown(what, ...more, "-o", `jsonpath={range .items[*]}${item}{" "}{end}`))
      .split(" ")
      .filter(Boolean);
  const ready = '{.metadata.name}={.status.conditions[?(@.type=="Ready")].reason}';
  const peers = (await of("vp", ready)).filter((text) => text.endsWith("=ProfileMade"));
  const label = ["-l", "fairlead.dev/peer"];
  const claims = await of("lease", "{.metadata.labels.fairlead\\.dev/peer}", ...label);
  const secrets = await of("secret", "{.metadata.labels.fairlead\\.dev/peer}", ...label);
  const data = "jsonpath={.data.documents\\.yaml}";
  const text = Buffer.from(await shown("secret", "t-gateway", "-o", data), "base64").toString();
  const documents = text.split("---\n").flatMap((one) => {
    const { kind, metadata } = JSON.parse(one || "{}") as {
      kind?: string;
      metadata?: { name: string };
    };
    return kind === "VpnPeer" && metadata !== undefined ? [metadata.name] : [];
  });
  const named = peers.map((one) => one.slice(0, one.indexOf("=")));
  return [named, claims, secrets, documents].map((names) => names.sort().join(" ")).join("\n");
}
