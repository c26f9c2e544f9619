import assert from "node:assert/strict";
import { scryptSync } from "node:crypto";
import { test } from "node:test";
import { hashPassword, isPassword, parseUsers } from "./password.ts";

test("a password is known by its hash, which is another one each time", async () => {
  const [one, other] = [await hashPassword("pässword"), await hashPassword("pässword")];
  assert.notEqual(one, other);
  for (const hash of [one, other]) {
    assert(await isPassword("pässword", hash));
    assert(!(await isPassword("pässword ", hash)));
    assert(!(await isPassword("", hash)));
  }
});

test("the line says how its hash is made: RFC 7914's own example is known by it", async () => {
  // RFC 7914, section 12, third example: N 16384, r 8, p 1; the first 32 of its 64 bytes.
  const expected = Buffer.from(
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2",
    "hex",
  );
  const salt = Buffer.from("SodiumChloride");
  assert.deepEqual(scryptSync("pleaseletmein", salt, 32, { N: 16384, r: 8, p: 1 }), expected);
  const padded = Buffer.concat([salt, Buffer.from("\0\0")]);
  const hash = scryptSync("pleaseletmein", padded, 32, { N: 16384, r: 8, p: 1 });
  const line = `scrypt$16384$8$1$${padded.toString("base64")}$${hash.toString("base64")}`;
  assert(await isPassword("pleaseletmein", line));
  assert(!(await isPassword("pleaseletmeIn", line)));
});

test("nobody's password is never right", async () => {
  assert(!(await isPassword("", undefined)));
  assert(!(await isPassword("anything", undefined)));
});

test("a list is read line by line, and a bad line is named without its content", async () => {
  const hash = await hashPassword("secret");
  const list = parseUsers(`# people\n\nanna:${hash}\r\n bert:${hash}\n`);
  assert.deepEqual(list.problems, []);
  assert.deepEqual(
    list.users.map((user) => user.name),
    ["anna", "bert"],
  );
  const bad = [
    ["anna", /^it is not NAME:HASH/],
    [":x", /^it is not NAME:HASH/],
    ["a b:x", /^it is not NAME:HASH/],
    ["cleo:hunter2", /^what follows cleo is not a hash/],
    [`anna:${hash}\nanna:${hash}`, /^anna is there a second time/],
    [`cleo:scrypt$1048576$8$1$AAAAAAAAAAAAAAAAAAAAAA==$${hash.split("$")[5]}`, /not a hash/],
    [`cleo:scrypt$32769$8$1$AAAAAAAAAAAAAAAAAAAAAA==$${hash.split("$")[5]}`, /not a hash/],
    ["", /^there is no user/],
  ] as const;
  for (const [text, expected] of bad) {
    const { problems } = parseUsers(text);
    assert.equal(problems.length, 1, text);
    assert.match(problems[0]?.text ?? "", expected);
    assert.doesNotMatch(problems[0]?.text ?? "", /hunter2|scrypt\$/);
  }
  assert.equal(parseUsers(`a:${hash}\nb`).problems[0]?.line, 2);
});
