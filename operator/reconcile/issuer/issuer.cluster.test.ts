/** `security.issuerRef` with cert-manager's own controllers, up to a stock client that connects. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createAuthority, leadsTo, readCertificate } from "../../../authority/certificate.ts";
import { readProcesses } from "../../../cli/status.ts";
import { ControlPlane } from "../../../test/cluster/control-plane.ts";
import { installChart, startOperator } from "../../../test/cluster/operator-program.ts";
import { certManagerKinds, ensurePrograms, programPath } from "../../../test/cluster/programs.ts";
import { IS_FULL } from "../../../test/support/full.ts";
import { ensureCommands } from "../../../test/support/packages.ts";
import { Program, runFine } from "../../../test/support/process.ts";
import { Scratch } from "../../../test/support/scratch.ts";
import { StallWatch } from "../../../test/support/stall-watch.ts";
import { waitFor } from "../../../test/support/wait.ts";

const ROOT: string = join(import.meta.dirname, "..", "..", "..");
const PORT = 21_794;
const DAY_MS = 86_400_000;
/** A program that waits looks again after half a minute, and cert-manager after as long. */
const PATIENCE_MS = 90_000;
/** cert-manager's own program takes five minutes of a processor to compile. */
const FULL = { skip: IS_FULL ? false : "cert-manager runs in the long run: ./fairlead test full" };

let plane: ControlPlane;
let scratch: Scratch;
let account: string;
let operator: Program;
let gateway: Program;
let client: Program;
const stack: AsyncDisposableStack = new AsyncDisposableStack();

before(async () => {
  await ensureCommands(["openvpn"]);
  if (IS_FULL) await ensurePrograms(["cert-manager"], (line) => process.stderr.write(`${line}\n`));
  plane = stack.use(await ControlPlane.start({ hasControllers: true }));
  scratch = stack.use(await Scratch.create());
  account = await installChart(plane, "--set", "certManager.enabled=true");
});
after(async () => {
  for (const program of [client, gateway, operator]) await program?.stop();
  await stack.disposeAsync();
});

async function apply(apiVersion: string, kind: string, name: string, rest: object): Promise<void> {
  const metadata = { name, namespace: "default" };
  const document = { apiVersion, kind, metadata, ...rest };
  const { output, status } = await plane.kubectlWith(JSON.stringify(document), "apply", "-f", "-");
  assert.equal(status, 0, output);
}

async function applyTunnel(issuer: object, security: object = {}): Promise<void> {
  const spec = {
    listen: { port: PORT, advertise: [{ host: "127.0.0.1" }] },
    addresses: { segment: "10.20.0.0/24" },
    gateway: { replicas: 1 },
    security: { issuerRef: issuer, ...security },
  };
  await apply("fairlead.dev/v1alpha1", "VpnTunnel", "t", { spec });
}

async function applyPeer(): Promise<void> {
  const spec = { tunnel: { name: "t" }, addressing: "None" };
  await apply("fairlead.dev/v1alpha1", "VpnPeer", "box", { spec });
}

async function show(what: string, name: string, path: string): Promise<string> {
  return await plane.kubectl("get", what, name, "--ignore-not-found", "-o", `jsonpath=${path}`);
}

async function textOf(secret: string, key: string): Promise<string> {
  const data = await show("secret", secret, `{.data.${key.replaceAll(".", "\\.")}}`);
  return Buffer.from(data, "base64").toString();
}

/** The message that goes with a reason of Ready. */
async function waitForReason(what: string, name: string, reason: string): Promise<string> {
  let last = "";
  const ready = '{.status.conditions[?(@.type=="Ready")]';
  return await waitFor(
    () => `${what} ${name} to be ${reason}, it is ${last}\n${operator.output.slice(-2000)}`,
    async () => {
      last = await show(what, name, `${ready}.reason}: ${ready}.message}`);
      return last.startsWith(`${reason}: `) ? last.slice(reason.length + 2) : undefined;
    },
    PATIENCE_MS,
  );
}

async function restartOperator(...flags: readonly string[]): Promise<void> {
  await operator?.stop();
  operator = startOperator(account, ...flags);
  await operator.waitForOutput(/this replica leads/, 60_000);
}

test("what keeps an issuer from signing is said in turn, with the next step, and goes by itself", async () => {
  await applyTunnel({ name: "plant", kind: "ClusterIssuer" });
  await applyPeer();
  await restartOperator("--cert-manager");
  const missing = await waitForReason("vt", "t", "CertManagerMissing");
  assert.match(missing, /install cert-manager with its kinds, and this goes on by itself$/);
  await waitForReason("vp", "box", "CertManagerMissing");
  for (const file of await certManagerKinds())
    await plane.kubectl("apply", "--server-side", "-f", file);
  const nobody = await waitForReason("vt", "t", "IssuerMissing");
  assert.match(nobody, /there is no ClusterIssuer plant: create it, or correct spec\.security/);
  const name = await certificateOf("box");
  const path = "{.spec.usages[1]} {.spec.duration} {.metadata.ownerReferences[0].name}";
  assert.equal(await show("certificate", name, path), "client auth 2160h0m0s box");
  assert.equal(await show("sts", "t-gateway", "{.metadata.name}"), "");
});

