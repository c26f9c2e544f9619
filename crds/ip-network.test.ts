/** Addresses and networks, against the platform's own parsing and printing. */

import assert from "node:assert/strict";
import { BlockList, isIP, SocketAddress } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatAddress,
  networkContains,
  networkRange,
  parseAddress,
  parseNetwork,
} from "./ip-network.ts";

const family = fc.constantFrom(4 as const, 6 as const);
const bits32 = fc.bigInt({ min: 0n, max: (1n << 32n) - 1n });
/** Sparse groups, so that runs of zeros of every length and place come up. */
const bits128 = fc
  .array(fc.oneof(fc.constant(0n), fc.bigInt({ min: 0n, max: 0xffffn })), {
    minLength: 8,
    maxLength: 8,
  })
  .map((groups) => groups.reduce((sum, group) => (sum << 16n) | group, 0n));

test("an address survives printing and reading, in the platform's spelling", () => {
  fc.assert(
    fc.property(family, bits32, bits128, (chosen, small, large) => {
      const address = { family: chosen, value: chosen === 4 ? small : large };
      const text = formatAddress(address);
      assert.deepEqual(parseAddress(text), address);
      const platform = new SocketAddress({ address: text, family: chosen === 4 ? "ipv4" : "ipv6" });
      // The platform prints the last 32 bits of a compatible address as IPv4.
      if (!platform.address.includes(".") || chosen === 4) assert.equal(text, platform.address);
    }),
  );
});

test("what the platform does not take for an address is none, nor are zones and mapped ones", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:./]{0,20}$/)), (text) => {
      if (isIP(text) === 0) assert.equal(parseAddress(text), undefined);
      else if (!text.includes("%") && !(text.includes(":") && text.includes("."))) {
        assert.notEqual(parseAddress(text), undefined);
      }
    }),
  );
  for (const text of ["fe80::1%eth0", "::ffff:192.0.2.1", "", "1.2.3"]) {
    assert.equal(parseAddress(text), undefined);
  }
});

test("a network contains what the platform's block list contains", () => {
  fc.assert(
    fc.property(bits32, bits32, fc.nat(32), (network, probe, prefixBits) => {
      const text = `${formatAddress({ family: 4, value: network })}/${prefixBits}`;
      const parsed = parseNetwork(text);
      assert.ok(parsed !== undefined);
      const list = new BlockList();
      list.addSubnet(formatAddress({ family: 4, value: network }), prefixBits, "ipv4");
      const inside = networkContains(parsed, { family: 4, value: probe });
      assert.equal(inside, list.check(formatAddress({ family: 4, value: probe })));
    }),
  );
});

test("networks have a prefix within their family, and a range", () => {
  for (const text of [
    "10.0.0.0",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/08",
    "fd00::/129",
    "/8",
    "x/8",
  ]) {
    assert.equal(parseNetwork(text), undefined, text);
  }
  const network = parseNetwork("10.20.0.77/24");
  assert.ok(network !== undefined);
  const { first, last } = networkRange(network);
  assert.equal(formatAddress({ family: 4, value: first }), "10.20.0.0");
  assert.equal(formatAddress({ family: 4, value: last }), "10.20.0.255");
  assert.equal(networkContains(network, { family: 6, value: first }), false);
});
