/** The operator as its own process against a test's control plane, as an image would run it. */
import { join } from "node:path";
import { Program, run } from "../support/process.ts";
import { waitFor } from "../support/wait.ts";
import type { ControlPlane } from "./control-plane.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** Starts one replica; the caller ends it. */
export function startOperator(
  plane: ControlPlane,
  options: { readonly kubeconfig?: string; readonly flags?: readonly string[] } = {},
): Program {
  return Program.start([
    ...[join(ROOT, "node_modules/.bin/node"), join(ROOT, "cli/main.ts"), "operator"],
    ...["--kubeconfig", options.kubeconfig ?? plane.kubeconfig, "--namespace", "default"],
    ...["--image", "localhost/fairlead:test", "--port", "0", ...(options.flags ?? [])],
  ]);
}

/** Installs the kinds of fairlead.dev and waits until they are served. */
export async function installDefinitions(plane: ControlPlane): Promise<void> {
  await plane.kubectl("apply", "--server-side", "-f", join(ROOT, "crds"));
  const names = ["vpntunnels", "vpnpeers", "uplinksets"].map((name) => `crd/${name}.fairlead.dev`);
  // kubectl gives up on a definition that has no conditions at all yet.
  const wait = ["wait", "--for=condition=Established", "--timeout=20s", ...names];
  await waitFor(
    "the kinds of fairlead.dev",
    async () => (await run(plane.kubectlCommand(...wait))).status === 0,
    60_000,
  );
}
