import assert from "node:assert/strict";
import { SocketAddress } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { addressBytes } from "../native/lane-harness.ts";
import { DESCRIPTOR_WORDS, PathWord } from "../native/layout.ts";
import {
  addressText,
  addressWords,
  isSameRemoteRow,
  localText,
  pathTo,
  remoteText,
} from "./address-words.ts";

/** The words of 16 bytes, most significant first. */
function wordsOf(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return Int32Array.from([0, 4, 8, 12].map((at) => view.getInt32(at)));
}

/** The platform's own short form. */
function canonical(address: string): string {
  const family = address.includes(":") ? "ipv6" : "ipv4";
  return new SocketAddress({ address, family }).address;
}

const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });

test("IPv4 is kept v4-mapped, and printed with dots", () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      assert.deepEqual(addressWords(address), wordsOf(addressBytes(address)));
      assert.equal(addressText(addressWords(address)), address);
    }),
  );
  assert.deepEqual(addressWords("255.255.255.255"), Int32Array.of(0, 0, 0xffff, -1));
});

test("IPv6 in each of its forms has the words of its full form", () => {
  fc.assert(
    fc.property(groups, fc.nat(7), fc.nat(8), (numbers, from, length) => {
      const zeroed = numbers.map((one, at) => (at >= from && at < from + length ? 0 : one));
      const words = wordsOf(Buffer.from(zeroed.flatMap((one) => [one >> 8, one & 255])));
      const text = zeroed.map((one) => one.toString(16));
      const forms = [
        text.join(":"),
        zeroed.map((one) => one.toString(16).padStart(4, "0").toUpperCase()).join(":"),
        canonical(text.join(":")),
      ];
      const last = [...words.subarray(3)].flatMap((word) =>
        [24, 16, 8, 0].map((s) => (word >>> s) & 255),
      );
      forms.push([...text.slice(0, 6), last.join(".")].join(":"));
      if (length > 0) {
        const head = text.slice(0, from).join(":");
        const tail = text.slice(from + length).join(":");
        forms.push(`${head}::${tail}`);
      }
      for (const form of forms) assert.deepEqual(addressWords(form), words, form);
    }),
    { numRuns: 500 },
  );
});

test("addresses with a well-known form are read", () => {
  const forms: [string, number[]][] = [
    ["::", [0, 0, 0, 0]],
    ["::1", [0, 0, 0, 1]],
    ["1::", [0x10000, 0, 0, 0]],
    ["fe80::1%eth0", [0xfe800000 | 0, 0, 0, 1]],
    ["::ffff:192.0.2.1", [0, 0, 0xffff, 0xc0000201 | 0]],
    ["64:ff9b::192.0.2.33", [0x64ff9b, 0, 0, 0xc0000221 | 0]],
    ["2001:db8::1:0:0:1", [0x20010db8, 0, 0x10000, 1]],
  ];
  for (const [text, words] of forms) assert.deepEqual([...addressWords(text)], words, text);
});

test("words are printed in the platform's short form, and read back", () => {
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      const words = addressWords(address);
      const text = addressText(words);
      assert.deepEqual(addressWords(text), words);
      // The platform prints a mapped address as one of IPv6.
      const isMapped = words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
      if (!isMapped) assert.equal(text, canonical(address));
    }),
    { numRuns: 500 },
  );
});

test("what is not an address is refused", () => {
  for (const text of ["", "1.2.3", "1.2.3.256", "host", "1::2::3", ":::", "12345::", "::1/64"]) {
    assert.throws(() => addressWords(text), TypeError, text);
  }
});

test("a path names its remote and leaves the rest to routing, but for link-local ones", () => {
  const row = pathTo({ address: "192.0.2.7", port: 65535 });
  assert.equal(row.length, DESCRIPTOR_WORDS);
  assert.equal(remoteText(row), "192.0.2.7:65535");
  assert.equal(localText(row), undefined);
  assert.deepEqual([...row.subarray(PathWord.remoteScope)], new Array(11).fill(0));
  const scoped = pathTo({ address: "fe80::9", port: 1, scopeId: 3 });
  assert.equal(remoteText(scoped), "[fe80::9]:1");
  assert.equal(scoped[PathWord.remoteScope], 3);
  assert.equal(scoped[PathWord.interfaceIndex], 3);
});

test("a local address is printed once it is known", () => {
  const row = pathTo({ address: "192.0.2.7", port: 1194 });
  row.set(addressWords("198.51.100.1"), PathWord.localIp);
  assert.equal(localText(row), "198.51.100.1");
  row.set(addressWords("2001:db8::5"), PathWord.localIp);
  assert.equal(localText(row), "2001:db8::5");
});

test("rows have the same remote when address and port are equal, whatever else differs", () => {
  const one = pathTo({ address: "192.0.2.7", port: 1194 });
  for (let word = 0; word < DESCRIPTOR_WORDS; word++) {
    const other = Int32Array.from(one);
    other[word] = (other[word] ?? 0) ^ 1;
    assert.equal(isSameRemoteRow(one, other), word > PathWord.remotePort, `word ${word}`);
  }
});
