/**
 * What leaves, in the order in which it is worked on:
 *
 *   tap       take frames from the kernel
 *   switch    which ports get the frame: the tap, one peer, or all others
 *   session   the sending key and the next packet id, one for each peer
 *   redundancy  by which paths: one, all, or one in turn; the packet joins its parity block
 *   cipher    seal the batch, out of place: a flooded frame is sealed for each peer
 *   uplink    one sendmmsg for the batch, each packet by its session's path
 *
 * `deliverFrame` is where frames from peers come in: the same way out, from "switch" on.
 * A parity block that is full or due is closed once its packets left; its parity is sealed and sent
 * like any message of ours. One invariant: every frame that is not sent or written has added one to a counter.
 */

import { aim } from "./aiming.ts";
import { captureFrame } from "./capture-tap.ts";
import { Counter } from "./counters.ts";
import { buildPiece } from "./fragments.ts";
import { FRAMES_PER_TURN_MAX, ORDERS_MAX, WRITES_MAX } from "./limits.ts";
import { DESCRIPTOR_WORDS, Verdict, Word } from "./native/layout.ts";
import { notice } from "./notices.ts";
import type { ParityRoom } from "./parity-memory.ts";
import { encodeBlock, messageBytes, messageStart, protect, rearmParity } from "./parity-send.ts";
import {
  OCC_EXIT_BYTES,
  OCC_OFFSET,
  ownFrameStart,
  PING_BYTES,
  PING_OFFSET,
  type Plane,
  PROBE_OFFSET,
  refillFrames,
  TAP_INDEX,
} from "./plane.ts";
import { TAP_PORT } from "./ports.ts";
import { EAGAIN, ENOBUFS, sendingCounter } from "./sending-verdicts.ts";
import type { DataSession } from "./session/data-session.ts";
import { NO_ID } from "./session/key-usage.ts";
import { PATHS_MAX } from "./session/path-set.ts";
import type { Answers } from "./switch/switching.ts";
import { FRAGMENT_HEADER_BYTES, pieceBytes, pieceHeader } from "./wire/fragment-header.ts";
import { DATA_V2_AEAD_BYTES, DATA_V2_EPOCH_BYTES } from "./wire/mss-clamp.ts";
import {
  COUNTED_BYTES,
  PROBE_BYTES,
  type Probe,
  ProbeFlag,
  ProbeType,
  writeCounts,
  writeProbe,
} from "./wire/probe.ts";
import { PLAN_BYTES, type Plan, writePlan } from "./wire/redundancy.ts";
import { NO_CLASS, trafficClassOf } from "./wire/traffic-class.ts";

/** One turn over the tap: how many frames there were, or -errno. */
export function send(plane: Plane): number {
  // HOT PATH
  refillFrames(plane);
  const { frames, lane, counters } = plane;
  const count = lane.tapRead(TAP_INDEX, 0, FRAMES_PER_TURN_MAX);
  if (count <= 0) return count;
  plane.frameCount = count;
  counters.add(Counter.tapFramesRead, count);
  for (let index = 0; index < count; index++) {
    const row = index * DESCRIPTOR_WORDS;
    const length = frames[row + Word.length] as number;
    if (frames[row + Word.verdict] === Verdict.malformed || length > plane.frameBytesMax) {
      counters.add(Counter.tapFrameTooBig, 1);
      continue;
    }
    plane.traffic.addIn(TAP_PORT, 1, length);
    deliverFrame(plane, TAP_PORT, frames[row + Word.start] as number, length);
  }
  flushWrites(plane);
  flushOrders(plane);
  return count;
}

/** Switches one frame that came in by `port`; its bytes stay in the slab until the flushes. */
export function deliverFrame(plane: Plane, port: number, start: number, length: number): void {
  // HOT PATH
  const { switching, view, counters } = plane;
  const limit = start + length;
  if (plane.mss !== undefined && plane.clampMss(view, start, limit, plane.mss)) {
    counters.add(Counter.tapMssClamped, 1);
  }
  const count = switching.decide(view, start, limit, port);
  if (plane.captures.length !== 0) captureFrame(plane, port, { start, length, targets: count });
  for (let target = 0; target < count; target++) {
    sendToPort(plane, switching.targets[target] as number, start, length);
  }
  if (count < 0 && switching.answers !== undefined) answer(plane, switching.answers);
}

