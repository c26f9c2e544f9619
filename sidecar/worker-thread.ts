/** The data path's thread: runs one loop on the machine's clock, kernel and lane until it stops. */

import { setPriority } from "node:os";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import type { CaptureMemory } from "./capture-tap.ts";
import { SystemClock } from "./clock.ts";
import * as native from "./native/native.ts";
import type { PrefixWords } from "./switch/prefix-table.ts";
import { WorkerLoop } from "./worker.ts";
import type { WorkerData } from "./worker-data.ts";

/**
 * What this thread asks of the scheduler: a packet waits for nothing that is not urgent. 0 names the
 * calling thread on Linux.
 */
const NICE = -10;

try {
  setPriority(0, NICE);
} catch {
  // Not allowed (a pod without CAP_SYS_NICE): the thread is scheduled like any other.
}
const data = workerData as WorkerData;
const loop = new WorkerLoop(data, {
  clock: new SystemClock(data.clockOrigin),
  kernel: native,
  laneOpen: native.laneOpen,
  tables: (tables) => parentPort?.postMessage(tables),
  // The loop never gets to the thread's event loop: what was posted waits in the port's queue.
  captureMemory: () => nextMessage() as CaptureMemory | undefined,
  routes: () => nextMessage() as PrefixWords | undefined,
});
loop.run();

function nextMessage(): unknown {
  return parentPort === null ? undefined : receiveMessageOnPort(parentPort)?.message;
}
