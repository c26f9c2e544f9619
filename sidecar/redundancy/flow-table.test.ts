import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  FLOW_ACTIVE_MS,
  FLOW_IDLE_MS,
  FLOW_PLACES,
  type FlowChoice,
  FlowTable,
} from "./flow-table.ts";

const PATHS_MAX = 8;

/** What each path carries, and whether that is all that it does. */
type Known = readonly { readonly bytes: number; readonly isFull: boolean }[];

function choiceOf(
  paths: readonly number[],
  weights: readonly number[],
  known: Known = [],
): FlowChoice {
  return {
    sendPaths: Int32Array.from(paths),
    sendCount: paths.length,
    weightOf: (path) => weights[path] ?? 1,
    capacityOf: (path) => known[path]?.bytes ?? 0,
    isFull: (path) => known[path]?.isFull ?? false,
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

/** Flows of one rate over links that take so much, a look a second; how many flows each path has. */
function spread(
  links: readonly number[],
  flowCount: number,
  weights: readonly number[] = [],
): number[] {
  const table = new FlowTable(PATHS_MAX);
  const paths = [...links.keys()];
  const flowRate = 100;
  const loads = links.map(() => 0);
  const known = links.map(() => ({ bytes: 0, isFull: false }));
  const rates = new Float64Array(PATHS_MAX);
  let nowMs = 0;
  for (let flow = 0; flow < flowCount; flow++) {
    const at = table.pick(flow, choiceOf(paths, weights, known), nowMs);
    loads[at] = (loads[at] ?? 0) + 1;
    nowMs += 1000;
    // Every flow goes on, so that it is not silent.
    for (let other = 0; other <= flow; other++)
      table.pick(other, choiceOf(paths, [], known), nowMs);
    for (const [path, load] of loads.entries()) {
      const carried = Math.min(load * flowRate, links[path] as number);
      const before = known[path] as (typeof known)[number];
      const isFull = before.isFull || load * flowRate > (links[path] as number);
      known[path] = { bytes: Math.max(before.bytes, carried), isFull };
      // What leaves here is what was offered.
      rates[path] = load * flowRate;
    }
    table.look(rates, nowMs);
  }
  return loads;
}

test("without measured capacities the slow path is overloaded, with them it gets what it carries", () => {
  const table = new FlowTable(PATHS_MAX);
  const blind = [0, 0];
  for (let flow = 0; flow < 40; flow++) {
    const at = table.pick(flow, choiceOf([0, 1], []), 0);
    blind[at] = (blind[at] ?? 0) + 1;
  }
  assert.deepEqual(blind, [20, 20], "by weight alone: 2,000 to a path that carries 800");
  const loads = spread([800, 3200], 36);
  assert((loads[0] ?? 0) <= 10, `${loads}`);
  assert((loads[1] ?? 0) <= 32, `${loads}`);
});

test("once all paths are full, flows are shared by what these carry", () => {
  const loads = spread([1000, 4000], 200);
  const share = (loads[0] ?? 0) / 200;
  assert(share > 0.15 && share < 0.25, `${loads}`);
});

test("weights that differ are somebody's word: they win, and a full path is still spared", () => {
  const loads = spread([10_000, 10_000], 40, [3, 1]);
  assert(Math.abs((loads[0] ?? 0) - 30) <= 1, `${loads}`);
  const [fast = 0, slow = 0] = spread([10_000, 500], 40, [1, 3]);
  assert(slow <= 8 && fast >= 32, `${fast} ${slow}`);
});

test("a path of which nothing is known gets its share, and so is found out", () => {
  const table = new FlowTable(PATHS_MAX);
  const known: Known = [
    { bytes: 1000, isFull: true },
    { bytes: 0, isFull: false },
  ];
  const rates = new Float64Array(PATHS_MAX);
  for (let flow = 0; flow < 10; flow++) table.pick(flow, choiceOf([0], [], known), 0);
  rates[0] = 500;
  table.look(rates, 0);
  const at = Array.from({ length: 6 }, (_, flow) =>
    table.pick(100 + flow, choiceOf([0, 1], [], known), 0),
  );
  assert.deepEqual(at, [1, 1, 1, 1, 1, 1]);
});

test("flows that are silent are no load", () => {
  const table = new FlowTable(PATHS_MAX);
  const both = choiceOf([0, 1], []);
  for (let flow = 0; flow < 50; flow++) table.pick(flow, choiceOf([0], []), 0);
  table.look(new Float64Array(PATHS_MAX), FLOW_ACTIVE_MS);
  const moved = Array.from({ length: 50 }, (_, flow) => table.pick(100 + flow, both, 2000));
  assert.equal(moved.filter((path) => path === 0).length, 25);
});

test("whatever is known and however it changes, a flow stays where it is", () => {
  const one = fc.record({ bytes: fc.nat(100_000), isFull: fc.boolean() });
  const steps = fc.array(
    fc.record({
      known: fc.array(one, { minLength: 4, maxLength: 4 }),
      rates: fc.array(fc.nat(200_000), { minLength: 8, maxLength: 8 }),
      flows: fc.array(fc.nat(FLOW_PLACES - 1), { maxLength: 40 }),
    }),
    { maxLength: 10 },
  );
  fc.assert(
    fc.property(steps, weightsOf, (all, weights) => {
      const table = new FlowTable(PATHS_MAX);
      const naive = new Map<number, number>();
      let nowMs = 0;
      for (const { known, rates, flows } of all) {
        for (const flow of flows) {
          const at = table.pick(flow, choiceOf([0, 1, 2, 3], weights, known), nowMs);
          assert.equal(naive.get(flow) ?? at, at);
          naive.set(flow, at);
        }
        nowMs += 1000;
        table.look(Float64Array.from(rates), nowMs);
      }
    }),
  );
});
