/**
 * The keys of a listening tunnel: an authority, the gateway's certificate and the keys that wrap the
 * control channel, in one Secret that only the operator reads. Invariant: what is kept is never
 * made anew while it is good; two operators that make it at the same moment end with one.
 */
import { CertificateError } from "../../../authority/authority-error.ts";
import {
  createAuthority,
  isIssuedBy,
  isPair,
  issueCertificate,
  type KeyPair,
  readCertificate,
} from "../../../authority/certificate.ts";
import { generateStaticKey, printStaticKey } from "../../../authority/static-key.ts";
import { generateServerWrapKey, printServerWrapKey } from "../../../authority/tls-crypt-v2.ts";
import type { Api } from "../../api/api-client.ts";
import { hasStatus } from "../../api/api-error.ts";
import { type DesiredObject, type OwnerReference, pathOf, SECRET } from "../../api/object.ts";
import { FIELD_OWNER } from "../../apply/apply.ts";
import { authoritySecretName, tunnelLabels } from "../labels.ts";
import { type SecretObject, secretDataOf, secretTextOf } from "../secret-data.ts";

/** Common name of every gateway's certificate, as outside Kubernetes. */
export const GATEWAY_COMMON_NAME = "gateway";

/** Keys inside the Secret. */
const AUTHORITY_KEYS = {
  authorityCertificate: "ca.crt",
  authorityKey: "ca.key",
  gatewayCertificate: "tls.crt",
  gatewayKey: "tls.key",
  wrapKey: "control-wrap.key",
  serverWrapKey: "tls-crypt-v2-server.key",
} as const;

/** What wraps the control channel. */
export interface WrapKeys {
  readonly wrapKeyText: string;
  readonly serverWrapKeyText: string;
}

/** What a listening tunnel needs. */
export interface TunnelCredentials extends WrapKeys {
  readonly authority: KeyPair;
  readonly gateway: KeyPair;
}

/** Whose keys, and when. */
export interface CredentialsRequest {
  readonly tunnel: { readonly namespace: string; readonly name: string };
  readonly owner: OwnerReference;
  /** The administrator's own authority, if one is named. */
  readonly ownAuthority?: KeyPair;
  readonly wallMs: number;
}

const DAY_MS = 86_400_000;
const AUTHORITY_LIFETIME_DAYS = 3650;
const GATEWAY_LIFETIME_DAYS = 825;
const GATEWAY_RENEW_BEFORE_DAYS = 90;

/** Reads the keys from a Secret; undefined when any is missing or no good any more. */
export async function readCredentials(
  secret: SecretObject | undefined,
  request: Pick<CredentialsRequest, "ownAuthority" | "wallMs">,
): Promise<TunnelCredentials | undefined> {
  const text = (key: keyof typeof AUTHORITY_KEYS): string =>
    secretTextOf(secret, AUTHORITY_KEYS[key]) ?? "";
  const kept = pairOf(text("authorityCertificate"), text("authorityKey"));
  const authority = request.ownAuthority ?? kept;
  const gateway = pairOf(text("gatewayCertificate"), text("gatewayKey"));
  const wrapKeys = readWrapKeys(secret);
  if (authority === undefined || gateway === undefined || wrapKeys === undefined) return undefined;
  if (!(await isFresh(gateway, authority, request.wallMs))) return undefined;
  return { authority, gateway, ...wrapKeys };
}

/** The keys of the control channel alone: of a tunnel whose certificates an issuer signs. */
export function readWrapKeys(secret: SecretObject | undefined): WrapKeys | undefined {
  const wrapKeyText = secretTextOf(secret, AUTHORITY_KEYS.wrapKey);
  const serverWrapKeyText = secretTextOf(secret, AUTHORITY_KEYS.serverWrapKey);
  if (!wrapKeyText || !serverWrapKeyText) return undefined;
  return { wrapKeyText, serverWrapKeyText };
}

/** Makes them where they are missing; an authority of before stays, for when it is wanted again. */
export async function makeWrapKeys(
  api: Pick<Api, "call">,
  secret: SecretObject | undefined,
  request: CredentialsRequest,
): Promise<WrapKeys> {
  const made = readWrapKeys(secret) ?? {
    wrapKeyText: printStaticKey(generateStaticKey()),
    serverWrapKeyText: printServerWrapKey(generateServerWrapKey()),
  };
  const former = Object.keys(secret?.data ?? {}).map((key) => [key, secretTextOf(secret, key)]);
  await store(api, secret, {
    request,
    texts: {
      ...(Object.fromEntries(former) as Record<string, string>),
      [AUTHORITY_KEYS.wrapKey]: made.wrapKeyText,
      [AUTHORITY_KEYS.serverWrapKey]: made.serverWrapKeyText,
    },
  });
  return made;
}

