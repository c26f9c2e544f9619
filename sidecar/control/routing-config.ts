/**
 * What is between the ports of a tunnel, from its resource: a switch, or a router. `crds/routing.ts`
 * has refused what is wrong.
 */

import type { VpnPeer, VpnTunnel } from "../../crds/types.ts";
import { PREFIXES_MAX } from "../limits.ts";
import { segmentOf } from "./segment-config.ts";
import type { RoutingConfig, TunnelConfig } from "./tunnel-config.ts";

/** This end's own: a network and an address of each family. */
const OWN_PREFIXES_MAX = 4;

/** The switch's settings of a bridged tunnel, the router's of a routed one. */
export function switchedOrRouted(
  tunnel: VpnTunnel,
  taken4: ReadonlySet<string>,
): Pick<TunnelConfig, "segment" | "routing"> {
  const routing = routingOf(tunnel);
  return routing === undefined ? { segment: segmentOf(tunnel, taken4) } : { routing };
}

/** More networks than a router's table takes; `addressCount`: addresses that peers have. */
export function tableProblem(
  tunnel: VpnTunnel,
  peers: readonly VpnPeer[],
  addressCount: number,
): string | undefined {
  if (tunnel.spec.mode !== "Routed") return undefined;
  const networks = peers.reduce((sum, { spec }) => sum + (spec.networks ?? []).length, 0);
  const count = networks + addressCount + (tunnel.spec.routes?.fromSegment ?? []).length;
  if (count <= PREFIXES_MAX - OWN_PREFIXES_MAX) return undefined;
  return `spec.mode: ${count} networks and addresses of peers are more than the ${PREFIXES_MAX} that one routed tunnel takes: join networks, or divide the peers among tunnels`;
}

function routingOf(tunnel: VpnTunnel): RoutingConfig | undefined {
  const { mode, routes, dial, multicast } = tunnel.spec;
  if (mode !== "Routed") return undefined;
  const { toSegment, fromSegment = [], peerToPeer = true, masquerade = false } = routes ?? {};
  return {
    ...(toSegment === undefined ? {} : { toSegment }),
    fromSegment,
    isPeerToPeer: peerToPeer,
    masquerade,
    ...(multicast.proxy === true && { isProxy: true }),
    ...(dial === undefined ? {} : { pushed: { within: toSegment ?? [] } }),
  };
}
