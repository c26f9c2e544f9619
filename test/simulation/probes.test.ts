/** How soon probes find a silent failure, and that they cry for nothing else, in virtual time. */
import "../../authority/reflect-shim.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { PairSimulation, type PairWish } from "./pair-simulation.ts";

const HOUR_MS = 3_600_000;
const FOUND_MS_MAX = 250;
const CUTS = 60;
/** Round trips of up to 30 ms. */
const LOSSY: PairWish = {
  ...{ policy: "Failover", delaysMs: [5, 10, 15], loss: 0.05, replayPackets: 1024 },
};
const SEED = Number(process.env["FAIRLEAD_SEED"] ?? 1);

test(`seed ${SEED}: an hour at 5 % loss each way, and no path is taken for dead`, async (context) => {
  const simulation = new PairSimulation(SEED, LOSSY);
  await simulation.start();
  const before = simulation.probesSent;
  const alarms = await simulation.falseAlarms(HOUR_MS);
  const perSecond = (simulation.probesSent - before) / (HOUR_MS / 1000);
  simulation.close();
  context.diagnostic(`${perSecond.toFixed(1)} probes a second over three uplinks`);
  assert.deepEqual(alarms, { dialling: 0, listening: 0 });
});

test(`seed ${SEED}: a silent failure of the uplink in use is found in time, ${CUTS} times`, async (context) => {
  const simulation = new PairSimulation(SEED, LOSSY);
  await simulation.start();
  const foundMs: number[] = [];
  for (let cut = 0; cut < CUTS; cut++) foundMs.push(await simulation.cutInUse());
  simulation.close();
  context.diagnostic(`found after ${Math.min(...foundMs)} to ${Math.max(...foundMs)} ms`);
  assert(Math.max(...foundMs) <= FOUND_MS_MAX, `after ${Math.max(...foundMs)} ms`);
});
