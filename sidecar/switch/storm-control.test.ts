import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StormControl, StormKind } from "./storm-control.ts";

const MBIT = 1e6;

function storm(
  limits: Partial<ConstructorParameters<typeof StormControl>[0]["limits"]>,
): StormControl {
  const none = { broadcast: undefined, unknownUnicast: undefined, multicast: undefined };
  return new StormControl({
    limits: { ...none, ...limits },
    portsMax: 4,
    burstMs: 250,
    burstBytesMin: 16_384,
  });
}

test("no port ever gets more than its burst and its rate, and gets that much if it asks for it", () => {
  const frame = fc.record({ passMs: fc.nat(40), bytes: fc.integer({ min: 14, max: 1518 }) });
  fc.assert(
    fc.property(
      fc.constantFrom(0, 0x7fff_ff00),
      fc.array(frame, { minLength: 1, maxLength: 300 }),
      (startMs, frames) => {
        const control = storm({ broadcast: 2 * MBIT });
        control.take(StormKind.broadcast, 1, 0, startMs | 0);
        let passedMs = 0;
        let bytes = 0;
        let isRefused = false;
        for (const one of frames) {
          passedMs += one.passMs;
          const isTaken = control.take(StormKind.broadcast, 1, one.bytes, (startMs + passedMs) | 0);
          if (isTaken) bytes += one.bytes;
          else isRefused = true;
          assert.ok(bytes <= 62_500 + passedMs * 250);
          if (isRefused && !isTaken)
            assert.ok(bytes >= 62_500 - 1518, "the burst was had before anything was refused");
        }
      },
    ),
  );
});

test("ports and kinds do not share, absent limits are none, and nothing means nothing", () => {
  const control = storm({ broadcast: 1000, multicast: 0 });
  while (control.take(StormKind.broadcast, 1, 1000, 5));
  assert.ok(control.take(StormKind.broadcast, 2, 1000, 5));
  assert.ok(!control.take(StormKind.multicast, 1, 14, 5));
  assert.ok(control.take(StormKind.unknownUnicast, 1, 1e9, 5));
});

test("other limits hold from the next frame on", () => {
  const control = storm({ broadcast: 1000 });
  while (control.take(StormKind.broadcast, 1, 1000, 5));
  const none = { broadcast: undefined, unknownUnicast: undefined, multicast: undefined };
  control.setLimits(none);
  assert.ok(control.take(StormKind.broadcast, 1, 1e9, 5));
  control.setLimits({ ...none, broadcast: 0 });
  assert.ok(!control.take(StormKind.broadcast, 1, 14, 5));
});
