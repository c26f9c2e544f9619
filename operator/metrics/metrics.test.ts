import assert from "node:assert/strict";
import { test } from "node:test";
import { Metrics } from "./metrics.ts";

test("counters, gauges and histograms are printed as Prometheus reads them", () => {
  const metrics = new Metrics();
  metrics.describe("runs_total", "Runs.");
  metrics.count("runs_total", { kind: "A" });
  metrics.count("runs_total", { kind: "A" }, 2);
  metrics.gauge("waiting", () => [[{}, 3]]);
  metrics.observe("run_seconds", { kind: "A" }, 0.05);
  metrics.observe("run_seconds", { kind: "A" }, 99);
  const lines = metrics.print().split("\n");
  assert.deepEqual(lines.slice(0, 3), [
    "# HELP runs_total Runs.",
    "# TYPE runs_total counter",
    'runs_total{kind="A"} 3',
  ]);
  for (const line of [
    "waiting 3",
    'run_seconds_bucket{kind="A",le="0.02"} 0',
    'run_seconds_bucket{kind="A",le="0.1"} 1',
    'run_seconds_bucket{kind="A",le="+Inf"} 2',
    'run_seconds_sum{kind="A"} 99.05',
    'run_seconds_count{kind="A"} 2',
  ]) {
    assert(lines.includes(line), line);
  }
});
