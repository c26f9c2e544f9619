import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import vectors from "../../../test/vectors/auth-token.json" with { type: "json" };
import { AuthTokens, isAuthToken, tokenBody, tokenMac } from "./auth-token.ts";

const DAY = 86_400;
const NOW = 1_800_000_000;
const owner = { username: "anna", commonName: "box" };
const tokens = new AuthTokens(Buffer.alloc(32, 5), DAY);

test("stock's own token of a known key is made the same", () => {
  const { token, keyByte, keyBytes, username, firstSeconds, renewedSeconds } = vectors;
  const bytes = Buffer.from(token.slice("SESS_ID_AT_".length), "base64");
  const body = tokenBody(bytes.subarray(0, 12), firstSeconds, renewedSeconds);
  assert.deepEqual(body, bytes.subarray(0, 28));
  const mac = tokenMac(Buffer.alloc(keyBytes, keyByte), username, body);
  assert.deepEqual(mac, bytes.subarray(28));
  assert(isAuthToken(token));
});

test("a token is known again by its owner, until its lifetime ends, renewed or not", () => {
  const first = tokens.issue(owner, NOW);
  const facts = tokens.read(first, owner, NOW + DAY - 1);
  assert(typeof facts === "object");
  assert.equal(facts.firstSeconds, NOW);
  const second = tokens.issue(owner, NOW + 3600, facts);
  assert.notEqual(second, first);
  assert.deepEqual(tokens.read(second, owner, NOW + DAY - 1), facts, "the same session");
  for (const token of [first, second]) {
    assert.equal(tokens.read(token, owner, NOW + DAY), "expired");
    assert.equal(tokens.read(token, owner, NOW - 61), "expired");
  }
});

test("a token is worth nothing to anybody else, under another key or changed anywhere", () => {
  const token = tokens.issue(owner, NOW);
  assert.equal(tokens.read(token, { ...owner, username: "bert" }, NOW), "invalid");
  assert.equal(tokens.read(token, { ...owner, commonName: "other" }, NOW), "invalid");
  assert.equal(new AuthTokens(Buffer.alloc(32, 6), DAY).read(token, owner, NOW), "invalid");
  const start = "SESS_ID_AT_".length;
  fc.assert(
    fc.property(
      fc.integer({ min: start, max: token.length - 1 }),
      fc.base64String(),
      (at, text) => {
        const other = token.slice(0, at) + text + token.slice(at + text.length);
        if (other !== token) assert.equal(tokens.read(other, owner, NOW), "invalid");
      },
    ),
  );
  for (const bad of ["SESS_ID_AT_", token.slice(0, -1), `${token}A`, `${token} `, `${token}=`]) {
    assert.equal(tokens.read(bad, owner, NOW), "invalid", bad);
  }
});
