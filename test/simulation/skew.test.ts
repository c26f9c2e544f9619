/** What the replay window makes of uplinks that are 100 ms apart, in virtual time. */
import "../../authority/reflect-shim.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { REPLAY_PACKETS_AUTO } from "../../sidecar/plane-settings.ts";
import { PairSimulation } from "./pair-simulation.ts";

const SEED = 1;
/** 60,000 a second: 670 Mbit/s in packets of 1,400 bytes. */
const FRAMES_PER_MS = 60;
const DURATION_MS = 500;
/** Of OpenVPN, unless it is told otherwise. */
const STOCK_WINDOW = 64;

/** Copies by both uplinks of which the quick one loses a tenth: what is unique comes 100 ms late. */
async function run(replayPackets: number): Promise<{ sent: number; late: number; behind: number }> {
  const wish = { policy: "Duplicate", delaysMs: [1, 101], loss: 0, replayPackets } as const;
  const simulation = new PairSimulation(SEED, wish);
  await simulation.start();
  simulation.lose(0, 0.1);
  const { sent, delivered, behind } = await simulation.stream(FRAMES_PER_MS, DURATION_MS);
  simulation.close();
  return { sent, late: sent - delivered, behind };
}

test("with a window of 64 packets what comes 100 ms late is lost", async () => {
  const { sent, late } = await run(STOCK_WINDOW);
  assert(late > sent * 0.05, `${late} of ${sent} are missing`);
});

test("with the window that Auto takes, every packet comes out at 60,000 a second", async () => {
  const { late, behind } = await run(REPLAY_PACKETS_AUTO);
  assert.deepEqual({ late, behind }, { late: 0, behind: 0 });
});
