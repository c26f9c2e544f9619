/**
 * The authority itself: one certification authority per tunnel and the certificates it issues, on
 * P-256 (RFC 5480) with SHA-256, profiled after RFC 5280 as OpenVPN's `remote-cert-tls` reads it
 * (digitalSignature and the one extended key usage of the role).
 *
 * Invariant: keys are made by the runtime's Web Crypto and leave this file only as PKCS#8 text in a
 * `KeyPair`; no error or log holds them.
 */

import "./reflect-shim.ts";
import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  webcrypto,
  X509Certificate,
} from "node:crypto";
import * as x509 from "@peculiar/x509";
import { CertificateError } from "./authority-error.ts";

/** A certificate and the private key that belongs to it, both PEM. */
export interface KeyPair {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** What a certificate says about itself. */
export interface CertificateFacts {
  readonly commonName: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SHA-256 of the DER form, upper-case hex with colons. */
  readonly fingerprint: string;
  readonly isAuthority: boolean;
  /** Roles the extended key usage allows. */
  readonly uses: readonly CertificateUse[];
}

/** The side of a TLS session a certificate is for. */
export type CertificateUse = "server" | "client";

/** What to put in an issued certificate. */
export interface CertificateRequest {
  readonly commonName: string;
  readonly use: CertificateUse;
  /** Namespace and tunnel, shown in the subject so that a person can tell profiles apart. */
  readonly organization?: string;
  readonly organizationalUnit?: string;
  /** Names for the subject alternative name, besides the common name. */
  readonly dnsNames?: readonly string[];
  readonly lifetimeDays: number;
  readonly wallMs: number;
}

const DAY_MS = 86_400_000;
/** Clocks of isolated testbeds are wrong by hours: a certificate is valid from a day ago. */
const BACKDATE_MS = DAY_MS;
const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING_ALGORITHM = { name: "ECDSA", hash: "SHA-256" } as const;
const USE_OIDS: Readonly<Record<CertificateUse, string>> = {
  server: "1.3.6.1.5.5.7.3.1",
  client: "1.3.6.1.5.5.7.3.2",
};
/** X.520 upper bound of a common name (RFC 5280, appendix A.1). */
const COMMON_NAME_LENGTH_MAX = 64;
/** Certificates from a peer's to the root: deeper ones are refused. */
const CHAIN_LENGTH_MAX = 8;

/** Makes a new self-signed authority. */
export async function createAuthority(request: {
  readonly commonName: string;
  readonly lifetimeDays: number;
  readonly wallMs: number;
}): Promise<KeyPair> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [checkedCommonName(request.commonName)] }],
    notBefore: new Date(request.wallMs - BACKDATE_MS),
    notAfter: new Date(request.wallMs + request.lifetimeDays * DAY_MS),
    signingAlgorithm: SIGNING_ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: pem(certificate), privateKeyPem: await exportKey(keys.privateKey) };
}

/** Issues a certificate with a new key; never outlives the authority. */
export async function issueCertificate(
  authority: KeyPair,
  request: CertificateRequest,
): Promise<KeyPair> {
  const issuer = parseCertificate(authority.certificatePem);
  const signingKey = await importKey(authority.privateKeyPem);
  const keys = await generateKeys();
  const notAfterMs = Math.min(
    request.wallMs + request.lifetimeDays * DAY_MS,
    issuer.notAfter.getTime(),
  );
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: subjectOf(request),
    issuer: issuer.subjectName,
    notBefore: new Date(Math.max(request.wallMs - BACKDATE_MS, issuer.notBefore.getTime())),
    notAfter: new Date(notAfterMs),
    signingAlgorithm: SIGNING_ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([USE_OIDS[request.use]]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ...alternativeNames(request),
    ],
  });
  return { certificatePem: pem(certificate), privateKeyPem: await exportKey(keys.privateKey) };
}

/** Reads a certificate's facts; throws `CertificateError` for anything that is not one. */
export function readCertificate(certificatePem: string): CertificateFacts {
  const certificate = loadCertificate(certificatePem);
  const name = certificate.toLegacyObject().subject.CN as string | string[] | undefined;
  const oids = certificate.keyUsage ?? [];
  return {
    commonName: (Array.isArray(name) ? name[0] : name) ?? "",
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
    fingerprint: certificate.fingerprint256,
    isAuthority: certificate.ca,
    uses: (["server", "client"] as const).filter((use) => oids.includes(USE_OIDS[use])),
  };
}

/** Whether the private key belongs to the certificate. Throws `CertificateError` if unreadable. */
export function isPair(pair: KeyPair): boolean {
  const certificate = loadCertificate(pair.certificatePem);
  return certificate.publicKey.equals(publicPart(pair.privateKeyPem));
}

