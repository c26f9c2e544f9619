/** What one block costs in the addon: `node sidecar/native/parity.bench.ts`. */

import { DESCRIPTOR_WORDS, Verdict, Word } from "./layout.ts";
import { Parity, parityUsable } from "./native.ts";

const SHAPES = [
  [10, 3],
  [20, 4],
] as const;
const PACKET_BYTES = 1400;
const SLOT_BYTES = 1536;
const ROUNDS = 4000;
const SLOTS = 32;

const slab = new Uint8Array(new SharedArrayBuffer(SLOTS * SLOT_BYTES));
for (let at = 0; at < slab.length; at++) slab[at] = at * 31;
const shards = new Int32Array(new SharedArrayBuffer(SLOTS * DESCRIPTOR_WORDS * 4));
const parity = new Parity(slab, shards);

function set(row: number, length: number, verdict: number): void {
  shards[row * DESCRIPTOR_WORDS + Word.start] = row * SLOT_BYTES;
  shards[row * DESCRIPTOR_WORDS + Word.length] = length;
  shards[row * DESCRIPTOR_WORDS + Word.verdict] = verdict;
}

/** Median microseconds of a call that must give `expected`. */
function measure(prepare: () => void, call: () => number, expected: number): string {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    prepare();
    const start = process.hrtime.bigint();
    const result = call();
    times.push(Number(process.hrtime.bigint() - start) / 1000);
    if (result !== expected) throw new Error(`got ${result} instead of ${expected}`);
  }
  times.sort((a, b) => a - b);
  return (times[ROUNDS / 2] ?? 0).toFixed(1);
}

if (!parityUsable()) throw new Error("this processor lacks AVX2");
for (const [dataMax, parityMax] of SHAPES) {
  const all = (): void => {
    for (let row = 0; row < dataMax + parityMax; row++) set(row, PACKET_BYTES, Verdict.done);
  };
  const encode = (): number => parity.encode(dataMax, parityMax, PACKET_BYTES);
  const lose = (): void => {
    all();
    for (const row of [1, 4]) set(row, PACKET_BYTES, Verdict.open);
  };
  const recover = (): number => parity.recover(dataMax, parityMax, PACKET_BYTES);
  const encodeUs = measure(all, encode, parityMax);
  const recoverUs = measure(lose, recover, 2);
  process.stdout.write(
    `${dataMax}+${parityMax} of ${PACKET_BYTES} B: encode ${encodeUs} us, two lost of it ${recoverUs} us\n`,
  );
}
