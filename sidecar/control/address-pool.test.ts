/** The address pool against a naive model. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assignAddresses, type PoolRequest } from "./address-pool.ts";

const SEGMENT = "10.20.0.0/24";
const none = new Map<string, string>();

function at(host: number): string {
  return `10.20.0.${host}`;
}

test("the lowest free addresses are given by name, never our own nor the network's ends", () => {
  const peers = [{ name: "b" }, { name: "a" }, { name: "c" }];
  const first = assignAddresses({
    segment: SEGMENT,
    pool: `${at(0)}-${at(9)}`,
    own: at(1),
    peers,
    former: none,
  });
  assert.deepEqual([...first.given].sort(), [
    ["a", at(2)],
    ["b", at(3)],
    ["c", at(4)],
  ]);
  const last = assignAddresses({
    segment: SEGMENT,
    pool: `${at(254)}-${at(255)}`,
    peers,
    former: none,
  });
  assert.deepEqual([...last.given], [["a", at(254)]]);
  assert.deepEqual(
    last.problems.map((problem) => problem.peer),
    ["b", "c"],
  );
  assert.match(last.problems[0]?.text ?? "", /widen the pool/);
});

test("IPv6: the subnet's own address is not given, the last one is", () => {
  const request = { segment: "fd20::/126", pool: "fd20::-fd20::3", former: none };
  const peers = ["a", "b", "c", "d"].map((name) => ({ name }));
  const answer = assignAddresses({ ...request, peers });
  assert.deepEqual([...answer.given.values()], ["fd20::1", "fd20::2", "fd20::3"]);
  assert.equal(answer.problems.length, 1);
});

test("a fixed address wins over a given one, and twice the same is refused", () => {
  const peers = [{ name: "a" }, { name: "b", fixed: at(200) }, { name: "c", fixed: at(200) }];
  const answer = assignAddresses({
    segment: SEGMENT,
    pool: `${at(200)}-${at(210)}`,
    peers,
    former: new Map([["a", at(200)]]),
  });
  assert.deepEqual(
    [...answer.given],
    [
      ["b", at(200)],
      ["a", at(201)],
    ],
  );
  assert.match(answer.problems[0]?.text ?? "", /belongs to peer b too/);
});

test("fixed addresses outside, our own and the network's are refused; a bad pool is the tunnel's", () => {
  const refusal = (fixed: string): string =>
    assignAddresses({ segment: SEGMENT, own: at(1), peers: [{ name: "a", fixed }], former: none })
      .problems[0]?.text ?? "";
  assert.match(refusal("10.21.0.1"), /not inside/);
  assert.match(refusal("fd20::1"), /not inside/);
  assert.match(refusal(at(1)), /choose another/);
  assert.match(refusal(at(255)), /choose another/);
  const backwards = assignAddresses({
    segment: SEGMENT,
    pool: `${at(9)}-${at(2)}`,
    peers: [],
    former: none,
  });
  assert.equal(backwards.problems[0]?.peer, undefined);
  assert.match(backwards.problems[0]?.text ?? "", /swap/);
});

/** Keeps what was given before where it can, then walks the whole pool for each peer in turn. */
function naive(
  request: PoolRequest & { readonly first: number; readonly last: number },
): Map<string, string> {
  const used = new Set([at(0), at(255), request.own]);
  const given = new Map<string, string>();
  const sorted = [...request.peers].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const { name, fixed } of sorted) {
    if (fixed === undefined || used.has(fixed)) continue;
    used.add(fixed);
    given.set(name, fixed);
  }
  const hosts = Array.from({ length: request.last - request.first + 1 }, (_, index) =>
    at(request.first + index),
  );
  for (const { name, fixed } of sorted) {
    const before = request.former.get(name);
    if (fixed !== undefined || before === undefined || used.has(before) || !hosts.includes(before))
      continue;
    used.add(before);
    given.set(name, before);
  }
  for (const { name, fixed } of sorted) {
    const free = hosts.find((host) => !used.has(host));
    if (fixed !== undefined || given.has(name) || free === undefined) continue;
    used.add(free);
    given.set(name, free);
  }
  return given;
}

const host = fc.nat(255);
const names = fc.uniqueArray(fc.constantFrom(..."abcdefghijkl"), { maxLength: 12 });
const requests = fc
  .record({
    names,
    fixed: fc.array(fc.option(host), { maxLength: 12 }),
    first: host,
    size: fc.nat(12),
    own: fc.option(host),
    former: fc.dictionary(fc.constantFrom(..."abcdefghijklmn"), host.map(at)),
  })
  .map((drawn) => {
    const first = Math.min(drawn.first, 255 - drawn.size);
    const last = first + drawn.size;
    return {
      segment: SEGMENT,
      pool: `${at(first)}-${at(last)}`,
      first,
      last,
      ...(drawn.own === null ? {} : { own: at(drawn.own) }),
      peers: drawn.names.map((name, index) => {
        const chosen = drawn.fixed[index];
        return chosen === undefined || chosen === null ? { name } : { name, fixed: at(chosen) };
      }),
      former: new Map(Object.entries(drawn.former)),
    };
  });

test("every answer is the naive model's, holds no address twice, and is stable", () => {
  fc.assert(
    fc.property(requests, (request) => {
      const answer = assignAddresses(request);
      assert.deepEqual(new Map([...answer.given].sort()), new Map([...naive(request)].sort()));
      assert.equal(new Set(answer.given.values()).size, answer.given.size);
      assert.equal(answer.given.size + answer.problems.length, request.peers.length);
      const reversed = { ...request, peers: [...request.peers].reverse(), former: answer.given };
      const again = assignAddresses(reversed);
      assert.deepEqual([...again.given].sort(), [...answer.given].sort());
    }),
    { numRuns: 500 },
  );
});
