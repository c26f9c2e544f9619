/**
 * Tells the main thread what happened on the segment since it was last told: at most one notice of
 * each kind in a second, with the number of events and the last of them.
 */

import { GROUP_SWEEP_ROWS } from "./limits.ts";
import { notice } from "./notices.ts";
import type { Plane } from "./plane.ts";
import { QUERIER_OURS } from "./switch/querier.ts";
import type { GroupKeeper } from "./switch/switching.ts";
import { formatMac } from "./wire/ethernet.ts";

/** At most one notice of a kind in so long. */
export const EVENTS_INTERVAL_MS = 1000;

const STORMS = ["broadcast", "unknownUnicast", "multicast"] as const;

/** Lets memberships run out, and tells who asks for them when that has changed. */
export function sweepGroups(plane: Plane, groups: GroupKeeper): void {
  groups.tick(plane.nowMs, GROUP_SWEEP_ROWS);
  for (const querier of groups.queriers) {
    const port = querier.isAsking ? QUERIER_OURS : querier.otherPort;
    if (port === querier.toldPort) continue;
    querier.toldPort = port;
    const { vlan, family } = querier;
    const address = [...querier.otherAddress];
    notice(plane, { kind: "querier", vlan, family, port, address });
  }
}

/** Tells what there is. */
export function tellEvents(plane: Plane): void {
  if (plane.forwarding === undefined) return;
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

/** Tells of an address that somebody else uses: at each sweep, since an address may wait for it. */
export function tellAddressConflict(plane: Plane): void {
  const conflict = plane.forwarding?.questions?.watch?.conflict;
  if (conflict === undefined || conflict.count === 0) return;
  const { count, high, low, port, owner } = conflict;
  const mac = formatMac(high & 0xffff, low);
  const address = [...conflict.address];
  notice(plane, { kind: "addressConflict", count, address, mac, port, owner });
  conflict.count = 0;
}

/** Shuts or opens the port that the loop guard names, and tells it at once. */
export function guardLoops(plane: Plane): void {
  const { forwarding } = plane;
  const change = forwarding?.guard?.tick(plane.nowMs);
  if (forwarding === undefined || change === undefined) return;
  forwarding.blockPort(change.port, change.isShut);
  if (change.isShut) forwarding.questions?.loopShut(plane.nowMs);
  notice(plane, { kind: "loop", ...change });
}
