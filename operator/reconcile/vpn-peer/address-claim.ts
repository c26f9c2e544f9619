/**
 * Addresses, arbitrated by the API server: a claim is a Lease `<tunnel>-<address>`, made by create
 * alone, so of two that want one address the second gets a 409. Invariants: a claim is never
 * overwritten; the claim is there before anything says that the address is given; it is owned by its
 * peer and goes with it.
 */
import { OperatingError } from "../../../common/operating-error.ts";
import {
  formatAddress,
  networkRange,
  parseAddress,
  parseNetwork,
} from "../../../crds/ip-network.ts";
import type { VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import type { Api } from "../../api/api-client.ts";
import { hasStatus } from "../../api/api-error.ts";
import { LEASE, pathOf, VPN_PEER } from "../../api/object.ts";
import { ownerReference } from "../../apply/children.ts";
import { CLAIM_ATTEMPTS_MAX } from "../../limits.ts";
import type { ClaimObject, Live } from "../../world.ts";
import { PEER_LABEL, TUNNEL_LABEL, tunnelLabels } from "../labels.ts";

/** A peer's claimed addresses. */
export interface Claimed {
  readonly address?: string;
  readonly address6?: string;
}

/** What came of claiming. */
export type ClaimOutcome =
  | { readonly kind: "claimed"; readonly address: string }
  | { readonly kind: "none" }
  | { readonly kind: "taken"; readonly address: string; readonly by: string }
  | { readonly kind: "outside"; readonly address: string }
  | { readonly kind: "exhausted"; readonly pool: string };

/** What to claim from. */
export interface ClaimRequest {
  readonly tunnel: Live<VpnTunnel>;
  readonly peer: Live<VpnPeer>;
  readonly family: 4 | 6;
}

interface Claims {
  get(key: string): ClaimObject | undefined;
  values(): Iterable<ClaimObject>;
}

/** The addresses that a peer holds now, as far as its tunnel and its resource still want them. */
export function claimedAddresses(claims: Pick<Claims, "values">, peer: Live<VpnPeer>): Claimed {
  const held = heldBy(claims, peer);
  const address = held.find((one) => !one.includes(":"));
  const address6 = held.find((one) => one.includes(":"));
  return {
    ...(address === undefined ? {} : { address }),
    ...(address6 === undefined ? {} : { address6 }),
  };
}

/** Claims the peer's fixed address, keeps the one it has, or takes the lowest free of the pool. */
export async function claimAddress(
  api: Pick<Api, "call">,
  claims: Claims,
  request: ClaimRequest,
): Promise<ClaimOutcome> {
  const { peer } = request;
  const { segment, pool, fixed } = wishes(request);
  if (peer.spec.addressing === "None" || segment === undefined) return { kind: "none" };
  const held = heldBy(claims, peer).filter((one) => one.includes(":") === (request.family === 6));
  if (fixed !== undefined) {
    if (!isUsable(fixed, request)) return { kind: "outside", address: fixed };
    if (held.includes(fixed)) return { kind: "claimed", address: fixed };
    const holder = await tryClaim(api, request, fixed);
    return holder === undefined
      ? { kind: "claimed", address: fixed }
      : { kind: "taken", address: fixed, by: holder };
  }
  if (pool === undefined) return { kind: "none" };
  const range = rangeOf(pool);
  const kept = held.find((one) => isWithin(one, range) && isUsable(one, request));
  if (kept !== undefined) return { kind: "claimed", address: kept };
  return await claimFromPool(api, claims, { request, pool, range });
}

/** Gives back what the peer holds and does not want any more. */
export async function releaseOthers(
  api: Pick<Api, "call">,
  claims: Pick<Claims, "values">,
  peer: Live<VpnPeer>,
  wanted: readonly string[],
): Promise<void> {
  for (const claim of claims.values()) {
    if (!isHolder(claim, peer) || wanted.includes(addressOf(claim))) continue;
    const { name, namespace = "", uid } = claim.metadata;
    const body = { preconditions: { uid } };
    try {
      await api.call({ method: "DELETE", path: pathOf(LEASE, { namespace, name }), body });
    } catch (error) {
      if (!hasStatus(error, 404) && !hasStatus(error, 409)) throw error;
    }
  }
}

/** Our copy of the claims is far behind: the queue comes back to the peer once it has caught up. */
export class ClaimsBehindError extends OperatingError {
  constructor(pool: string) {
    super("claims-behind", `too many addresses of ${pool} were taken meanwhile: tried again later`);
  }
}

/** The address that a claim is about. */
const ADDRESS_ANNOTATION = "fairlead.dev/address";

interface Range {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
}

interface PoolClaim {
  readonly request: ClaimRequest;
  readonly pool: string;
  readonly range: Range;
}

async function claimFromPool(
  api: Pick<Api, "call">,
  claims: Claims,
  { request, pool, range }: PoolClaim,
): Promise<ClaimOutcome> {
  const { name, namespace } = request.tunnel.metadata;
  let attempts = 0;
  for (let value = range.first; value <= range.last; value++) {
    const address = formatAddress({ family: range.family, value });
    const isKnown = claims.get(`${namespace}/${claimName(name, address)}`) !== undefined;
    if (isKnown || !isUsable(address, request)) continue;
    if (attempts++ >= CLAIM_ATTEMPTS_MAX) throw new ClaimsBehindError(pool);
    if ((await tryClaim(api, request, address)) === undefined) return { kind: "claimed", address };
  }
  return { kind: "exhausted", pool };
}

/** Creates the claim; undefined when it is ours, else who holds it. */
async function tryClaim(
  api: Pick<Api, "call">,
  request: ClaimRequest,
  address: string,
): Promise<string | undefined> {
  const { peer, tunnel } = request;
  const { namespace = "" } = peer.metadata;
  const name = claimName(tunnel.metadata.name, address);
  const labels = { ...tunnelLabels(tunnel.metadata.name), [PEER_LABEL]: peer.metadata.name };
  const body = {
    apiVersion: LEASE.apiVersion,
    kind: "Lease",
    metadata: {
      ...{ name, namespace, labels, annotations: { [ADDRESS_ANNOTATION]: address } },
      ownerReferences: [ownerReference(VPN_PEER, peer)],
    },
    spec: { holderIdentity: `VpnPeer/${peer.metadata.name}` },
  };
  try {
    await api.call({ method: "POST", path: pathOf(LEASE, { namespace }), body });
    return undefined;
  } catch (error) {
    if (!hasStatus(error, 409)) throw error;
  }
  const path = pathOf(LEASE, { namespace, name });
  const claim = await api.call<ClaimObject>({ method: "GET", path });
  return isHolder(claim, peer) ? undefined : (claim.spec?.holderIdentity ?? "somebody else");
}

/** Colons cannot be part of a name. */
function claimName(tunnel: string, address: string): string {
  return `${tunnel}-${address.replaceAll(":", "-")}`;
}

function heldBy(claims: Pick<Claims, "values">, peer: Live<VpnPeer>): string[] {
  const held = [...claims.values()].filter((claim) => isHolder(claim, peer)).map(addressOf);
  return held.sort();
}

/** By uid: a peer deleted and made anew under its old name holds nothing yet. */
function isHolder(claim: ClaimObject, peer: Live<VpnPeer>): boolean {
  if (claim.metadata.labels?.[TUNNEL_LABEL] !== peer.spec.tunnel.name) return false;
  return claim.metadata.ownerReferences?.some(({ uid }) => uid === peer.metadata.uid) === true;
}

function addressOf(claim: ClaimObject): string {
  return claim.metadata.annotations?.[ADDRESS_ANNOTATION] ?? "";
}

function wishes({ family, peer, tunnel }: ClaimRequest): {
  readonly segment: string | undefined;
  readonly pool: string | undefined;
  readonly fixed: string | undefined;
} {
  const { segment, segment6, pool, pool6 } = tunnel.spec.addresses ?? {};
  const { address, address6 } = peer.spec;
  return family === 4
    ? { segment, pool, fixed: address }
    : { segment: segment6, pool: pool6, fixed: address6 };
}

/** Inside the segment, and neither the network's own, its broadcast, nor the gateway's address. */
function isUsable(address: string, { family, tunnel }: ClaimRequest): boolean {
  const { segment, segment6, gateway, gateway6 } = tunnel.spec.addresses ?? {};
  const network = parseNetwork((family === 4 ? segment : segment6) ?? "");
  const value = parseAddress(address)?.value;
  if (
    network === undefined ||
    value === undefined ||
    address === (family === 4 ? gateway : gateway6)
  )
    return false;
  const { first, last } = networkRange(network);
  return value > first && (family === 4 ? value < last : value <= last);
}

function rangeOf(pool: string): Range {
  const [first, last] = pool.split("-").map((text) => parseAddress(text));
  const family = first?.family ?? 4;
  return { family, first: first?.value ?? 1n, last: last?.value ?? 0n };
}

function isWithin(address: string, range: Range): boolean {
  const value = parseAddress(address)?.value;
  return value !== undefined && value >= range.first && value <= range.last;
}
