import assert from "node:assert/strict";
import { test } from "node:test";
import { ControlTokens } from "./control-tokens.ts";
import { CONTROL_BURST, CONTROL_PER_SECOND, SOURCE_BURST, SOURCE_PER_SECOND } from "./limits.ts";
import { pathTo } from "./uplink/address-words.ts";

const row = (address: string): Int32Array => pathTo({ address, port: 1194 });

test("strangers pass at their rate, and after a burst", () => {
  const tokens = new ControlTokens(7);
  const passed = (nowMs: number) => {
    let count = 0;
    // Each from another source: 10.0.0.0/8, of which no two need the same share.
    for (let index = 0; index < 2000; index++) {
      const from = row(`10.${index % 7}.${index >>> 8}.${index & 255}`);
      if (tokens.takeStranger(from, 0, nowMs)) count += 1;
    }
    return count;
  };
  assert.equal(passed(1000), CONTROL_BURST);
  assert.equal(passed(1500), CONTROL_PER_SECOND / 2);
  assert.equal(passed(1500), 0);
});

test("whoever floods from a few addresses leaves room for one that was quiet", () => {
  const tokens = new ControlTokens(7);
  const flooders = Array.from({ length: 30 }, (_, index) => row(`203.0.113.${index}`));
  const quiet = row("198.51.100.1");
  let quietPassed = 0;
  let floodPassed = 0;
  // A minute of 10,000 packets a second; the quiet one shows itself every second with two.
  for (let nowMs = 0; nowMs < 60_000; nowMs += 10) {
    for (let packet = 0; packet < 100; packet++) {
      const from = flooders[packet % flooders.length] as Int32Array;
      if (tokens.takeStranger(from, 0, nowMs)) floodPassed += 1;
    }
    if (nowMs % 1000 > 10) continue;
    if (tokens.takeStranger(quiet, 0, nowMs)) quietPassed += 1;
  }
  assert.equal(quietPassed, 120, "none of its packets is dropped");
  const most = CONTROL_PER_SECOND * 60 + CONTROL_BURST;
  assert(floodPassed <= most && floodPassed > most * 0.9, `${floodPassed} of the flood`);
  assert(SOURCE_PER_SECOND * flooders.length < CONTROL_PER_SECOND, "as limits.ts says");
  assert(SOURCE_BURST < CONTROL_BURST / 2);
});

test("an IPv6 host is one source whatever its address in its network", () => {
  const tokens = new ControlTokens(7);
  let passed = 0;
  for (let index = 0; index < 1000; index++) {
    if (tokens.takeStranger(row(`2001:db8:1::${index.toString(16)}`), 0, 0)) passed += 1;
  }
  assert.equal(passed, CONTROL_BURST / 2 + 1 + SOURCE_BURST);
});
