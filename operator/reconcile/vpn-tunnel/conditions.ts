/** Types and reasons of a tunnel's conditions. They are part of the interface: alerts name them. */

/** What a tunnel says about itself. */
export const TunnelCondition = {
  /** The tunnel as a whole; its reason is the column STATE. */
  Ready: "Ready",
  /** The resource can be carried out: what it names exists. */
  Accepted: "Accepted",
  /** Keys and certificates are there. */
  CredentialsReady: "CredentialsReady",
  /** Pods that hold the tunnel run. */
  GatewayReady: "GatewayReady",
} as const;

/** Why. */
export const TunnelReason = {
  Accepted: "Accepted",
  Unsupported: "Unsupported",
  ProfileMissing: "ProfileMissing",
  AuthorityMissing: "AuthorityMissing",
  AuthorityInvalid: "AuthorityInvalid",
  RevocationListMissing: "RevocationListMissing",
  LoginMissing: "LoginMissing",
  UplinkSetMissing: "UplinkSetMissing",
  HostAccessDenied: "HostAccessDenied",
  CredentialsMade: "CredentialsMade",
  ProfileFound: "ProfileFound",
  NotReached: "NotReached",
  GatewayStarting: "GatewayStarting",
  GatewayUp: "GatewayUp",
} as const;
