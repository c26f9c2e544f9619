/**
 * Where a capture takes frames: at the switch, decrypted, once for each frame, with where it went.
 * One invariant: a frame that does not fit the capture's ring is missed and counted; the frame
 * itself goes its way as if nobody watched. Without a capture the cost is one comparison a frame.
 */

import { SharedRing } from "./buffer/shared-ring.ts";
import { wallMs } from "./clock.ts";
import {
  CaptureMessage,
  FRAME_HEADER_BYTES,
  writeFrameHeader,
} from "./control/capture-messages.ts";
import type { CaptureFilter, Order } from "./control/orders.ts";
import { Counter, type Counters } from "./counters.ts";
import * as ethernet from "./wire/ethernet.ts";
import { readAddress } from "./wire/group-message.ts";
import { IpPacket, Protocol } from "./wire/ip-packet.ts";
import { isMldType } from "./wire/mld.ts";

/** Where the frames are. */
interface Source {
  readonly view: DataView;
  readonly slab: Uint8Array;
  readonly switching: { readonly targets: Int32Array };
  readonly counters: Pick<Counters, "add">;
  readonly captures: readonly CaptureTap[];
}

/** What the main thread makes for a capture. */
export interface CaptureMemory {
  readonly id: number;
  readonly ring: SharedArrayBuffer;
  /** One word: frames that were missed. */
  readonly missed: SharedArrayBuffer;
}

/** One running capture, in the worker. */
export class CaptureTap {
  readonly id: number;
  readonly #ring: SharedRing;
  readonly #missed: Int32Array;
  readonly #scratch: Uint8Array;
  readonly #header: DataView;
  readonly #packet = new IpPacket();
  readonly #address = new Int32Array(4);
  #filter: CaptureFilter;

  constructor(memory: CaptureMemory, filter: CaptureFilter, frameBytesMax: number) {
    this.id = memory.id;
    this.#ring = new SharedRing(memory.ring);
    this.#missed = new Int32Array(memory.missed);
    this.#scratch = new Uint8Array(FRAME_HEADER_BYTES + frameBytesMax);
    this.#header = new DataView(this.#scratch.buffer, 0, FRAME_HEADER_BYTES);
    this.#filter = filter;
  }

  /** A peer has another port now, or none. */
  setFilter(filter: CaptureFilter): void {
    this.#filter = filter;
  }

  /** Notes the frame that came in by a port and went to the first `targets` of the ports listed. */
  take(
    plane: Source,
    port: number,
    frame: { start: number; length: number; targets: number },
  ): void {
    const { start, length, targets } = frame;
    const ports = plane.switching.targets;
    const wanted = this.#filter.port;
    let isOut = false;
    if (wanted !== undefined && wanted !== port) {
      for (let place = 0; place < targets && !isOut; place++) isOut = ports[place] === wanted;
      if (!isOut) return;
    }
    if (!this.#isWanted(plane.view, start, start + length)) return;
    const at = {
      wallMs: wallMs(),
      port: isOut ? (wanted as number) : port,
      targets: isOut ? 0 : targets,
      target: targets > 0 ? (ports[0] as number) : -1,
      bytes: length,
    };
    writeFrameHeader(this.#header, at);
    const kept = Math.min(
      length,
      this.#filter.snapBytes,
      this.#scratch.length - FRAME_HEADER_BYTES,
    );
    this.#scratch.set(plane.slab.subarray(start, start + kept), FRAME_HEADER_BYTES);
    if (this.#ring.push(CaptureMessage.frame, this.#scratch, 0, FRAME_HEADER_BYTES + kept)) {
      this.#ring.wake();
      return;
    }
    Atomics.add(this.#missed, 0, 1);
    plane.counters.add(Counter.captureMissed, 1);
  }

  #isWanted(view: DataView, start: number, limit: number): boolean {
    const { station, group } = this.#filter;
    if (station === undefined && group === undefined) return true;
    if (!ethernet.isFrame(start, limit)) return false;
    if (station !== undefined && !isOfStation(view, start, station)) return false;
    return group === undefined || this.#isOfGroup(view, start, limit, group);
  }

  #isOfGroup(view: DataView, start: number, limit: number, group: readonly number[]): boolean {
    const packet = this.#packet;
    const version = packet.read(view, start, limit);
    if (version === 0) return false;
    if (version === 4 && packet.protocol === Protocol.igmp) return true;
    if (version === 6 && packet.protocol === Protocol.icmp6) {
      const hasType = packet.payloadAt < packet.payloadLimit;
      if (hasType && isMldType(view.getUint8(packet.payloadAt))) return true;
    }
    readAddress(view, packet.targetAt, version, this.#address);
    return group.every((word, place) => word === this.#address[place]);
  }
}

/** Carries out what the main thread says about captures. */
export function orderCapture(
  captures: CaptureTap[],
  order: Extract<Order, { kind: "capture" | "endCapture" }>,
  around: { readonly memory: () => CaptureMemory | undefined; readonly frameBytesMax: number },
): void {
  const place = captures.findIndex((tap) => tap.id === order.id);
  if (order.kind === "endCapture") {
    if (place >= 0) captures.splice(place, 1);
    return;
  }
  const known = captures[place];
  if (known !== undefined) {
    known.setFilter(order.filter);
    return;
  }
  const memory = around.memory();
  if (memory === undefined) return;
  captures.push(new CaptureTap(memory, order.filter, around.frameBytesMax));
}

/** Shows a frame to every capture. */
export function captureFrame(
  plane: Source,
  port: number,
  frame: { start: number; length: number; targets: number },
): void {
  for (const tap of plane.captures) tap.take(plane, port, frame);
}

function isOfStation(
  view: DataView,
  start: number,
  station: { readonly high: number; readonly low: number },
): boolean {
  const { high, low } = station;
  const isSource =
    ethernet.sourceHigh(view, start) === high && ethernet.sourceLow(view, start) === low;
  if (isSource) return true;
  return (
    ethernet.destinationHigh(view, start) === high && ethernet.destinationLow(view, start) === low
  );
}
