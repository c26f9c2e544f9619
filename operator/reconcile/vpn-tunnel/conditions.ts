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
  /** Its pods have the networks that its uplinks name; absent where they name none. */
  UplinksAttached: "UplinksAttached",
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
  MultusMissing: "MultusMissing",
  NetworkMissing: "NetworkMissing",
  NetworkDenied: "NetworkDenied",
  Attached: "Attached",
  Attaching: "Attaching",
  Rolling: "Rolling",
  InterfaceMissing: "InterfaceMissing",
  CredentialsMade: "CredentialsMade",
  ProfileFound: "ProfileFound",
  NotReached: "NotReached",
  GatewayStarting: "GatewayStarting",
  GatewayUp: "GatewayUp",
} as const;