/** Whether certificates can be issued with its key: P-256, as all that are made here. */
export function canIssue({ privateKeyPem }: Pick<KeyPair, "privateKeyPem">): boolean {
  const { asymmetricKeyDetails, asymmetricKeyType } = createPrivateKey(privateKeyPem);
  return asymmetricKeyType === "ec" && asymmetricKeyDetails?.namedCurve === "prime256v1";
}

/** Whether `certificatePem` was signed by `authorityPem`. */
export async function isIssuedBy(certificatePem: string, authorityPem: string): Promise<boolean> {
  const certificate = loadCertificate(certificatePem);
  const authority = loadCertificate(authorityPem);
  return certificate.issuer === authority.subject && certificate.verify(authority.publicKey);
}

/** Every certificate of a text, once, in its order. */
export function certificatesOf(text: string): readonly string[] {
  const pems = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return [...new Set(pems.map((pem) => `${pem.replaceAll("\r", "")}\n`))];
}

/** Whether a certificate stands for itself. */
export function isSelfSigned(certificatePem: string): boolean {
  const certificate = loadCertificate(certificatePem);
  return isSignedBy(certificate, certificate);
}

/**
 * Whether the first certificate of a chain leads to a self-signed one among the authorities, over
 * others of either: what OpenSSL asks for unless it is told to be content with less.
 */
export function leadsTo(chainPem: string, authoritiesPem: string): boolean {
  const [leaf, ...between] = certificatesOf(chainPem).map(loadCertificate);
  const authorities = certificatesOf(authoritiesPem).map(loadCertificate);
  let at = leaf;
  for (let depth = 0; at !== undefined && depth < CHAIN_LENGTH_MAX; depth++) {
    const below = at;
    const root = authorities.find((one) => isSignedBy(below, one) && isSignedBy(one, one));
    if (root !== undefined) return true;
    at = [...between, ...authorities].find((one) => one !== below && isSignedBy(below, one));
  }
  return false;
}

function isSignedBy(certificate: X509Certificate, signer: X509Certificate): boolean {
  return certificate.checkIssued(signer) && certificate.verify(signer.publicKey);
}

function subjectOf(request: CertificateRequest): x509.JsonName {
  const subject: x509.JsonName = [];
  if (request.organization !== undefined) subject.push({ O: [request.organization] });
  if (request.organizationalUnit !== undefined) subject.push({ OU: [request.organizationalUnit] });
  subject.push({ CN: [checkedCommonName(request.commonName)] });
  return subject;
}

function alternativeNames(request: CertificateRequest): x509.Extension[] {
  const names = [request.commonName, ...(request.dnsNames ?? [])];
  return [
    new x509.SubjectAlternativeNameExtension(
      [...new Set(names)].map((value) => ({ type: "dns", value })),
    ),
  ];
}

function checkedCommonName(commonName: string): string {
  if (commonName.length > 0 && commonName.length <= COMMON_NAME_LENGTH_MAX) return commonName;
  throw new CertificateError(
    `"${commonName}" cannot be a certificate's common name: use 1 to ${COMMON_NAME_LENGTH_MAX} characters`,
  );
}

function parseCertificate(certificatePem: string): x509.X509Certificate {
  try {
    const [first] = x509.PemConverter.decode(certificatePem);
    if (first === undefined) throw new CertificateError("no PEM block found");
    return new x509.X509Certificate(first);
  } catch (error) {
    throw notACertificate(error);
  }
}

/** By the runtime's own reader: a hundredth of the time of the library that makes certificates. */
function loadCertificate(certificatePem: string): X509Certificate {
  try {
    return new X509Certificate(certificatePem);
  } catch (error) {
    throw notACertificate(error);
  }
}

function notACertificate(cause: unknown): CertificateError {
  return new CertificateError(
    "this is not a certificate: expected one PEM block that begins with -----BEGIN CERTIFICATE-----",
    cause,
  );
}

function publicPart(privateKeyPem: string): KeyObject {
  try {
    return createPublicKey(createPrivateKey(privateKeyPem));
  } catch {
    // The cause is left out on purpose: a parser's message may quote the key.
    throw new CertificateError(
      "this is not a private key: expected an unencrypted PEM block -----BEGIN PRIVATE KEY-----",
    );
  }
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ["sign", "verify"]);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}

async function importKey(privateKeyPem: string): Promise<webcrypto.CryptoKey> {
  try {
    const der = createPrivateKey(privateKeyPem).export({ type: "pkcs8", format: "der" });
    return await webcrypto.subtle.importKey("pkcs8", new Uint8Array(der), KEY_ALGORITHM, false, [
      "sign",
    ]);
  } catch {
    throw new CertificateError(
      "the authority's private key cannot be used: expected an unencrypted P-256 key in PEM",
    );
  }
}

/** 16 random bytes, positive and never zero (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem").trim()}\n`;
}
