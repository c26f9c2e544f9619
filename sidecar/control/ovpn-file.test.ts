/** Words, quotes, comments and blocks of a profile. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OVPN_FILE_LENGTH_MAX, OvpnSyntaxError, parseOvpnFile } from "./ovpn-file.ts";

test("directives know their words and their line", () => {
  const text =
    '\uFEFF# comment\r\nclient\r\n\r\n  remote  "vpn one" 1194 udp ; comment\n--verb 3\n';
  assert.deepEqual(parseOvpnFile(text), [
    { name: "client", words: [], line: 2 },
    { name: "remote", words: ["vpn one", "1194", "udp"], line: 4 },
    { name: "verb", words: ["3"], line: 5 },
  ]);
});

test("quotes and backslashes are as in OpenVPN", () => {
  const words = (line: string): readonly string[] => parseOvpnFile(`x ${line}`)[0]?.words ?? [];
  assert.deepEqual(words(`"a b" 'c "d"' e\\ f "g\\"h" 'i\\j' k"l"m`), [
    "a b",
    'c "d"',
    "e f",
    'g"h',
    "i\\j",
    "klm",
  ]);
  assert.deepEqual(words(`a#b '' c # d`), ["a#b", "", "c"]);
});

test("a block is taken as it is, comments and all", () => {
  const text = "<ca>\n# inside\n  <key>\nline \n</ca>\nverb 3\n";
  assert.deepEqual(parseOvpnFile(text), [
    { name: "ca", words: [], block: "# inside\n  <key>\nline ", line: 1 },
    { name: "verb", words: ["3"], line: 6 },
  ]);
});

test("what cannot be read is named with its line and what to do", () => {
  const lineOf = (text: string): number => {
    try {
      parseOvpnFile(text);
    } catch (error) {
      assert.ok(error instanceof OvpnSyntaxError);
      return error.line;
    }
    return 0;
  };
  assert.equal(lineOf("client\n<ca>\nsecret\n"), 2);
  assert.equal(lineOf('client\n\nremote "a\n'), 3);
  assert.equal(lineOf("remote a\\"), 1);
  assert.equal(lineOf(`x${" a".repeat(16)}`), 1);
  assert.equal(lineOf(`x${" a".repeat(15)}`), 0);
  assert.equal(lineOf("x".repeat(OVPN_FILE_LENGTH_MAX + 1)), 1);
});

test("no text makes the reader fail in another way, and every line is inside the text", () => {
  const pieces = fc.constantFrom(
    "<ca>",
    "</ca>",
    "\n",
    "\r",
    '"',
    "'",
    "\\",
    "#",
    ";",
    " ",
    "key",
    "--",
  );
  const made = fc.array(fc.oneof(pieces, fc.string())).map((parts) => parts.join(""));
  fc.assert(
    fc.property(fc.oneof(fc.string(), made), (text) => {
      try {
        const lines = text.split(/\r\n|\n|\r/).length;
        for (const directive of parseOvpnFile(text)) {
          assert.ok(directive.line >= 1 && directive.line <= lines);
        }
      } catch (error) {
        assert.ok(error instanceof OvpnSyntaxError);
      }
    }),
    { numRuns: 500 },
  );
});
