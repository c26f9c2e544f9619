/**
 * What arrives, in the order in which it is worked on:
 *
 *   uplink    take datagrams from the socket; control packets go to the main thread
 *   session   find the session by peer-id, never by address
 *   replay    may this packet id be accepted? (reads only)
 *   redundancy  put the sealed bytes of a session with parity aside
 *   cipher    open the batch in place
 *   replay    accept the ids of what is authentic; the peer was heard, by this path
 *   redundancy  a TCP segment ahead of its flow waits for what is missing, if its session is to
 *   switch    where does the frame go
 *   tap       write what is for this end; the rest is sent on to other peers
 *   redundancy  make lost packets again from parity; they enter at "session"
 *
 * One invariant: nothing before "cipher" changes any state, and nothing after it sees a
 * packet that was not authenticated.
 */

import { countArrival, countCopy, countRecovered, seriesOf } from "./arrivals.ts";
import { Counter } from "./counters.ts";
import { reassemble } from "./fragments.ts";
import { PACKETS_PER_TURN_MAX } from "./limits.ts";
import { DESCRIPTOR_WORDS, Verdict, Word } from "./native/layout.ts";
import { notice, passControl } from "./notices.ts";
import { takeInOrder } from "./ordering.ts";
import type { ParityRoom } from "./parity-memory.ts";
import {
  keepAside,
  keepAuthentic,
  NOTHING_TO_RECOVER,
  recoverBlock,
  takeParity,
} from "./parity-receive.ts";
import {
  OCC_EXIT_BYTES,
  OCC_OFFSET,
  PING_BYTES,
  PING_OFFSET,
  type Plane,
  refillReceived,
} from "./plane.ts";
import { takePlan } from "./planning.ts";
import { challengePath, takeProbe, tellFloat } from "./probing.ts";
import { ReplayVerdict } from "./replay/replay-window.ts";
import { deliverFrame, flushOrders, flushWrites } from "./send.ts";
import type { DataSession } from "./session/data-session.ts";
import { NO_PATH, PATHS_MAX } from "./session/path-set.ts";
import { PieceVerdict } from "./session/reassembly.ts";
import { findPath } from "./session-paths.ts";
import { answerOn } from "./uplink/path-table.ts";
import { Opcode } from "./wire/control-packet.ts";
import { DATA_V2_AEAD_BYTES } from "./wire/mss-clamp.ts";
import { isProbe } from "./wire/probe.ts";
import { RedundancyType, redundancyType } from "./wire/redundancy.ts";

/** An in-tunnel magic is told from a frame by its first two words alone. */
const MAGIC_WORDS = 4;
/** The counter's share of an epoch id's high word; ids without epochs have a high word of 0. */
const COUNTER_HIGH_MASK = 0xffff;
/** A received row names no path of its own: the word keeps the datagram's length meanwhile. */
const DATAGRAM_BYTES = Word.path;
/** Nor does it ask for a copy: the word says whether the datagram was put aside. */
const IS_ASIDE = Word.copy;

/** One turn over a socket: how many datagrams there were, or -errno. */
export function receive(plane: Plane, socket: number): number {
  // HOT PATH
  refillReceived(plane);
  const count = plane.lane.udpReceive(socket, 0, PACKETS_PER_TURN_MAX);
  if (count <= 0) return count;
  plane.receivedCount = count;
  for (let index = 0; index < count; index++) prepare(plane, index);
  plane.lane.openBatch(0, count);
  for (let index = 0; index < count; index++) finish(plane, index);
  flushWrites(plane);
  flushOrders(plane);
  return count;
}

/** Once all sockets had their turn, so that parity overtakes nothing that is already here. */
export function recoverLost(plane: Plane): void {
  // HOT PATH
  for (const room of plane.parity.rooms) if (room.blocks.waitingCount > 0) recover(plane, room);
}

/** Makes again what a session's parity can; it is taken in like datagrams, but by no path. */
function recover(plane: Plane, room: ParityRoom): void {
  const session = plane.sessions.at(room.session);
  if (session === undefined) return;
  for (;;) {
    const count = recoverBlock(plane, session, room);
    if (count === NOTHING_TO_RECOVER) return;
    plane.parity.isRecovering = true;
    for (let index = 0; index < count; index++) prepare(plane, index);
    plane.lane.openBatch(0, count);
    for (let index = 0; index < count; index++) finish(plane, index);
    plane.parity.isRecovering = false;
    flushWrites(plane);
    flushOrders(plane);
  }
}

