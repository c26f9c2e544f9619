import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ControlPlane } from "../test/cluster/control-plane.ts";
import { installChart, startOperator } from "../test/cluster/operator-program.ts";
import { type Program, run } from "../test/support/process.ts";
import { pause, waitFor } from "../test/support/wait.ts";

interface Item {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
  readonly spec: Record<string, unknown>;
  readonly status?: {
    readonly address?: string;
    readonly tunnels?: readonly { readonly name: string; readonly uplinks?: unknown }[];
    readonly conditions?: readonly {
      type: string;
      status: string;
      reason: string;
      message: string;
    }[];
  };
  readonly data?: Record<string, string>;
}

let plane: ControlPlane;
let operator: Program;
let account: string;

before(async () => {
  plane = await ControlPlane.start();
  account = await installChart(plane);
  await plane.startControllers();
  operator = startOperator(account);
  await operator.waitForOutput(/this replica leads/);
});
after(async () => {
  await operator.stop();
  await plane[Symbol.asyncDispose]();
});

function resource(kind: string, name: string, spec: unknown): string {
  const metadata = { name, namespace: "default" };
  return JSON.stringify({ apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec });
}

function tunnel(name: string, spec: object = {}): string {
  const addresses = { segment: "10.20.0.0/24", pool: "10.20.0.200-10.20.0.203" };
  const listen = { advertise: [{ host: "vpn.example.org" }] };
  return resource("VpnTunnel", name, { listen, addresses, ...spec });
}

function peer(name: string, tunnelName: string, spec: object = {}): string {
  return resource("VpnPeer", name, { tunnel: { name: tunnelName }, ...spec });
}

async function applyAll(...documents: readonly string[]): Promise<void> {
  const list = { apiVersion: "v1", kind: "List", items: documents.map((text) => JSON.parse(text)) };
  const { output, status } = await plane.kubectlWith(JSON.stringify(list), "apply", "-f", "-");
  assert.equal(status, 0, output);
}

async function read(what: string, name: string): Promise<Item | undefined> {
  const parameters = ["get", what, name, "--ignore-not-found", "-o", "json"];
  const text = await plane.kubectl(...parameters);
  return text === "" ? undefined : (JSON.parse(text) as Item);
}

async function list(what: string, selector: string): Promise<readonly Item[]> {
  const text = await plane.kubectl("get", what, "-l", selector, "-o", "json");
  return (JSON.parse(text) as { items: Item[] }).items;
}

async function waitForReason(what: string, name: string, reason: string): Promise<Item> {
  let last: Item | undefined;
  return await waitFor(
    () =>
      `${what} ${name} to be ${reason}: ${JSON.stringify(last?.status)}\n${operator.output.slice(-1500)}`,
    async () => {
      last = await read(what, name);
      const ready = last?.status?.conditions?.find(({ type }) => type === "Ready");
      return ready?.reason === reason ? last : undefined;
    },
    20_000,
  );
}

function textOf(secret: Item | undefined, key: string): string {
  return Buffer.from(secret?.data?.[key] ?? "", "base64").toString();
}

const CHILDREN = "sts,svc,sa,role,rolebinding,netpol,pdb,secret,lease";

test("a tunnel gets its gateway and keys, a peer its address and a whole profile", async () => {
  const startedMs = performance.now();
  await applyAll(tunnel("whole"), peer("box", "whole"), peer("nobody", "missing"));
  await waitForReason("vt", "whole", "GatewayStarting");
  const box = await waitForReason("vp", "box", "ProfileMade");
  const tookMs = performance.now() - startedMs;
  assert.equal(box.status?.address, "10.20.0.200");
  const profile = textOf(await read("secret", "box-profile"), "client.ovpn");
  assert.match(profile, /^remote vpn\.example\.org 1194$/m);
  assert.match(profile, /^<tls-crypt-v2>$/m);
  const documents = await waitForDocuments("whole", "box", true);
  assert.match(documents, /"address": "10\.20\.0\.200"/);
  const children = await list(CHILDREN, "fairlead.dev/tunnel=whole");
  assert.equal(children.length, 12, children.map(({ metadata }) => metadata.name).join(" "));
  const missing = await waitForReason("vp", "nobody", "TunnelMissing");
  const message = missing.status?.conditions?.[0]?.message ?? "";
  assert.match(message, /there is no VpnTunnel default\/missing: create it/);
  assert(tookMs < 10_000, `${tookMs} ms`);
});

