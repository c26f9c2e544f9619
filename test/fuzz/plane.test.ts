import assert from "node:assert/strict";
import { after, test } from "node:test";
import fc from "fast-check";
import { COUNTERS } from "../../sidecar/counters.ts";
import { broadcastFrame, PlaneHarness, sealPacket } from "../../sidecar/plane-harness.ts";
import { fuzzRuns } from "./fuzz-runs.ts";
import { mutated, randomBytes } from "./mutations.ts";

/** Counters that one datagram which is not authentic may add one to. */
const MAY_COUNT = new Set(
  COUNTERS.map(({ name }) => name).filter(
    (name) => /^rx\./.test(name) && !/^rx\.(packets|bytes|pings|floats|accepted)/.test(name),
  ),
);

/** Content that a slot has room for beside its packet's header and tag, past the longest frame. */
const SLOT_TEXT_BYTES = 1570;

const harness = new PlaneHarness({ ringBytes: 1 << 20 });
after(() => harness.close());
const home = harness.farSocket();
const elsewhere = harness.farSocket();
const peer = harness.peer(1, home);
const valid = [1, 2, 3, 64, 65, 1000].map((id) => sealPacket(peer, id, broadcastFrame(id & 255)));

test("no datagram but an authentic one changes a session, and each adds one to one counter", () => {
  harness.deliver(home, sealPacket(peer, 10, broadcastFrame(1)));
  const { lastHeardMs } = peer.session;
  const path = harness.pathRow(1);
  const traffic = harness.plane.traffic.snapshot(1);
  fc.assert(
    fc.property(fc.oneof(randomBytes, mutated(valid)), fc.boolean(), (bytes, isHome) => {
      harness.plane.nowMs += 10;
      const gains = Object.entries(harness.deliver(isHome ? home : elsewhere, bytes));
      assert.equal(gains.length, 1, JSON.stringify(gains));
      const [name, gain] = gains[0] ?? ["", 0];
      assert.equal(gain, 1);
      assert(MAY_COUNT.has(name), name);
      while (harness.plane.strangers.take() !== undefined);
    }),
    fuzzRuns(2000),
  );
  assert.equal(peer.session.lastHeardMs, lastHeardMs);
  assert.deepEqual(harness.pathRow(1), path);
  assert.deepEqual(harness.plane.traffic.snapshot(1), traffic);
  const taken = harness.deliver(home, sealPacket(peer, 11, broadcastFrame(1)));
  assert.equal(taken["rx.packets"], 1, "and the peer goes on");
});

test("an authentic packet with any content leaves the plane as it was", () => {
  const pair = new PlaneHarness({ ringBytes: 1 << 20 });
  const end = pair.farSocket();
  const other = pair.farSocket();
  const one = pair.peer(1, end);
  pair.peer(2, other);
  let id = 0;
  const text = fc
    .oneof(randomBytes, mutated([broadcastFrame(1, 400)]))
    .filter((bytes) => bytes.length > 0 && bytes.length <= SLOT_TEXT_BYTES);
  fc.assert(
    fc.property(text, (bytes) => {
      id += 1;
      const gains = pair.deliver(end, sealPacket(one, id, bytes));
      assert.equal(gains["rx.packets"], 1);
      assert.equal(pair.plane.orderCount + pair.plane.writeCount, 0, "nothing is left over");
      const sent = gains["tx.packets"] ?? 0;
      const dropped = (gains["tap.frameTooBig"] ?? 0) + (gains["switch.runt"] ?? 0);
      assert.equal(sent + dropped, 1, JSON.stringify(gains));
      if (sent > 0) pair.farReceive(other, 1);
    }),
    fuzzRuns(500),
  );
  pair.close();
});
