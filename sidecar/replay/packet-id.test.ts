import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ID_DISTANCE_MAX, idDistance } from "./packet-id.ts";

test("a distance is that of the 64-bit numbers, clamped, for signed and unsigned words", () => {
  const edges = [
    0n,
    1n,
    2n ** 30n,
    2n ** 31n - 1n,
    2n ** 31n,
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 33n,
  ];
  const id = fc.oneof(
    fc.bigInt(0n, 2n ** 64n - 1n),
    fc
      .tuple(fc.constantFrom(...edges, 2n ** 63n, 2n ** 64n - 100n), fc.nat(99))
      .map(([edge, more]) => edge + BigInt(more)),
  );
  const clampTo = BigInt(ID_DISTANCE_MAX);
  const by = fc.oneof(fc.constant(0n), fc.bigInt(-70n, 70n), fc.bigInt(-(2n ** 34n), 2n ** 34n));
  fc.assert(
    fc.property(id, by, fc.boolean(), (a, offset, isSigned) => {
      const b = BigInt.asUintN(64, a + offset);
      const words = [a >> 32n, a & 0xffff_ffffn, b >> 32n, b & 0xffff_ffffn].map((each) =>
        isSigned ? Number(each) | 0 : Number(each),
      ) as [number, number, number, number];
      const distance = a - b;
      const expected = distance > clampTo ? clampTo : distance < -clampTo ? -clampTo : distance;
      assert.equal(idDistance(...words), Number(expected));
    }),
    { numRuns: 2000 },
  );
});
