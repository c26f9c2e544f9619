import assert from "node:assert/strict";
import { test } from "node:test";
import type { PathStatus, TunnelStatus } from "../sidecar/control/status.ts";
import { type UplinksReport, uplinksReport } from "./gateway-uplinks.ts";

const WALL_MS = Date.UTC(2026, 0, 1);
const AT = "2026-01-01T00:00:00.500Z";

type Wish = { readonly isAlive?: boolean; readonly bytesIn?: number; readonly cause?: string };

function tunnel({
  isAlive = true,
  bytesIn = 7,
  cause = "start",
}: Wish = {}): Pick<TunnelStatus, "peers" | "uplinks"> {
  const path: PathStatus = {
    ...{ uplink: "isp-a", local: "192.0.2.2", remote: "203.0.113.1:1194" },
    ...{ isUsable: true, isAlive, isActive: true, reorderedPackets: 1 },
    ...{ rttMs: 11.2, rttMsP50: 11, rttMsP99: 30, lossOutPercent: 0.5, lossBackPercent: 2 },
    ...{ packetsIn: 1, bytesIn, packetsOut: 2, bytesOut: 8 },
    ...{ savedPackets: 3, duplicatePackets: 4, latePackets: 5, recoveredPackets: 6 },
  };
  return {
    uplinks: [
      {
        ...{ name: "isp-a", isUsable: true, cause: "address 192.0.2.2", address: "192.0.2.2" },
        lastChange: { at: AT, cause },
      },
      { name: "isp-b", isUsable: true, cause: "address 198.18.1.2", address: "198.18.1.2" },
      { name: "lte", isUsable: false, cause: "no carrier", address: "" },
    ],
    peers: [{ name: "server", port: 1, state: "Up", paths: [path], unrecoverablePackets: 9 }],
  };
}

function report(wish: Wish, former: Partial<UplinksReport> = {}, afterMs = 0): UplinksReport {
  const made = uplinksReport(tunnel(wish), former, WALL_MS + afterMs);
  assert(made !== undefined);
  return made;
}

test("each uplink has its state, its cause and what crossed it, also before there is a session", () => {
  assert.deepEqual(report({}), {
    uplinksMeasured: "2026-01-01T00:00:00Z",
    fecUnrecoverable: 9,
    uplinks: [
      {
        ...{ name: "isp-a", state: "Up", sourceAddress: "192.0.2.2" },
        ...{ lastChange: "2026-01-01T00:00:00Z", lastChangeCause: "start" },
        ...{ rttMsP50: 11, rttMsP99: 30, lossPercent: 2, reorderedPackets: 1, latePackets: 5 },
        ...{ receivedBytes: 7, sentBytes: 8, duplicatePackets: 4, duplicatesSaved: 3 },
        fecRecovered: 6,
      },
      { name: "isp-b", state: "Unknown", sourceAddress: "198.18.1.2" },
      { name: "lte", state: "Down" },
    ],
  });
  assert.equal(report({ isAlive: false }).uplinks[0]?.state, "Down");
  assert.equal(uplinksReport({ peers: [] }, {}, WALL_MS), undefined, "a set is not used");
});

test("figures alone are told once a minute, what a person waits for at once", () => {
  const first = report({});
  assert.deepEqual(report({ bytesIn: 700 }, first, 59_000), first);
  assert.equal(report({ bytesIn: 700 }, first, 60_000).uplinks[0]?.receivedBytes, 700);
  assert.equal(report({ isAlive: false }, first, 1000).uplinks[0]?.state, "Down");
  assert.equal(report({ cause: "silent" }, first, 1000).uplinks[0]?.lastChangeCause, "silent");
});