test(
  "an issuer without its authority is quoted; once it can sign, the tunnel is up by itself",
  FULL,
  async () => {
    stack.use(Program.start([programPath("cert-manager"), plane.kubeconfig]));
    const spec = { ca: { secretName: "plant-ca" } };
    await apply("cert-manager.io/v1", "ClusterIssuer", "plant", { spec });
    const unready = await waitForReason("vt", "t", "IssuerNotReady");
    assert.match(unready, /The ClusterIssuer plant is not ready: .*plant-ca/);
    assert.equal(await show("sts", "t-gateway", "{.metadata.name}"), "");
    const root = await createAuthority({
      commonName: "plant",
      lifetimeDays: 900,
      wallMs: Date.now(),
    });
    const stringData = { "tls.crt": root.certificatePem, "tls.key": root.privateKeyPem };
    await apply("v1", "Secret", "plant-ca", { stringData });
    await waitForReason("vt", "t", "GatewayStarting");
    await waitForReason("vp", "box", "ProfileMade");
  },
);

async function certificateOf(kind: "t" | "box"): Promise<string> {
  const selector =
    kind === "box" ? "fairlead.dev/peer=box" : "fairlead.dev/tunnel=t,!fairlead.dev/peer";
  const path = "jsonpath={.items[*].metadata.name}";
  return await plane.kubectl("get", "certificate", "-l", selector, "-o", path);
}

test(
  "gateway and peer get certificates of the issuer, and no key is where it does not belong",
  FULL,
  async () => {
    const [own, profile] = [
      await textOf("t-gateway", "gateway.pem"),
      await textOf("box-profile", "client.ovpn"),
    ];
    const root = await textOf("plant-ca", "tls.crt");
    assert.deepEqual(readCertificate(own).uses, ["server"]);
    assert.equal(readCertificate(own).commonName, "gateway");
    const pem = await textOf("box-profile", "tls.crt");
    assert.deepEqual(
      [readCertificate(pem).uses, readCertificate(pem).commonName],
      [["client"], "box"],
    );
    assert(leadsTo(pem, root) && profile.includes(pem.trim()) && profile.includes(root.trim()));
    const days = (readCertificate(pem).notAfterMs - Date.now()) / DAY_MS;
    assert(days > 89 && days < 91, `${days} days`);
    const authority = await plane.kubectl("get", "secret", "t-authority", "-o", "jsonpath={.data}");
    assert.deepEqual(Object.keys(JSON.parse(authority) as object).sort(), [
      ...["control-wrap.key", "tls-crypt-v2-server.key"],
    ]);
    const open = await plane.kubectl("get", "vt,vp,events,certificates", "-o", "yaml");
    assert.doesNotMatch(open + operator.output, /PRIVATE KEY/);
    const path =
      "{range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{'\\n'}{end}";
    const versions = async (): Promise<readonly string[]> => {
      const text = await plane.kubectl(
        "get",
        "vt,vp,certificates,secrets",
        "-o",
        `jsonpath=${path}`,
      );
      return text.split("\n").sort();
    };
    const before = await versions();
    await restartOperator("--cert-manager");
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    assert.deepEqual(await versions(), before, "an operator that was started anew writes nothing");
  },
);

async function session(): Promise<string | undefined> {
  const processes = await readProcesses(scratch.file("run"));
  const peers = processes.flatMap(({ tunnels }) => tunnels.flatMap((one) => one.peers));
  const box = peers.find(({ name, state }) => name === "box" && state === "Up");
  return box?.since;
}

async function startClient(): Promise<void> {
  const file = scratch.file("box.ovpn");
  await writeFile(file, await textOf("box-profile", "client.ovpn"), { mode: 0o600 });
  client = Program.start(["openvpn", "--config", file, "--dev", "cl0", "--route-noexec"]);
}

test("a stock client connects with the profile", FULL, async () => {
  const command = [join(ROOT, "node_modules/.bin/node"), join(ROOT, "cli/main.ts"), "gateway"];
  const flags = ["--namespace", "default", "--tunnel", "t", "--run", scratch.file("run")];
  const ownAccount = await plane.serviceAccountConfig("default", "t-gateway");
  gateway = Program.start([...command, ...flags, "--kubeconfig", ownAccount]);
  await gateway.waitForOutput(/this replica is active/, 60_000);
  await startClient();
  await waitFor(() => `${client.output}\n${gateway.output}`, session, 60_000);
  await client.waitForOutput(/Initialization Sequence Completed/);
  await runFine(["ip", "link", "set", "cl0", "up"]);
  assert.match(client.output, /VERIFY OK: depth=1, CN=plant/);
});

