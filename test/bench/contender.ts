/** What is compared, as data: a name and how to start its two ends on a pair of hosts. */
import type { Namespace } from "../support/netns.ts";

/** Inner MTU for every contender, so that the same packets cross. */
export const INNER_MTU_BYTES = 1420;

/** Two hosts joined by one cable: `far` dials, `near` listens. */
export interface Pair {
  readonly near: Namespace;
  readonly far: Namespace;
  /** Underlay address of `near`. */
  readonly nearUnderlay: string;
  /** A folder for the contender's files. */
  readonly folder: string;
}

/** A tunnel that is up. */
export interface RunningContender extends AsyncDisposable {
  /** Address of `near` inside the tunnel. */
  readonly nearAddress: string;
  /** The processes of both ends. */
  readonly pids: { readonly near: number; readonly far: number };
}

/** One contender. */
export interface Contender {
  readonly name: string;
  /** Says why it cannot run here; undefined when it can. */
  unavailable(): string | undefined;
  start(pair: Pair): Promise<RunningContender>;
}
