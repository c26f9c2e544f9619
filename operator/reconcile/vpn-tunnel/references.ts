/**
 * What a tunnel names and does not own: the administrator's profile, authority and revocation list,
 * and its UplinkSet. Either all of it is there, or the first thing that is not, with the next step.
 */
import { CertificateError } from "../../../authority/authority-error.ts";
import {
  canIssue,
  certificatesOf,
  isIssuedBy,
  type KeyPair,
  readCertificate,
} from "../../../authority/certificate.ts";
import type { UplinkSet, VpnTunnel } from "../../../crds/types.ts";
import { unsupportedFields } from "../../../crds/unsupported.ts";
import type { Api } from "../../api/api-client.ts";
import { fails, type Verdict } from "../../status/conditions.ts";
import type { Live, World } from "../../world.ts";
import { secretTextOf } from "../secret-data.ts";
import { TunnelCondition, TunnelReason } from "./conditions.ts";
import { fetchSecret, pairOf } from "./credentials.ts";
import type { NamedSecret } from "./gateway-documents.ts";
import { podsProblem } from "./listening-side.ts";
import { type NetworkAccess, networkProblem } from "./network-lookup.ts";
import { type Attachment, attachmentsOf } from "./networks.ts";

/** Everything that was named. */
export interface References {
  readonly secrets: readonly NamedSecret[];
  readonly ownAuthority?: KeyPair;
  /** Certificates of the authority that is named beside an issuer. */
  readonly trustedPem?: string;
  readonly uplinkSet?: UplinkSet;
  /** Networks that the set's uplinks name. */
  readonly attachments: readonly Attachment[];
}

/** What was found, or what is wrong. */
export type FoundReferences =
  | { readonly ok: true; readonly found: References }
  | { readonly ok: false; readonly verdict: Verdict };

/** Namespaces whose users may reach the node: the chart's value, empty by default. */
export interface HostAccess {
  readonly namespaces: readonly string[];
}

/** What the cluster's administrator lets tunnels have. */
export interface Access {
  readonly host: HostAccess;
  readonly networks: NetworkAccess;
}

/** Reads all that the tunnel names. */
export async function findReferences(
  context: { readonly api: Pick<Api, "call">; readonly world: Pick<World, "uplinkSets"> },
  tunnel: Live<VpnTunnel>,
  access: Access,
): Promise<FoundReferences> {
  const uplinkSet = uplinkSetOf(context.world, tunnel);
  const attachments = attachmentsOf(uplinkSet);
  const refused =
    unsupportedProblem(tunnel) ??
    selectorProblem(tunnel) ??
    hostProblem(tunnel, access.host) ??
    uplinkProblem(context.world, tunnel) ??
    (await networkProblem(context.api, {
      namespace: tunnel.metadata.namespace ?? "",
      set: uplinkSet?.metadata.name ?? "",
      isOnNode: tunnel.spec.gateway?.network === "Host",
      attachments,
      access: access.networks,
    }));
  if (refused !== undefined) return { ok: false, verdict: refused };
  const secrets: NamedSecret[] = [];
  for (const wanted of wantedTexts(tunnel)) {
    const text = await readText(context.api, tunnel, wanted);
    if (typeof text !== "string") return { ok: false, verdict: text };
    const known = secrets.findIndex(({ name }) => name === wanted.name);
    const texts = { ...secrets[known]?.texts, [wanted.key]: text };
    secrets.splice(known < 0 ? secrets.length : known, 1, { name: wanted.name, texts });
  }
  const ownAuthority = await readAuthority(context.api, tunnel);
  if (ownAuthority !== undefined && "reason" in ownAuthority) {
    return { ok: false, verdict: ownAuthority };
  }
  const trustedPem = await readTrusted(context.api, tunnel);
  if (typeof trustedPem === "object") return { ok: false, verdict: trustedPem };
  return {
    ok: true,
    found: {
      secrets,
      attachments,
      ...(ownAuthority === undefined ? {} : { ownAuthority }),
      ...(trustedPem === undefined ? {} : { trustedPem }),
      ...(uplinkSet === undefined ? {} : { uplinkSet }),
    },
  };
}

interface WantedText {
  readonly field: string;
  readonly name: string;
  readonly key: string;
  readonly reason: string;
}

