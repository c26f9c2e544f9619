/**
 * What cert-manager wrote into a Secret, judged before it is used. Invariant: what is used is a pair,
 * for the name and use that were asked for, not ended, and leads to an authority that peers can be
 * given; nothing of a key is ever part of a message.
 */
import { CertificateError } from "../../../authority/authority-error.ts";
import {
  certificatesOf,
  isSelfSigned,
  type KeyPair,
  leadsTo,
  readCertificate,
} from "../../../authority/certificate.ts";
import { type SecretObject, secretTextOf } from "../secret-data.ts";
import { pairOf } from "../vpn-tunnel/credentials.ts";
import type { CertificateWish } from "./certificate.ts";
import { IssuerReason, type Trouble } from "./conditions.ts";

/** A certificate with its chain and key, and the authorities that it leads to. */
export interface Issued {
  readonly pair: KeyPair;
  readonly authorityPem: string;
}

/** What was issued, or why it cannot be used; neither: nothing was issued yet. */
export interface ReadIssued {
  readonly issued?: Issued;
  readonly trouble?: Trouble;
}

type Wanted = Pick<CertificateWish, "commonName" | "issuer" | "trustedPem" | "use">;

/** Reads the Secret of a Certificate. */
export function readIssued(
  secret: SecretObject | undefined,
  wanted: Wanted,
  wallMs: number,
): ReadIssued {
  const chain = secretTextOf(secret, "tls.crt") ?? "";
  if (secret === undefined || chain === "") return {};
  const pair = pairOf(chain, secretTextOf(secret, "tls.key") ?? "");
  const where = `The Secret ${secret.metadata.namespace}/${secret.metadata.name}`;
  if (pair === undefined) {
    return invalid(
      `${where} has no tls.key that belongs to tls.crt: delete it, and it is made anew`,
    );
  }
  const authorities = [secretTextOf(secret, "ca.crt") ?? "", wanted.trustedPem ?? ""];
  const authorityPem = certificatesOf(authorities.join("\n")).join("");
  try {
    const trouble = troubleOf(pair, { wanted, authorityPem, where, wallMs });
    return trouble === undefined ? { issued: { pair, authorityPem } } : { trouble };
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    return invalid(`${where}: ${error.message}`);
  }
}

interface Case {
  readonly wanted: Wanted;
  readonly authorityPem: string;
  readonly where: string;
  readonly wallMs: number;
}

function troubleOf(
  pair: KeyPair,
  { authorityPem, wallMs, wanted, where }: Case,
): Trouble | undefined {
  const { commonName, notAfterMs, uses } = readCertificate(pair.certificatePem);
  const issuer = `${wanted.issuer.kind} ${wanted.issuer.name}`;
  if (notAfterMs <= wallMs) {
    const end = new Date(notAfterMs).toISOString().slice(0, 10);
    return invalid(
      `${where}: its certificate ended on ${end}: see why cert-manager did not renew it`,
    ).trouble;
  }
  if (isSelfSigned(pair.certificatePem)) {
    const problem = `signs each certificate with its own key, so no peer could believe another: name an issuer that has an authority`;
    return invalid(`spec.security.issuerRef: the ${issuer} ${problem}`).trouble;
  }
  if (commonName !== wanted.commonName) {
    const problem = `is for the name "${commonName}", not "${wanted.commonName}": peers know each other by it, so let the ${issuer} keep the common name that is asked for`;
    return invalid(`${where}: its certificate ${problem}`).trouble;
  }
  if (!uses.includes(wanted.use)) {
    const problem = `is not for use as a ${wanted.use}: let the ${issuer} keep the usages that are asked for`;
    return invalid(`${where}: its certificate ${problem}`).trouble;
  }
  if (authorityPem === "") {
    const problem = `spec.security.issuerRef: the ${issuer} gives no ca.crt, as ACME does not, and peers need the authority to believe: name a Secret with its certificate as ca.crt in spec.security.caSecretRef`;
    return { status: "False", reason: IssuerReason.AuthorityMissing, message: problem };
  }
  if (leadsTo(pair.certificatePem, authorityPem)) return undefined;
  const source = wanted.trustedPem === undefined ? "its ca.crt" : "spec.security.caSecretRef";
  const problem = `${where}: its certificate does not lead to a root in ${source}: name a Secret with the certificate of the root authority as ca.crt in spec.security.caSecretRef`;
  return { status: "False", reason: IssuerReason.AuthorityMissing, message: problem };
}

function invalid(message: string): { readonly trouble: Trouble } {
  return { trouble: { status: "False", reason: IssuerReason.CertificateInvalid, message } };
}
