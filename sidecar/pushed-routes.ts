/**
 * Which routes a dialling end takes. Pure. One invariant: no route is taken that the tunnel's own
 * packets would follow, and of what the server pushes only what the configuration allows.
 */

import { networkContains, parseAddress, parseNetwork } from "../crds/ip-network.ts";
import { canonicalNetwork, isInside } from "../crds/routing.ts";
import type { RoutingConfig } from "./control/tunnel-config.ts";
import type { PushedOptions } from "./session/handshake/push-options.ts";
import type { RouteTaken } from "./tap/device.ts";

/** Ranges that no packet of a host's own is for. */
const GROUPS: readonly string[] = ["224.0.0.0/3", "ff00::/8"];

const NOT_ASKED_FOR =
  "the server pushes it, and it is not asked for: name it in spec.routes.toSegment (a profile alone: take route-nopull out)";

/** What is done with the routes that there are. */
export interface RouteChoice {
  readonly taken: readonly RouteTaken[];
  readonly left: readonly { readonly network: string; readonly why: string }[];
}

/** Chooses among configured and pushed routes; `remote` is the server's outer address. */
export function chooseRoutes(
  routing: RoutingConfig,
  pushed: Pick<PushedOptions, "routes" | "routeMetric" | "remoteAddress4"> | undefined,
  remote: string,
): RouteChoice {
  const taken = new Map<string, RouteTaken>();
  const left: { network: string; why: string }[] = [];
  const take = (route: RouteTaken, why: string | undefined): void => {
    const network = canonicalNetwork(route.network);
    const refusal = why ?? refusalOf(network, remote);
    if (refusal !== undefined) left.push({ network, why: refusal });
    else if (!taken.has(network)) taken.set(network, { ...route, network });
  };
  for (const network of routing.toSegment ?? []) take({ network }, undefined);
  for (const route of routing.profileRoutes ?? []) take(route, undefined);
  const { within } = routing.pushed ?? {};
  const metric = pushed?.routeMetric;
  for (const route of pushed?.routes ?? []) {
    const isWanted =
      routing.pushed !== undefined &&
      (within === undefined ||
        within.some((one) => isInside(canonicalNetwork(route.network), one)));
    const why = isWanted ? undefined : NOT_ASKED_FOR;
    take(metric === undefined || route.metric !== undefined ? route : { ...route, metric }, why);
  }
  const far = pushed?.remoteAddress4;
  if (far !== undefined) take({ network: `${far}/32` }, undefined);
  return { taken: [...taken.values()], left };
}

function refusalOf(network: string, remote: string): string | undefined {
  if (GROUPS.some((one) => isInside(network, one))) return "groups are not routed";
  const [around, address] = [parseNetwork(network), parseAddress(remote)];
  if (around === undefined || address === undefined || !networkContains(around, address)) {
    return undefined;
  }
  return `the server itself is at ${remote}, inside it: the tunnel's own packets would go into the tunnel`;
}
