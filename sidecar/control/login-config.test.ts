/** What a listening tunnel's fields about passwords become, and what is said of bad ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hashPassword } from "../../authority/password.ts";
import {
  configOf,
  type Fields,
  load,
  object,
  place,
  problemsOf,
  tunnel,
} from "./loading-harness.ts";

const hash = await hashPassword("secret");

function listening(security: Fields): Fields {
  return tunnel("a", { listen: { port: 1194 }, security });
}

function users(text: string, key = "users"): Fields {
  return object("Secret", "people", { stringData: { [key]: text } });
}

test("a list of users is read from its Secret, with tokens for a day unless it says otherwise", async (context) => {
  const where = await place(context);
  const userPassSecretRef = { name: "people" };
  const one = await load(where, listening({ userPassSecretRef }), users(`anna:${hash}\n`));
  const list = [{ name: "anna", hash }];
  assert.deepEqual(configOf(one).security.login, { users: list, tokenSeconds: 86_400 });
  const other = await load(
    where,
    listening({ userPassSecretRef, authTokenSeconds: 0 }),
    users(`anna:${hash}\n`),
  );
  assert.deepEqual(configOf(other).security.login, { users: list, tokenSeconds: 0 });
  const none = await load(where, listening({}));
  assert.equal(configOf(none).security.login, undefined);
});

test("a socket is taken as it is", async (context) => {
  const loaded = await load(await place(context), listening({ userPassSocket: "/run/login.sock" }));
  const expected = { socket: "/run/login.sock", tokenSeconds: 86_400 };
  assert.deepEqual(configOf(loaded).security.login, expected);
});

test("a bad list, a missing one and two answers to one question are told, without a hash", async (context) => {
  const where = await place(context);
  const userPassSecretRef = { name: "people" };
  const cases: readonly (readonly [readonly Fields[], RegExp])[] = [
    [[listening({ userPassSecretRef })], /userPassSecretRef: there is no Secret lab\/people/],
    [
      [listening({ userPassSecretRef }), users("x", "username")],
      /has no users \(it has username\)/,
    ],
    [
      [listening({ userPassSecretRef }), users(`anna:${hash}\nbert:hunter2\n`)],
      /line 2 of users: what follows bert is not a hash of ours: make the line with fairlead password/,
    ],
    [
      [listening({ userPassSecretRef, userPassSocket: "/run/x" }), users(`anna:${hash}\n`)],
      /userPassSocket decides already: remove one of both/,
    ],
  ];
  for (const [documents, expected] of cases) {
    const problems = problemsOf(await load(where, ...documents));
    assert.match(problems, expected);
    assert.doesNotMatch(problems, /hunter2|scrypt\$/);
  }
});
