/**
 * Bytes from outside, for fuzzing: random ones, and valid ones with a few changes, which get
 * further into a parser. One invariant: a mutation never is the bytes that it was made from.
 */
import fc from "fast-check";

const LENGTH_MAX = 1500;

/** One change to some bytes. */
type Change =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "set"; readonly at: number; readonly value: number }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "repeat"; readonly at: number };

const at = fc.nat(LENGTH_MAX);
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant("flip" as const), at, bit: fc.nat(7) }),
  fc.record({
    kind: fc.constant("set" as const),
    at,
    value: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff),
  }),
  fc.record({ kind: fc.constant("cut" as const), at }),
  fc.record({
    kind: fc.constant("insert" as const),
    at,
    bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }),
  }),
  fc.record({ kind: fc.constant("repeat" as const), at }),
);

/** Bytes without any plan. */
export const randomBytes: fc.Arbitrary<Buffer> = fc
  .uint8Array({ maxLength: LENGTH_MAX, size: "max" })
  .map((bytes) => Buffer.from(bytes));

/** One of the valid ones, changed in one to four places. */
export function mutated(valid: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const changes = fc.array(change, { minLength: 1, maxLength: 4 });
  return fc
    .tuple(fc.constantFrom(...valid), changes)
    .map(([bytes, list]) => list.reduce(changed, Buffer.from(bytes)))
    .filter((bytes) => !valid.some((one) => one.equals(bytes)));
}

function changed(bytes: Buffer, wish: Change): Buffer {
  const place = bytes.length === 0 ? 0 : wish.at % bytes.length;
  const head = bytes.subarray(0, place);
  const tail = bytes.subarray(place);
  switch (wish.kind) {
    case "flip":
      return Buffer.concat([head, Buffer.of((tail[0] ?? 0) ^ (1 << wish.bit)), tail.subarray(1)]);
    case "set":
      return Buffer.concat([head, Buffer.of(wish.value), tail.subarray(1)]);
    case "cut":
      return Buffer.from(head);
    case "insert":
      return Buffer.concat([head, wish.bytes, tail]);
    default:
      return Buffer.concat([head, tail, tail]);
  }
}
