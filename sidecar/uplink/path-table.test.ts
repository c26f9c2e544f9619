import assert from "node:assert/strict";
import { test } from "node:test";
import { DESCRIPTOR_WORDS, PathWord } from "../native/layout.ts";
import { addressWords, pathTo } from "./address-words.ts";
import { answerOn, freeInterface, isSamePath, isSameRemote } from "./path-table.ts";

const INTERFACE = 9;
const ROWS = 3;

/** A table whose row 1 is the arrival; everything around it is filled with a mark. */
function arrivalsOf(remote: string, local: string): Int32Array {
  const table = new Int32Array(ROWS * DESCRIPTOR_WORDS).fill(0x5a5a5a5a);
  const row = pathTo({ address: remote, port: 40000 });
  row.set(addressWords(local), PathWord.localIp);
  row[PathWord.interfaceIndex] = INTERFACE;
  row[PathWord.socket] = 2;
  table.set(row, DESCRIPTOR_WORDS);
  return table;
}

function pathsOf(row: Int32Array): Int32Array {
  const table = new Int32Array(ROWS * DESCRIPTOR_WORDS);
  table.set(row, 2 * DESCRIPTOR_WORDS);
  return table;
}

test("a path is the same when remote, local and socket are, not by its interface", () => {
  const arrivals = arrivalsOf("192.0.2.1", "198.51.100.1");
  const row = arrivals.subarray(DESCRIPTOR_WORDS, 2 * DESCRIPTOR_WORDS);
  assert(isSamePath(arrivals, 1, pathsOf(row), 2));
  for (let word = 0; word < DESCRIPTOR_WORDS; word++) {
    const other = Int32Array.from(row);
    other[word] = (other[word] ?? 0) ^ 1;
    const paths = pathsOf(other);
    const isCompared = word < PathWord.interfaceIndex || word === PathWord.socket;
    assert.equal(isSamePath(arrivals, 1, paths, 2), !isCompared, `word ${word}`);
    const isRemote = word <= PathWord.remotePort || word === PathWord.socket;
    assert.equal(isSameRemote(arrivals, 1, paths, 2), !isRemote, `word ${word}`);
  }
});

test("answers go to where a packet came from, and the interface is routing's affair", () => {
  const arrivals = arrivalsOf("192.0.2.1", "198.51.100.1");
  const paths = new Int32Array(ROWS * DESCRIPTOR_WORDS);
  answerOn(arrivals, 1, paths, 2);
  assert(isSamePath(arrivals, 1, paths, 2));
  assert.equal(paths[2 * DESCRIPTOR_WORDS + PathWord.interfaceIndex], 0);
  assert(
    paths.subarray(0, 2 * DESCRIPTOR_WORDS).every((word) => word === 0),
    "one row changed",
  );
});

test("only a link-local remote (fe80::/10) keeps its interface", () => {
  const kept = ["fe80::1", "febf:ffff::1", "fe80::"];
  const freed = ["fec0::1", "fe7f::1", "2001:db8::1", "ff02::1", "169.254.1.1", "::"];
  for (const remote of [...kept, ...freed]) {
    const arrivals = arrivalsOf(remote, "2001:db8::2");
    const paths = new Int32Array(ROWS * DESCRIPTOR_WORDS);
    answerOn(arrivals, 1, paths, 2);
    const index = paths[2 * DESCRIPTOR_WORDS + PathWord.interfaceIndex];
    assert.equal(index, kept.includes(remote) ? INTERFACE : 0, remote);
    freeInterface(arrivals, DESCRIPTOR_WORDS);
    assert.equal(arrivals[DESCRIPTOR_WORDS + PathWord.interfaceIndex], index, remote);
  }
});