function wantedTexts(tunnel: Live<VpnTunnel>): readonly WantedText[] {
  const { dial, security } = tunnel.spec;
  const wanted: WantedText[] = [];
  if (dial !== undefined) {
    const field = "spec.dial.profileSecretRef";
    wanted.push({ field, ...dial.profileSecretRef, reason: TunnelReason.ProfileMissing });
  }
  if (security.crlSecretRef !== undefined) {
    const field = "spec.security.crlSecretRef";
    wanted.push({ field, ...security.crlSecretRef, reason: TunnelReason.RevocationListMissing });
  }
  const users = security.userPassSecretRef;
  if (users !== undefined) {
    const field = "spec.security.userPassSecretRef";
    const keys = dial === undefined ? ["users"] : ["username", "password"];
    const reason = TunnelReason.LoginMissing;
    for (const key of keys) wanted.push({ field, name: users.name, key, reason });
  }
  return wanted;
}

async function readText(
  api: Pick<Api, "call">,
  tunnel: Live<VpnTunnel>,
  wanted: WantedText,
): Promise<string | Verdict> {
  const { namespace = "" } = tunnel.metadata;
  const { field, key, name, reason } = wanted;
  const secret = await fetchSecret(api, { namespace, name });
  const text = secretTextOf(secret, key);
  if (text !== undefined) return text;
  const step = `kubectl -n ${namespace} create secret generic ${name} --from-file=${key}`;
  const problem =
    secret === undefined
      ? `${field}: there is no Secret ${name} in the namespace ${namespace}: create it with ${step}`
      : `${field}: the Secret ${name} has no key ${key}: add it, or name another key`;
  return fails(TunnelCondition.Accepted, reason, problem);
}

/** The administrator's own authority; undefined when none is named, a verdict when it is no good. */
export async function readAuthority(
  api: Pick<Api, "call">,
  tunnel: Live<VpnTunnel>,
): Promise<KeyPair | Verdict | undefined> {
  const { caSecretRef: reference, issuerRef } = tunnel.spec.security;
  if (reference === undefined || issuerRef !== undefined) return undefined;
  const { namespace = "" } = tunnel.metadata;
  const field = "spec.security.caSecretRef";
  const secret = await fetchSecret(api, { namespace, name: reference.name });
  const [certificate, key] = [secretTextOf(secret, "tls.crt"), secretTextOf(secret, "tls.key")];
  if (certificate === undefined || key === undefined) {
    const problem = `${field}: the Secret ${namespace}/${reference.name} with tls.crt and tls.key is not there: create it, or remove the field to have an authority made`;
    return fails(TunnelCondition.Accepted, TunnelReason.AuthorityMissing, problem);
  }
  const pair = pairOf(certificate, key);
  if (pair === undefined || !isAuthority(pair.certificatePem)) {
    const problem = `${field}: tls.crt of ${reference.name} is not the certificate of an authority (CA:TRUE) that tls.key belongs to: take both from the same authority`;
    return fails(TunnelCondition.Accepted, TunnelReason.AuthorityInvalid, problem);
  }
  if (!canIssue(pair)) {
    const problem = `${field}: tls.key of ${reference.name} is not a P-256 key, and certificates of peers are signed with no other: make the authority anew with one (in a cert-manager Certificate, privateKey: algorithm ECDSA and size 256)`;
    return fails(TunnelCondition.Accepted, TunnelReason.AuthorityInvalid, problem);
  }
  return await withChain(pair, secretTextOf(secret, "ca.crt"));
}

/**
 * The authority that is named beside an issuer, for one that does not give it: only its certificate is
 * read, never a key.
 */
