/** Orders about the segment, carried out by the worker: captures, stations, addresses, settings. */

import { type CaptureMemory, orderCapture } from "./capture-tap.ts";
import type { Order } from "./control/orders.ts";
import { Counter } from "./counters.ts";
import type { Plane } from "./plane.ts";
import { addressWords } from "./uplink/address-words.ts";
import { parseMac } from "./wire/ethernet.ts";

/** Carries the order out; false: it is none of these. */
export function carryOutSegmentOrder(
  plane: Plane,
  order: Order,
  captureMemory: (() => CaptureMemory | undefined) | undefined,
): boolean {
  const questions = plane.forwarding?.questions;
  switch (order.kind) {
    case "declareStation": {
      const mac = parseMac(order.mac);
      if (mac !== undefined) plane.stations?.declare(mac.high, mac.low, order.index);
      return true;
    }
    case "watchAddress": {
      const address = Int32Array.from(order.address);
      const isWatched = questions?.watch?.give(address, order.index, order.isTentative);
      if (isWatched === false) plane.counters.add(Counter.switchAddressesFull, 1);
      return true;
    }
    case "forgetAddress":
      questions?.watch?.forget(Int32Array.from(order.address));
      return true;
    case "askAddress":
      questions?.askEverybody(Int32Array.from(order.address));
      return true;
    case "changeSegment":
      changeSegment(plane, order.segment);
      return true;
    case "capture":
    case "endCapture": {
      const { captures, frameBytesMax } = plane;
      orderCapture(captures, order, { memory: captureMemory ?? (() => undefined), frameBytesMax });
      return true;
    }
    default:
      return false;
  }
}

/** Queriers, unknown groups and limits; whether there is snooping at all stays as it was. */
function changeSegment(
  plane: Plane,
  { snooping, storm }: Extract<Order, { kind: "changeSegment" }>["segment"],
): void {
  plane.forwarding?.storm?.setLimits(storm);
  if (snooping === undefined) return;
  const address4 = snooping.address4 === undefined ? undefined : addressWords(snooping.address4);
  plane.address4 = address4;
  const { querier, unknownGroups } = snooping;
  plane.forwarding?.snooping?.change({ querier, unknownGroups, address4 }, plane.nowMs);
}
