/**
 * The certificate of the webhook server, in one Secret that all replicas share. Invariants: whoever
 * writes writes at the version that was read, so two replicas end with one certificate; an authority
 * is announced (it is in the bundle) long before a certificate of it is used, and stays announced as
 * long as it is valid, so no request fails while keys change.
 */
import { X509Certificate } from "node:crypto";
import { CertificateError } from "../../authority/authority-error.ts";
import {
  createAuthority,
  isIssuedBy,
  isPair,
  issueCertificate,
  type KeyPair,
  readCertificate,
} from "../../authority/certificate.ts";
import type { Api } from "../api/api-client.ts";
import { hasStatus } from "../api/api-error.ts";
import { pathOf, SECRET } from "../api/object.ts";
import { FIELD_OWNER } from "../apply/apply.ts";
import { type SecretObject, secretDataOf, secretTextOf } from "../reconcile/secret-data.ts";

/** Everything a server needs, and what clients believe. */
export interface WebhookKeys {
  readonly server: KeyPair;
  /** One or more authorities, the newest first. */
  readonly bundlePem: string;
}

/** Texts of the Secret by key. */
export type KeyTexts = Readonly<Record<"ca.crt" | "ca.key" | "tls.crt" | "tls.key", string>>;

const DAY_MS = 86_400_000;
const AUTHORITY_LIFETIME_DAYS = 730;
const AUTHORITY_RENEW_BEFORE_DAYS = 180;
const SERVER_LIFETIME_DAYS = 90;
const SERVER_RENEW_BEFORE_DAYS = 30;
const COMMON_NAME = "fairlead-webhook";

/** When, and under which names the server is called. */
export interface KeysRequest {
  readonly wallMs: number;
  readonly hosts: readonly string[];
}

/** The keys in a Secret; undefined when any is missing, or they do not belong together. */
export async function readWebhookKeys(
  secret: SecretObject | undefined,
): Promise<WebhookKeys | undefined> {
  const texts = textsOf(secret);
  return (await isWhole(texts)) ? keysOf(texts) : undefined;
}

/** Makes what is missing or due, and stores it; returns whether anything was written. */
export async function renewWebhookKeys(
  api: Pick<Api, "call">,
  place: { readonly namespace: string; readonly name: string },
  { secret, request }: { readonly secret: SecretObject | undefined; readonly request: KeysRequest },
): Promise<boolean> {
  const texts = await renewedTexts(textsOf(secret), request);
  if (texts === undefined) return false;
  const body = {
    ...(secret ?? { metadata: { ...place } }),
    apiVersion: SECRET.apiVersion,
    kind: "Secret",
    data: secretDataOf(texts),
  };
  const query = { fieldManager: FIELD_OWNER };
  const { namespace } = place;
  try {
    if (secret === undefined) {
      await api.call({ method: "POST", path: pathOf(SECRET, { namespace }), query, body });
    } else await api.call({ method: "PUT", path: pathOf(SECRET, place), query, body });
    return true;
  } catch (error) {
    // Another replica was first: what it wrote comes by the watch.
    if (hasStatus(error, 409)) return false;
    throw error;
  }
}

/** The texts as they should be now; undefined when they are. */
export async function renewedTexts(
  texts: KeyTexts,
  { hosts, wallMs }: KeysRequest,
): Promise<KeyTexts | undefined> {
  const isUsable = (await isWhole(texts)) && endOf(authorities(texts)[0]) > wallMs;
  const former = isUsable ? texts : undefined;
  const authority = former === undefined ? undefined : newestAuthority(former);
  const isAuthorityDue =
    authority === undefined ||
    wallMs >= endOf(authority.certificatePem) - AUTHORITY_RENEW_BEFORE_DAYS * DAY_MS;
  const isServerDue = former === undefined || !isServing(former["tls.crt"], { hosts, wallMs });
  if (!isAuthorityDue && !isServerDue) return undefined;
  const signing = isAuthorityDue
    ? await createAuthority({
        commonName: "Fairlead webhook",
        lifetimeDays: AUTHORITY_LIFETIME_DAYS,
        wallMs,
      })
    : authority;
  const kept = former === undefined ? [] : authorities(former);
  const valid = kept.filter((one) => one !== signing.certificatePem && endOf(one) > wallMs);
  const server =
    former !== undefined && !isServerDue
      ? serverOf(former)
      : await newServer(signing, hosts, wallMs);
  return {
    "ca.crt": [signing.certificatePem, ...valid].join(""),
    "ca.key": signing.privateKeyPem,
    "tls.crt": server.certificatePem,
    "tls.key": server.privateKeyPem,
  };
}

async function newServer(
  authority: KeyPair,
  hosts: readonly string[],
  wallMs: number,
): Promise<KeyPair> {
  return await issueCertificate(authority, {
    commonName: COMMON_NAME,
    use: "server",
    dnsNames: hosts,
    lifetimeDays: SERVER_LIFETIME_DAYS,
    wallMs,
  });
}

function isServing(certificatePem: string, { hosts, wallMs }: KeysRequest): boolean {
  if (wallMs >= endOf(certificatePem) - SERVER_RENEW_BEFORE_DAYS * DAY_MS) return false;
  const certificate = new X509Certificate(certificatePem);
  return hosts.every((host) => certificate.checkHost(host) !== undefined);
}

async function isWhole(texts: KeyTexts): Promise<boolean> {
  try {
    if (!isPair(newestAuthority(texts)) || !isPair(serverOf(texts))) return false;
    for (const authority of authorities(texts)) {
      if (await isIssuedBy(texts["tls.crt"], authority)) return true;
    }
    return false;
  } catch (error) {
    if (error instanceof CertificateError) return false;
    throw error;
  }
}

function keysOf(texts: KeyTexts): WebhookKeys {
  return { server: serverOf(texts), bundlePem: texts["ca.crt"] };
}

function serverOf(texts: KeyTexts): KeyPair {
  return { certificatePem: texts["tls.crt"], privateKeyPem: texts["tls.key"] };
}

function newestAuthority(texts: KeyTexts): KeyPair {
  return { certificatePem: authorities(texts)[0] ?? "", privateKeyPem: texts["ca.key"] };
}

function authorities(texts: KeyTexts): readonly string[] {
  const pattern = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g;
  return texts["ca.crt"].match(pattern) ?? [];
}

function endOf(certificatePem: string | undefined): number {
  return certificatePem === undefined ? 0 : readCertificate(certificatePem).notAfterMs;
}

function textsOf(secret: SecretObject | undefined): KeyTexts {
  const text = (key: keyof KeyTexts): string => secretTextOf(secret, key) ?? "";
  return {
    "ca.crt": text("ca.crt"),
    "ca.key": text("ca.key"),
    "tls.crt": text("tls.crt"),
    "tls.key": text("tls.key"),
  };
}
