import assert from "node:assert/strict";
import { test } from "node:test";
import pino from "pino";
import type { UplinksConfig } from "./control/tunnel-config.ts";
import { UplinkBoard } from "./uplink-board.ts";

const STOCK = { hasProbes: false, hasParity: false };
const OLDER = { hasProbes: true, hasParity: false };
const OURS = { hasProbes: true, hasParity: true };

function noteOf(wish: Pick<UplinksConfig, "policy" | "reorderMs">, peer: typeof STOCK): string {
  const probe = { intervalMs: 50, downAfter: 4, upAfter: 10, maxLossPercent: 20, lossWindow: 200 };
  const config = { ...wish, copies: 2, probe, uplinks: [] };
  return new UplinkBoard(config, pino({ level: "silent" })).policyNote(peer) ?? "";
}

test("a peer that does not go along with the policy is told of, with what happens instead", () => {
  for (const policy of ["Failover", "Duplicate", "Fec", "Balance"] as const) {
    assert.equal(noteOf({ policy, reorderMs: 10 }, OURS), "");
  }
  assert.equal(noteOf({ policy: "Failover", reorderMs: 0 }, STOCK), "");
  assert.match(noteOf({ policy: "Fec", reorderMs: 10 }, OLDER), /^policy Fec: .*Failover$/);
  assert.match(noteOf({ policy: "Balance", reorderMs: 0 }, STOCK), /^policy Balance: .*Failover$/);
  assert.match(
    noteOf({ policy: "Duplicate", reorderMs: 10 }, STOCK),
    /^policy Duplicate: .*window/,
  );
  for (const policy of ["Failover", "Duplicate"] as const) {
    assert.match(
      noteOf({ policy, reorderMs: 10 }, OLDER),
      /^reorder: .*only what comes from there/,
    );
  }
});

test("status says when an uplink changed last, and why", () => {
  let nowMs = Date.UTC(2026, 0, 1);
  const probe = { intervalMs: 50, downAfter: 4, upAfter: 10, maxLossPercent: 20, lossWindow: 200 };
  const config: UplinksConfig = {
    ...{ policy: "Failover", reorderMs: 0, copies: 2, probe },
    uplinks: [],
  };
  const board = new UplinkBoard(config, pino({ level: "silent" }), () => nowMs);
  const base = { priority: 1, isUsable: true, isLeaving: false, socket: 0 };
  const first = { ...base, uplink: 0, name: "isp-a", cause: "address 192.0.2.2", address: "a" };
  const second = { ...base, uplink: 1, name: "isp-b", cause: "address 192.0.2.3", address: "b" };
  const tell = (...uplinks: (typeof first)[]): void =>
    board.take({ kind: "uplinks", cause: "told", uplinks, active: [0] });
  const changes = (): (string | undefined)[] =>
    board.uplinks().map(({ lastChange }) => lastChange && `${lastChange.at} ${lastChange.cause}`);
  tell(first, second);
  nowMs += 1000;
  tell(first, { ...second, isUsable: false, cause: "no carrier" });
  assert.deepEqual(changes(), [
    "2026-01-01T00:00:00.000Z address 192.0.2.2",
    "2026-01-01T00:00:01.000Z no carrier",
  ]);
  nowMs += 1000;
  board.take({ kind: "pathChanged", path: 0, cause: "silent", active: [] });
  assert.equal(changes()[0], "2026-01-01T00:00:02.000Z silent");
  nowMs += 1000;
  // Another uplink under the same number is no former one.
  tell({ ...first, name: "other" }, second);
  assert.equal(changes()[0], "2026-01-01T00:00:03.000Z address 192.0.2.2");
});