/** Uplink, session, replay: marks the row to be opened, or drops it. */
function prepare(plane: Plane, index: number): void {
  // HOT PATH
  const { received, view, counters } = plane;
  const row = index * DESCRIPTOR_WORDS;
  if (received[row + Word.verdict] !== Verdict.none) {
    takeNoPacket(plane, index);
    return;
  }
  const start = received[row + Word.start] as number;
  const length = received[row + Word.length] as number;
  if (length < 1) {
    counters.add(Counter.rxTooShort, 1);
    return;
  }
  const opcode = view.getUint8(start) >>> 3;
  if (opcode !== Opcode.dataV2) {
    passControl(plane, index, opcode);
    return;
  }
  if (length <= DATA_V2_AEAD_BYTES) {
    counters.add(Counter.rxTooShort, 1);
    return;
  }
  const header = view.getUint32(start);
  const session = plane.sessions.byPeerId(header & 0xff_ffff);
  if (session === undefined) {
    counters.add(Counter.rxUnknownPeer, 1);
    return;
  }
  const keyId = (header >>> 24) & 7;
  let idHigh = 0;
  let idLow = view.getUint32(start + 4);
  if (session.hasEpochs[keyId] === 1) {
    idHigh = idLow;
    idLow = view.getUint32(start + 8);
  }
  const place = session.placeOf(keyId, idHigh);
  const window = session.windows[place];
  if (window === undefined || session.openEpochs[place] !== idHigh >>> 16) {
    counters.add(Counter.rxUnknownKey, 1);
    return;
  }
  // A window lasts for one epoch, so the counter alone is the id.
  const verdict = window.mayAccept(idHigh & COUNTER_HIGH_MASK, idLow, plane.nowMs);
  if (verdict > ReplayVerdict.acceptLate) {
    counters.add(replayCounter(verdict), 1);
    if (verdict === ReplayVerdict.duplicate) {
      session.series = seriesOf(keyId, idHigh);
      countCopy(plane, index, session, idLow);
    }
    return;
  }
  received[row + Word.key] = session.openSlots[place] as number;
  received[row + Word.generation] = session.openGenerations[place] as number;
  received[row + Word.idLow] = idLow | 0;
  received[row + Word.idHigh] = idHigh | 0;
  received[row + DATAGRAM_BYTES] = length;
  received[row + Word.opcode] = header | 0;
  received[row + Word.verdict] = Verdict.open;
  const { isRecovering, bySession } = plane.parity;
  const isAside = !isRecovering && bySession[session.index] !== undefined;
  received[row + IS_ASIDE] = isAside ? 1 : 0;
  if (isAside) keepAside(plane, index, start, length);
}

/** A row that holds no packet: one that did not fit, or the end of a TCP connection. */
function takeNoPacket(plane: Plane, index: number): void {
  const { received, arrivals, counters } = plane;
  const row = index * DESCRIPTOR_WORDS;
  const isEnd = received[row + Word.verdict] === Verdict.ended;
  received[row + Word.verdict] = Verdict.none;
  counters.add(isEnd ? Counter.rxConnectionsEnded : Counter.rxMalformed, 1);
  // Of a stranger's connection nobody needs to hear.
  if (!isEnd || received[row + Word.idHigh] === 0) return;
  const path = Array.from(arrivals.subarray(row, row + DESCRIPTOR_WORDS));
  notice(plane, { kind: "disconnected", path, errno: received[row + Word.idLow] as number });
}

