/** What gateways report of their uplinks, as an UplinkSet's status shows it. Pure. */
import type { UplinkSet, VpnTunnel } from "../../../crds/types.ts";
import type { Live } from "../../world.ts";

/** One tunnel in the status of the set that it uses. */
export type TunnelUplinks = NonNullable<NonNullable<UplinkSet["status"]>["tunnels"]>[number];

/** Figures are shown of so many tunnels: eight uplinks of each are 200 kB. */
const DETAILED_MAX = 64;

/** The tunnels by name. */
export function tunnelUplinks(tunnels: readonly Live<VpnTunnel>[]): TunnelUplinks[] {
  const sorted = tunnels.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  return sorted.map((tunnel, at) => {
    const { name } = tunnel.metadata;
    const { fecUnrecoverable, uplinks, uplinksMeasured: measured } = statusOf(tunnel);
    if (at >= DETAILED_MAX || uplinks === undefined) return { name };
    return {
      name,
      ...(measured === undefined ? {} : { measured }),
      ...(fecUnrecoverable === undefined ? {} : { fecUnrecoverable }),
      uplinks,
    };
  });
}

/** What tells one report of a tunnel's uplinks from another. */
export function uplinksText(tunnel: Live<VpnTunnel> | undefined): string {
  if (tunnel === undefined) return "";
  const { fecUnrecoverable, uplinks, uplinksMeasured } = statusOf(tunnel);
  return JSON.stringify([uplinksMeasured, fecUnrecoverable, uplinks]);
}

/** What a person waits to see: which tunnels there are, and which of their uplinks are up. */
export function newsText(tunnels: readonly TunnelUplinks[]): string {
  return JSON.stringify(
    tunnels.map(({ name, uplinks = [] }) => [name, ...uplinks.map((one) => [one.name, one.state])]),
  );
}

function statusOf(tunnel: Live<VpnTunnel>): NonNullable<VpnTunnel["status"]> {
  return (tunnel as unknown as VpnTunnel).status ?? {};
}
