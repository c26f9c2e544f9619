/**
 * What paths carry, from the counts that replies bring, and the load by which flows are spread. One
 * invariant: only authentic packets count as arrived, and nothing is sent to find out.
 *
 * The dialling end knows both directions and tells the listening one about its own in the plan.
 */

import type { Plane } from "./plane.ts";
import type { DataSession } from "./session/data-session.ts";
import { PATHS_MAX } from "./session/path-set.ts";
import { COUNTED_BYTES, type Probe, readCounts } from "./wire/probe.ts";

/** Rates that are handed to a table of flows, filled anew for each. */
const rates: Float64Array = new Float64Array(PATHS_MAX);

/** A probe is about to leave by a path: so much was sent before it. */
export function countSent(plane: Plane, session: DataSession, path: number): void {
  const sent = plane.sentBytes[session.index * PATHS_MAX + path] as number;
  session.paths.measuresOf(path).noteSent(sent);
}

/** A reply came by the path that was probed, `length` bytes at `start`. */
export function takeCounts(
  plane: Plane,
  session: DataSession,
  probe: Probe,
  message: { readonly start: number; readonly length: number },
): void {
  const { paths } = session;
  // What came as a second copy is not told from a forgery: only one path's share would be known.
  const isCopied = paths.policy === "Duplicate" && paths.sendCount > 1;
  if (message.length < COUNTED_BYTES || probe.clockMs === 0 || isCopied) return;
  const { nowMs } = plane;
  const measures = paths.measuresOf(probe.path);
  const { arrivedBytes, sentBytes } = readCounts(plane.view, message.start);
  const sentHere = measures.sentBefore(probe.sequence);
  const lossOf = (percent: number): number => Math.max(0, percent) / 100;
  if (sentHere !== undefined) {
    const { timeMs: sentMs, clockMs: arrivedMs } = probe;
    const counts = { sentBytes: sentHere, sentMs, arrivedBytes, arrivedMs };
    measures.out.look(counts, lossOf(measures.lossOutPercent), nowMs);
  }
  const arrivedHere = plane.arrivedBytes[session.index * PATHS_MAX + probe.path] as number;
  const { clockMs: sentMs } = probe;
  const counts = { sentBytes, sentMs, arrivedBytes: arrivedHere, arrivedMs: nowMs };
  measures.back.look(counts, lossOf(measures.lossBackPercent), nowMs);
}

/** Lets the session's flows know how much leaves by each path; once in a while. */
export function lookAtLoads(plane: Plane, session: DataSession): void {
  const table = plane.flowTables[session.index];
  if (table === undefined) return;
  const { paths } = session;
  const spanMs = (plane.nowMs - paths.lookedAtLoadsMs) | 0;
  paths.lookedAtLoadsMs = plane.nowMs;
  for (let path = 0; path < PATHS_MAX; path++) {
    const sent = plane.sentBytes[session.index * PATHS_MAX + path] as number;
    const measures = paths.measuresOf(path);
    rates[path] = (((sent - measures.sentAtLook) >>> 0) / Math.max(1, spanMs)) * 1000;
    measures.sentAtLook = sent;
  }
  table.look(rates, plane.nowMs);
}
