/** Types and reasons of a peer's conditions. They are part of the interface: alerts name them. */

/** What a peer says about itself. */
export const PeerCondition = {
  /** Its profile can be handed out and the gateway lets it in. */
  Ready: "Ready",
  /** Its tunnel exists, listens, and its address could be claimed. */
  Accepted: "Accepted",
  /** Its certificate and profile are in a Secret. */
  ProfileReady: "ProfileReady",
} as const;

/** Why. */
export const PeerReason = {
  Accepted: "Accepted",
  Unsupported: "Unsupported",
  TunnelMissing: "TunnelMissing",
  TunnelDials: "TunnelDials",
  AddressTaken: "AddressTaken",
  AddressOutside: "AddressOutside",
  PoolExhausted: "PoolExhausted",
  CredentialsPending: "CredentialsPending",
  NoRemote: "NoRemote",
  ProfileMade: "ProfileMade",
  NotReached: "NotReached",
  /** Of events alone. */
  PeerCame: "PeerCame",
  PeerLeft: "PeerLeft",
} as const;
