/**
 * What the packet path asks of the thing between its ports: a switch (`forwarding.ts`) where frames
 * are carried, a router (`router.ts`) where IP packets are. One invariant: `decide` moves no bytes
 * out of the slab, counts whatever it refuses, and never names the port that a frame came from.
 */

import type { Query } from "./group-questions.ts";
import type { Querier } from "./querier.ts";

/** Who keeps memberships in groups: the snooping of a switch, the proxy of a router. */
export interface GroupKeeper {
  /** Of every VLAN in use, both families. */
  readonly queriers: readonly Querier[];
  /** A peer can be reached from now on: what it has joined is asked for. */
  portReady(port: number, nowMs: number): void;
  /** Lets times run out: call every 100 ms. */
  tick(nowMs: number, rowsMax: number): void;
  /** The next query to be sent; valid until the next call of anything here. */
  takeQuery(): Query | undefined;
}

/** Tells senders why their packets did not go on. Absent where frames are carried. */
export interface Answers {
  /** Where an answer to the packet just refused is to go, or negative. */
  readonly port: number;
  /** Writes the answer, at most `bytesMax` long, and forgets it; returns its length. */
  write(view: DataView, at: number, bytesMax: number): number;
}

/** Chooses ports for frames. */
export interface Switching {
  /** The ports that the last frame goes to, as many as `decide` returned. */
  readonly targets: Int32Array;
  readonly answers: Answers | undefined;
  /** The turn's time, set by the caller before its first frame. */
  nowMs: number;
  openPort(port: number): void;
  closePort(port: number): void;
  /** How many ports are in `targets`, or a negative verdict: dropped, and counted. */
  decide(view: DataView, start: number, limit: number, source: number): number;
  /** Lets old things go, bounded; called every 100 ms. */
  sweep(rowsMax: number): void;
}
