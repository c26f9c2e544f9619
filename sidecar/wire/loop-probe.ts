/**
 * The switch's own probe for loops: a small frame to a group address of ours, with a random id and
 * the port that it left by. One invariant: a probe counts only with our own id. EtherType 0x88b5
 * is IEEE 802's local experimental one, which bridges forward.
 */

import { ETHERNET_HEADER_BYTES, EtherType, headerType, writeEthernet } from "./ethernet.ts";

const TARGET_HIGH = 0x0346;
const TARGET_LOW = 0x4c00_0001;
const PROBE_BYTES = 12;

/** The random id. */
export interface ProbeId {
  readonly idHigh: number;
  readonly idLow: number;
}

/** Writes a probe as a whole frame; returns its bytes. */
export function writeLoopProbe(
  view: DataView,
  start: number,
  port: number,
  from: ProbeId & { readonly own: { readonly high: number; readonly low: number } },
): number {
  const at = writeEthernet(view, start, {
    targetHigh: TARGET_HIGH,
    targetLow: TARGET_LOW,
    sourceHigh: from.own.high,
    sourceLow: from.own.low,
    vlan: 0,
    type: EtherType.experimental,
  });
  view.setInt32(at, from.idHigh);
  view.setInt32(at + 4, from.idLow);
  view.setInt32(at + 8, port);
  return at + PROBE_BYTES - start;
}

/** The port that our probe left by; -1: the frame is none of our probes. */
export function readLoopProbe(view: DataView, start: number, limit: number, id: ProbeId): number {
  const at = start + ETHERNET_HEADER_BYTES;
  if (limit - at < PROBE_BYTES || headerType(view, start) !== EtherType.experimental) return -1;
  if (view.getInt32(at) !== id.idHigh || view.getInt32(at + 4) !== id.idLow) return -1;
  return Math.max(-1, view.getInt32(at + 8));
}