/** Cipher's answer, replay, path, switch: takes in what is authentic. */
function finish(plane: Plane, index: number): void {
  // HOT PATH
  const { received, counters } = plane;
  const row = index * DESCRIPTOR_WORDS;
  const opened = received[row + Word.verdict] as number;
  if (opened === Verdict.none) return;
  if (opened !== Verdict.opened) {
    counters.add(openingCounter(opened), 1);
    if (opened === Verdict.authenticationFailed) countForgery(plane, row);
    return;
  }
  const header = received[row + Word.opcode] as number;
  const session = plane.sessions.byPeerId(header & 0xff_ffff);
  const keyId = (header >>> 24) & 7;
  const idHigh = received[row + Word.idHigh] as number;
  const window = session?.windows[session.placeOf(keyId, idHigh)];
  if (session === undefined || window === undefined) {
    counters.add(Counter.rxUnknownKey, 1);
    return;
  }
  const idLow = (received[row + Word.idLow] as number) >>> 0;
  session.series = seriesOf(keyId, idHigh);
  const verdict = window.accept(idHigh & COUNTER_HIGH_MASK, idLow, plane.nowMs);
  if (verdict > ReplayVerdict.acceptLate) {
    counters.add(replayCounter(verdict), 1);
    if (verdict === ReplayVerdict.duplicate) countCopy(plane, index, session, idLow);
    return;
  }
  if (verdict === ReplayVerdict.acceptLate) counters.add(Counter.rxAcceptedLate, 1);
  if (idHigh !== 0) followEpoch(plane, session, keyId, idHigh >>> 16);
  const datagramBytes = received[row + DATAGRAM_BYTES] as number;
  counters.add(Counter.rxPackets, 1);
  counters.add(Counter.rxBytes, datagramBytes);
  plane.traffic.addIn(session.index, 1, datagramBytes);
  if (session.sealSlot < 0) session.hearFirst(keyId);
  session.usage.opened(keyId, datagramBytes);
  session.lastHeardMs = plane.nowMs;
  session.hasSaidSilent = false;
  plane.lastHeard[session.index] = plane.nowMs;
  if (plane.parity.isRecovering) {
    counters.add(Counter.fecRecovered, 1);
    countRecovered(plane, session, index);
  } else {
    followPath(plane, index, session, verdict === ReplayVerdict.accept);
    session.paths.arrived(session.lastPath, keyId, idLow);
    session.book?.first(session.series, idLow, session.lastPath);
    countArrival(plane, session, datagramBytes, verdict === ReplayVerdict.acceptLate);
    const room = plane.parity.bySession[session.index];
    // A plan may have come a few rows before, when this one was opened in place already.
    if (room !== undefined && received[row + IS_ASIDE] === 1) keep(plane, room, index, keyId);
  }
  takeOpened(plane, row, session);
}

/** A key may be tried with so many forgeries and no more. */
function countForgery({ received, sessions }: Plane, row: number): void {
  const header = received[row + Word.opcode] as number;
  sessions.byPeerId(header & 0xff_ffff)?.usage.failed((header >>> 24) & 7);
}

/** Keeps the sealed bytes of row `index`, which is authentic. */
function keep(plane: Plane, room: ParityRoom, index: number, keyId: number): void {
  // HOT PATH
  const { received, parity } = plane;
  const row = index * DESCRIPTOR_WORDS;
  parity.id.keyId = keyId;
  parity.id.high = received[row + Word.idHigh] as number;
  parity.id.low = received[row + Word.idLow] as number;
  keepAuthentic(plane, room, index, received[row + DATAGRAM_BYTES] as number);
}

/** An authentic packet of a later epoch: the main thread moves the window of epochs. */
function followEpoch(plane: Plane, session: DataSession, keyId: number, epoch: number): void {
  // HOT PATH
  if (epoch <= (session.heardEpochs[keyId] as number)) return;
  session.heardEpochs[keyId] = epoch;
  notice(plane, { kind: "epoch", index: session.index, keyId, epoch, isOurs: false });
}

/** An authentic packet is a sign of life of its path; the newest one from elsewhere opens a path. */
function followPath(plane: Plane, index: number, session: DataSession, isNewest: boolean): void {
  // HOT PATH
  const path = findPath(plane, index, session);
  if (path !== NO_PATH) {
    session.lastPath = path;
    session.paths.heard(path, plane.nowMs);
    if (session.hasProbes && !plane.isDialling && !session.paths.isAlive(path)) {
      challengePath(plane, session, path);
    }
    return;
  }
  // The server's other address may answer; where we send to is not its choice. A TCP connection is
  // its session's only path.
  if (plane.isDialling) plane.counters.add(Counter.rxOtherAddress, 1);
  else if (plane.isStream) plane.counters.add(Counter.rxOtherAddress, 1);
  // The slower of two paths never brings the newest packet. Opening it to a peer of ours sends nothing
  // there but a challenge.
  else if (isNewest || session.hasProbes) openPath(plane, index, session);
}