/** Tells the sender of a packet why it did not go on, if it is to hear that. */
function answer(plane: Plane, answers: Answers): void {
  const { port } = answers;
  if (port < 0) return;
  const start = ownFrameStart(plane);
  const length = answers.write(plane.view, start, plane.roomBytes);
  sendToPort(plane, port, start, length);
  // The next answer is built in the same place.
  flushWrites(plane);
  flushOrders(plane);
}

/** Asks for a frame in the slab to leave by one port with the next flushes. */
export function sendToPort(plane: Plane, port: number, start: number, length: number): void {
  // HOT PATH
  if (port === TAP_PORT) writeFrame(plane, start, length);
  else sendTo(plane, port, start, length);
}

/** Asks for a frame to be written to the tap with the next flush. */
function writeFrame(plane: Plane, start: number, length: number): void {
  // HOT PATH
  if (plane.writeCount === WRITES_MAX) flushWrites(plane);
  const row = plane.writeCount * DESCRIPTOR_WORDS;
  plane.writes[row + Word.start] = start;
  plane.writes[row + Word.length] = length;
  plane.writes[row + Word.port] = TAP_INDEX;
  plane.writeCount += 1;
}

function sendTo(plane: Plane, index: number, start: number, length: number): void {
  // HOT PATH
  const session = plane.sessions.at(index);
  if (session === undefined) {
    plane.counters.add(Counter.txNoSession, 1);
    return;
  }
  if (session.paths.isChoosy) aim(plane, session, start, length);
  const { dscpFrom, view } = plane;
  if (dscpFrom !== "nothing") {
    plane.trafficClass = trafficClassOf(view, start, start + length, dscpFrom === "frame");
  }
  const isSealed = sealFor(plane, session, start, length);
  plane.trafficClass = NO_CLASS;
  const room = plane.parity.bySession[index];
  // Pieces and parity do not go together.
  const joins = room?.shape !== undefined && plane.fragments === undefined;
  if (isSealed && joins) join(plane, session, room);
}

/** The packet in the last order joins its session's parity block. */
function join(plane: Plane, session: DataSession, room: ParityRoom): void {
  // HOT PATH
  const row = (plane.orderCount - 1) * DESCRIPTOR_WORDS;
  if (protect(plane, session, room, row)) closeBlock(plane, session, room);
}

/** Sends the parity of what is in the open block, and begins another one. */
function closeBlock(plane: Plane, session: DataSession, room: ParityRoom): void {
  // Copies of the block's packets are there once these were sealed.
  flushOrders(plane);
  const count = encodeBlock(plane, room);
  const bytes = messageBytes(plane, room);
  room.open.clear();
  for (let at = 0; at < count; at++) {
    if (sealFor(plane, session, messageStart(plane, at), bytes)) {
      plane.counters.add(Counter.fecParitySent, 1);
    }
  }
}

/** Closes the blocks that have waited long enough for another packet. */
export function closeDueBlocks(plane: Plane): void {
  for (const room of plane.parity.rooms) {
    const { open } = room;
    if (open.count === 0 || ((plane.nowMs - open.dueMs) | 0) < 0) continue;
    const session = plane.sessions.at(room.session);
    if (session === undefined) open.clear();
    else closeBlock(plane, session, room);
  }
  flushOrders(plane);
  rearmParity(plane);
}

/** Asks for bytes of the slab to be sealed for a session: as they are, or with --fragment. */
function sealFor(plane: Plane, session: DataSession, start: number, length: number): boolean {
  // HOT PATH
  const { fragments } = plane;
  if (fragments === undefined) return sealWhole(plane, session, start, length);
  if (length > fragments.wholeBytesMax) return sealPieces(plane, session, start, length);
  // The headroom in front is free; another session's header there is the same.
  plane.view.setUint32(start - FRAGMENT_HEADER_BYTES, 0);
  const bytes = length + FRAGMENT_HEADER_BYTES;
  return sealWhole(plane, session, start - FRAGMENT_HEADER_BYTES, bytes);
}

function sealPieces(plane: Plane, session: DataSession, start: number, length: number): boolean {
  const { fragments, counters } = plane;
  const size = fragments === undefined ? 0 : pieceBytes(length, fragments.wholeBytesMax);
  if (fragments === undefined || size === 0) {
    counters.add(Counter.txTooBig, 1);
    return false;
  }
  const number = fragments.numbers[session.index] as number;
  fragments.numbers[session.index] = number + 1;
  for (let at = 0, place = 0; at < length; at += size, place++) {
    const bytes = Math.min(size, length - at);
    const header = pieceHeader(number, place, at + bytes === length, size);
    const target = buildPiece(plane, fragments, header, { start: start + at, bytes });
    if (!sealWhole(plane, session, target, bytes + FRAGMENT_HEADER_BYTES)) return false;
    counters.add(Counter.txFragments, 1);
  }
  return true;
}

