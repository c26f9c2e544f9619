/**
 * What a gateway is to its peers. A listening tunnel is that itself; one that dials and takes pods has
 * a listening side as well, reached inside the cluster alone, whose peers are the attached pods. Both
 * sides are parts of one bridge in the gateway's pod. Pure.
 */
import type { VpnTunnel } from "../../../crds/types.ts";

/** The bridge in the pod of a gateway that dials and takes pods. */
export const SEGMENT_BRIDGE = "fl-segment";

/** Where pods reach the listening side of a dialling tunnel. */
const INSIDE_PORT = 1194;

type Spec = VpnTunnel["spec"];

/** The listening tunnel that peers are let into, or undefined: the tunnel dials for its gateway alone. */
export function listeningSide<Tunnel extends { readonly spec: Spec }>(
  tunnel: Tunnel,
): Tunnel | undefined {
  const { spec } = tunnel;
  if (spec.listen !== undefined) return tunnel;
  if (spec.workloads?.podSelector === undefined || podsProblem(spec) !== undefined)
    return undefined;
  return { ...tunnel, spec: insideSpec(spec) };
}

/** Why a tunnel that dials takes no pods although it asks for some; undefined: it does, or need not. */
export function podsProblem(spec: Spec): string | undefined {
  const { addresses, dial, gateway, mode, workloads } = spec;
  if (dial === undefined || workloads?.podSelector === undefined) return undefined;
  if (mode === "Routed") {
    return "spec.workloads.podSelector: a tunnel that dials takes pods onto a bridged segment only: remove it, or make a tunnel with spec.mode Bridged";
  }
  if (gateway?.network === "Host") {
    return "spec.gateway.network: Host: pods join the segment by a bridge in the gateway's pod, which would be the node's: remove it, or spec.workloads.podSelector";
  }
  if (gateway?.bridge !== undefined) {
    return "spec.gateway.bridge: a tunnel that dials and takes pods has a bridge of its own: remove it, or spec.workloads.podSelector";
  }
  for (const field of ["gateway", "gateway6"] as const) {
    if (addresses?.[field] === undefined) continue;
    return `spec.addresses.${field}: the gateway of a tunnel that dials and takes pods is a switch, not a station: remove it`;
  }
  return undefined;
}

/** The side that pods reach: keys of its own, UDP, and nothing of the way to the server. */
function insideSpec(spec: Spec): Spec {
  const { dial: _, link: __, security, transport, uplinks: ___, ...rest } = spec;
  const { fragmentBytes: ____, protocol: _____, ...inside } = transport;
  return {
    ...rest,
    link: "Segment",
    listen: { port: INSIDE_PORT, order: "Listed", service: { type: "ClusterIP" } },
    transport: inside,
    security: {
      dataCiphers: security.dataCiphers,
      tlsVersionMin: security.tlsVersionMin,
      controlWrap: "TlsCryptV2",
    },
  };
}
