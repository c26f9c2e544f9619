/**
 * How the paths of a session are used and watched: what the dialling end's resource says of it. Pure
 * data; `path-set.ts` goes by it.
 */

/** A path of this priority or more costs by the byte: it carries a share only when no other can. */
export const METERED_PRIORITY = 10_000;

/** How paths are used. */
export type PathPolicy = "Failover" | "Duplicate" | "Fec" | "Balance";

/** DSCP 32 to 63 and 0 to 31, a bit each. */
export interface CopiedClasses {
  readonly high: number;
  readonly low: number;
}

/** Everything, with or without a class. */
export const ALL_CLASSES: CopiedClasses = { high: -1, low: -1 };

/** The blocks of policy Fec. */
export interface ParitySettings {
  readonly dataPackets: number;
  readonly parityPackets: number;
  readonly maxDelayMs: number;
  readonly isAdaptive: boolean;
}

/** How the dialling end finds out that a path died or lives again. */
export interface ProbeSettings {
  readonly intervalMs: number;
  /** Intervals of silence after which a path is down. */
  readonly downAfter: number;
  /** Replies in a row after which it is up again. */
  readonly upAfter: number;
  /** A path that loses more of the probes in one of both ways is used only when no other works. */
  readonly maxLossPercent: number;
  /** Probes over which loss is told. */
  readonly lossWindow: number;
}

/** How a dialling end probes and what it does with what it learns. */
export interface ProbingSettings extends ProbeSettings {
  readonly policy: PathPolicy;
  readonly copies: number;
  /** Priority of each path; the least is wanted most. */
  readonly priorities: readonly number[];
  /** With policy Fec. */
  readonly parity?: ParitySettings;
  /** Share of each path, with policy Balance; absent: 1 each. */
  readonly weights?: readonly number[];
  /** How long a TCP segment waits for those before it, at either end; absent or 0: not at all. */
  readonly reorderMs?: number;
  /** Bit n: frames of DSCP n are copied, with policy Duplicate; absent: everything is. */
  readonly classes?: CopiedClasses;
}