/** Asks for bytes of the slab to be sealed and sent with the next flush; whether they will be. */
function sealWhole(plane: Plane, session: DataSession, start: number, length: number): boolean {
  // HOT PATH
  if (session.sealSlot < 0) {
    plane.counters.add(Counter.txNoKey, 1);
    return false;
  }
  if (session.needsNewKey()) changeKey(plane, session);
  const id = session.takeId(length);
  if (id === NO_ID) {
    plane.counters.add(Counter.txIdExhausted, 1);
    return false;
  }
  session.lastSentMs = plane.nowMs;
  const { paths } = session;
  const { sendCount, sendPaths, isSpread } = paths;
  if (sendCount === 0) plane.counters.add(Counter.txNoPath, 1);
  // Rows that differ by their path alone, one behind the other, are sealed once.
  let at = isSpread ? paths.takeTurn() : 0;
  const limit = isSpread || (paths.isSingle && sendCount > 0) ? at + 1 : sendCount;
  paths.isSingle = false;
  for (; at < limit; at++) {
    const row = addOrder(plane, session, id, sendPaths[at] as number);
    plane.orders[row + Word.start] = start;
    plane.orders[row + Word.length] = length;
  }
  return sendCount > 0;
}

/** One row: something sealed under a packet id, by one path; the caller says which bytes. */
function addOrder(plane: Plane, session: DataSession, id: number, path: number): number {
  // HOT PATH
  if (plane.orderCount === ORDERS_MAX) flushOrders(plane);
  const { orders } = plane;
  const row = plane.orderCount * DESCRIPTOR_WORDS;
  orders[row + Word.key] = session.sealSlot;
  orders[row + Word.generation] = session.sealGeneration;
  orders[row + Word.idLow] = id | 0;
  orders[row + Word.idHigh] = session.sealEpochWord | ((id / 2 ** 32) | 0);
  orders[row + Word.opcode] = session.opcodeWord;
  orders[row + Word.path] = session.index * PATHS_MAX + path;
  orders[row + Word.copy] = 0;
  orders[row + Word.segmentBytes] = 0;
  orders[row + Word.trafficClass] = plane.trafficClass;
  plane.orderCount += 1;
  return row;
}

/** The key is nearly used up: the next epoch at once, or a new key from the main thread. */
export function changeKey(plane: Plane, session: DataSession): void {
  const { index, sealKeyId: keyId, usage } = session;
  const room = plane.parity.bySession[index];
  if (room !== undefined && room.open.count > 0) closeBlock(plane, session, room);
  // Before the main thread hears of it and empties the old slot.
  flushOrders(plane);
  const canAdvance = session.sealEpochWord !== 0 && usage.isEpochUsed;
  const epoch = canAdvance ? session.advanceEpoch(keyId) : 0;
  session.hasAskedForKey = epoch === 0;
  if (epoch === 0) notice(plane, { kind: "needsKey", index });
  else notice(plane, { kind: "epoch", index, keyId, epoch, isOurs: true });
}

/** Sends a probe or a reply by one path, whatever the session's other packets leave by. */
export function sendProbe(plane: Plane, session: DataSession, path: number, probe: Probe): void {
  const isAsked = probe.type === ProbeType.reply && (probe.flags & ProbeFlag.counts) !== 0;
  // No address that nobody has checked yet gets more than came from it.
  const isCounted = isAsked && session.paths.isAlive(path);
  writeProbe(plane.view, PROBE_OFFSET, probe);
  if (isCounted) {
    const row = session.index * PATHS_MAX + path;
    const arrivedBytes = plane.arrivedBytes[row] as number;
    const sentBytes = plane.sentBytes[row] as number;
    writeCounts(plane.view, PROBE_OFFSET, { arrivedBytes, sentBytes });
  }
  const bytes = isCounted ? COUNTED_BYTES : PROBE_BYTES;
  if (sendOwn(plane, session, path, bytes)) plane.counters.add(Counter.txProbes, 1);
}

/** Sends a plan by one path. */
export function sendPlan(plane: Plane, session: DataSession, path: number, plan: Plan): void {
  writePlan(plane.view, PROBE_OFFSET, plan);
  if (sendOwn(plane, session, path, PLAN_BYTES)) plane.counters.add(Counter.txPlans, 1);
}

