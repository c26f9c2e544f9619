/**
 * What one packet costs in the addon: `node sidecar/native/lane.bench.ts`. Sealing is the
 * difference between sending sealed and sending as it is over the loopback; opening is alone.
 */

import { Harness, SLOT_BYTES } from "./lane-harness.ts";
import { DESCRIPTOR_WORDS, Verdict } from "./layout.ts";
import { type Cipher, keyInstall } from "./native.ts";

const ROWS = 64;
const ROUNDS = 400;
const SLOT = 10;

const harness = new Harness();
const socket = harness.open({ address: "127.0.0.1" });
harness.setPath(0, { remote: "127.0.0.1", port: socket.port, socket: socket.index });

function drain(): void {
  harness.grant(harness.received, 0, ROWS);
  while (harness.lane.udpReceive(socket.index, 0, ROWS) > 0) {
    harness.grant(harness.received, 0, ROWS);
  }
}

/** Median nanoseconds per row of a call, over rounds with work in between that is not counted. */
function measure(call: () => void, between: () => void): number {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    between();
    const start = process.hrtime.bigint();
    call();
    times.push(Number(process.hrtime.bigint() - start) / ROWS);
  }
  times.sort((a, b) => a - b);
  return Math.round(times[ROUNDS / 2] ?? 0);
}

function order(bytes: number, key: number): void {
  for (let row = 0; row < ROWS; row++) {
    harness.place(harness.orders, row, new Uint8Array(bytes));
    harness.set(harness.orders, row, { key, generation: 1, opcode: 0x48000001, idLow: row });
  }
}

/** Sealed packets as they arrived, to be put back before each round of opening. */
function sealedCopy(): { readonly slab: Uint8Array; readonly rows: Int32Array } {
  drain();
  harness.lane.send(ROWS);
  harness.receive(socket.index, ROWS);
  for (let row = 0; row < ROWS; row++) {
    harness.set(harness.received, row, { key: SLOT, generation: 1, verdict: Verdict.open });
  }
  const rows = harness.received.slice(0, ROWS * DESCRIPTOR_WORDS);
  return { slab: harness.slab.slice(0, ROWS * SLOT_BYTES), rows };
}

function bench(cipher: Cipher, bytes: number): string {
  const key = new Uint8Array(cipher === "AES-128-GCM" ? 16 : 32);
  const implicitIv = new Uint8Array(8);
  keyInstall({ slot: SLOT, generation: 1, cipher, key, implicitIv, format: "short" });
  const send = () => harness.lane.send(ROWS);
  order(bytes + 24, -1);
  const plain = measure(send, drain);
  order(bytes, SLOT);
  const sealed = measure(send, drain);
  const copy = sealedCopy();
  let opened = 0;
  const open = measure(
    () => {
      opened = harness.lane.openBatch(0, ROWS);
    },
    () => {
      harness.slab.set(copy.slab);
      harness.received.set(copy.rows);
    },
  );
  if (opened !== ROWS) throw new Error(`only ${opened} of ${ROWS} opened`);
  harness.set(harness.orders, 0, { key: -1 });
  return `${cipher} ${bytes} B: seal ${sealed - plain}, open ${open}, sendmmsg alone ${plain} ns`;
}

for (const cipher of ["AES-256-GCM", "AES-128-GCM", "CHACHA20-POLY1305"] as const) {
  for (const bytes of [64, 1400]) process.stdout.write(`${bench(cipher, bytes)}\n`);
}
