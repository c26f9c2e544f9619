/**
 * From the worker to the main thread: control packets and notices, by bounded rings. One
 * invariant: strangers' first packets and each session's control packets are rate-bound here, and
 * strangers ride a ring of their own, so that no number of them displaces a live session's packet.
 */

import type { SharedRing } from "./buffer/shared-ring.ts";
import { CONTROL_ROW_BYTES, encodeJson, type Notice, NoticeRecord } from "./control/orders.ts";
import { Counter } from "./counters.ts";
import { CONTROL_DATAGRAM_BYTES_MAX } from "./limits.ts";
import { DESCRIPTOR_WORDS, Word } from "./native/layout.ts";
import type { Plane } from "./plane.ts";
import { DIALLED_INDEX } from "./ports.ts";
import { NO_PATH } from "./session/path-set.ts";
import { findPath } from "./session-paths.ts";
import { freeInterface } from "./uplink/path-table.ts";
import { CONTROL_HEADER_BYTES, isControlOpcode } from "./wire/control-packet.ts";

/** Sessions are numbered from 1. */
const NOBODY = 0;
const scratch = new Uint8Array(CONTROL_ROW_BYTES + CONTROL_DATAGRAM_BYTES_MAX);
/** The row in front of the datagram. */
const scratchRow = new Int32Array(scratch.buffer, 0, DESCRIPTOR_WORDS);

/** Tells the main thread something; counted when its ring is full. */
export function notice(plane: Plane, message: Notice): void {
  const bytes = encodeJson(message);
  if (!plane.toMain.push(NoticeRecord.json, bytes, 0, bytes.length)) {
    plane.counters.add(Counter.ringNoticeFull, 1);
    return;
  }
  plane.toMain.wake();
}

/** Hands the control packet in a received row on, or drops and counts it. */
export function passControl(plane: Plane, index: number, opcode: number): void {
  const { received, counters, slab } = plane;
  const row = index * DESCRIPTOR_WORDS;
  const start = received[row + Word.start] as number;
  const length = received[row + Word.length] as number;
  if (!isControlOpcode(opcode)) {
    counters.add(Counter.rxBadOpcode, 1);
    return;
  }
  if (length <= CONTROL_HEADER_BYTES) {
    counters.add(Counter.rxTooShort, 1);
    return;
  }
  if (length > CONTROL_DATAGRAM_BYTES_MAX) {
    counters.add(Counter.rxControlTooLong, 1);
    return;
  }
  const sessionId = Buffer.from(slab.buffer, start + 1, 8).toString("hex");
  const place = plane.isDialling ? DIALLED_INDEX : (plane.known.get(sessionId) ?? NOBODY);
  const isKnown = place !== NOBODY && isFromItsPath(plane, index, place);
  if (!takeToken(plane, index, isKnown ? place : NOBODY)) {
    counters.add(isKnown ? Counter.rxControlLimited : Counter.rxStrangerLimited, 1);
    return;
  }
  const arrival = plane.arrivals.subarray(row, row + DESCRIPTOR_WORDS);
  scratch.set(new Uint8Array(arrival.buffer, arrival.byteOffset, CONTROL_ROW_BYTES), 0);
  freeInterface(scratchRow, 0);
  scratch.set(slab.subarray(start, start + length), CONTROL_ROW_BYTES);
  const ring: SharedRing = isKnown ? plane.toMain : plane.strangers;
  if (!ring.push(NoticeRecord.control, scratch, 0, CONTROL_ROW_BYTES + length)) {
    counters.add(isKnown ? Counter.rxControlRingFull : Counter.rxStrangerRingFull, 1);
    return;
  }
  counters.add(Counter.rxControlPackets, 1);
  ring.wake();
}

/**
 * A session id can be read by whoever sees one packet, so it counts only from where the session is: copies
 * sent from elsewhere share the strangers' rate and ring, and cannot keep a key change from happening.
 */
function isFromItsPath(plane: Plane, index: number, place: number): boolean {
  const session = plane.sessions.at(place);
  return session === undefined || findPath(plane, index, session) !== NO_PATH;
}

function takeToken(plane: Plane, index: number, place: number): boolean {
  const { controlTokens, arrivals, nowMs } = plane;
  if (place === NOBODY) return controlTokens.takeStranger(arrivals, index, nowMs);
  return controlTokens.take(place, nowMs);
}
