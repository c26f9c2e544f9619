import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_PORT, type Station } from "../switch/mac-table.ts";
import { stationStatus } from "./status.ts";

const station: Station = {
  macHigh: 0x0200,
  macLow: 0x5e10_0001,
  vlan: 0,
  port: 3,
  seenMs: 1000,
  isDeclared: false,
};
const names = new Map([[3, "rig"]]);

test("a station is behind the tap, a peer by its name, an unnamed port, or nobody", () => {
  const behind = [0, 3, 4, NO_PORT].map(
    (port) => stationStatus({ ...station, port }, names, 1000).behind,
  );
  assert.deepEqual(behind, ["tap", "rig", "port 4", "(absent)"]);
});

test("its silence is counted across the clock's wrap, and never negative", () => {
  const silent = (seenMs: number, nowMs: number) =>
    stationStatus({ ...station, seenMs }, names, nowMs).silentMs;
  assert.equal(silent(1000, 3500), 2500);
  assert.equal(silent(0x7fff_ff00, (0x8000_0000 + 0x100) | 0), 0x200);
  assert.equal(silent(2000, 1999), 0);
});

test("a declared station is not silent", () => {
  assert.equal(stationStatus({ ...station, isDeclared: true }, names, 99_999).silentMs, 0);
});
