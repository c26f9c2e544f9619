/** Keepalive of one session: pings when we were quiet, tells the main thread when the peer is. */

import { WAIT_MS_MAX } from "./limits.ts";
import { notice } from "./notices.ts";
import type { Plane } from "./plane.ts";
import { checkPaths } from "./probing.ts";
import { sendPing } from "./send.ts";
import type { DataSession } from "./session/data-session.ts";

/** Does what is due now; when to be called again. */
export function keepAlive(plane: Plane, session: DataSession, nowMs: number): number {
  let dueMs = nowMs + WAIT_MS_MAX;
  if (session.hasProbes && !plane.isDialling) {
    checkPaths(plane, session);
    if (session.probeIntervalMs > 0) dueMs = nowMs + session.probeIntervalMs;
  }
  if (session.pingIntervalMs > 0) {
    if (((nowMs - session.lastSentMs) | 0) >= session.pingIntervalMs) {
      if (session.sealSlot >= 0) sendPing(plane, session);
      else session.lastSentMs = nowMs;
    }
    const pingMs = (session.lastSentMs + session.pingIntervalMs) | 0;
    if (((pingMs - dueMs) | 0) < 0) dueMs = pingMs;
  }
  if (session.timeoutMs > 0 && !session.hasSaidSilent) {
    if (((nowMs - session.lastHeardMs) | 0) >= session.timeoutMs) {
      session.hasSaidSilent = true;
      notice(plane, { kind: "silent", index: session.index });
    } else {
      const silentMs = (session.lastHeardMs + session.timeoutMs) | 0;
      if (((silentMs - dueMs) | 0) < 0) dueMs = silentMs;
    }
  }
  return dueMs;
}
