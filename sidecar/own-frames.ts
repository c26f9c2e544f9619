/**
 * Frames that the switch sends itself: queries for memberships, questions to stations, probes.
 * One invariant: each is built in the slab's own slot and has left (or is counted) before the next
 * one is built there.
 */

import { captureFrame } from "./capture-tap.ts";
import { SWITCH_PORT } from "./control/capture-messages.ts";
import { Counter } from "./counters.ts";
import { ownFrameStart, type Plane } from "./plane.ts";
import { TAP_PORT } from "./ports.ts";
import { flushOrders, flushWrites, sendToPort } from "./send.ts";
import { ALL_PORTS, type Query } from "./switch/group-questions.ts";
import { ETHERNET_HEADER_BYTES } from "./wire/ethernet.ts";
import { type QueryOptions, writeIgmpQuery } from "./wire/igmp.ts";
import { writeLoopProbe } from "./wire/loop-probe.ts";
import { writeMldQuery } from "./wire/mld.ts";
import { writeArpProbe, writeSolicitation } from "./wire/neighbour.ts";

/** Shortest Ethernet frame without its check sequence: what is shorter is padded. */
const FRAME_BYTES_MIN = 60;

/** Sends what was built in the own slot to one port, or to all. */
function sendOwnFrame(plane: Plane, port: number, length: number): void {
  const start = ownFrameStart(plane);
  const bytes = Math.max(length, FRAME_BYTES_MIN);
  plane.slab.fill(0, start + length, start + bytes);
  const { forwarding } = plane;
  if (forwarding === undefined) {
    sendOwnPacket(plane, port, length);
    return;
  }
  let count = 0;
  if (port === ALL_PORTS) {
    count = forwarding.everyPort();
    for (let index = 0; index < count; index++) {
      sendToPort(plane, forwarding.targets[index] as number, start, bytes);
    }
  } else if (forwarding.isLive(port) && !forwarding.isBlocked(port)) {
    forwarding.targets[0] = port;
    count = 1;
    sendToPort(plane, port, start, bytes);
  }
  if (plane.captures.length !== 0 && count > 0) {
    captureFrame(plane, SWITCH_PORT, { start, length: bytes, targets: count });
  }
  flushWrites(plane);
  flushOrders(plane);
}

/** The same through a router, whose packets have no frame around them. `ALL_PORTS`: every peer. */
function sendOwnPacket(plane: Plane, port: number, frameBytes: number): void {
  const { router } = plane;
  if (router === undefined) return;
  const start = ownFrameStart(plane) + ETHERNET_HEADER_BYTES;
  const length = frameBytes - ETHERNET_HEADER_BYTES;
  let count = 0;
  if (port === ALL_PORTS) count = router.everyPeer();
  else if (router.isLive(port)) {
    router.targets[0] = port;
    count = 1;
  }
  for (let index = 0; index < count; index++) {
    sendToPort(plane, router.targets[index] as number, start, length);
  }
  if (plane.captures.length !== 0 && count > 0) {
    captureFrame(plane, SWITCH_PORT, { start, length, targets: count });
  }
  flushWrites(plane);
  flushOrders(plane);
}

/** Asks the stations that are about to age out or that nobody knows. */
export function sendStationQuestions(plane: Plane): void {
  const questions = plane.forwarding?.questions;
  if (questions === undefined) return;
  for (;;) {
    const asked = questions.take();
    if (asked === undefined) return;
    const write = asked.family === 4 ? writeArpProbe : writeSolicitation;
    const length = write(plane.view, ownFrameStart(plane), { ...asked, own: plane.own });
    sendOwnFrame(plane, asked.port, length);
    plane.counters.add(Counter.switchStationProbes, 1);
  }
}

/** Sends the probes that the loop guard asks for. */
export function sendLoopProbes(plane: Plane): void {
  const guard = plane.forwarding?.guard;
  if (guard === undefined || !guard.isProbing(plane.nowMs)) return;
  for (const port of guard.probePorts) {
    if (port < 0) continue;
    const { idHigh, idLow } = guard;
    const from = { idHigh, idLow, own: plane.own };
    const length = writeLoopProbe(plane.view, ownFrameStart(plane), port, from);
    sendOwnFrame(plane, port, length);
    plane.counters.add(Counter.switchLoopProbes, 1);
  }
}

/** Sends the queries that the snooping asks for. */
export function sendQueries(plane: Plane): void {
  const { groups } = plane;
  if (groups === undefined) return;
  for (;;) {
    const query = groups.takeQuery();
    if (query === undefined) return;
    const length = writeQuery(plane, query);
    sendOwnFrame(plane, query.port, length);
    plane.counters.add(Counter.switchGroupQueries, 1);
  }
}

const NO_ADDRESS = new Int32Array(4);

/** A kernel refuses what comes in from its own address, which is a router's; from none it does not. */
function asking4(plane: Plane, port: number, address4: Int32Array | undefined): Int32Array {
  const isOwnKernel = plane.router !== undefined && port === TAP_PORT;
  return isOwnKernel ? NO_ADDRESS : (address4 ?? NO_ADDRESS);
}

function writeQuery(plane: Plane, query: Query): number {
  const { own, address4 } = plane;
  const options: QueryOptions = {
    macHigh: own.high,
    macLow: own.low,
    vlan: query.vlan,
    source: query.family === 4 ? asking4(plane, query.port, address4) : own.address6,
    group: query.group,
    responseMs: query.responseMs,
    version: query.version,
    sources: query.sources,
    sourceCount: query.sourceCount,
  };
  const write = query.family === 4 ? writeIgmpQuery : writeMldQuery;
  return write(plane.view, ownFrameStart(plane), options);
}
