/** The data path's thread: runs one loop on the machine's clock, kernel and lane until it stops. */

import { parentPort, workerData } from "node:worker_threads";
import { SystemClock } from "./clock.ts";
import * as native from "./native/native.ts";
import { WorkerLoop } from "./worker.ts";
import type { WorkerData } from "./worker-data.ts";

const data = workerData as WorkerData;
const loop = new WorkerLoop(data, {
  clock: new SystemClock(data.clockOrigin),
  kernel: native,
  createLane: native.Lane,
  tables: (tables) => parentPort?.postMessage(tables),
});
loop.run();
