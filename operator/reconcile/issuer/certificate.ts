/**
 * A Certificate of cert-manager for a gateway or a peer: the same names, uses and keys that the
 * operator's own authority gives. Pure.
 */
import type { CertificateUse } from "../../../authority/certificate.ts";
import type { VpnTunnel } from "../../../crds/types.ts";
import {
  CERTIFICATE,
  type DesiredObject,
  type KubeObject,
  type OwnerReference,
} from "../../api/object.ts";
import type { Condition } from "../../status/conditions.ts";
import { issuedSecretName } from "../labels.ts";

/** The issuer that a tunnel names. */
export type IssuerReference = NonNullable<VpnTunnel["spec"]["security"]["issuerRef"]>;

/** Whom a certificate is for. */
export interface CertificateWish {
  readonly owner: OwnerReference;
  readonly namespace: string;
  /** Name of the Certificate; that of its Secret follows from it. */
  readonly name: string;
  readonly tunnel: string;
  /** Of the Certificate and its Secret. */
  readonly labels: Readonly<Record<string, string>>;
  readonly commonName: string;
  readonly use: CertificateUse;
  readonly lifetimeDays: number;
  readonly renewBeforeDays: number;
  readonly issuer: IssuerReference;
  /** The authority that the administrator names beside the issuer. */
  readonly trustedPem?: string;
}

/** A Certificate, as far as it is read. */
export interface CertificateObject extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly (Omit<Condition, "observedGeneration"> & {
      readonly observedGeneration?: number;
    })[];
  };
}

const DAY_HOURS = 24;
/** cert-manager refuses less than five minutes. */
const RENEW_BEFORE_HOURS_MIN = 1;
const USAGES: Readonly<Record<CertificateUse, string>> = {
  server: "server auth",
  client: "client auth",
};

/** The Certificate. Its key is a new one each time, so a stolen one is worth nothing after a renewal. */
export function certificateOf(wish: CertificateWish): DesiredObject {
  const { commonName, issuer, labels, name, namespace, tunnel } = wish;
  const renewBeforeHours = Math.max(wish.renewBeforeDays * DAY_HOURS, RENEW_BEFORE_HOURS_MIN);
  const spec = {
    secretName: issuedSecretName(name),
    // By these labels the operator sees the Secret as soon as it is written.
    secretTemplate: { labels },
    commonName,
    dnsNames: [commonName],
    subject: { organizations: [namespace], organizationalUnits: [tunnel] },
    usages: ["digital signature", USAGES[wish.use]],
    duration: `${wish.lifetimeDays * DAY_HOURS}h0m0s`,
    renewBefore: `${renewBeforeHours}h0m0s`,
    privateKey: { algorithm: "ECDSA", size: 256, encoding: "PKCS8", rotationPolicy: "Always" },
    revisionHistoryLimit: 1,
    issuerRef: { name: issuer.name, kind: issuer.kind, group: issuer.group },
  };
  const whole = { ...metaOf(name, namespace, labels), spec };
  return whole;
}

function metaOf(
  name: string,
  namespace: string,
  labels: Readonly<Record<string, string>>,
): DesiredObject {
  const { apiVersion, kind } = CERTIFICATE;
  return { apiVersion, kind, metadata: { name, namespace, labels } };
}
