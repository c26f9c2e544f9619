/**
 * How much a path takes: padded probes by sockets that may not cut them, and what follows from the
 * answers for the TCP connections inside and for routed packets. One invariant: a size counts once an authenticated answer as
 * long as the probe came back; ICMP is never believed.
 *
 * The dialling end asks, the listening end answers and learns what was found from the next probe.
 */

import { Counter } from "./counters.ts";
import { DESCRIPTOR_WORDS, PathWord, Verdict, Word } from "./native/layout.ts";
import { notice } from "./notices.ts";
import { ownFrameStart, type Plane } from "./plane.ts";
import { beginOwn, flushOrders } from "./send.ts";
import type { DataSession } from "./session/data-session.ts";
import type { PathMtu } from "./session/path-mtu.ts";
import { PATHS_MAX } from "./session/path-set.ts";
import { FRAGMENT_HEADER_BYTES } from "./wire/fragment-header.ts";
import { DATA_V2_AEAD_BYTES, DATA_V2_EPOCH_BYTES, mssLess } from "./wire/mss-clamp.ts";
import { PROBE_BYTES, type Probe, ProbeType, writeProbe } from "./wire/probe.ts";
import { PARITY_HEADER_BYTES, SHARD_LENGTH_BYTES } from "./wire/redundancy.ts";

const EMSGSIZE = -90;

/** One round of the dialling end: asks on each path that lives, where there is something to ask. */
export function sizePaths(plane: Plane, session: DataSession): void {
  if (!session.hasProbes || session.sealSlot < 0) return;
  const { paths } = session;
  for (let path = 0; path < PATHS_MAX; path++) {
    if (!paths.isKnown(path)) continue;
    const { mtu, rttMs } = paths.measuresOf(path);
    if (!paths.isUsable(path)) mtu.reset();
    if (!paths.isUsable(path) || !paths.isAlive(path)) continue;
    const bytes = mtu.next(plane.roomBytes, rttMs, plane.nowMs);
    if (bytes === 0) continue;
    const fields = { path, flags: 0, timeMs: plane.nowMs, intervalMs: 0, clockMs: 0 };
    const probe = { ...fields, type: ProbeType.size, sequence: bytes, received: mtu.settledBytes };
    if (sendSized(plane, session, path, probe) === EMSGSIZE) mtu.refused(bytes, plane.nowMs);
  }
}

/** A padded probe or its answer arrived on the session's last path, `length` bytes of it. */
export function takeSized(plane: Plane, session: DataSession, probe: Probe, length: number): void {
  const { paths, lastPath } = session;
  if (length + aroundBytes(plane, session) !== probe.sequence) return;
  const { mtu } = paths.measuresOf(lastPath);
  if (probe.type === ProbeType.sizeAnswer) {
    if (plane.isDialling && probe.path === lastPath) mtu.crossed(probe.sequence, plane.nowMs);
    return;
  }
  if (plane.isDialling || length > plane.roomBytes) return;
  // What the dialling end has found counts for both directions.
  mtu.bytes = probe.received;
  mtu.settledBytes = probe.received;
  plane.mtus[session.index * PATHS_MAX + lastPath] = mtu.bytes;
  sendSized(plane, session, lastPath, { ...probe, type: ProbeType.sizeAnswer });
}

/** Holds packets that a router sends to the session to what every path in use takes. */
export function holdToPaths(plane: Plane, session: DataSession): void {
  const { router } = plane;
  if (router === undefined || !router.followsPaths) return;
  const bytesMax = leastOf(session, ({ settledBytes }) => settledBytes);
  const room = parityRoomBytes(dataPacketsOf(plane, session));
  const bytes = bytesMax === Infinity ? 0 : bytesMax - room - aroundBytes(plane, session);
  const isChanged = router.setWay(session.index, bytes);
  if (isChanged && plane.isDialling) notice(plane, { kind: "way", mtuBytes: bytes });
}

