/**
 * The files of a gateway whose certificates an issuer signs. Invariant: a gateway that runs is never
 * left without keys: while the issuer is in trouble it goes on with those it has, and with the
 * newest word on who may connect.
 */
import { certificatesOf } from "../../../authority/certificate.ts";
import type { VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import type { Api } from "../../api/api-client.ts";
import { VPN_TUNNEL } from "../../api/object.ts";
import { ownerReference } from "../../apply/children.ts";
import type { Clock } from "../../clock.ts";
import { holds, type Verdict } from "../../status/conditions.ts";
import type { Live, World } from "../../world.ts";
import { IssuerReason } from "../issuer/conditions.ts";
import type { Issuing } from "../issuer/issuing.ts";
import { gatewayWish } from "../issuer/wishes.ts";
import {
  authoritySecretName,
  gatewayName,
  issuedSecretName,
  profileSecretName,
} from "../labels.ts";
import { type SecretObject, secretTextOf } from "../secret-data.ts";
import { PROFILE_KEYS } from "../vpn-peer/credentials.ts";
import { fingerprintsIn } from "../vpn-peer/fingerprints.ts";
import { TunnelCondition } from "./conditions.ts";
import { fetchSecret, makeWrapKeys, readWrapKeys, type WrapKeys } from "./credentials.ts";

/** What came of it. */
export interface IssuedGateway {
  /** Absent: there is nothing that a gateway could run with yet. */
  readonly files?: Readonly<Record<string, string>>;
  /** Children that are kept already. */
  readonly certificates: readonly string[];
  readonly credentials: Verdict;
}

/** What it works with. */
export interface IssuedGatewayContext {
  readonly api: Pick<Api, "call">;
  readonly clock: Clock;
  readonly issuing: Issuing;
  readonly world: Pick<World, "secrets">;
}

/** The tunnel, and whom it lets in. */
export interface IssuedGatewayInput {
  readonly tunnel: Live<VpnTunnel>;
  readonly peers: readonly VpnPeer[];
  readonly trustedPem?: string;
}

/** Which certificates are whose, as the gateway reads it. */
const FINGERPRINTS_FILE = "peer-fingerprints.json";
const AUTHORITY_FILE = "authority.pem";
/** What a gateway cannot do without. */
const FILES = [AUTHORITY_FILE, "gateway.pem", "control-wrap.key", "tls-crypt-v2-server.key"];

/** Has the gateway's certificate issued; undefined: the tunnel names no issuer. */
export async function issuedGateway(
  context: IssuedGatewayContext,
  input: IssuedGatewayInput,
): Promise<IssuedGateway | undefined> {
  const wish = gatewayWish(input.tunnel, input.trustedPem);
  if (wish === undefined) return undefined;
  const { certificates, issued, trouble } = await context.issuing.obtain(wish);
  const type = TunnelCondition.CredentialsReady;
  const { kind, name } = wish.issuer;
  const made = `Issued by the ${kind} ${name}; in the Secret ${issuedSecretName(wish.name)}.`;
  const credentials =
    trouble === undefined
      ? holds(type, IssuerReason.CertificateIssued, made)
      : { type, ...trouble };
  if (issued === undefined) {
    const files = await formerFiles(context, input);
    return { certificates, credentials, ...(files === undefined ? {} : { files }) };
  }
  const wrapKeys = await wrapKeysOf(context, input.tunnel);
  const peers = peersOf(context.world, input);
  const authorities = [issued.authorityPem, ...peers.map(({ authorityPem }) => authorityPem)];
  const { certificatePem, privateKeyPem } = issued.pair;
  const files = {
    [AUTHORITY_FILE]: certificatesOf(authorities.join("\n")).join(""),
    "gateway.pem": `${certificatePem.trimEnd()}\n${privateKeyPem}`,
    "control-wrap.key": wrapKeys.wrapKeyText,
    "tls-crypt-v2-server.key": wrapKeys.serverWrapKeyText,
    [FINGERPRINTS_FILE]: fingerprintsText(peers),
  };
  return { certificates, credentials, files };
}

interface PeerFacts {
  readonly name: string;
  readonly authorityPem: string;
  readonly fingerprints: readonly string[];
}

/** By the peers' profile Secrets, which are there before a profile can be handed out. */
function peersOf(world: Pick<World, "secrets">, { peers }: IssuedGatewayInput): PeerFacts[] {
  return peers.map(({ metadata: { name, namespace } }) => {
    const secret = world.secrets.get(`${namespace}/${profileSecretName(name)}`);
    const text = (key: keyof typeof PROFILE_KEYS): string =>
      secretTextOf(secret, PROFILE_KEYS[key]) ?? "";
    const fingerprints = fingerprintsIn(text("fingerprints"));
    return { name, authorityPem: text("authority"), fingerprints };
  });
}

function fingerprintsText(peers: readonly PeerFacts[]): string {
  const entries = peers.map(({ fingerprints, name }) => [name, fingerprints] as const);
  const sorted = entries.sort(([one], [other]) => (one < other ? -1 : 1));
  return `${JSON.stringify(Object.fromEntries(sorted), undefined, 1)}\n`;
}

async function formerFiles(
  { api, world }: IssuedGatewayContext,
  input: IssuedGatewayInput,
): Promise<Readonly<Record<string, string>> | undefined> {
  const { name, namespace = "" } = input.tunnel.metadata;
  const place = { namespace, name: gatewayName(name) };
  const secret: SecretObject | undefined =
    world.secrets.get(`${namespace}/${place.name}`) ?? (await fetchSecret(api, place));
  const files: Record<string, string> = {};
  for (const file of FILES) {
    const text = secretTextOf(secret, file);
    if (text === undefined) return undefined;
    files[file] = text;
  }
  const isPinned = secretTextOf(secret, FINGERPRINTS_FILE) !== undefined;
  if (isPinned) files[FINGERPRINTS_FILE] = fingerprintsText(peersOf(world, input));
  return files;
}

async function wrapKeysOf(
  { api, clock, world }: IssuedGatewayContext,
  tunnel: Live<VpnTunnel>,
): Promise<WrapKeys> {
  const { name, namespace = "" } = tunnel.metadata;
  const place = { namespace, name: authoritySecretName(name) };
  const known = readWrapKeys(world.secrets.get(`${namespace}/${place.name}`));
  if (known !== undefined) return known;
  // The copy may be behind: nothing is made before the API server itself was asked.
  const secret = await fetchSecret(api, place);
  const request = {
    tunnel: { namespace, name },
    owner: ownerReference(VPN_TUNNEL, tunnel),
    wallMs: clock.wallMs(),
  };
  return readWrapKeys(secret) ?? (await makeWrapKeys(api, secret, request));
}
