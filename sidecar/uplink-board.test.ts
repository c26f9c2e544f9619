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
