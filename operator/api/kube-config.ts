/** How a program finds its cluster. */
import { KubeConfig } from "@kubernetes/client-node";
import { OperatingError } from "../../common/operating-error.ts";

/** What the library makes up where it finds nothing. */
const MADE_UP_SERVER = "http://localhost:8080";

/**
 * From this file; without one as kubectl would find it, or the pod's own account. Throws an
 * OperatingError where there is none, or it cannot be read.
 */
export function loadKubeConfig(path: string | undefined): KubeConfig {
  const config = new KubeConfig();
  try {
    if (path === undefined) config.loadFromDefault();
    else config.loadFromFile(path);
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split("\n");
    const what = `${path ?? "the kubeconfig"} cannot be read: ${reason}`;
    throw new OperatingError("kubeconfig-unreadable", what, { cause: error });
  }
  const { server } = config.getCurrentCluster() ?? {};
  if (server === undefined || server === MADE_UP_SERVER) {
    throw new OperatingError(
      "no-cluster",
      "no cluster is configured: set KUBECONFIG, or name a kubeconfig with --kubeconfig",
    );
  }
  return config;
}
