/** What leaves as it is: control datagrams, which are sealed elsewhere or not at all. */

import { splitControl } from "./control/orders.ts";
import { Counter } from "./counters.ts";
import { HEADROOM_BYTES, Verdict, Word } from "./native/layout.ts";
import { CONTROL_PATH_ROW, type Plane } from "./plane.ts";
import { sendingCounter } from "./sending-verdicts.ts";
import { NO_CLASS } from "./wire/traffic-class.ts";

/** Sends bytes of the slab as they are, by a row of the path table. */
export function sendPlain(plane: Plane, path: number, start: number, length: number): number {
  const { orders } = plane;
  orders[Word.start] = start;
  orders[Word.length] = length;
  orders[Word.key] = -1;
  orders[Word.path] = path;
  orders[Word.segmentBytes] = 0;
  orders[Word.trafficClass] = NO_CLASS;
  plane.lane.send(1);
  return orders[Word.verdict] as number;
}

/** Sends a control datagram of the main thread, which has the row of its path in front. */
export function sendControl(plane: Plane, record: Uint8Array): void {
  const parts = splitControl(record);
  if (parts === undefined) {
    plane.counters.add(Counter.ringOrderUnknown, 1);
    return;
  }
  plane.paths.set(parts.row, CONTROL_PATH_ROW * parts.row.length);
  plane.slab.set(parts.datagram, HEADROOM_BYTES);
  const verdict = sendPlain(plane, CONTROL_PATH_ROW, HEADROOM_BYTES, parts.datagram.length);
  const isSent = verdict === Verdict.done;
  plane.counters.add(isSent ? Counter.txControlPackets : sendingCounter(verdict), 1);
}
