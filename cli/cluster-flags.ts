/** Whether a subcommand is about a cluster: a flag says so, or the name that it was called by. */
import type { ClusterFlags } from "./cluster-facts.ts";

/** Set by the launcher when it is called as kubectl's plugin (`kubectl fairlead`). */
const PLUGIN_VARIABLE = "FAIRLEAD_IS_PLUGIN";

/** Without any of it, it is about this host. */
export function asksCluster(flags: ClusterFlags): boolean {
  const { allNamespaces, kubeconfig, namespace } = flags;
  return (
    process.env[PLUGIN_VARIABLE] === "1" ||
    [allNamespaces, kubeconfig, namespace].some((flag) => flag !== undefined)
  );
}
