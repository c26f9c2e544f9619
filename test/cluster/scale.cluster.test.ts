import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { IS_FULL } from "../support/full.ts";
import { run } from "../support/process.ts";
import { pause, waitFor } from "../support/wait.ts";
import { ControlPlane } from "./control-plane.ts";
import { installChart, startOperator } from "./operator-program.ts";

/** The long version is the one whose figures stand in docs/. */
const TUNNELS: number = IS_FULL ? 100 : 10;
const PEERS_EACH = 5;
/** Many times what it takes: other work on the machine counts. */
const CONVERGE_MS: number = IS_FULL ? 480_000 : 120_000;

function documents(): string {
  const items: unknown[] = [];
  const add = (kind: string, name: string, spec: unknown): void => {
    const metadata = { name, namespace: "default" };
    items.push({ apiVersion: "fairlead.dev/v1alpha1", kind, metadata, spec });
  };
  for (let tunnel = 0; tunnel < TUNNELS; tunnel++) {
    const addresses = { segment: "10.20.0.0/24", pool: "10.20.0.100-10.20.0.199" };
    add("VpnTunnel", `t${tunnel}`, { listen: { advertise: [{ host: "h" }] }, addresses });
    for (let peer = 0; peer < PEERS_EACH; peer++) {
      add("VpnPeer", `t${tunnel}-p${peer}`, { tunnel: { name: `t${tunnel}` } });
    }
  }
  return JSON.stringify({ apiVersion: "v1", kind: "List", items });
}

function residentMegabytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1000;
}

/** Of user and system, which other work on the machine does not change much. */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  // Counted from the state, the third field: proc_pid_stat(5).
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

test(`${TUNNELS} tunnels and ${TUNNELS * PEERS_EACH} peers applied at once converge, and then nothing is written`, async () => {
  await using plane = await ControlPlane.start();
  await using operator = startOperator(await installChart(plane));
  await operator.waitForOutput(/this replica leads/);
  const applyMs = performance.now();
  const parameters = ["create", "-f", "-"];
  const input = documents();
  const command = plane.kubectlCommand(...parameters);
  const { status, stderr } = await run(command, { input, timeoutMs: CONVERGE_MS });
  assert.equal(status, 0, stderr.slice(-500));
  const createdMs = performance.now();
  const ready = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].reason}{"\\n"}{end}';
  const count = async (what: string, reason: string): Promise<number> => {
    const text = await plane.kubectl("get", what, "-o", `jsonpath=${ready}`);
    return text.split("\n").filter((line) => line === reason).length;
  };
  await waitFor(
    () => operator.output.slice(-2000),
    async () => {
      const peers = await count("vp", "ProfileMade");
      if (peers < TUNNELS * PEERS_EACH) return false;
      return (await count("vt", "GatewayStarting")) === TUNNELS;
    },
    CONVERGE_MS,
  );
  const convergedMs = performance.now();
  // What fails is tried again and hides in the time: nothing here has a reason to.
  assert.doesNotMatch(operator.output, /ApiError: [^"]*: 40[34] [^\n]*reconcile failed/);
  const processor = processorSeconds(operator.pid);
  await pause(3_000);
  const version = async (): Promise<string> =>
    await plane.kubectl(
      "get",
      "vt,vp,secret,svc,sts,role,lease",
      "-o",
      "jsonpath={..resourceVersion}",
    );
  const versionsOf = (text: string): Set<string> => new Set(text.split(" "));
  const before = versionsOf(await version());
  await pause(10_000);
  const after = versionsOf(await version());
  // The replicas' own Lease is renewed; nothing else changes.
  const changed = [...after].filter((one) => !before.has(one));
  assert(changed.length <= 1, `${changed.length} objects changed at rest`);
  const claims = (await plane.kubectl("get", "lease", "-o", "name")).split("\n").filter(Boolean);
  assert.equal(claims.length, TUNNELS * PEERS_EACH + 1);
  const seconds = (fromMs: number, toMs: number): string => ((toMs - fromMs) / 1000).toFixed(1);
  process.stdout.write(
    `# applied in ${seconds(applyMs, createdMs)} s, converged ${seconds(createdMs, convergedMs)} s later, operator ${residentMegabytes(operator.pid).toFixed(0)} MB, ${processor.toFixed(1)} s of processor time\n`,
  );
});
