/** The operator as its own process against a test's control plane, as an image would run it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { loadAll } from "js-yaml";
import { Program, run, runFine } from "../support/process.ts";
import { waitFor } from "../support/wait.ts";
import type { ControlPlane } from "./control-plane.ts";
import { ensurePrograms, programPath } from "./programs.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** Starts one replica with the rights of an account; the caller ends it. */
export function startOperator(account: string, ...flags: readonly string[]): Program {
  return Program.start([
    ...[join(ROOT, "node_modules/.bin/node"), join(ROOT, "cli/main.ts"), "operator"],
    ...["--kubeconfig", account, "--namespace", "default"],
    ...["--image", "localhost/fairlead:test", "--port", "0", ...flags],
  ]);
}

/**
 * Installs everything of the chart but the pods of the operator, as its release `fl` in the namespace
 * `default`, and returns the kubeconfig of the operator's own account: tests run with its rights.
 */
export async function installChart(
  plane: ControlPlane,
  ...options: readonly string[]
): Promise<string> {
  await ensurePrograms(["helm"], (line) => process.stderr.write(`${line}\n`));
  const chart = join(ROOT, "charts", "fairlead");
  const version = ["--kube-version", "1.34.0", "--namespace", "default"];
  const text = await runFine([
    programPath("helm"),
    ...["template", "fl", chart, "--no-hooks", ...version, ...options],
  ]);
  const all = loadAll(text) as readonly ({ readonly kind: string } | null)[];
  const kept = all.filter((one) => one !== null && !PODS_OF_ITS_OWN.has(one.kind));
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: kept });
  const applied = await plane.kubectlWith(list, "apply", "--server-side", "-f", "-");
  assert.equal(applied.status, 0, applied.output);
  const names = ["vpntunnels", "vpnpeers", "uplinksets"].map((name) => `crd/${name}.fairlead.dev`);
  // kubectl gives up on a definition that has no conditions at all yet.
  const wait = ["wait", "--for=condition=Established", "--timeout=20s", ...names];
  await waitFor(
    "the kinds of fairlead.dev",
    async () => (await run(plane.kubectlCommand(...wait))).status === 0,
    60_000,
  );
  return await plane.serviceAccountConfig("default", OPERATOR);
}

/** Name of the release's account and webhook configuration. */
export const OPERATOR = "fl-operator";

const PODS_OF_ITS_OWN: ReadonlySet<string> = new Set(["Deployment", "PodDisruptionBudget"]);
