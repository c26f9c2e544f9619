/** Reasons of conditions that have to do with an issuer, of tunnels and peers alike. */

/** Why. They are part of the interface: alerts name them. */
export const IssuerReason = {
  CertificateIssued: "CertificateIssued",
  /** The operator was not told to use cert-manager. */
  CertManagerOff: "CertManagerOff",
  /** Its kinds are not installed. */
  CertManagerMissing: "CertManagerMissing",
  /** The API server, or a webhook, does not take the Certificate. */
  CertificateRefused: "CertificateRefused",
  IssuerMissing: "IssuerMissing",
  IssuerNotReady: "IssuerNotReady",
  CertificatePending: "CertificatePending",
  CertificateFailed: "CertificateFailed",
  /** What was issued cannot be used: another name, use or authority. */
  CertificateInvalid: "CertificateInvalid",
  AuthorityMissing: "AuthorityMissing",
} as const;

/** What stands in the way of a certificate; `message` ends with the next step. */
export interface Trouble {
  /** Unknown: it may come by itself. */
  readonly status: "False" | "Unknown";
  readonly reason: (typeof IssuerReason)[keyof typeof IssuerReason];
  readonly message: string;
}
