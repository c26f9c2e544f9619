/** The tunnel of the lab, by whatever programs: what the scenarios ask of it. */
import type { Block } from "./screen.ts";

/** Which program is at the testbed's end. */
export type PeerKind = "fairlead" | "openvpn";

/** A tunnel that joins the workload to the testbed's LAN. */
export interface Segment extends AsyncDisposable {
  /** What runs where, for the first line of the screen. */
  readonly description: string;
  /**
   * Attaches the workload: it gets the interface and its address, and the multicast routes if
   * asked. Without them the set-up is broken in the way that everybody meets first.
   */
  attachWorkload(options: { readonly multicastRoutes: boolean }): Promise<void>;
  /** Takes the workload off the segment again. */
  detachWorkload(): Promise<void>;
  /** What the gateway says of itself: peers, and what else it knows. */
  blocks(): Promise<readonly Block[]>;
}
