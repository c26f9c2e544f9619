/**
 * A peer's keys, kept in its profile Secret. Invariant: what is kept stays until it is due, of
 * another authority, or for another peer of the same name.
 */
import { CertificateError, StaticKeyError } from "../../../authority/authority-error.ts";
import {
  isIssuedBy,
  issueCertificate,
  type KeyPair,
  readCertificate,
} from "../../../authority/certificate.ts";
import {
  generateClientWrapKey,
  parseClientWrapKey,
  parseServerWrapKey,
  printClientWrapKey,
  unwrapClientKey,
} from "../../../authority/tls-crypt-v2.ts";
import type { VpnPeer } from "../../../crds/types.ts";
import type { Live } from "../../world.ts";
import { type SecretObject, secretTextOf } from "../secret-data.ts";
import { pairOf, type TunnelCredentials, type WrapKeys } from "../vpn-tunnel/credentials.ts";

/** Keys inside the Secret. */
export const PROFILE_KEYS = {
  profile: "client.ovpn",
  certificate: "tls.crt",
  key: "tls.key",
  wrapKey: "tls-crypt-v2.key",
  /** Where an issuer signs: the authority of its certificate, and the certificates that are its own. */
  authority: "ca.crt",
  fingerprints: "fingerprints",
} as const;

/** A peer's own keys. */
export interface PeerKeys {
  readonly pair: KeyPair;
  /** Its tls-crypt-v2 key, as OpenVPN prints it. */
  readonly wrapKeyText: string;
}

const DAY_MS = 86_400_000;

/** The keys in a Secret, if they are still good. */
export async function readPeerKeys(
  secret: SecretObject | undefined,
  peer: Live<VpnPeer>,
  { tunnel, wallMs }: { readonly tunnel: TunnelCredentials; readonly wallMs: number },
): Promise<PeerKeys | undefined> {
  const text = (key: keyof typeof PROFILE_KEYS): string =>
    secretTextOf(secret, PROFILE_KEYS[key]) ?? "";
  if (!isOwnedBy(secret, peer)) return undefined;
  const pair = pairOf(text("certificate"), text("key"));
  const wrapKeyText = text("wrapKey");
  if (pair === undefined || !isWrapKeyOf(peer.metadata.name, wrapKeyText, tunnel)) return undefined;
  if (!(await isIssuedBy(pair.certificatePem, tunnel.authority.certificatePem))) return undefined;
  return wallMs >= renewalMs(pair, peer, tunnel) ? undefined : { pair, wrapKeyText };
}

/** Makes a peer's keys. */
export async function makePeerKeys(
  peer: Live<VpnPeer>,
  { tunnel, wallMs }: { readonly tunnel: TunnelCredentials; readonly wallMs: number },
): Promise<PeerKeys> {
  const { name, namespace = "" } = peer.metadata;
  const pair = await issueCertificate(tunnel.authority, {
    commonName: name,
    use: "client",
    organization: namespace,
    organizationalUnit: peer.spec.tunnel.name,
    lifetimeDays: peer.spec.certificate.lifetimeDays,
    wallMs,
  });
  return { pair, wrapKeyText: makeWrapKey(name, tunnel) };
}

/** The tls-crypt-v2 key in a peer's Secret, if it is still good; else a new one. */
export function keptWrapKey(
  secret: SecretObject | undefined,
  peer: Live<VpnPeer>,
  tunnel: WrapKeys,
): string {
  const text = isOwnedBy(secret, peer) ? (secretTextOf(secret, PROFILE_KEYS.wrapKey) ?? "") : "";
  const { name } = peer.metadata;
  return isWrapKeyOf(name, text, tunnel) ? text : makeWrapKey(name, tunnel);
}

/** Whether a Secret was made for this very peer, not for one of the same name before it. */
export function isOwnedBy(secret: SecretObject | undefined, peer: Live<VpnPeer>): boolean {
  return secret?.metadata.ownerReferences?.some(({ uid }) => uid === peer.metadata.uid) === true;
}

function makeWrapKey(peer: string, tunnel: WrapKeys): string {
  const serverKey = parseServerWrapKey(tunnel.serverWrapKeyText);
  return printClientWrapKey(generateClientWrapKey(serverKey, peer));
}

/** When a new certificate is due; never, when the authority ends as early. */
function renewalMs(pair: KeyPair, peer: Live<VpnPeer>, tunnel: TunnelCredentials): number {
  const { notAfterMs } = readCertificate(pair.certificatePem);
  const limitMs = readCertificate(tunnel.authority.certificatePem).notAfterMs;
  if (notAfterMs >= limitMs) return Number.POSITIVE_INFINITY;
  return notAfterMs - peer.spec.certificate.renewBeforeDays * DAY_MS;
}

function isWrapKeyOf(peer: string, text: string, tunnel: WrapKeys): boolean {
  try {
    const serverKey = parseServerWrapKey(tunnel.serverWrapKeyText);
    return unwrapClientKey(serverKey, parseClientWrapKey(text).wrapped)?.peer === peer;
  } catch (error) {
    if (error instanceof StaticKeyError || error instanceof CertificateError) return false;
    throw error;
  }
}
