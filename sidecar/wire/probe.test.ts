import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  COUNTED_BYTES,
  isProbe,
  PROBE_BYTES,
  ProbeType,
  readCounts,
  readProbe,
  writeCounts,
  writeProbe,
} from "./probe.ts";

const probe = fc.record({
  type: fc.constantFrom(1, 2, 3, 4),
  path: fc.nat(255),
  flags: fc.nat(255),
  sequence: fc.nat(0xffff_ffff),
  timeMs: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  received: fc.nat(0xffff_ffff),
  intervalMs: fc.nat(0xffff),
  clockMs: fc.nat(0xffff),
});

const FIELDS = {
  path: 0,
  flags: 0,
  sequence: 1,
  timeMs: 2,
  received: 3,
  intervalMs: 4,
  clockMs: 5,
};

test("a probe is read back as it was written, wherever it stands", () => {
  fc.assert(
    fc.property(probe, fc.nat(64), (fields, start) => {
      const view = new DataView(new ArrayBuffer(start + PROBE_BYTES));
      writeProbe(view, start, fields);
      assert.ok(isProbe(view, start, PROBE_BYTES));
      assert.deepEqual(readProbe(view, start), { ...fields });
    }),
  );
});

test("only a reply has counts", () => {
  const counts = { arrivedBytes: 0xffff_fffe, sentBytes: 0x8000_0001 };
  for (let type = 0; type <= 255; type++) {
    const view = new DataView(new ArrayBuffer(COUNTED_BYTES + 8));
    writeProbe(view, 8, { ...FIELDS, type });
    writeCounts(view, 8, counts);
    const isSized = type === ProbeType.size || type === ProbeType.sizeAnswer;
    assert.equal(isProbe(view, 8, COUNTED_BYTES), type === ProbeType.reply || isSized);
    assert.deepEqual(readCounts(view, 8), counts);
  }
});

test("another length, version, type or a changed magic is no probe", () => {
  const view = new DataView(new ArrayBuffer(PROBE_BYTES + 1));
  writeProbe(view, 0, { ...FIELDS, type: ProbeType.probe });
  assert.equal(isProbe(view, 0, PROBE_BYTES - 1), false);
  assert.equal(isProbe(view, 0, PROBE_BYTES + 1), false);
  for (let at = 0; at < 18; at++) {
    const byte = view.getUint8(at);
    view.setUint8(at, byte ^ 0x80);
    assert.equal(isProbe(view, 0, PROBE_BYTES), false, `byte ${at}`);
    view.setUint8(at, byte);
  }
  assert.ok(isProbe(view, 0, PROBE_BYTES));
});

test("a probe of size is one at any greater length, and at no other are the rest", () => {
  const view = new DataView(new ArrayBuffer(2 * PROBE_BYTES));
  for (let type = 0; type <= 255; type++) {
    writeProbe(view, 0, { ...FIELDS, type });
    const isSized = type === ProbeType.size || type === ProbeType.sizeAnswer;
    for (const bytes of [PROBE_BYTES + 1, 2 * PROBE_BYTES])
      assert.equal(isProbe(view, 0, bytes), isSized, `type ${type}`);
    assert.equal(isProbe(view, 0, PROBE_BYTES), type >= 1 && type <= 4, `type ${type}`);
  }
});