export async function readTrusted(
  api: Pick<Api, "call">,
  tunnel: Live<VpnTunnel>,
): Promise<string | Verdict | undefined> {
  const { caSecretRef: reference, issuerRef } = tunnel.spec.security;
  if (reference === undefined || issuerRef === undefined) return undefined;
  const { namespace = "" } = tunnel.metadata;
  const field = "spec.security.caSecretRef";
  const secret = await fetchSecret(api, { namespace, name: reference.name });
  const text = secretTextOf(secret, "ca.crt") ?? secretTextOf(secret, "tls.crt");
  if (text === undefined) {
    const problem = `${field}: the Secret ${namespace}/${reference.name} with the authority's certificate as ca.crt is not there: kubectl -n ${namespace} create secret generic ${reference.name} --from-file=ca.crt, or remove the field to believe what the issuer gives`;
    return fails(TunnelCondition.Accepted, TunnelReason.AuthorityMissing, problem);
  }
  const certificates = certificatesOf(text);
  if (certificates.length > 0 && certificates.every(isAuthority)) return certificates.join("");
  const problem = `${field}: ca.crt of ${reference.name} is not the certificate of an authority (CA:TRUE): take the issuer's root`;
  return fails(TunnelCondition.Accepted, TunnelReason.AuthorityInvalid, problem);
}

/** Peers believe an authority that another one stands for only with that one's certificate beside it. */
async function withChain(pair: KeyPair, root: string | undefined): Promise<KeyPair> {
  const { certificatePem, privateKeyPem } = pair;
  const isSelfSigned = await isIssuedBy(certificatePem, certificatePem);
  const isKnown = root === undefined || certificatePem.includes(root.trim());
  if (isSelfSigned || isKnown) return pair;
  return { certificatePem: `${certificatePem.trimEnd()}\n${root.trim()}\n`, privateKeyPem };
}

function isAuthority(certificatePem: string): boolean {
  try {
    return readCertificate(certificatePem).isAuthority;
  } catch (error) {
    if (error instanceof CertificateError) return false;
    throw error;
  }
}

/** What no gateway could start: it would refuse it, and be started again and again. */
function unsupportedProblem(tunnel: Live<VpnTunnel>): Verdict | undefined {
  const refused = unsupportedFields(tunnel as unknown as VpnTunnel);
  if (refused.length === 0) return undefined;
  const problem = refused.map(({ field, reason }) => `${field}: ${reason}`).join("; ");
  return fails(TunnelCondition.Accepted, TunnelReason.Unsupported, problem);
}

function uplinkSetOf(
  world: Pick<World, "uplinkSets">,
  tunnel: Live<VpnTunnel>,
): UplinkSet | undefined {
  const name = tunnel.spec.uplinks?.name;
  if (name === undefined) return undefined;
  return world.uplinkSets.get(`${tunnel.metadata.namespace}/${name}`) as UplinkSet | undefined;
}

/** What keeps a dialling tunnel from taking the pods that it selects. */
function selectorProblem({ spec }: Live<VpnTunnel>): Verdict | undefined {
  const problem = podsProblem(spec);
  if (problem === undefined) return undefined;
  return fails(TunnelCondition.Accepted, TunnelReason.Unsupported, problem);
}

function uplinkProblem(
  world: Pick<World, "uplinkSets">,
  tunnel: Live<VpnTunnel>,
): Verdict | undefined {
  const name = tunnel.spec.uplinks?.name;
  const { namespace } = tunnel.metadata;
  if (name === undefined || uplinkSetOf(world, tunnel) !== undefined) return undefined;
  const problem = `spec.uplinks: there is no UplinkSet ${namespace}/${name}: create it, or remove the field to use the default route`;
  return fails(TunnelCondition.Accepted, TunnelReason.UplinkSetMissing, problem);
}

/** A namespace's user must not reach the node by way of a tunnel unless the administrator said so. */
function hostProblem(tunnel: Live<VpnTunnel>, hostAccess: HostAccess): Verdict | undefined {
  const { gateway } = tunnel.spec;
  const { namespace = "" } = tunnel.metadata;
  const asked = [
    ...(gateway?.network === "Host" ? ["network: Host"] : []),
    ...(gateway?.bridge === undefined ? [] : ["bridge"]),
    ...(gateway?.nodeSelector === undefined ? [] : ["nodeSelector"]),
  ];
  if (asked.length === 0 || hostAccess.namespaces.includes(namespace)) return undefined;
  const problem = `spec.gateway: ${asked.join(", ")} reaches the node, which the namespace ${namespace} may not: ask the cluster's administrator to add it to the chart's value hostAccess.namespaces`;
  return fails(TunnelCondition.Accepted, TunnelReason.HostAccessDenied, problem);
}
