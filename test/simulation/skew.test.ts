/** What the replay window makes of uplinks that are 100 ms apart, in virtual time. */
import "../../authority/reflect-shim.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { REPLAY_AUTO } from "../../sidecar/plane-settings.ts";
import { PairSimulation } from "./pair-simulation.ts";

const SEED = 1;
/** 200,000 a second: what two processors carry at 64 bytes (docs/performance.md). */
const FRAMES_PER_MS = 200;
const DURATION_MS = 200;

/** Copies by both uplinks of which the quick one loses a tenth: what is unique comes 100 ms late. */
async function run(
  replayPackets: number | "Auto",
): Promise<{ sent: number; late: number; behind: number }> {
  const wish = { policy: "Duplicate", delaysMs: [1, 101], loss: 0, replayPackets } as const;
  const simulation = new PairSimulation(SEED, wish);
  await simulation.start();
  simulation.lose(0, 0.1);
  const { sent, delivered, behind } = await simulation.stream(FRAMES_PER_MS, DURATION_MS);
  simulation.close();
  return { sent, late: sent - delivered, behind };
}

test("with a window of 8,192 packets what comes 100 ms late is lost", async () => {
  const { sent, late } = await run(REPLAY_AUTO.packets);
  assert(late > sent * 0.05, `${late} of ${sent} are missing`);
});

test("with a window that sizes itself, every packet comes out at 200,000 a second", async () => {
  const { late, behind } = await run("Auto");
  assert.deepEqual({ late, behind }, { late: 0, behind: 0 });
});
