/** The status of a peer from what a reconcile found. Pure. */
import { readCertificate } from "../../../authority/certificate.ts";
import type { VpnPeer } from "../../../crds/types.ts";
import {
  type Condition,
  holds,
  stampConditions,
  unknown,
  type Verdict,
} from "../../status/conditions.ts";
import type { Live } from "../../world.ts";
import { profileSecretName } from "../labels.ts";
import type { Claimed } from "./address-claim.ts";
import { PeerCondition, PeerReason } from "./conditions.ts";
import { PROFILE_KEYS } from "./credentials.ts";

/** What the operator writes of a peer's status. */
export interface PeerStatus {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  readonly address?: string;
  readonly address6?: string;
  readonly certificate?: { readonly fingerprint: string; readonly expires: string };
  readonly profileSecretRef?: { readonly name: string; readonly key: string };
}

/** What a reconcile found. */
export interface PeerFindings {
  readonly accepted: Verdict;
  readonly profile?: Verdict;
  readonly claimed?: Claimed;
  readonly certificatePem?: string;
}

/** The status. */
export function peerStatus(
  peer: Live<VpnPeer>,
  findings: PeerFindings,
  wallMs: number,
): PeerStatus {
  const generation = peer.metadata.generation ?? 0;
  const parts = [
    findings.accepted,
    findings.profile ??
      unknown(PeerCondition.ProfileReady, PeerReason.NotReached, "Not looked at yet."),
  ];
  const bad = parts.find(({ status }) => status !== "True");
  const message = `Hand out ${PROFILE_KEYS.profile} of the Secret ${profileSecretName(peer.metadata.name)}.`;
  const ready =
    bad === undefined
      ? holds(PeerCondition.Ready, PeerReason.ProfileMade, message)
      : { ...bad, type: PeerCondition.Ready };
  const now = { generation, wallMs };
  return {
    observedGeneration: generation,
    conditions: stampConditions([ready, ...parts], peer.status?.conditions, now),
    ...findings.claimed,
    ...certificateStatus(peer, findings),
  };
}

/** What the gateway reported last. */
export function isConnected(peer: Live<VpnPeer> | undefined): boolean {
  return (peer as VpnPeer | undefined)?.status?.connected === true;
}

function certificateStatus(
  peer: Live<VpnPeer>,
  { certificatePem, profile }: PeerFindings,
): Pick<PeerStatus, "certificate" | "profileSecretRef"> {
  if (certificatePem === undefined) return {};
  const { fingerprint, notAfterMs } = readCertificate(certificatePem);
  const expires = `${new Date(notAfterMs).toISOString().slice(0, 19)}Z`;
  const name = profileSecretName(peer.metadata.name);
  return {
    certificate: { fingerprint, expires },
    ...(profile?.status === "True"
      ? { profileSecretRef: { name, key: PROFILE_KEYS.profile } }
      : {}),
  };
}
