/**
 * What putting TCP in order keeps: slots behind those of parity, and the table of what waits in them. One
 * invariant: place n of the table is slot n from the first.
 */

import { HELD_PER_FLOW_MAX, HELD_SEGMENTS_MAX } from "./limits.ts";
import { SegmentOrder, type SegmentOrderOptions } from "./redundancy/segment-order.ts";
import { TcpSegment } from "./wire/tcp-segment.ts";

/** What the stage keeps. */
export interface OrderStage {
  readonly table: SegmentOrder;
  readonly segment: TcpSegment;
  /** First of its slots, one for each segment that waits. */
  readonly firstSlot: number;
}

/** Slots of the slab that `createOrderStage` is given. */
export const ORDER_SLOTS: number = HELD_SEGMENTS_MAX;

/** Makes the stage over `ORDER_SLOTS` slots. */
export function createOrderStage(
  firstSlot: number,
  options: Pick<SegmentOrderOptions, "seed" | "counters">,
): OrderStage {
  const limits = { heldMax: HELD_SEGMENTS_MAX, heldPerFlowMax: HELD_PER_FLOW_MAX };
  return {
    table: new SegmentOrder({ ...options, ...limits }),
    segment: new TcpSegment(),
    firstSlot,
  };
}
