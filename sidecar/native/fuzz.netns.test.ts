/** As fuzz.test.ts, with real taps and netlink; runs as root in a network namespace of its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertOrderly, EDGES, FUZZ_ROWS, FuzzHarness } from "./fuzz-harness.ts";
import {
  addressAdd,
  addressDelete,
  handleClose,
  linkAdd,
  linkDelete,
  linkSet,
  links,
  routeAdd,
  routeDelete,
  tapOpen,
} from "./native.ts";
import { requireOwnNamespace } from "./own-namespace.ts";

requireOwnNamespace();

const SECONDS_MAX = 2;
const seed = (Math.random() * 2 ** 32) | 0;

/** Two taps on a bridge, so that what one is given the other reads. */
function attachTaps(fuzz: FuzzHarness): number[] {
  const bridge = linkAdd({ name: "flfz", kind: "bridge" });
  assert.equal(linkSet({ index: bridge.index, isUp: true }), 0);
  return ["flfza", "flfzb"].map((name) => {
    const tap = tapOpen({ name, mode: "tap" });
    assert.equal(tap.errno, 0, tap.operation);
    const index = links().links.find((link) => link.name === name)?.index ?? 0;
    assert.equal(linkSet({ index, isUp: true, master: bridge.index }), 0);
    assert.ok(fuzz.lane.attachTap(tap.handle) >= 0);
    return tap.handle;
  });
}

test("frames of any description change only what they grant", (context) => {
  context.diagnostic(`seed ${seed}`);
  const fuzz = new FuzzHarness(seed);
  const handles = attachTaps(fuzz);
  const limit = performance.now() + SECONDS_MAX * 1000;
  let read = 0;
  let written = 0;
  for (let rounds = 0; rounds < 30_000 && performance.now() < limit; rounds++) {
    if (rounds % 8 === 0) {
      fuzz.rubbish = [0, 0.01, 0.1, 0.4][fuzz.below(4)] ?? 0;
      fuzz.fill(fuzz.frames);
      fuzz.fill(fuzz.writes);
      fuzz.checkTables();
    }
    const first = fuzz.number(FUZZ_ROWS);
    const count = fuzz.number(FUZZ_ROWS);
    const tap = fuzz.number(2);
    const frames = fuzz.guarded(fuzz.frames, { first, count }, () =>
      fuzz.lane.tapRead(tap, first, count),
    );
    const writes = fuzz.untouched(() => fuzz.lane.tapWrite(count));
    assertOrderly(frames);
    assertOrderly(writes);
    read += Math.max(0, frames);
    written += Math.max(0, writes);
  }
  context.diagnostic(`${read} frames read, ${written} written`);
  assert.ok(read > 0 && written > 0);
  for (const handle of handles) assert.equal(handleClose(handle), 0);
});

test("numbers and text of any value are refused by netlink or do what they say", () => {
  const fuzz = new FuzzHarness(seed);
  const texts = ["", "0.0.0.0", "::", "192.0.2.9", "2001:db8::9", "x".repeat(5000), "\0", "é%:/"];
  const text = () => texts[fuzz.below(texts.length)] ?? "";
  for (const value of [...EDGES, ...Array.from({ length: 200 }, () => fuzz.number(300))]) {
    const number = () => fuzz.number(260);
    assertOrderly(linkSet({ index: value, mtu: number() }));
    assertOrderly(linkSet({ index: number(), master: value, alias: text(), mac: text() }));
    const address = { index: value, address: text(), prefixBits: number() };
    assertOrderly(addressAdd(address));
    assertOrderly(addressDelete(address));
    const route = {
      destination: text(),
      prefixBits: number(),
      index: value,
      gateway: text(),
      table: number(),
      metric: number(),
      protocol: number(),
    };
    assertOrderly(routeAdd(route));
    assertOrderly(routeDelete(route));
    assertOrderly(linkAdd({ name: text(), kind: text() as "bridge" }).errno);
    assertOrderly(linkDelete(value));
    const tap = tapOpen({ name: text(), mode: "tap" });
    assertOrderly(tap.errno);
    if (tap.errno === 0) assert.equal(handleClose(tap.handle), 0);
  }
  assert.equal(links().errno, 0);
});
