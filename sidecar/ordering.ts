/**
 * The last stage before the switch for sessions that put TCP in order: what waits is copied out of its
 * receive row, into slots of its own, and goes to the switch from there. One invariant: a frame goes to
 * the switch once, and a slot is used again only after the flushes that its bytes leave with.
 */

import { HEADROOM_BYTES } from "./native/layout.ts";
import type { Plane } from "./plane.ts";
import { OrderVerdict } from "./redundancy/segment-order.ts";
import { deliverFrame, flushOrders, flushWrites } from "./send.ts";
import type { DataSession } from "./session/data-session.ts";

/** Takes a frame of a session with order: to the switch at once, or once its turn has come. */
export function takeInOrder(
  plane: Plane,
  session: DataSession,
  start: number,
  length: number,
): void {
  // HOT PATH
  const { view, order } = plane;
  const { table, segment } = order;
  const limit = start + length;
  const isSegment =
    plane.router === undefined
      ? segment.readFrame(view, start, limit)
      : segment.readPacket(view, start, limit);
  if (!isSegment) {
    deliverFrame(plane, session.index, start, length);
    return;
  }
  if (table.held.isUsedUp) flush(plane);
  table.nowMs = plane.nowMs;
  const verdict = table.take(segment, session.index, length, session.reorderMs);
  if (verdict === OrderVerdict.pass) deliverFrame(plane, session.index, start, length);
  else if (verdict === OrderVerdict.hold) {
    plane.slab.copyWithin(startOf(plane, table.place), start, limit);
  }
  if (table.readyCount !== 0) deliverReady(plane);
  if (verdict === OrderVerdict.passLast) deliverFrame(plane, session.index, start, length);
}

/** Lets go what has waited for long enough. */
export function releaseDue(plane: Plane): void {
  const { table } = plane.order;
  table.nowMs = plane.nowMs;
  table.expire();
  deliverReady(plane);
  flush(plane);
}

/** From now on the session's segments wait for so long at most; 0: they are handed on as they come. */
export function setOrder(plane: Plane, session: DataSession, delayMs: number): void {
  const isEnd = delayMs === 0 && session.reorderMs !== 0;
  session.reorderMs = delayMs;
  if (isEnd) endOrder(plane, session.index);
}

/** The session is over: what waits still goes to the switch. */
export function endOrder(plane: Plane, index: number): void {
  const { table } = plane.order;
  table.nowMs = plane.nowMs;
  table.endSession(index);
  deliverReady(plane);
  flush(plane);
}

function deliverReady(plane: Plane): void {
  // HOT PATH
  const { held, ready, readyCount } = plane.order.table;
  for (let at = 0; at < readyCount; at++) {
    const place = ready[at] as number;
    const session = held.sessions[place] as number;
    deliverFrame(plane, session, startOf(plane, place), held.bytes[place] as number);
  }
}

function startOf(plane: Plane, place: number): number {
  // HOT PATH
  return (plane.order.firstSlot + place) * plane.slotBytes + HEADROOM_BYTES;
}

/** Everything that was handed on leaves; its slots are free. */
function flush(plane: Plane): void {
  flushWrites(plane);
  flushOrders(plane);
  plane.order.table.held.recycle();
}
