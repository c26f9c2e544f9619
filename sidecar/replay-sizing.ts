/**
 * How late packets of a session may come, and the replay windows that follow from it. One invariant:
 * what is measured only lets a window grow within its maximum, it lets in nothing a second time.
 */

import { LATE_MS_MAX, LATE_MS_MIN } from "./limits.ts";
import type { Plane } from "./plane.ts";
import { ReplayWindow } from "./replay/replay-window.ts";
import type { DataSession } from "./session/data-session.ts";

/** The skew is a mean, and a packet of the slower path may wait in a queue besides. */
const SKEWS = 2;

/** A window for one more key of a session. */
export function windowFor({ replay }: Plane, session: DataSession | undefined): ReplayWindow {
  const window = new ReplayWindow(replay);
  if (session !== undefined && session.lateMs > 0) window.expectLate(session.lateMs);
  return window;
}

/** Lets a session's windows hold what its slowest path brings behind its quickest. */
export function expectSkew(session: DataSession): void {
  const skewMs = Math.ceil(session.paths.skewMs);
  session.expectLate(Math.max(LATE_MS_MIN, Math.min(skewMs * SKEWS, LATE_MS_MAX)));
}