async function waitForDocuments(name: string, peerName: string, isThere: boolean): Promise<string> {
  return await waitFor(`${peerName} in the documents: ${isThere}`, async () => {
    const text = textOf(await read("secret", `${name}-gateway`), "documents.yaml");
    return text !== "" && text.includes(`"name": "${peerName}"`) === isThere ? text : undefined;
  });
}

test("the gateway is never given the authority's key", async () => {
  const secret = await read("secret", "whole-gateway");
  const authorityKey = textOf(await read("secret", "whole-authority"), "ca.key");
  assert.match(authorityKey, /PRIVATE KEY/);
  const all = Object.keys(secret?.data ?? {}).map((key) => textOf(secret, key));
  assert(all.every((text) => !text.includes(authorityKey.trim())));
});

test("at rest nothing is written, also not by an operator that was started anew", async () => {
  const versions = async (): Promise<string> => {
    const items = await list(`${CHILDREN},vt,vp`, "fairlead.dev/tunnel=whole");
    const own = [await read("vt", "whole"), await read("vp", "box")];
    return [...items, ...own].map((item) => item?.metadata.resourceVersion).join(" ");
  };
  const before = await versions();
  assert.equal(await operator.stop(), 0, operator.output.slice(-1000));
  operator = startOperator(account);
  await operator.waitForOutput(/this replica leads/);
  await pause(4_000);
  assert.equal(await versions(), before);
});

test("addresses are given once, and when none is left the peer says so", async () => {
  const names = ["one", "two", "three", "four", "five"];
  await applyAll(tunnel("pool"), ...names.map((name) => peer(name, "pool")));
  const given = await waitFor(
    "four addresses and one refusal",
    async () => {
      const items = await Promise.all(names.map((name) => read("vp", name)));
      const addresses = items.flatMap((item) => item?.status?.address ?? []);
      const reasons = items.map((item) => item?.status?.conditions?.[0]?.reason);
      return addresses.length === 4 && reasons.includes("PoolExhausted") ? addresses : undefined;
    },
    20_000,
  );
  assert.equal(new Set(given).size, 4);
  await applyAll(peer("thief", "pool", { address: "10.20.0.200" }));
  await waitForReason("vp", "thief", "AddressTaken");
  const cluster = ["-n", "default", "--kubeconfig", plane.kubeconfig];
  const main = join(import.meta.dirname, "..", "cli", "main.ts");
  const doctor = await run([process.execPath, main, "doctor", "-o", "json", ...cluster]);
  assert.equal(doctor.status, 30, doctor.stderr);
  const { findings } = JSON.parse(doctor.stdout) as { findings: { code: string; step: string }[] };
  const poor = findings.find(({ code }) => code === "NoAddressLeft");
  assert.match(poor?.step ?? "", /^widen spec\.addresses\.pool/);
  const status = await run([process.execPath, main, "status", ...cluster]);
  assert.match(status.stdout, /^default\/pool +Bridged +GatewayStarting/m);
  const profile = await run([process.execPath, main, "profile", "one", ...cluster]);
  assert.match(`${profile.stdout}${profile.stderr}`, /^client$|has no profile|no profile of/m);
});

