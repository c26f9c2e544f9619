/**
 * What each path of a session brought: bytes, what came late, copies, and what no other path brought. One
 * invariant: a packet counts as brought once it is authentic; of copies, which are refused before anybody could
 * tell, only the number is kept.
 */

import { PathCount } from "./path-counts.ts";
import type { Plane } from "./plane.ts";
import { ArrivalBook } from "./session/arrival-book.ts";
import type { DataSession } from "./session/data-session.ts";
import { NO_PATH, PATHS_MAX } from "./session/path-set.ts";
import { findPath } from "./session-paths.ts";

/** What a look at a book adds up; filled anew for each. */
const alone: Float64Array = new Float64Array(PATHS_MAX);

/** Ids are counted within a key and its epoch. */
export function seriesOf(keyId: number, idHigh: number): number {
  // HOT PATH
  return ((idHigh >>> 16) << 3) | keyId;
}

/** An authentic packet came for the first time, by the session's last path. */
export function countArrival(
  plane: Plane,
  session: DataSession,
  bytes: number,
  isLate: boolean,
): void {
  // HOT PATH
  const row = session.index * PATHS_MAX + session.lastPath;
  plane.arrivedBytes[row] = (plane.arrivedBytes[row] as number) + bytes;
  plane.pathCounts.addIn(row, bytes);
  if (isLate) plane.pathCounts.add(row, PathCount.latePackets, 1);
}

/** Row `index` holds a packet that had come before. */
export function countCopy(plane: Plane, index: number, session: DataSession, id: number): void {
  // HOT PATH
  const { book } = session;
  if (book === undefined) return;
  const path = findPath(plane, index, session);
  if (path === NO_PATH) return;
  plane.pathCounts.add(session.index * PATHS_MAX + path, PathCount.duplicatePackets, 1);
  book.again(session.series, id, path);
}

/** Row `index` holds a packet that parity made again. */
export function countRecovered(plane: Plane, session: DataSession, index: number): void {
  const path = plane.parity.recoveredPaths[index] as number;
  plane.pathCounts.add(session.index * PATHS_MAX + path, PathCount.recoveredPackets, 1);
}

/**
 * Once in a while: a book is kept for a peer of ours that copies everything, while more than one path is in
 * use; what came alone then would have been lost.
 */
export function lookAtArrivals(plane: Plane, session: DataSession): void {
  const { paths } = session;
  if (!session.hasProbes || paths.policy !== "Duplicate" || paths.hasClasses) {
    session.book = undefined;
    return;
  }
  session.book ??= new ArrivalBook();
  alone.fill(0);
  session.book.look(alone);
  if (paths.sendCount < 2) return;
  for (let path = 0; path < PATHS_MAX; path++) {
    const row = session.index * PATHS_MAX + path;
    plane.pathCounts.add(row, PathCount.savedPackets, alone[path] as number);
  }
}
