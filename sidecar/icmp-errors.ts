/**
 * What ICMP says about what was sent. One invariant: it is counted, and a dialling end asks the path at once
 * whether it works; nothing ends and nothing moves by it, since whoever knows both ports can forge it. Sizes are
 * found by probes of their own.
 */

import { Counter } from "./counters.ts";
import { DESCRIPTOR_WORDS, LANE_SOCKETS_MAX, PathWord, Ready } from "./native/layout.ts";
import type { Plane } from "./plane.ts";
import { DIALLED_INDEX } from "./ports.ts";
import { PATHS_MAX } from "./session/path-set.ts";

/** Of each kind of error the addon tells ten bits. */
const COUNT_BITS = 10;
const COUNT_MASK: number = 2 ** COUNT_BITS - 1;

/** Takes in what ICMP said about sockets, as the lane's `wait` told. */
export function takeIcmpErrors(plane: Plane, ready: number): void {
  const { lane, counters } = plane;
  for (let socket = 0; socket < LANE_SOCKETS_MAX; socket++) {
    if (((ready >> (Ready.errorsShift + socket)) & 1) === 0) continue;
    const counts = lane.udpErrors(socket);
    if (counts <= 0) continue;
    const unreachable = counts & COUNT_MASK;
    counters.add(Counter.rxIcmpUnreachable, unreachable);
    counters.add(Counter.rxIcmpTooBig, (counts >> COUNT_BITS) & COUNT_MASK);
    counters.add(Counter.rxIcmpOther, counts >> (2 * COUNT_BITS));
    if (unreachable > 0 && plane.isDialling) doubtPaths(plane, socket);
  }
}

/** The paths that leave by a socket are asked until they answer, or are given up for want of answers. */
function doubtPaths(plane: Plane, socket: number): void {
  const session = plane.sessions.at(DIALLED_INDEX);
  if (session === undefined) return;
  for (let path = 0; path < PATHS_MAX; path++) {
    const row = (session.index * PATHS_MAX + path) * DESCRIPTOR_WORDS;
    const isBySocket = plane.paths[row + PathWord.socket] === socket;
    if (session.paths.isKnown(path) && isBySocket) session.paths.measuresOf(path).isDoubted = true;
  }
}