/** As `cmctl renew` does it. */
async function renew(certificate: string): Promise<void> {
  const condition = {
    ...{ type: "Issuing", status: "True", reason: "ManuallyTriggered", message: "by hand" },
    lastTransitionTime: `${new Date().toISOString().slice(0, 19)}Z`,
  };
  const conditions = JSON.stringify([
    { op: "add", path: "/status/conditions/-", value: condition },
  ]);
  const patch = ["--subresource=status", "--type=json", "-p", conditions];
  await plane.kubectl("patch", "certificate", certificate, ...patch);
}

test("renewed by cert-manager, both are taken while the session goes on", FULL, async () => {
  const since = await session();
  const [own, pem] = [
    await textOf("t-gateway", "gateway.pem"),
    await textOf("box-profile", "tls.crt"),
  ];
  await renew(await certificateOf("t"));
  await renew(await certificateOf("box"));
  await waitFor(
    "new certificates",
    async () => {
      const now = await textOf("box-profile", "tls.crt");
      return now !== pem && (await textOf("t-gateway", "gateway.pem")) !== own;
    },
    PATIENCE_MS,
  );
  await gateway.waitForOutput(
    /certificates, revocations and segment settings updated, no frame dropped/,
  );
  // The box runs its former profile, whose certificate has not ended.
  const listed = await waitFor("both certificates", async () => {
    const all = JSON.parse(await textOf("t-gateway", "peer-fingerprints.json")) as {
      box: string[];
    };
    return all.box.length === 2 ? all.box : undefined;
  });
  assert(listed.includes(readCertificate(pem).fingerprint));
  assert.equal(listed[0], await show("vp", "box", "{.status.certificate.fingerprint}"));
  assert.equal(await session(), since);
  assert.doesNotMatch(gateway.output, /needs a restart/);
});

test("an issuer that is not there is said, and what runs goes on", FULL, async () => {
  const [since, own] = [await session(), await textOf("t-gateway", "gateway.pem")];
  await applyTunnel({ name: "nobody" });
  const missing = await waitForReason("vt", "t", "IssuerMissing");
  assert.match(missing, /there is no Issuer default\/nobody/);
  assert.equal(await textOf("t-gateway", "gateway.pem"), own);
  await applyTunnel({ name: "plant", kind: "ClusterIssuer" }, { caSecretRef: { name: "no-ca" } });
  const authority = await waitForReason("vt", "t", "AuthorityMissing");
  assert.match(authority, /create secret generic no-ca --from-file=ca\.crt/);
  assert.equal(await session(), since);
  await applyTunnel({ name: "plant", kind: "ClusterIssuer" });
  await waitForReason("vt", "t", "GatewayStarting");
  await waitForReason("vp", "box", "ProfileMade");
  assert.equal(await session(), since);
});

test(
  "a deleted peer is cut off within a second, and its profile is worth nothing to its successor",
  FULL,
  async (context) => {
    const former = await certificateOf("box");
    await plane.kubectl("delete", "vp", "box", "--wait=false");
    const startedMs = performance.now();
    const stall = new StallWatch();
    await waitFor(
      () => `the end: ${gateway.output}`,
      async () => (await session()) === undefined,
      40_000,
    );
    const tookMs = performance.now() - startedMs;
    const told = `${tookMs.toFixed(0)} ms, in ${stall.stalledMs.toFixed(0)} of which programs waited for a processor`;
    context.diagnostic(`cut off after ${told}`);
    assert(tookMs < 1_000 + stall.stalledMs, told);
    await client.waitForEnd();
    await applyPeer();
    await waitForReason("vp", "box", "ProfileMade");
    await waitFor(
      "its forerunner's Certificate and Secret to go",
      async () => {
        const left = ["certificate", "secret"].map((what) =>
          show(what, former, "{.metadata.name}"),
        );
        return (await Promise.all(left)).join("") === "" && (await certificateOf("box")) !== former;
      },
      60_000,
    );
    assert.equal(await show("secret", `${former}-tls`, "{.metadata.name}"), "");
    const file = scratch.file("box.ovpn");
    client = Program.start(["openvpn", "--config", file, "--dev", "cl0", "--route-noexec"]);
    await client.waitForOutput(/AUTH_FAILED/, 60_000);
    await gateway.waitForOutput(/peer refused: its certificate is none of those that were issued/);
    await client.waitForEnd();
    await startClient();
    await waitFor(() => `the session: ${client.output}\n${gateway.output}`, session, 60_000);
  },
);

test("deleting the tunnel and its peer removes all that was issued", FULL, async () => {
  await plane.kubectl("delete", "vt,vp", "--all", "--timeout=30s");
  const managed = ["-l", "app.kubernetes.io/managed-by=fairlead", "-o", "name"];
  await waitFor(
    "nothing left",
    async () => {
      return (await plane.kubectl("get", "certificate,secret", ...managed)) === "";
    },
    60_000,
  );
});
