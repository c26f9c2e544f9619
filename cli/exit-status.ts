/**
 * The exit statuses of every subcommand, one per cause that a script may want to tell apart.
 * They are part of the interface: a number is never given a second meaning.
 */
export const ExitStatus = {
  /** Done, or stopped on request. */
  Fine: 0,
  /** A defect of this program, or a test that failed. */
  Internal: 1,
  /** The command line is wrong. */
  Usage: 2,
  /** A resource or a file is not valid. */
  InvalidResource: 10,
  /** Not root, or a capability is missing. */
  NotPermitted: 11,
  /** The machine has no /dev/net/tun. */
  NoTunDevice: 12,
  /** The bridge or interface that was named does not exist. */
  NoInterface: 13,
  /** The port is in use or cannot be bound. */
  PortInUse: 14,
  /** A remote's name does not resolve. */
  NameUnresolved: 15,
  /** No remote answers; also what a wrong control-wrap key looks like. */
  NoAnswer: 16,
  /** A certificate is untrusted, expired or for another use, ours or theirs. */
  CertificateRefused: 17,
  /** The other end refused our credentials. */
  AuthenticationFailed: 18,
  /** The two ends share no data cipher. */
  NoCommonCipher: 19,
  /** The two ends' MTUs do not fit. */
  MtuMismatch: 20,
  /** The other end wants an option that is refused, such as compression. */
  OptionRefused: 21,
  /** `fairlead doctor` found something. */
  ProblemsFound: 30,
} as const;

/** One of the statuses above. */
export type ExitStatus = (typeof ExitStatus)[keyof typeof ExitStatus];
