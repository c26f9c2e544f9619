/**
 * What is wrong with the networks of a routed tunnel and its peers, said by both programs. Pure.
 * One invariant: a network that passed here has no host bits set, is no group, and is not this
 * side's as well; one inside another is fine, since the longest match wins.
 */

import {
  containsNetwork,
  formatAddress,
  type IpNetwork,
  networkRange,
  parseNetwork,
} from "./ip-network.ts";
import type { VpnPeer, VpnTunnel } from "./types.ts";

/** What is wrong with a field. */
export interface FieldProblem {
  /** `spec.routes.toSegment`. */
  readonly field: string;
  readonly reason: string;
}

/** What is wrong with a routed tunnel's fields. */
export function routingProblems(tunnel: VpnTunnel): readonly FieldProblem[] {
  const { mode, gateway, stormLimits, listen, addresses } = tunnel.spec;
  if (mode !== "Routed") return [];
  const problems: FieldProblem[] = [];
  if (gateway?.bridge !== undefined) {
    problems.push({
      field: "spec.gateway.bridge",
      reason: "a routed tunnel is no part of a bridge: remove it, or set spec.mode to Bridged",
    });
  }
  if (stormLimits !== undefined) {
    problems.push({
      field: "spec.stormLimits",
      reason: "a routed tunnel floods nothing: remove it, or set spec.mode to Bridged",
    });
  }
  if (
    listen !== undefined &&
    addresses?.segment === undefined &&
    addresses?.segment6 === undefined
  ) {
    problems.push({
      field: "spec.addresses.segment",
      reason: "a routed tunnel needs a network for its peers: add it, such as 10.20.0.0/24",
    });
  }
  if (listen !== undefined) problems.push(...ownAddressProblems(addresses));
  return [...problems, ...routeProblems(tunnel)];
}

function ownAddressProblems(addresses: VpnTunnel["spec"]["addresses"]): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const [segment, own, field] of [
    [addresses?.segment, addresses?.gateway, "gateway"],
    [addresses?.segment6, addresses?.gateway6, "gateway6"],
  ] as const) {
    const network = parseNetwork(segment ?? "");
    if (network === undefined || own !== undefined) continue;
    const { family } = network.address;
    const first = formatAddress({ family, value: networkRange(network).first + 1n });
    problems.push({
      field: `spec.addresses.${field}`,
      reason: `peers reach a routed tunnel's networks by its own address: add it, such as ${first}`,
    });
  }
  return problems;
}

function routeProblems(tunnel: VpnTunnel): FieldProblem[] {
  const { routes, addresses, dial } = tunnel.spec;
  const problems: FieldProblem[] = [];
  for (const field of ["toSegment", "fromSegment"] as const) {
    for (const text of routes?.[field] ?? []) {
      const problem = networkProblem(text) ?? insideSegment(text, addresses);
      if (problem !== undefined)
        problems.push({
          field: `spec.routes.${field}`,
          reason: `${text} ${problem}`,
        });
      else if (field === "toSegment" && dial !== undefined && text.endsWith("/0")) {
        problems.push({
          field: "spec.routes.toSegment",
          reason: `${text} would lead the tunnel's own packets into the tunnel: name the networks`,
        });
      }
    }
  }
  return problems;
}

/** What is wrong with a peer in a tunnel of this mode. */
export function peerModeProblem(peer: VpnPeer, tunnel: VpnTunnel): string | undefined {
  const { networks = [], stations = [], addressing } = peer.spec;
  if (tunnel.spec.mode === "Bridged") {
    if (networks.length === 0) return undefined;
    return "spec.networks: networks behind a peer belong to a routed tunnel: remove it, or set spec.mode of the tunnel to Routed";
  }
  if (stations.length > 0) {
    return "spec.stations: a routed tunnel knows no MAC addresses: remove it, and declare spec.networks";
  }
  if (addressing === "None") {
    return "spec.addressing: None is for peers that bridge: in a routed tunnel a peer needs an address, remove it";
  }
  for (const text of networks) {
    const problem =
      networkProblem(text) ??
      insideSegment(text, tunnel.spec.addresses) ??
      ownProblem(text, tunnel.spec.routes?.fromSegment ?? []);
    if (problem !== undefined) return `spec.networks: ${text} ${problem}`;
  }
  return undefined;
}

/** One spelling for each network. */
export function canonicalNetwork(text: string): string {
  const network = parseNetwork(text);
  if (network === undefined) return text;
  const { family } = network.address;
  return `${formatAddress({ family, value: networkRange(network).first })}/${network.prefixBits}`;
}

function networkProblem(text: string): string | undefined {
  const network = parseNetwork(text);
  if (network === undefined) return "is not a network: correct it";
  if (networkRange(network).first !== network.address.value) {
    return `has bits set behind its prefix: write ${canonicalNetwork(text)}`;
  }
  if (isGroup(network)) return "is a range of multicast groups, which are not routed: remove it";
  return undefined;
}

function isGroup({ address, prefixBits }: IpNetwork): boolean {
  return address.family === 4
    ? prefixBits >= 3 && address.value >> 29n === 7n
    : prefixBits >= 8 && address.value >> 120n === 0xffn;
}

function insideSegment(
  text: string,
  addresses: VpnTunnel["spec"]["addresses"],
): string | undefined {
  const segment = [addresses?.segment, addresses?.segment6].find((one) =>
    isInside(text, one ?? ""),
  );
  if (segment === undefined) return undefined;
  return `is inside the tunnel's own network ${segment}, whose addresses are the peers': remove it, or correct one of the two`;
}

function ownProblem(text: string, fromSegment: readonly string[]): string | undefined {
  const own = fromSegment.find((one) => isInside(text, one));
  if (own === undefined) return undefined;
  return `is inside ${own}, which spec.routes.fromSegment of the tunnel says is at the gateway's side: correct one of the two`;
}

/** Whether a network lies in another, or is the same. */
export function isInside(text: string, outer: string): boolean {
  const [inner, around] = [parseNetwork(text), parseNetwork(outer)];
  if (inner === undefined || around === undefined) return false;
  return containsNetwork(around, inner);
}