/** Towards a stock peer the session moves; a peer of ours gets one more path, still to be checked. */
function openPath(plane: Plane, index: number, session: DataSession): void {
  const { arrivals, paths } = plane;
  const place = session.hasProbes ? session.paths.takePlace(plane.nowMs) : 0;
  if (place === NO_PATH) return;
  answerOn(arrivals, index, paths, session.index * PATHS_MAX + place);
  plane.counters.add(Counter.rxFloats, 1);
  session.lastPath = place;
  if (session.hasProbes) {
    session.paths.forget(place);
    plane.pathCounts.clear(session.index * PATHS_MAX + place);
    session.paths.propose(place, 0, true);
    session.paths.heard(place, plane.nowMs);
    challengePath(plane, session, place);
    return;
  }
  session.paths.heard(place, plane.nowMs);
  tellFloat(plane, session, place);
}

/** What is behind the cipher: a frame, an in-tunnel message, or with --fragment a piece of one. */
function takeOpened(plane: Plane, row: number, session: DataSession): void {
  // HOT PATH
  const start = plane.received[row + Word.start] as number;
  const length = plane.received[row + Word.length] as number;
  const { fragments } = plane;
  if (fragments === undefined) {
    takeFrame(plane, session, start, length);
    return;
  }
  const verdict = reassemble(plane, fragments, session.index, { start, length });
  if (verdict > PieceVerdict.complete) return;
  takeFrame(plane, session, fragments.reassembly.start, fragments.reassembly.length);
  if (verdict !== PieceVerdict.complete) return;
  // Its place is other pieces' from now on.
  flushWrites(plane);
  flushOrders(plane);
}

/** Keeps in-tunnel messages, hands frames to the switch. */
function takeFrame(plane: Plane, session: DataSession, start: number, length: number): void {
  // HOT PATH
  if (length === PING_BYTES && isMagic(plane, start, PING_OFFSET)) {
    plane.counters.add(Counter.rxPings, 1);
    return;
  }
  if (length >= PING_BYTES && isMagic(plane, start, OCC_OFFSET)) {
    takeOcc(plane, start, length, session);
    return;
  }
  if (session.hasProbes && isProbe(plane.view, start, length)) {
    session.book?.disregardLast();
    takeProbe(plane, session, start, length);
    return;
  }
  if (session.hasParity && redundancyType(plane.view, start, length) !== 0) {
    takeRedundancy(plane, session, start, length);
    return;
  }
  if (length > plane.frameBytesMax) {
    plane.counters.add(Counter.tapFrameTooBig, 1);
    return;
  }
  if (session.reorderMs !== 0) takeInOrder(plane, session, start, length);
  else deliverFrame(plane, session.index, start, length);
}

/** Parity for the session's blocks, or the dialling end's plan. */
function takeRedundancy(plane: Plane, session: DataSession, start: number, length: number): void {
  const type = redundancyType(plane.view, start, length);
  const room = plane.parity.bySession[session.index];
  session.book?.disregardLast();
  if (type === RedundancyType.plan) takePlan(plane, session, start, length);
  else if (type !== RedundancyType.parity) plane.counters.add(Counter.rxUnknownInner, 1);
  else if (room !== undefined) takeParity(plane, session, room, { start, length });
  else plane.counters.add(Counter.fecParityMisfit, 1);
}

/** OpenVPN's in-band control messages of old: only "exit" means anything here. */
function takeOcc(plane: Plane, start: number, length: number, session: DataSession): void {
  const isExit =
    length >= OCC_EXIT_BYTES &&
    plane.view.getUint8(start + PING_BYTES) === plane.view.getUint8(OCC_OFFSET + PING_BYTES);
  if (isExit) notice(plane, { kind: "exited", index: session.index });
  else plane.counters.add(Counter.rxUnknownInner, 1);
}

function isMagic(plane: Plane, start: number, magic: number): boolean {
  // HOT PATH
  for (let word = 0; word < MAGIC_WORDS; word++) {
    if (plane.view.getInt32(start + word * 4) !== plane.view.getInt32(magic + word * 4))
      return false;
  }
  return true;
}

function replayCounter(verdict: number): Counter {
  // HOT PATH
  switch (verdict) {
    case ReplayVerdict.duplicate:
      return Counter.rxReplayDuplicate;
    case ReplayVerdict.behind:
      return Counter.rxReplayBehind;
    case ReplayVerdict.expired:
      return Counter.rxReplayExpired;
    default:
      return Counter.rxReplayZeroId;
  }
}

function openingCounter(verdict: number): Counter {
  // HOT PATH
  if (verdict === Verdict.authenticationFailed) return Counter.rxAuthenticationFailed;
  return verdict === Verdict.keyStale ? Counter.rxStaleKey : Counter.rxMalformed;
}
