/** How a program finds its cluster. */
import { KubeConfig } from "@kubernetes/client-node";

/** From this file; without one as kubectl would find it, or the pod's own account. */
export function loadKubeConfig(path: string | undefined): KubeConfig {
  const config = new KubeConfig();
  if (path === undefined) config.loadFromDefault();
  else config.loadFromFile(path);
  return config;
}
