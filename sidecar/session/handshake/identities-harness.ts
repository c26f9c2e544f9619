/**
 * Certificates for handshake tests, good and bad in every way that is judged, all from the
 * project's own authority. One invariant: `configOf` alone gives two ends that accept each other.
 */
import "../../../authority/reflect-shim.ts";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import {
  createAuthority,
  issueCertificate,
  type KeyPair,
  readCertificate,
} from "../../../authority/certificate.ts";
import type { SecurityConfig } from "../../control/tunnel-config.ts";
import { DATA_CIPHERS } from "./data-ciphers.ts";

const DAY_MS = 86_400_000;
const SIGNING = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const wallMs = Date.now();

/** Everything that a handshake test presents. */
export interface Identities {
  readonly authority: KeyPair;
  readonly otherAuthority: KeyPair;
  readonly server: KeyPair;
  readonly client: KeyPair;
  readonly otherClient: KeyPair;
  readonly expiredServer: KeyPair;
  readonly expiredClient: KeyPair;
  readonly foreignServer: KeyPair;
  readonly foreignClient: KeyPair;
  /** Names `client` as revoked. */
  readonly crlPem: string;
}

/** Makes them; takes a moment, so once for a file. */
export async function createIdentities(): Promise<Identities> {
  const age = { lifetimeDays: 30, wallMs };
  const old = { lifetimeDays: 1, wallMs: wallMs - 20 * DAY_MS };
  const authority = await createAuthority({
    commonName: "test authority",
    lifetimeDays: 60,
    wallMs: wallMs - 25 * DAY_MS,
  });
  const otherAuthority = await createAuthority({ commonName: "another authority", ...age });
  const issue = (from: KeyPair, commonName: string, use: "server" | "client", at = age) =>
    issueCertificate(from, { commonName, use, ...at });
  const client = await issue(authority, "box", "client");
  return {
    authority,
    otherAuthority,
    client,
    server: await issue(authority, "gateway", "server"),
    otherClient: await issue(authority, "stranger", "client"),
    expiredServer: await issue(authority, "gateway", "server", old),
    expiredClient: await issue(authority, "box", "client", old),
    foreignServer: await issue(otherAuthority, "gateway", "server"),
    foreignClient: await issue(otherAuthority, "box", "client"),
    crlPem: await revoke(authority, client),
  };
}

/** An end's security with this identity, believing the first authority and the other end's use. */
export function configOf(
  identities: Identities,
  end: "client" | "server",
  change: Partial<SecurityConfig> = {},
): SecurityConfig {
  return {
    dataCiphers: DATA_CIPHERS,
    wrap: { kind: "TlsCrypt", key: Buffer.alloc(256, 0x77) },
    identity: identities[end],
    caPem: identities.authority.certificatePem,
    peerFingerprints: [],
    remoteCertTls: end === "client" ? "server" : "client",
    tlsVersionMin: "1.2",
    ...change,
  };
}

/** SHA-256 of a certificate, upper-case hex with colons. */
export function fingerprintOf(pair: KeyPair): string {
  return readCertificate(pair.certificatePem).fingerprint;
}

async function revoke(authority: KeyPair, revoked: KeyPair): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certificatePem);
  const der = x509.PemConverter.decodeFirst(authority.privateKeyPem);
  const signingKey = await webcrypto.subtle.importKey("pkcs8", der, SIGNING, false, ["sign"]);
  const list = await x509.X509CrlGenerator.create({
    issuer: issuer.subject,
    thisUpdate: new Date(wallMs - DAY_MS),
    nextUpdate: new Date(wallMs + DAY_MS),
    entries: [
      {
        serialNumber: new x509.X509Certificate(revoked.certificatePem).serialNumber,
        revocationDate: new Date(wallMs - DAY_MS),
      },
    ],
    signingAlgorithm: SIGNING,
    signingKey,
  });
  // OpenSSL wants the label of RFC 7468, section 6.
  return list.toString("pem").replaceAll(/ (X509 )?CRL-/g, " X509 CRL-");
}
