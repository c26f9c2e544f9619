/**
 * Brings a VpnPeer to what its resource says: an address, a certificate, a profile. Deleting it
 * removes its Secret and its address claims by owner reference, and the tunnel's reconcile takes it
 * out of the gateway's documents, which cuts it off.
 */
import { peerModeProblem } from "../../../crds/routing.ts";
import type { VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import { POD, VPN_PEER } from "../../api/object.ts";
import { type Children, ownerReference } from "../../apply/children.ts";
import type { WorkResult } from "../../queue/work-queue.ts";
import { fails, holds, unknown, type Verdict } from "../../status/conditions.ts";
import { StatusWriter } from "../../status/write-status.ts";
import type { Live } from "../../world.ts";
import type { Issuing } from "../issuer/issuing.ts";
import { authoritySecretName, gatewayName, profileSecretName } from "../labels.ts";
import type { ReconcileContext, Reconciler } from "../reconciler.ts";
import { fetchSecret, readCredentials, type TunnelCredentials } from "../vpn-tunnel/credentials.ts";
import { listeningSide } from "../vpn-tunnel/listening-side.ts";
import { readAuthority } from "../vpn-tunnel/references.ts";
import { type Claimed, type ClaimOutcome, claimAddress, releaseOthers } from "./address-claim.ts";
import { PeerCondition, PeerReason } from "./conditions.ts";
import { makePeerKeys, type PeerKeys, readPeerKeys } from "./credentials.ts";
import { profileSecret } from "./desired.ts";
import { type IssuedKeys, issuedKeys, type PeerMaterial } from "./issued-keys.ts";
import { insideRemotes, isPodPeer, podDocuments } from "./pod-documents.ts";
import { profileText, remotesOf } from "./profile.ts";
import { isConnected, type PeerFindings, type PeerStatus, peerStatus } from "./status.ts";

/** What the peers' reconciler is made with. */
export interface PeerReconcilerOptions extends ReconcileContext {
  readonly children: Children;
  readonly issuing: Issuing;
}

/** A timer of the runtime holds 24 days; a certificate is looked at once an hour. */
const RENEW_POLL_MS = 3_600_000;
/** Issuers are not watched: a peer that waits for one looks this often. */
const ISSUER_POLL_MS = 30_000;

/** Reconciles peers. */
export class PeerReconciler implements Reconciler {
  readonly #options: PeerReconcilerOptions;
  readonly #status: StatusWriter;
  /** Whether each peer was connected when it was last looked at. */
  readonly #connected = new Map<string, boolean>();

  constructor(options: PeerReconcilerOptions) {
    this.#options = options;
    this.#status = new StatusWriter(options.api, VPN_PEER);
  }

  async reconcile(key: string): Promise<WorkResult> {
    const { clock, world } = this.#options;
    const peer = world.peers.get(key);
    if (peer === undefined) {
      this.#status.forget(key);
      this.#connected.delete(key);
    }
    if (peer === undefined || peer.metadata.deletionTimestamp !== undefined) return {};
    const tunnel = world.tunnels.get(`${peer.metadata.namespace}/${peer.spec.tunnel.name}`);
    const refused = tunnelProblem(peer, tunnel);
    const side = tunnel === undefined ? undefined : listeningSide(tunnel);
    const findings =
      refused === undefined && side !== undefined
        ? await this.#keep(peer, side)
        : { accepted: refused ?? accepted() };
    this.#tellConnected(key, peer);
    const status = peerStatus(peer, findings, clock.wallMs());
    if (await this.#status.write(peer, status)) this.#tell(peer, status);
    const waits =
      side?.spec.security.issuerRef !== undefined && findings.profile?.status !== "True";
    return { retryAfterMs: waits ? ISSUER_POLL_MS : RENEW_POLL_MS };
  }

  async #keep(peer: Live<VpnPeer>, tunnel: Live<VpnTunnel>): Promise<PeerFindings> {
    const { api, world } = this.#options;
    const outcomes: ClaimOutcome[] = [];
    for (const family of [4, 6] as const) {
      outcomes.push(await claimAddress(api, world.claims, { tunnel, peer, family }));
    }
    const problem = outcomes.map(claimProblem).find((verdict) => verdict !== undefined);
    if (problem !== undefined) return { accepted: problem };
    const claimed = claimedOf(outcomes);
    await releaseOthers(api, world.claims, peer, Object.values(claimed));
    return { accepted: accepted(), claimed, ...(await this.#profile(peer, tunnel, claimed)) };
  }

  async #profile(
    peer: Live<VpnPeer>,
    tunnel: Live<VpnTunnel>,
    claimed: Claimed,
  ): Promise<Pick<PeerFindings, "profile" | "certificatePem">> {
    const { name } = tunnel.metadata;
    const isIssued = tunnel.spec.security.issuerRef !== undefined;
    const { material, trouble }: IssuedKeys = isIssued
      ? await issuedKeys(this.#options, peer, tunnel)
      : await this.#signed(peer, tunnel);
    const type = PeerCondition.ProfileReady;
    if (material === undefined) {
      const message = `The tunnel ${name} has no keys yet: see its condition CredentialsReady.`;
      const pending = unknown(type, PeerReason.CredentialsPending, message);
      return { profile: trouble === undefined ? pending : { type, ...trouble } };
    }
    const isMade = await this.#write(peer, tunnel, { claimed, material });
    const { certificatePem } = material.keys.pair;
    const verdict = profileVerdict(tunnel, isMade);
    return { certificatePem, profile: trouble === undefined ? verdict : { type, ...trouble } };
  }

  /** Keys signed by the tunnel's own authority. */
  async #signed(peer: Live<VpnPeer>, tunnel: Live<VpnTunnel>): Promise<IssuedKeys> {
    const { clock, world } = this.#options;
    const { name, namespace } = tunnel.metadata;
    const wallMs = clock.wallMs();
    const secret = world.secrets.get(`${namespace}/${authoritySecretName(name)}`);
    const own = await readAuthority(this.#options.api, tunnel);
    const isOwn = own !== undefined && "certificatePem" in own;
    const credentials = await readCredentials(
      secret,
      isOwn ? { wallMs, ownAuthority: own } : { wallMs },
    );
    if (credentials === undefined) return {};
    const keys = await this.#keys(peer, credentials, wallMs);
    const authorityPem = credentials.authority.certificatePem;
    const { wrapKeyText } = credentials;
    return { material: { keys, authorityPem, wrapKeyText, certificates: [] } };
  }

  /** Writes the peer's Secret; whether its profile is complete. */
  async #write(
    peer: Live<VpnPeer>,
    tunnel: Live<VpnTunnel>,
    { claimed, material }: { readonly claimed: Claimed; readonly material: PeerMaterial },
  ): Promise<boolean> {
    const { children, world } = this.#options;
    const { name, namespace } = tunnel.metadata;
    const { authorityPem, certificates, issued, keys, wrapKeyText } = material;
    const isPod = isPodPeer(peer);
    const service = world.services.get(`${namespace}/${gatewayName(name)}`);
    const remotes = isPod ? insideRemotes(tunnel, service) : remotesOf(tunnel, service);
    const profile =
      remotes.length === 0
        ? undefined
        : profileText({
            ...{ tunnel, peer, claimed, remotes, keys, authorityPem, wrapKeyText },
          });
    const owner = ownerReference(VPN_PEER, peer);
    const documents =
      isPod && profile !== undefined ? { documents: podDocuments(tunnel, peer, profile) } : {};
    const texts = {
      keys,
      ...(profile === undefined ? {} : { profile }),
      ...(issued === undefined ? {} : { issued }),
      ...documents,
    };
    await children.keep(owner, [profileSecret(peer, owner, texts)], certificates);
    return profile !== undefined;
  }

  async #keys(peer: Live<VpnPeer>, tunnel: TunnelCredentials, wallMs: number): Promise<PeerKeys> {
    const { api, world } = this.#options;
    const { namespace = "" } = peer.metadata;
    const place = { namespace, name: profileSecretName(peer.metadata.name) };
    const context = { tunnel, wallMs };
    const known = world.secrets.get(`${namespace}/${place.name}`);
    const kept = await readPeerKeys(known, peer, context);
    if (kept !== undefined) return kept;
    // The copy may be behind: nothing is made before the API server itself was asked.
    const read = await readPeerKeys(await fetchSecret(api, place), peer, context);
    return read ?? (await makePeerKeys(peer, context));
  }

  /** A peer came or went, as its gateway says; what was so before this program started is no news. */
  #tellConnected(key: string, peer: Live<VpnPeer>): void {
    const now = isConnected(peer);
    const former = this.#connected.get(key);
    this.#connected.set(key, now);
    if (former === undefined || former === now) return;
    const { cipher, sourceAddress } = (peer as unknown as VpnPeer).status ?? {};
    this.#options.events.record(VPN_PEER, peer, {
      type: "Normal",
      reason: now ? PeerReason.PeerCame : PeerReason.PeerLeft,
      action: "Report",
      note: now
        ? `Connected from ${sourceAddress ?? "an unknown address"} with ${cipher ?? "an unknown cipher"}.`
        : "Not connected any more: it said goodbye, fell silent, or its gateway ended.",
    });
  }

  #tell(peer: Live<VpnPeer>, status: PeerStatus): void {
    const [ready] = status.conditions;
    const former = peer.status?.conditions?.find(({ type }) => type === PeerCondition.Ready);
    if (ready === undefined || former?.reason === ready.reason) return;
    const happening = {
      type: ready.status === "False" ? ("Warning" as const) : ("Normal" as const),
      reason: ready.reason,
      action: "Reconcile",
      note: ready.message,
    };
    this.#options.events.record(VPN_PEER, peer, happening);
    // Whoever looks at a pod that waits for its Secret looks at the pod.
    const pod = peer.metadata.ownerReferences?.find(({ kind }) => kind === "Pod");
    if (pod === undefined || ready.status !== "False") return;
    const { namespace = "" } = peer.metadata;
    const about = { metadata: { name: pod.name, namespace, uid: pod.uid } };
    this.#options.events.record(POD, about, happening);
  }
}

