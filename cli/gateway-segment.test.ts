import assert from "node:assert/strict";
import { test } from "node:test";
import type { TunnelStatus } from "../sidecar/control/status.ts";
import { type SegmentHappening, segmentReport } from "./gateway-segment.ts";

const WALL_MS = Date.UTC(2026, 0, 1);
const MAC = "02:00:00:00:00:07";

type Side = Pick<TunnelStatus, "events" | "conflicts">;

function moved(count: number, silentMs: number): Side {
  const what = `station ${MAC} moved from box to rig`;
  return { events: [{ kind: "moved", what, count, silentMs }] };
}

function reportAt(
  afterMs: number,
  side: Side,
  former?: readonly SegmentHappening[],
): readonly SegmentHappening[] {
  return segmentReport([side], former, WALL_MS + afterMs);
}

test("each kind is told once, the last of it, with what to do", () => {
  const what = "storm of broadcasts by rig: frames dropped";
  const side: Side = {
    events: [
      { kind: "loop", what: "loop by rig: opened again", count: 1, silentMs: 500 },
      { kind: "peer", what: "peer box refused: its certificate is revoked", count: 4, silentMs: 0 },
      { kind: "loop", what: "loop by rig: shut", count: 2, silentMs: 1000 },
      { kind: "storm", what, count: 900, silentMs: 2000 },
      { kind: "storm", what: what.replace("rig", "box"), count: 1, silentMs: 9000 },
      {
        kind: "refused",
        what: `station ${MAC} refused behind rig: another's`,
        count: 1,
        silentMs: 0,
      },
    ],
    conflicts: [{ address: "10.20.0.7", owner: "box", mac: MAC, behind: "tap", silentMs: 0 }],
  };
  const told = reportAt(0, side);
  assert.deepEqual(
    told.map(({ reason, time }) => [reason, time]),
    [
      ["AddressInUseTwice", "2026-01-01T00:00:00Z"],
      ["LoopShut", "2025-12-31T23:59:59Z"],
      ["PeerRefused", "2026-01-01T00:00:00Z"],
      ["StationRefused", "2026-01-01T00:00:00Z"],
      ["StormDropped", "2025-12-31T23:59:58Z"],
    ],
  );
  assert.equal(
    told[2]?.note,
    "Peer box refused: its certificate is revoked (4 times): create its VpnPeer, or hand out the newest profile of the one it has.",
  );
  assert.equal(
    told[4]?.note,
    "Storm of broadcasts by rig: frames dropped (900 times): stop the sender, or raise spec.stormLimits.",
  );
});

test("what goes on is written once a minute, what is over is not written again", () => {
  const first = reportAt(0, moved(1, 0));
  assert.deepEqual(reportAt(59_000, moved(40, 0), first), first);
  const second = reportAt(60_000, moved(41, 0), first);
  assert.match(second[0]?.note ?? "", /41 times/);
  assert.deepEqual(reportAt(600_000, moved(41, 540_000), second), second);
  assert.deepEqual(reportAt(700_000, { events: [] }, second), second, "it stays in the status");
});

test("a tunnel with two sides tells the later of both", () => {
  const other = `station ${MAC} moved from tap to app`;
  const inside: Side = { events: [{ kind: "moved", what: other, count: 1, silentMs: 10 }] };
  const told = segmentReport([moved(1, 5000), inside], undefined, WALL_MS);
  assert.equal(told.length, 1);
  assert.match(told[0]?.note ?? "", /to app: if nobody moved it/);
});
