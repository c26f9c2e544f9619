/**
 * What putting TCP in order costs a packet: a full-size segment of one of so many flows read and looked up,
 * as they come in order; the same with every twentieth a block late, as parity brings it; and a packet of
 * UDP. Without order a packet costs one comparison. Prints a table.
 *
 *     node test/bench/order-micro.ts
 */

import { Counters } from "../../sidecar/counters.ts";
import { HELD_PER_FLOW_MAX, HELD_SEGMENTS_MAX } from "../../sidecar/limits.ts";
import { SegmentOrder } from "../../sidecar/redundancy/segment-order.ts";
import { TcpSegment } from "../../sidecar/wire/tcp-segment.ts";

const FLOW_COUNTS = [1, 16, 256];
const SEGMENTS = 1_000_000;
const ROUNDS = 5;
const PAYLOAD_BYTES = 1300;
const HEADERS_BYTES = 14 + 20 + 32;
const FRAME_BYTES: number = HEADERS_BYTES + PAYLOAD_BYTES;
const SEQUENCE_AT = 38;
const LATE_EVERY = 20;
/** How many others come first. */
const LATE_BY = 13;
const TCP = 6;
const UDP = 17;
const DELAY_MS = 10;

/** One frame for each flow, in one piece of memory. */
function framesOf(flows: number, protocol: number): DataView {
  const view = new DataView(new SharedArrayBuffer(flows * FRAME_BYTES));
  for (let flow = 0; flow < flows; flow++) {
    const at = flow * FRAME_BYTES;
    view.setUint16(at + 12, 0x0800);
    view.setUint8(at + 14, 0x45);
    view.setUint16(at + 16, FRAME_BYTES - 14);
    view.setUint8(at + 23, protocol);
    view.setUint32(at + 26, 0x0a14_0001);
    view.setUint32(at + 30, 0x0a14_0100 + flow);
    view.setUint16(at + 34, 40_000 + flow);
    view.setUint8(at + 46, 0x80);
    view.setUint8(at + 47, 0x10);
    view.setUint32(at + 54, 0x0101_080a);
  }
  return view;
}

/** Nanoseconds for each packet, the best of some rounds. */
function measure(flows: number, protocol: number, isLate: boolean): number {
  const view = framesOf(flows, protocol);
  const segment = new TcpSegment();
  const order = new SegmentOrder({
    ...{ heldMax: HELD_SEGMENTS_MAX, heldPerFlowMax: HELD_PER_FLOW_MAX, seed: 1 },
    counters: new Counters(),
  });
  const numbers = new Int32Array(flows);
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = performance.now();
    for (let count = 0; count < SEGMENTS; count++) {
      const flow = count % flows;
      const number = numbers[flow] as number;
      numbers[flow] = number + 1;
      const start = flow * FRAME_BYTES;
      const sequence = isLate ? lateNumber(number) : number;
      view.setInt32(start + SEQUENCE_AT, Math.imul(sequence, PAYLOAD_BYTES));
      if (!segment.readFrame(view, start, start + FRAME_BYTES)) continue;
      if (order.held.isUsedUp) order.held.recycle();
      order.take(segment, 1, FRAME_BYTES, DELAY_MS);
    }
    best = Math.min(best, ((performance.now() - startMs) * 1e6) / SEGMENTS);
  }
  return Math.round(best);
}

/** Of each twenty, the first comes behind thirteen others. */
function lateNumber(number: number): number {
  const place = number % LATE_EVERY;
  if (place > LATE_BY) return number;
  return place === LATE_BY ? number - LATE_BY : number + 1;
}

for (const flows of FLOW_COUNTS) {
  const figures = {
    ...{ flows, inOrderNs: measure(flows, TCP, false), lateNs: measure(flows, TCP, true) },
    udpNs: measure(flows, UDP, false),
  };
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}
