import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FLOW_IDLE_MS, FLOW_PLACES, type FlowChoice, FlowTable } from "./flow-table.ts";

const PATHS_MAX = 8;

function choiceOf(paths: readonly number[], weights: readonly number[]): FlowChoice {
  return {
    sendPaths: Int32Array.from(paths),
    sendCount: paths.length,
    weightOf: (path) => weights[path] ?? 1,
  };
}

const weightsOf = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 8, maxLength: 8 });

test("flows are spread in proportion to the weights", () => {
  fc.assert(
    fc.property(weightsOf, fc.integer({ min: 1, max: PATHS_MAX }), (weights, count) => {
      const table = new FlowTable(PATHS_MAX);
      const paths = Array.from({ length: count }, (_, path) => path);
      const choice = choiceOf(paths, weights);
      const loads = new Array<number>(count).fill(0);
      for (let flow = 0; flow < FLOW_PLACES; flow++) {
        const at = table.pick(flow, choice, 0);
        loads[at] = (loads[at] ?? 0) + 1;
      }
      const total = weights.slice(0, count).reduce((sum, weight) => sum + weight, 0);
      for (const [path, load] of loads.entries()) {
        const share = (FLOW_PLACES * (weights[path] ?? 1)) / total;
        assert(Math.abs(load - share) <= count, `${load} instead of ${share}`);
      }
    }),
  );
});

test("a flow moves only off a path that failed, or after it was silent", () => {
  const flows = fc.array(fc.integer(), { minLength: 1, maxLength: 200 });
  const changes = fc.array(fc.subarray([0, 1, 2, 3], { minLength: 1 }), { maxLength: 6 });
  fc.assert(
    fc.property(flows, changes, weightsOf, (hashes, usable, weights) => {
      const table = new FlowTable(PATHS_MAX);
      const kept = new Map<number, number>();
      const placeOf = (hash: number): number => (hash ^ (hash >>> 16)) & (FLOW_PLACES - 1);
      let nowMs = 2 ** 31 - 50_000;
      for (const paths of [[0, 1, 2, 3], ...usable, [0, 1, 2, 3]]) {
        const choice = choiceOf(paths, weights);
        nowMs = (nowMs + FLOW_IDLE_MS - 1) | 0;
        for (const hash of hashes) {
          const path = choice.sendPaths[table.pick(hash, choice, nowMs)] as number;
          const before = kept.get(placeOf(hash));
          if (before !== undefined && paths.includes(before)) assert.equal(path, before);
          kept.set(placeOf(hash), path);
        }
      }
    }),
  );
});

test("a path that came back gets the flows that were silent", () => {
  const table = new FlowTable(PATHS_MAX);
  for (let flow = 0; flow < 100; flow++) table.pick(flow, choiceOf([0], []), 0);
  const both = choiceOf([0, 1], []);
  for (let flow = 0; flow < 100; flow++) assert.equal(table.pick(flow, both, FLOW_IDLE_MS - 1), 0);
  const later = 2 * FLOW_IDLE_MS - 1;
  const moved = Array.from({ length: 100 }, (_, flow) => table.pick(flow, both, later));
  assert.equal(moved.filter((path) => path === 1).length, 50);
});