/** Sends what was written where probes are written; false when it cannot be sealed. */
function sendOwn(plane: Plane, session: DataSession, path: number, bytes: number): boolean {
  // In front of the constants are zeros: the header of a whole packet.
  const headerBytes = plane.fragments === undefined ? 0 : FRAGMENT_HEADER_BYTES;
  const message = { start: PROBE_OFFSET - headerBytes, length: bytes + headerBytes };
  if (!beginOwn(plane, session, path, message)) return false;
  flushOrders(plane);
  return true;
}

/** Puts a message of ours into the orders as the only one; false when it cannot be sealed. */
export function beginOwn(
  plane: Plane,
  session: DataSession,
  path: number,
  message: { readonly start: number; readonly length: number },
): boolean {
  if (session.sealSlot < 0) return false;
  if (session.needsNewKey()) changeKey(plane, session);
  const id = session.takeId(message.length);
  if (id === NO_ID) {
    plane.counters.add(Counter.txIdExhausted, 1);
    return false;
  }
  // What waits in the orders has its ids already: it leaves first.
  flushOrders(plane);
  const row = addOrder(plane, session, id, path);
  plane.orders[row + Word.start] = message.start;
  plane.orders[row + Word.length] = message.length;
  return true;
}

/** Sends a keepalive ping. */
export function sendPing(plane: Plane, session: DataSession): void {
  if (!sealFor(plane, session, PING_OFFSET, PING_BYTES)) return;
  plane.counters.add(Counter.txPings, 1);
  flushOrders(plane);
}

/** Sends OpenVPN's exit notification of old, inside the data channel. */
export function sendExit(plane: Plane, session: DataSession): void {
  sealFor(plane, session, OCC_OFFSET, OCC_EXIT_BYTES);
  flushOrders(plane);
}

/** Writes what was asked for to the tap. */
export function flushWrites(plane: Plane): void {
  // HOT PATH
  const count = plane.writeCount;
  if (count === 0) return;
  plane.writeCount = 0;
  plane.hasWritten = true;
  const { writes, counters } = plane;
  const written = plane.lane.tapWrite(count);
  counters.add(Counter.tapFramesWritten, written);
  let bytes = 0;
  for (let index = 0; index < count; index++) {
    const row = index * DESCRIPTOR_WORDS;
    const verdict = writes[row + Word.verdict] as number;
    if (verdict === Verdict.done) bytes += writes[row + Word.length] as number;
    else if (verdict === EAGAIN || verdict === ENOBUFS) counters.add(Counter.tapWriteFull, 1);
    else counters.add(Counter.tapWriteError, 1);
  }
  plane.traffic.addOut(TAP_PORT, written, bytes);
}

/** Seals and sends what was asked for. */
export function flushOrders(plane: Plane): void {
  // HOT PATH
  const count = plane.orderCount;
  if (count === 0) return;
  plane.orderCount = 0;
  const { orders, counters, sentBytes } = plane;
  const sent = plane.lane.send(count);
  counters.add(Counter.txPackets, sent);
  let bytesSent = 0;
  for (let index = 0; index < count; index++) {
    const row = index * DESCRIPTOR_WORDS;
    const verdict = orders[row + Word.verdict] as number;
    const aroundBytes = orders[row + Word.idHigh] === 0 ? DATA_V2_AEAD_BYTES : DATA_V2_EPOCH_BYTES;
    const bytes = (orders[row + Word.length] as number) + aroundBytes;
    const path = orders[row + Word.path] as number;
    // What the kernel had no room for is more than the path took, too.
    sentBytes[path] = (sentBytes[path] as number) + bytes;
    if (verdict !== Verdict.done) {
      const counter = sendingCounter(verdict);
      counters.add(counter, 1);
      // The network is not as we know it: netlink is read again after this turn.
      if (counter === Counter.txUnreachable || counter === Counter.txNoAddress) {
        plane.isRefused = true;
      }
      continue;
    }
    const mtu = plane.mtus[path] as number;
    if (mtu !== 0 && bytes > mtu) counters.add(Counter.txOverMtu, 1);
    plane.traffic.addOut((path / PATHS_MAX) | 0, 1, bytes);
    plane.pathCounts.addOut(path, bytes);
    bytesSent += bytes;
  }
  counters.add(Counter.txBytes, bytesSent);
}
