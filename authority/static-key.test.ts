/** OpenVPN's static key as text. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StaticKeyError } from "./authority-error.ts";
import {
  generateStaticKey,
  parseStaticKey,
  printStaticKey,
  STATIC_KEY_BYTES,
} from "./static-key.ts";

test("a key survives printing and reading, comments and all", () => {
  const key = generateStaticKey();
  const text = printStaticKey(key);
  assert.equal(text.split("\n").length, 19);
  assert.deepEqual(parseStaticKey(text), key);
  const commented = `#\n# 2048 bit OpenVPN static key\n#\n${text.replaceAll("\n", "\r\n")}`;
  assert.deepEqual(parseStaticKey(commented), key);
});

test("a damaged key is refused without quoting it", () => {
  const text = printStaticKey(new Uint8Array(STATIC_KEY_BYTES).fill(0xab));
  const damaged = [
    "",
    text.replace("END", "end"),
    text.replace("ab", "xy"),
    text.replace("abab", ""),
    text.replace("BEGIN OpenVPN Static key V1", "BEGIN PRIVATE KEY"),
  ];
  for (const one of damaged) {
    assert.throws(
      () => parseStaticKey(one),
      (error: Error) => {
        assert.ok(error instanceof StaticKeyError);
        assert.ok(!error.message.includes("abab"));
        return true;
      },
    );
  }
});

test("no text makes the reader fail in another way", () => {
  const whole = printStaticKey(new Uint8Array(STATIC_KEY_BYTES));
  const mutated = fc
    .tuple(fc.nat(whole.length), fc.nat(whole.length), fc.string())
    .map(([start, length, put]) => whole.slice(0, start) + put + whole.slice(start + length));
  fc.assert(
    fc.property(fc.oneof(fc.string(), mutated), (text) => {
      try {
        assert.equal(parseStaticKey(text).length, STATIC_KEY_BYTES);
      } catch (error) {
        assert.ok(error instanceof StaticKeyError);
      }
    }),
  );
});