function accepted(): Verdict {
  const message = "The tunnel takes this peer.";
  return holds(PeerCondition.Accepted, PeerReason.Accepted, message);
}

function tunnelProblem(
  peer: Live<VpnPeer>,
  tunnel: Live<VpnTunnel> | undefined,
): Verdict | undefined {
  const { name } = peer.spec.tunnel;
  const { namespace } = peer.metadata;
  if (tunnel === undefined) {
    const problem = `spec.tunnel.name: there is no VpnTunnel ${namespace}/${name}: create it, or correct the name`;
    return fails(PeerCondition.Accepted, PeerReason.TunnelMissing, problem);
  }
  // What a dialling tunnel has beside its server is reached inside the cluster alone.
  const isTaken = tunnel.spec.listen !== undefined || isPodPeer(peer);
  if (isTaken && listeningSide(tunnel) !== undefined) {
    const refused = peerModeProblem(peer as unknown as VpnPeer, tunnel as unknown as VpnTunnel);
    if (refused === undefined) return undefined;
    return fails(PeerCondition.Accepted, PeerReason.Unsupported, refused);
  }
  const problem = `spec.tunnel.name: the tunnel ${name} dials: its peers are its server and the pods it selects: name a listening tunnel`;
  return fails(PeerCondition.Accepted, PeerReason.TunnelDials, problem);
}