test("a deleted peer is out of the gateway's documents within a second, with all it had", async () => {
  await waitForDocuments("whole", "box", true);
  const startedMs = performance.now();
  await plane.kubectl("delete", "vp", "box", "--wait=false");
  await waitForDocuments("whole", "box", false);
  const tookMs = performance.now() - startedMs;
  assert(tookMs < 1_500, `${tookMs} ms, two kubectl included`);
  await waitFor("no Secret", async () => !(await read("secret", "box-profile")), 40_000);
  await waitFor("no claim", async () => !(await read("lease", "whole-10.20.0.200")), 10_000);
});

test("what a tunnel lacks is said with the next step, and noticed once it is there", async () => {
  await applyAll(resource("VpnTunnel", "dial", { dial: { profileSecretRef: { name: "admin" } } }));
  const item = await waitForReason("vt", "dial", "ProfileMissing");
  assert.match(item.status?.conditions?.[0]?.message ?? "", /kubectl -n default create secret/);
  assert.equal(await read("sts", "dial-gateway"), undefined);
  await applyAll(
    resource("VpnTunnel", "ups", {
      dial: { profileSecretRef: { name: "admin" } },
      uplinks: { name: "isps" },
    }),
    resource("VpnTunnel", "host", { listen: {}, gateway: { network: "Host" } }),
  );
  await waitForReason("vt", "ups", "UplinkSetMissing");
  await waitForReason("vt", "host", "HostAccessDenied");
  await applyAll(resource("UplinkSet", "isps", { uplinks: [{ name: "a", interface: "eth0" }] }));
  await waitForReason("vt", "ups", "ProfileMissing");
  await waitForReason("ups", "isps", "InUse");
  // As the gateway says it; a gateway there is not, without its profile.
  const uplink = { name: "a", state: "Up", sourceAddress: "192.0.2.2", receivedBytes: 7 };
  const told = { uplinksMeasured: "2026-01-01T00:00:00Z", fecUnrecoverable: 1, uplinks: [uplink] };
  const patch = ["--subresource=status", "--type=merge", "-p", JSON.stringify({ status: told })];
  await plane.kubectl("patch", "vt", "ups", ...patch);
  const shown = await waitFor("the set's tunnel with its uplinks", async () => {
    const [first] = (await read("ups", "isps"))?.status?.tunnels ?? [];
    return first?.uplinks === undefined ? undefined : first;
  });
  const measured = told.uplinksMeasured;
  assert.deepEqual(shown, { name: "ups", measured, fecUnrecoverable: 1, uplinks: [uplink] });
  const events = await plane.kubectl("get", "events", "-o", "name");
  assert(events.split("\n").length > 3, events);
});

test("an edit that is refused keeps what runs", async () => {
  const before = await read("sts", "whole-gateway");
  await applyAll(tunnel("whole", { transport: { protocol: "Tcp", fragmentBytes: 1372 } }));
  const item = await waitForReason("vt", "whole", "Unsupported");
  assert.match(
    item.status?.conditions?.[0]?.message ?? "",
    /^spec\.transport\.fragmentBytes: .*remove it/,
  );
  await applyAll(tunnel("whole", { security: { issuerRef: { name: "x" } } }));
  const off = await waitForReason("vt", "whole", "CertManagerOff");
  const said = off.status?.conditions?.[0]?.message ?? "";
  assert.match(said, /set the chart's value certManager\.enabled, or remove the field$/);
  const now = await read("sts", "whole-gateway");
  assert.equal(now?.metadata.resourceVersion, before?.metadata.resourceVersion);
  await applyAll(tunnel("whole"));
  await waitForReason("vt", "whole", "GatewayStarting");
});

test("deleting a tunnel removes all that it made and only that", async () => {
  await plane.kubectl("delete", "vt", "whole", "--timeout=20s");
  await waitFor(
    "the end of its children",
    async () => (await list(CHILDREN, "fairlead.dev/tunnel=whole")).length === 0,
    20_000,
  );
  assert((await list("sts", "fairlead.dev/tunnel=pool")).length === 1);
});