/** Makes what is missing and stores it; what was good in `secret` stays. */
export async function makeCredentials(
  api: Pick<Api, "call">,
  secret: SecretObject | undefined,
  request: CredentialsRequest,
): Promise<TunnelCredentials> {
  const kept = (key: keyof typeof AUTHORITY_KEYS): string | undefined =>
    secretTextOf(secret, AUTHORITY_KEYS[key]);
  const authority =
    request.ownAuthority ??
    pairOf(kept("authorityCertificate") ?? "", kept("authorityKey") ?? "") ??
    (await newAuthority(request));
  const { namespace, name } = request.tunnel;
  const gateway = await issueCertificate(authority, {
    commonName: GATEWAY_COMMON_NAME,
    use: "server",
    organization: namespace,
    organizationalUnit: name,
    lifetimeDays: GATEWAY_LIFETIME_DAYS,
    wallMs: request.wallMs,
  });
  const wrapKeyText = kept("wrapKey") ?? printStaticKey(generateStaticKey());
  const serverWrapKeyText = kept("serverWrapKey") ?? printServerWrapKey(generateServerWrapKey());
  const own = request.ownAuthority === undefined;
  await store(api, secret, {
    request,
    texts: {
      [AUTHORITY_KEYS.authorityCertificate]: authority.certificatePem,
      [AUTHORITY_KEYS.authorityKey]: own ? authority.privateKeyPem : undefined,
      [AUTHORITY_KEYS.gatewayCertificate]: gateway.certificatePem,
      [AUTHORITY_KEYS.gatewayKey]: gateway.privateKeyPem,
      [AUTHORITY_KEYS.wrapKey]: wrapKeyText,
      [AUTHORITY_KEYS.serverWrapKey]: serverWrapKeyText,
    },
  });
  return { authority, gateway, wrapKeyText, serverWrapKeyText };
}

/** Reads the Secret itself, past the operator's copy, before anything is made. */
export async function fetchSecret(
  api: Pick<Api, "call">,
  place: { readonly namespace: string; readonly name: string },
): Promise<SecretObject | undefined> {
  try {
    return await api.call<SecretObject>({ method: "GET", path: pathOf(SECRET, place) });
  } catch (error) {
    if (hasStatus(error, 404)) return undefined;
    throw error;
  }
}

/** The pair of two PEM texts, if they are one. */
export function pairOf(certificatePem: string, privateKeyPem: string): KeyPair | undefined {
  const pair = { certificatePem, privateKeyPem };
  try {
    return isPair(pair) ? pair : undefined;
  } catch (error) {
    if (error instanceof CertificateError) return undefined;
    throw error;
  }
}

async function isFresh(gateway: KeyPair, authority: KeyPair, wallMs: number): Promise<boolean> {
  if (!(await isIssuedBy(gateway.certificatePem, authority.certificatePem))) return false;
  const { notAfterMs } = readCertificate(gateway.certificatePem);
  const isDue = wallMs >= notAfterMs - GATEWAY_RENEW_BEFORE_DAYS * DAY_MS;
  return !isDue || notAfterMs >= readCertificate(authority.certificatePem).notAfterMs;
}

async function newAuthority(request: CredentialsRequest): Promise<KeyPair> {
  const { namespace, name } = request.tunnel;
  const commonName = `Fairlead ${namespace}/${name}`.slice(0, 64);
  const lifetimeDays = AUTHORITY_LIFETIME_DAYS;
  return await createAuthority({ commonName, lifetimeDays, wallMs: request.wallMs });
}

interface Made {
  readonly request: CredentialsRequest;
  readonly texts: Readonly<Record<string, string | undefined>>;
}

/** Create or replace at the version that was read: of two operators the second gets a 409. */
async function store(
  api: Pick<Api, "call">,
  secret: SecretObject | undefined,
  { request, texts }: Made,
): Promise<void> {
  const { namespace, name } = request.tunnel;
  const place = { namespace, name: authoritySecretName(name) };
  const body: DesiredObject & { readonly data: unknown } = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      ...place,
      labels: tunnelLabels(name),
      ownerReferences: [request.owner],
      ...(secret?.metadata.resourceVersion === undefined
        ? {}
        : { resourceVersion: secret.metadata.resourceVersion }),
    },
    data: secretDataOf(texts),
  };
  const query = { fieldManager: FIELD_OWNER };
  if (secret === undefined) {
    await api.call({ method: "POST", path: pathOf(SECRET, { namespace }), query, body });
  } else {
    await api.call({ method: "PUT", path: pathOf(SECRET, place), query, body });
  }
}
