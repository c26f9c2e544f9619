/**
 * Which of its session's paths a datagram came by. One invariant: a dialling end looks at the remote
 * address alone, a listening end at both, since it answers from the address that was contacted.
 */

import type { Plane } from "./plane.ts";
import type { DataSession } from "./session/data-session.ts";
import { NO_PATH, PATHS_MAX } from "./session/path-set.ts";
import { isSamePath, isSameRemote } from "./uplink/path-table.ts";

/** The session's path that a datagram came by, the last one first. */
export function findPath(plane: Plane, index: number, session: DataSession): number {
  // HOT PATH
  if (isPath(plane, index, session, session.lastPath)) return session.lastPath;
  for (let path = 0; path < PATHS_MAX; path++) {
    if (session.paths.isKnown(path) && isPath(plane, index, session, path)) return path;
  }
  return NO_PATH;
}

function isPath(plane: Plane, index: number, session: DataSession, path: number): boolean {
  // HOT PATH
  const { arrivals, paths } = plane;
  const row = session.index * PATHS_MAX + path;
  return plane.isDialling
    ? isSameRemote(arrivals, index, paths, row)
    : isSamePath(arrivals, index, paths, row);
}
