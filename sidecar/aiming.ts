/**
 * By which of its session's paths a frame leaves, where that depends on the frame: its flow's path with
 * policy Balance, one path or all with copies of named classes only. One invariant: what is aimed is
 * the next packet sealed for the session, and no other.
 */

import type { Plane } from "./plane.ts";
import { FlowTable } from "./redundancy/flow-table.ts";
import type { DataSession } from "./session/data-session.ts";
import { PATHS_MAX } from "./session/path-set.ts";

/** Aims the session's next packet; call it only where `paths.isChoosy`. */
export function aim(plane: Plane, session: DataSession, start: number, length: number): void {
  // HOT PATH
  const { flow, flowTables, view } = plane;
  const { paths, index } = session;
  if (plane.router === undefined) flow.readFrame(view, start, start + length);
  else flow.readPacket(view, start, start + length);
  if (paths.policy === "Duplicate") {
    paths.isSingle = !paths.isCopied(flow.dscp);
    return;
  }
  let table = flowTables[index];
  if (table === undefined) {
    table = new FlowTable(PATHS_MAX);
    flowTables[index] = table;
  }
  if (paths.sendCount > 0) paths.aimed = table.pick(flow.hash, paths, plane.nowMs);
}
