/**
 * Tells the main thread what happened on the segment since it was last told: at most one notice of
 * each kind in a second, with the number of events and the last of them.
 */

import { notice } from "./notices.ts";
import type { Plane } from "./plane.ts";
import { formatMac } from "./wire/ethernet.ts";

/** At most one notice of a kind in so long. */
export const EVENTS_INTERVAL_MS = 1000;

const STORMS = ["broadcast", "unknownUnicast", "multicast"] as const;

/** Tells what there is. */
export function tellEvents(plane: Plane): void {
  const { move, conflict, storm } = plane.forwarding.events;
  if (move.count > 0) {
    const { count, from, to } = move;
    notice(plane, { kind: "moved", count, mac: formatMac(move.high, move.low), from, to });
    move.count = 0;
  }
  if (conflict.count > 0) {
    const { count, port } = conflict;
    notice(plane, { kind: "conflict", count, mac: formatMac(conflict.high, conflict.low), port });
    conflict.count = 0;
  }
  if (storm.count > 0) {
    const { count, port } = storm;
    notice(plane, { kind: "storm", count, port, of: STORMS[storm.kind] ?? "broadcast" });
    storm.count = 0;
  }
}

/** Shuts or opens the port that the loop guard names, and tells it at once. */
export function guardLoops(plane: Plane): void {
  const { forwarding } = plane;
  const change = forwarding.guard?.tick(plane.nowMs);
  if (change === undefined) return;
  forwarding.blockPort(change.port, change.isShut);
  notice(plane, { kind: "loop", ...change });
}