/** Lets TCP inside fill what every path in use takes, and with parity leaves room for that. */
export function clampToPaths(plane: Plane, session: DataSession): void {
  const { mssBase, mtus } = plane;
  const { paths } = session;
  for (let path = 0; path < PATHS_MAX; path++) {
    mtus[session.index * PATHS_MAX + path] = paths.measuresOf(path).mtu.bytes;
  }
  if (mssBase === undefined) return;
  const bytesMax = leastOf(session, ({ bytes }) => bytes);
  const { payloadBytes, maxima } = mssBase;
  plane.mss = mssLess(maxima, bytesLess(payloadBytes, bytesMax, dataPacketsOf(plane, session)));
}

/** The least size of the paths in use, of those that are known; Infinity: none is. */
function leastOf({ paths }: DataSession, sizeOf: (mtu: PathMtu) => number): number {
  let least = Infinity;
  for (let at = 0; at < paths.sendCount; at++) {
    const bytes = sizeOf(paths.measuresOf(paths.sendPaths[at] as number).mtu);
    if (bytes > 0) least = Math.min(least, bytes);
  }
  return least;
}

/** Packets of a full parity block; 0: there is no parity. */
function dataPacketsOf({ parity }: Plane, { index }: DataSession): number {
  return parity.bySession[index]?.shape?.dataPackets ?? 0;
}

/**
 * By how much packets have to stay below `payloadBytes`, so that they and the parity of blocks of so
 * many (0: none) fit a path that takes `mtuBytes` (Infinity: unknown).
 */
export function bytesLess(payloadBytes: number, mtuBytes: number, dataPackets: number): number {
  const room = parityRoomBytes(dataPackets);
  // Without a word about the paths, what was asked for is taken for all that they take.
  const limit = (mtuBytes === Infinity ? payloadBytes : mtuBytes) - room;
  return Math.max(0, payloadBytes - limit);
}

/** How much longer than the longest packet of its block (of so many) a parity packet is; 0 without parity. */
function parityRoomBytes(dataPackets: number): number {
  if (dataPackets === 0) return 0;
  return PARITY_HEADER_BYTES + dataPackets - 1 + SHARD_LENGTH_BYTES + DATA_V2_EPOCH_BYTES;
}

/** Sends zeros behind the probe's fields, so that the datagram is `probe.sequence` bytes long. */
function sendSized(plane: Plane, session: DataSession, path: number, probe: Probe): number {
  const { slab, view, lane, orders } = plane;
  const around = aroundBytes(plane, session);
  const bytes = probe.sequence - around;
  if (bytes < PROBE_BYTES || bytes > plane.roomBytes) return 0;
  flushOrders(plane);
  const start = ownFrameStart(plane);
  const header = plane.fragments === undefined ? 0 : FRAGMENT_HEADER_BYTES;
  slab.fill(0, start - header, start + bytes);
  writeProbe(view, start, probe);
  const row = (session.index * PATHS_MAX + path) * DESCRIPTOR_WORDS;
  const socket = plane.paths[row + PathWord.socket] as number;
  // A stream cuts by itself; without a socket there is nothing to ask.
  if (lane.dontFragment(socket, true) !== 0) return 0;
  const message = { start: start - header, length: bytes + header };
  const isBegun = beginOwn(plane, session, path, message);
  plane.orderCount = 0;
  if (isBegun) lane.send(1);
  lane.dontFragment(socket, false);
  if (!isBegun) return 0;
  const verdict = orders[Word.verdict] as number;
  if (verdict === Verdict.done) plane.counters.add(Counter.txProbes, 1);
  return verdict;
}

/** Bytes of a datagram around what is inside. */
function aroundBytes(plane: Plane, session: DataSession): number {
  const own = session.sealEpochWord === 0 ? DATA_V2_AEAD_BYTES : DATA_V2_EPOCH_BYTES;
  return own + (plane.fragments === undefined ? 0 : FRAGMENT_HEADER_BYTES);
}
