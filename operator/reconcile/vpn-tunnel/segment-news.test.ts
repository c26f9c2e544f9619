import assert from "node:assert/strict";
import { test } from "node:test";
import type { VpnTunnel } from "../../../crds/types.ts";
import type { Live } from "../../world.ts";
import { SegmentNews } from "./segment-news.ts";

const KEY = "lab/a";

/** A tunnel whose gateway wrote these reasons, each with a second. */
function tunnel(...told: readonly (readonly [string, number])[]): Live<VpnTunnel> {
  const segment = told.map(([reason, second]) => {
    return { reason, note: "cause: next step", time: `2026-01-01T00:00:0${second}Z` };
  });
  return { metadata: { name: "a" }, status: { segment } } as unknown as Live<VpnTunnel>;
}

test("what is new is told once; what was there at the start is not", () => {
  const news = new SegmentNews();
  const take = (one: Live<VpnTunnel>): string[] => news.take(KEY, one).map(({ reason }) => reason);
  assert.deepEqual(take(tunnel(["LoopShut", 1])), []);
  assert.deepEqual(take(tunnel(["LoopShut", 1])), []);
  assert.deepEqual(take(tunnel(["LoopShut", 1], ["StationMoved", 2])), ["StationMoved"]);
  assert.deepEqual(take(tunnel(["LoopShut", 3], ["StationMoved", 2])), ["LoopShut"]);
  news.forget(KEY);
  assert.deepEqual(take(tunnel(["LoopShut", 4])), []);
});

test("the first event of a segment that was quiet is told", () => {
  const news = new SegmentNews();
  assert.deepEqual(news.take(KEY, tunnel()), []);
  assert.equal(news.take(KEY, tunnel(["StormDropped", 1])).length, 1);
});
