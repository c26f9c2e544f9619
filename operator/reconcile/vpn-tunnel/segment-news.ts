/**
 * What the gateway says of its segment (moves, conflicts, loops, storms), as far as it is new. One
 * invariant: what was so before this program started is no news, nor is the same time of the same
 * kind twice.
 */
import type { VpnTunnel } from "../../../crds/types.ts";
import type { Live } from "../../world.ts";

type Happened = NonNullable<NonNullable<VpnTunnel["status"]>["segment"]>[number];

/** What the gateway wrote of its segment. */
export function segmentOf(tunnel: Live<VpnTunnel> | undefined): readonly Happened[] {
  return (tunnel as unknown as VpnTunnel | undefined)?.status?.segment ?? [];
}

/** What was told of each tunnel's segment. */
export class SegmentNews {
  readonly #times = new Map<string, ReadonlyMap<string, string>>();

  /** What is new since the last look at this tunnel. */
  take(key: string, tunnel: Live<VpnTunnel>): readonly Happened[] {
    const now = segmentOf(tunnel);
    const known = this.#times.get(key);
    this.#times.set(key, new Map(now.map(({ reason, time }) => [reason, time])));
    if (known === undefined) return [];
    return now.filter(({ reason, time }) => known.get(reason) !== time);
  }

  /** The tunnel is gone. */
  forget(key: string): void {
    this.#times.delete(key);
  }
}
