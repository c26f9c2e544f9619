/**
 * Revocation lists (RFC 5280, section 5): made by an authority, and read for sessions that are up
 * already. Whoever connects anew is judged by TLS itself, signature of the list included.
 * Invariant: serial numbers compare in one form, upper-case hex without leading zeros.
 */

import "./reflect-shim.ts";
import { createPrivateKey, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { CertificateError } from "./authority-error.ts";
import type { KeyPair } from "./certificate.ts";

const DAY_MS = 86_400_000;
/** Clocks of the machines that read a list may be behind by this much. */
const BACKDATED_MS = 3_600_000;
const CURVE = { name: "ECDSA", namedCurve: "P-256" };

/** Makes the list of an authority of ours (P-256): serial numbers in hex. */
export async function issueRevocationList(
  authority: KeyPair,
  serials: readonly string[],
  validity: { readonly lifetimeDays: number; readonly wallMs: number },
): Promise<string> {
  const { lifetimeDays, wallMs } = validity;
  const der = createPrivateKey(authority.privateKeyPem).export({ type: "pkcs8", format: "der" });
  const list = await x509.X509CrlGenerator.create({
    issuer: new x509.X509Certificate(authority.certificatePem).subjectName,
    thisUpdate: new Date(wallMs - BACKDATED_MS),
    nextUpdate: new Date(wallMs + lifetimeDays * DAY_MS),
    entries: serials.map((serialNumber) => ({ serialNumber, revocationDate: new Date(wallMs) })),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    signingKey: await webcrypto.subtle.importKey("pkcs8", der, CURVE, false, ["sign"]),
  });
  // OpenSSL, and OpenVPN with it, reads a list under this title only.
  return `${x509.PemConverter.encode(list.rawData, "X509 CRL")}\n`;
}

/** Serial numbers of the revoked certificates, of every list in the text. */
export function revokedSerials(crlPem: string): ReadonlySet<string> {
  const lists = crlPem.match(/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g) ?? [];
  const serials = new Set<string>();
  for (const list of lists) {
    for (const { serialNumber } of parseList(list).entries) serials.add(serialForm(serialNumber));
  }
  return serials;
}

/** A serial number in hex, in the form that is compared. */
export function serialForm(hex: string): string {
  return hex.replace(/^0+(?=.)/, "").toUpperCase();
}

function parseList(pem: string): x509.X509Crl {
  try {
    return new x509.X509Crl(pem);
  } catch (cause) {
    const message = "the revocation list cannot be read: make it anew with openssl ca -gencrl";
    throw new CertificateError(message, cause);
  }
}
