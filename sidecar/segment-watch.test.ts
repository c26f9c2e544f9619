import assert from "node:assert/strict";
import { test } from "node:test";
import pino from "pino";
import { EVENTS_SHOWN_MAX, REFUSED_SHOWN_MAX } from "./limits.ts";
import { SegmentWatch } from "./segment-watch.ts";

const names = new Map([
  [1, "box"],
  [2, "rig"],
]);

function create(): SegmentWatch {
  const plane = { stations: () => [], groups: () => [] };
  return new SegmentWatch(plane, pino({ level: "silent" }));
}

test("events on the segment are kept with their counts, the latest first", () => {
  const watch = create();
  const mac = "02:00:00:00:00:07";
  watch.take({ kind: "moved", count: 2, mac, from: 0, to: 1 }, names);
  watch.take({ kind: "storm", count: 900, port: 2, of: "unknownUnicast" }, names);
  watch.take({ kind: "loop", port: 2, isShut: true }, names);
  watch.take({ kind: "conflict", count: 3, mac, port: 2 }, names);
  watch.take({ kind: "moved", count: 5, mac, from: 0, to: 1 }, names);
  const told = watch.status(names, 0).events?.map(({ kind, what, count }) => [kind, what, count]);
  assert.deepEqual(told, [
    ["moved", `station ${mac} moved from tap to box`, 7],
    ["refused", `station ${mac} refused behind rig: another's`, 3],
    ["loop", "loop by rig: shut", 1],
    ["storm", "storm of frames to unknown stations by rig: frames dropped", 900],
  ]);
});

test("of too many events the one longest ago gives way", () => {
  const watch = create();
  for (let number = 0; number <= EVENTS_SHOWN_MAX; number++) {
    const mac = `02:00:00:00:01:${number.toString(16).padStart(2, "0")}`;
    watch.take({ kind: "moved", count: 1, mac, from: 1, to: 2 }, names);
  }
  const events = watch.status(names, 0).events ?? [];
  assert.equal(events.length, EVENTS_SHOWN_MAX);
  assert(events.every(({ what }) => !what.includes("02:00:00:00:01:00")));
});

test("strangers who choose other names push nothing else out", () => {
  const watch = create();
  watch.take({ kind: "loop", port: 2, isShut: true }, names);
  for (let number = 0; number <= EVENTS_SHOWN_MAX; number++) {
    watch.refusedPeer("peer", `p${number}`, "its certificate is revoked");
  }
  watch.refusedPeer("peer", `p${EVENTS_SHOWN_MAX}`, "its certificate is revoked");
  const events = watch.status(names, 0).events ?? [];
  assert.equal(events.length, REFUSED_SHOWN_MAX + 1);
  assert.equal(events.at(-1)?.kind, "loop");
  assert.equal(events[0]?.what, `peer p${EVENTS_SHOWN_MAX} refused: its certificate is revoked`);
  assert.equal(events[0]?.count, 2);
});
