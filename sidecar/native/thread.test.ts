/** What threads share: kicks, keys, and a worker that ends with its lane. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Ready } from "./layout.ts";
import { eventOpen, handleClose, keyInstall, keyRemove, kick } from "./native.ts";

/** Blocks in `wait` until kicked, then opens rows of key 50 and ends. */
const program = `
  const { workerData, parentPort } = require("node:worker_threads");
  import(workerData.native).then(({ laneOpen, keyRemove }) => {
    const table = () => new Int32Array(new SharedArrayBuffer(64 * 64));
    const slab = new Uint8Array(new SharedArrayBuffer(65536));
    const names = ["received", "arrivals", "frames", "orders", "writes", "paths"];
    const tables = Object.fromEntries(names.map((name) => [name, table()]));
    const lane = laneOpen({ slab, ...tables });
    const attached = lane.attachControl(workerData.event);
    parentPort.postMessage({ attached });
    const mask = lane.wait(-1);
    parentPort.postMessage({ mask, removed: keyRemove(50) });
  });
`;

function nextMessage(worker: Worker): Promise<Record<string, number>> {
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

test("a kick of the main thread wakes a worker that blocks, which sees the main thread's keys", async () => {
  const native = new URL("./native.ts", import.meta.url).href;
  for (let round = 0; round < 5; round++) {
    const event = eventOpen();
    const worker = new Worker(program, { eval: true, workerData: { native, event: event.handle } });
    assert.deepEqual(await nextMessage(worker), { attached: 0 });
    const wish = { slot: 50, generation: 1, cipher: "AES-128-GCM", format: "short" } as const;
    const key = new Uint8Array(16);
    assert.equal(keyInstall({ ...wish, key, implicitIv: new Uint8Array(8) }), 0);
    const answer = nextMessage(worker);
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    assert.equal(kick(event.handle), 0);
    assert.deepEqual(await answer, { mask: Ready.control, removed: 0 });
    assert.equal(await ended, 0);
    assert.notEqual(keyRemove(50), 0);
    assert.equal(handleClose(event.handle), 0);
  }
});
