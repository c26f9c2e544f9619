/**
 * Brings a VpnTunnel to what its resource says. Deleting is left to owner references: whatever the
 * tunnel made goes with it, also when no operator runs. A resource that is not accepted changes
 * nothing that runs: the old gateway goes on with the old documents.
 */
import { randomBytes } from "node:crypto";
import type { VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import { VPN_TUNNEL } from "../../api/object.ts";
import { type Children, ownerReference } from "../../apply/children.ts";
import type { WorkResult } from "../../queue/work-queue.ts";
import { holds, type Verdict } from "../../status/conditions.ts";
import { StatusWriter } from "../../status/write-status.ts";
import type { Live } from "../../world.ts";
import type { Issuing } from "../issuer/issuing.ts";
import { authoritySecretName, gatewayName } from "../labels.ts";
import type { ReconcileContext, Reconciler } from "../reconciler.ts";
import { secretTextOf } from "../secret-data.ts";
import { claimedAddresses } from "../vpn-peer/address-claim.ts";
import { attachedVerdict } from "./attached.ts";
import { TunnelCondition, TunnelReason } from "./conditions.ts";
import {
  fetchSecret,
  makeCredentials,
  readCredentials,
  type TunnelCredentials,
} from "./credentials.ts";
import { desiredChildren } from "./desired.ts";
import { gatewayDocuments, type PlacedPeer } from "./gateway-documents.ts";
import { type GatewaySettings, replicasOf } from "./gateway-pod.ts";
import { type IssuedGateway, issuedGateway } from "./issued-gateway.ts";
import { listeningSide } from "./listening-side.ts";
import { withInterfaces } from "./networks.ts";
import { type Access, findReferences, type References } from "./references.ts";
import { SegmentNews } from "./segment-news.ts";
import {
  REPORTED,
  reportedOf,
  type TunnelFindings,
  type TunnelStatus,
  tunnelStatus,
} from "./status.ts";

/** What the tunnels' reconciler is made with. */
export interface TunnelReconcilerOptions extends ReconcileContext {
  readonly children: Children;
  readonly gateways: GatewaySettings;
  readonly access: Access;
  readonly issuing: Issuing;
}

/** Secrets that users made are not watched: a tunnel that names one is looked at this often. */
const REFERENCE_POLL_MS = 30_000;
/** Key of the gateway's Secret. */
const HEARTBEAT_KEY = "heartbeat.key";
/** A network that is not there yet is asked for this often: one call, and none once it is. */
const NETWORK_POLL_MS = 5_000;
const NETWORK_REASONS: readonly string[] = [
  TunnelReason.MultusMissing,
  TunnelReason.NetworkMissing,
  TunnelReason.NetworkDenied,
];
/** Certificates are looked at this often. */
const RENEW_POLL_MS = 3_600_000;

/** Reconciles tunnels. */
export class TunnelReconciler implements Reconciler {
  readonly #options: TunnelReconcilerOptions;
  readonly #status: StatusWriter;
  /** The reasons of the gateway's own conditions that were last seen. */
  readonly #reported = new Map<string, string>();
  readonly #segment = new SegmentNews();

  constructor(options: TunnelReconcilerOptions) {
    this.#options = options;
    this.#status = new StatusWriter(options.api, VPN_TUNNEL);
  }

  async reconcile(key: string): Promise<WorkResult> {
    const { world } = this.#options;
    const tunnel = world.tunnels.get(key);
    if (tunnel === undefined) this.#forget(key);
    if (tunnel === undefined || tunnel.metadata.deletionTimestamp !== undefined) return {};
    const references = await findReferences(this.#options, tunnel, this.#options.access);
    const findings = references.ok
      ? await this.#keep(tunnel, references.found)
      : this.#found(tunnel, references.verdict);
    this.#tellReported(key, tunnel);
    this.#tellSegment(key, tunnel);
    await this.#say(tunnel, findings);
    if (!references.ok && NETWORK_REASONS.includes(references.verdict.reason)) {
      return { retryAfterMs: NETWORK_POLL_MS };
    }
    const waits = findings.credentials !== undefined && findings.credentials.status !== "True";
    const polls = namesSecrets(tunnel) || !references.ok || waits;
    return { retryAfterMs: polls ? REFERENCE_POLL_MS : RENEW_POLL_MS };
  }

  /** Writes what was found, and an event if that is news. */
  async #say(tunnel: Live<VpnTunnel>, findings: TunnelFindings): Promise<void> {
    const status = tunnelStatus(tunnel, findings, this.#options.clock.wallMs());
    if (await this.#status.write(tunnel, status)) this.#tell(tunnel, status);
  }

  #forget(key: string): void {
    this.#status.forget(key);
    this.#segment.forget(key);
    for (const type of REPORTED) this.#reported.delete(`${key} ${type}`);
  }

  /** What was found of what runs, as it is. */
  #found(tunnel: Live<VpnTunnel>, accepted: Verdict): TunnelFindings {
    return { accepted, ...this.#gateway(tunnel) };
  }

  async #keep(tunnel: Live<VpnTunnel>, references: References): Promise<TunnelFindings> {
    const { children, gateways, world } = this.#options;
    const { name, namespace = "" } = tunnel.metadata;
    const peers = world.peersOf({ namespace, name });
    const side = listeningSide(tunnel);
    const placed = side === undefined ? [] : this.#placed(tunnel, peers);
    const documents = gatewayDocuments({
      tunnel: tunnel as unknown as VpnTunnel,
      peers: placed,
      secrets: references.secrets,
      ...(references.uplinkSet === undefined
        ? {}
        : { uplinkSet: withInterfaces(references.uplinkSet, references.attachments) }),
    });
    const accepted = holds(
      TunnelCondition.Accepted,
      TunnelReason.Accepted,
      "The resource can be carried out.",
    );
    const { certificates, credentials, files } = await this.#credentials(
      tunnel,
      references,
      placed,
    );
    const peerCount = side === undefined ? {} : { peerCount: peers.length };
    if (files === undefined) return { ...this.#found(tunnel, accepted), credentials, ...peerCount };
    const desired = desiredChildren({
      tunnel: (side ?? tunnel) as unknown as VpnTunnel,
      gateways,
      isForPods: tunnel.spec.listen === undefined,
      attachments: references.attachments,
      files: {
        ...files,
        "documents.yaml": documents,
        [HEARTBEAT_KEY]: await this.#heartbeatKey(tunnel),
      },
      peers: side === undefined ? [] : peers.map(({ metadata }) => metadata.name),
    });
    const authority = `Secret ${namespace}/${authoritySecretName(name)}`;
    const attached = this.#attached(tunnel, references);
    const findings = (): TunnelFindings => ({
      ...this.#found(tunnel, accepted),
      credentials,
      ...(attached === undefined ? {} : { attached }),
      ...peerCount,
    });
    // That pods are made anew is said before the first one goes.
    if (attached?.reason === TunnelReason.Rolling) await this.#say(tunnel, findings());
    const owner = ownerReference(VPN_TUNNEL, tunnel);
    await children.keep(owner, desired, [authority, ...certificates]);
    return findings();
  }

  /** Whether the gateway's pods have the networks of their uplinks. */
  #attached(tunnel: Live<VpnTunnel>, { attachments }: References): Verdict | undefined {
    const { name, namespace = "" } = tunnel.metadata;
    const pods = this.#options.world.gatewayPodsOf({ namespace, name });
    return attachedVerdict({ attachments, pods, replicas: replicasOf(tunnel.spec) });
  }

  /** What the replicas' heartbeats are signed with: made once, and kept where it is used. */
  async #heartbeatKey(tunnel: Live<VpnTunnel>): Promise<string> {
    const { api, world } = this.#options;
    const { name, namespace = "" } = tunnel.metadata;
    const place = { namespace, name: gatewayName(name) };
    const known = secretTextOf(
      world.secrets.get(`${namespace}/${place.name}`) ?? (await fetchSecret(api, place)),
      HEARTBEAT_KEY,
    );
    return known ?? randomBytes(32).toString("hex");
  }

  async #credentials(
    tunnel: Live<VpnTunnel>,
    references: References,
    placed: readonly PlacedPeer[],
  ): Promise<IssuedGateway> {
    if (listeningSide(tunnel) === undefined) {
      const message = "The keys are those of the administrator's profile.";
      const { CredentialsReady } = TunnelCondition;
      return {
        files: {},
        certificates: [],
        credentials: holds(CredentialsReady, TunnelReason.ProfileFound, message),
      };
    }
    const { trustedPem } = references;
    const issued = await issuedGateway(this.#options, {
      tunnel,
      peers: placed.map(({ peer }) => peer),
      ...(trustedPem === undefined ? {} : { trustedPem }),
    });
    if (issued !== undefined) return issued;
    const keys = await this.#ensureKeys(tunnel, references);
    const files = {
      "authority.pem": keys.authority.certificatePem,
      "gateway.pem": `${keys.gateway.certificatePem}${keys.gateway.privateKeyPem}`,
      "control-wrap.key": keys.wrapKeyText,
      "tls-crypt-v2-server.key": keys.serverWrapKeyText,
    };
    const message = `Kept in the Secret ${authoritySecretName(tunnel.metadata.name)}.`;
    const { CredentialsReady } = TunnelCondition;
    const credentials = holds(CredentialsReady, TunnelReason.CredentialsMade, message);
    return { files, certificates: [], credentials };
  }

  async #ensureKeys(tunnel: Live<VpnTunnel>, references: References): Promise<TunnelCredentials> {
    const { api, clock, world } = this.#options;
    const { name, namespace = "" } = tunnel.metadata;
    const place = { namespace, name: authoritySecretName(name) };
    // A dialling tunnel follows its profile: an authority that it names is not its pods'.
    const ownAuthority = tunnel.spec.listen === undefined ? undefined : references.ownAuthority;
    const request = {
      tunnel: { namespace, name },
      owner: ownerReference(VPN_TUNNEL, tunnel),
      wallMs: clock.wallMs(),
      ...(ownAuthority === undefined ? {} : { ownAuthority }),
    };
    const known = await readCredentials(world.secrets.get(`${namespace}/${place.name}`), request);
    if (known !== undefined) return known;
    // The copy may be behind: nothing is made before the API server itself was asked.
    const secret = await fetchSecret(api, place);
    return (
      (await readCredentials(secret, request)) ?? (await makeCredentials(api, secret, request))
    );
  }

  /** Peers that can be let in: those that want an address have one. */
  #placed(tunnel: Live<VpnTunnel>, peers: readonly Live<VpnPeer>[]): readonly PlacedPeer[] {
    const { world } = this.#options;
    const hasPool = tunnel.spec.addresses?.pool !== undefined;
    return peers.flatMap((live) => {
      if (live.metadata.deletionTimestamp !== undefined) return [];
      const peer = live as unknown as VpnPeer;
      const claimed = claimedAddresses(world.claims, live);
      const wants = live.spec.addressing === "Assigned" && (hasPool || live.spec.address);
      if (wants && claimed.address === undefined) return [];
      return [{ peer, ...claimed }];
    });
  }

  #gateway(tunnel: Live<VpnTunnel>): Pick<TunnelFindings, "statefulSet"> {
    const { name, namespace } = tunnel.metadata;
    const { statefulSets } = this.#options.world;
    const statefulSet = statefulSets.get(`${namespace}/${gatewayName(name)}`);
    return statefulSet === undefined ? {} : { statefulSet };
  }

  /** The gateway's own conditions are not ours to write, but their changes are told as events too. */
  #tellReported(key: string, tunnel: Live<VpnTunnel>): void {
    for (const type of REPORTED) {
      const now = reportedOf(tunnel, type);
      const place = `${key} ${type}`;
      const former = this.#reported.get(place);
      if (now !== undefined) this.#reported.set(place, now.reason);
      // What was so before this program started is no news; that all is well again is.
      const isNews = former !== undefined && former !== now?.reason;
      if (now === undefined || !isNews) continue;
      this.#options.events.record(VPN_TUNNEL, tunnel, {
        type: now.status === "True" ? "Normal" : "Warning",
        reason: now.reason,
        action: "Report",
        note: now.message,
      });
    }
  }

  /** Moves, conflicts, loops and storms on the segment, as the gateway wrote them. */
  #tellSegment(key: string, tunnel: Live<VpnTunnel>): void {
    for (const { note, reason } of this.#segment.take(key, tunnel)) {
      const happening = { type: "Warning" as const, reason, action: "Report", note };
      this.#options.events.record(VPN_TUNNEL, tunnel, happening);
    }
  }

  /** An event for what changed: the cause and the next step are the condition's own words. */
  #tell(tunnel: Live<VpnTunnel>, status: TunnelStatus): void {
    const [ready] = status.conditions;
    const former = tunnel.status?.conditions?.find(({ type }) => type === TunnelCondition.Ready);
    if (ready === undefined || former?.reason === ready.reason) return;
    const type = ready.status === "False" && ready.reason !== TunnelReason.GatewayStarting;
    this.#options.events.record(VPN_TUNNEL, tunnel, {
      type: type ? "Warning" : "Normal",
      reason: ready.reason,
      action: "Reconcile",
      note: ready.message,
    });
  }
}

function namesSecrets(tunnel: Live<VpnTunnel>): boolean {
  const { dial, security } = tunnel.spec;
  const { caSecretRef, crlSecretRef, userPassSecretRef } = security;
  const named = [dial?.profileSecretRef, caSecretRef, crlSecretRef, userPassSecretRef];
  return named.some((reference) => reference !== undefined);
}
