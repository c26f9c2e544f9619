/** What the worker does with TCP connections beside reading and writing them. */

import { Counter } from "./counters.ts";
import { CONNECTION_PROOF_MS } from "./limits.ts";
import { CONTROL_PATH_ROW, type Plane } from "./plane.ts";

/** Ends connections that no session came of in time. */
export function sweepConnections({ lane, counters }: Plane): void {
  const count = lane.streamSweep(CONNECTION_PROOF_MS);
  if (count > 0) counters.add(Counter.rxConnectionsDropped, count);
}

/** Closes the connection of a session that is over; one that is closed already stays so. */
export function closeConnection({ lane, paths }: Plane, path: readonly number[]): void {
  paths.set(path, CONTROL_PATH_ROW * path.length);
  lane.streamClose(CONTROL_PATH_ROW);
}
