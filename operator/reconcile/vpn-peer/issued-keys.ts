/** A peer's keys where an issuer signs: its certificate, and what beside it goes into its Secret. */
import { certificatesOf } from "../../../authority/certificate.ts";
import type { VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import type { Api } from "../../api/api-client.ts";
import type { Clock } from "../../clock.ts";
import type { Live, World } from "../../world.ts";
import type { CertificateWish } from "../issuer/certificate.ts";
import type { Trouble } from "../issuer/conditions.ts";
import { readIssued } from "../issuer/issued.ts";
import type { Issuing } from "../issuer/issuing.ts";
import { gatewayWish, peerWish } from "../issuer/wishes.ts";
import { authoritySecretName, issuedSecretName, profileSecretName } from "../labels.ts";
import { secretTextOf } from "../secret-data.ts";
import { fetchSecret, readWrapKeys, type WrapKeys } from "../vpn-tunnel/credentials.ts";
import { readTrusted } from "../vpn-tunnel/references.ts";
import { isOwnedBy, keptWrapKey, type PeerKeys, PROFILE_KEYS } from "./credentials.ts";
import { withCertificate } from "./fingerprints.ts";

/** What a profile is made from. */
export interface PeerMaterial {
  readonly keys: PeerKeys;
  /** Whom the peer is to believe. */
  readonly authorityPem: string;
  readonly wrapKeyText: string;
  /** Children that are kept already. */
  readonly certificates: readonly string[];
  /** What the gateway reads of it. */
  readonly issued?: { readonly authorityPem: string; readonly fingerprints: string };
}

/** What it works with. */
export interface IssuedKeysContext {
  readonly api: Pick<Api, "call">;
  readonly clock: Clock;
  readonly issuing: Issuing;
  readonly world: Pick<World, "secrets">;
}

/** What came of it: neither means that the tunnel has no keys yet. */
export interface IssuedKeys {
  readonly material?: PeerMaterial;
  /** Also beside `material`: the next certificate is in trouble. */
  readonly trouble?: Trouble;
}

/** Has the peer's certificate issued. */
export async function issuedKeys(
  context: IssuedKeysContext,
  peer: Live<VpnPeer>,
  tunnel: Live<VpnTunnel>,
): Promise<IssuedKeys> {
  const { api, clock, issuing, world } = context;
  const trusted = await readTrusted(api, tunnel);
  if (typeof trusted === "object") return {};
  const wish = gatewayWish(tunnel, trusted);
  if (wish === undefined) return {};
  const { certificates, issued, trouble } = await issuing.obtain(peerWish(wish, peer));
  const wrong = trouble === undefined ? {} : { trouble };
  const tunnelKeys = tunnelKeysOf(world, wish, clock.wallMs());
  if (issued === undefined || tunnelKeys === undefined) return wrong;
  const { namespace = "" } = peer.metadata;
  const place = { namespace, name: profileSecretName(peer.metadata.name) };
  const kept = world.secrets.get(`${namespace}/${place.name}`) ?? (await fetchSecret(api, place));
  const former = isOwnedBy(kept, peer) ? secretTextOf(kept, PROFILE_KEYS.fingerprints) : undefined;
  const { pair } = issued;
  const material = {
    keys: { pair, wrapKeyText: keptWrapKey(kept, peer, tunnelKeys) },
    authorityPem: certificatesOf(`${tunnelKeys.authorityPem}${issued.authorityPem}`).join(""),
    wrapKeyText: tunnelKeys.wrapKeyText,
    certificates,
    issued: {
      authorityPem: issued.authorityPem,
      fingerprints: withCertificate(former, pair.certificatePem, clock.wallMs()),
    },
  };
  return { material, ...wrong };
}

interface TunnelKeys extends WrapKeys {
  readonly authorityPem: string;
}

/** What the tunnel's own reconcile has made. */
function tunnelKeysOf(
  world: Pick<World, "secrets">,
  gateway: CertificateWish,
  wallMs: number,
): TunnelKeys | undefined {
  const { name, namespace, tunnel } = gateway;
  const wrapKeys = readWrapKeys(world.secrets.get(`${namespace}/${authoritySecretName(tunnel)}`));
  const secret = world.secrets.get(`${namespace}/${issuedSecretName(name)}`);
  const { issued } = readIssued(secret, gateway, wallMs);
  if (wrapKeys === undefined || issued === undefined) return undefined;
  return { ...wrapKeys, authorityPem: issued.authorityPem };
}
