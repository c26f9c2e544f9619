import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { chooseCipher, DATA_CIPHERS } from "./data-ciphers.ts";

test("the server's order decides", () => {
  const theirs = ["AES-128-GCM", "CHACHA20-POLY1305", "AES-256-GCM"];
  assert.equal(chooseCipher(DATA_CIPHERS, theirs), "AES-256-GCM");
  assert.equal(chooseCipher(["CHACHA20-POLY1305", "AES-128-GCM"], theirs), "CHACHA20-POLY1305");
});

test("names are compared without regard to case, and as a whole", () => {
  assert.equal(chooseCipher(DATA_CIPHERS, ["chacha20-Poly1305"]), "CHACHA20-POLY1305");
  assert.equal(
    chooseCipher(DATA_CIPHERS, ["AES-256-GCM2", "AES-256", "", "AES-256-CBC"]),
    undefined,
  );
});

test("nothing in common, or nothing offered, is nothing chosen", () => {
  assert.equal(chooseCipher(["AES-128-GCM"], ["AES-256-GCM"]), undefined);
  assert.equal(chooseCipher(DATA_CIPHERS, []), undefined);
  assert.equal(chooseCipher([], ["AES-256-GCM"]), undefined);
});

test("what is chosen is in both lists, and nothing ahead of it in ours is in theirs", () => {
  const ours = fc.shuffledSubarray([...DATA_CIPHERS]);
  const theirs = fc.shuffledSubarray([...DATA_CIPHERS, "BF-CBC", "AES-256-CBC", ""]);
  fc.assert(
    fc.property(ours, theirs, (mine, offered) => {
      const chosen = chooseCipher(mine, offered);
      const common = mine.filter((cipher) => offered.includes(cipher));
      assert.equal(chosen, common[0]);
    }),
  );
});