function claimProblem(outcome: ClaimOutcome): Verdict | undefined {
  const type = PeerCondition.Accepted;
  switch (outcome.kind) {
    case "taken": {
      const problem = `The address ${outcome.address} is held by ${outcome.by}: choose another, or remove it to get one from the pool`;
      return fails(type, PeerReason.AddressTaken, problem);
    }
    case "outside": {
      const problem = `The address ${outcome.address} is not inside the tunnel's segment, or is the gateway's own: correct one of them`;
      return fails(type, PeerReason.AddressOutside, problem);
    }
    case "exhausted": {
      const problem = `No address is left in the pool ${outcome.pool}: widen spec.addresses.pool of the tunnel, or delete peers that are not needed`;
      return fails(type, PeerReason.PoolExhausted, problem);
    }
    default:
      return undefined;
  }
}

function claimedOf(outcomes: readonly ClaimOutcome[]): Claimed {
  const [four, six] = outcomes;
  return {
    ...(four?.kind === "claimed" ? { address: four.address } : {}),
    ...(six?.kind === "claimed" ? { address6: six.address } : {}),
  };
}

function profileVerdict(tunnel: Live<VpnTunnel>, isMade: boolean): Verdict {
  const type = PeerCondition.ProfileReady;
  if (isMade) return holds(type, PeerReason.ProfileMade, "The profile is complete.");
  const { name, namespace } = tunnel.metadata;
  const problem = `The Service ${namespace}/${gatewayName(name)} has no outside address yet: wait for its load balancer, or name addresses in spec.listen.advertise of the tunnel`;
  return fails(type, PeerReason.NoRemote, problem);
}
