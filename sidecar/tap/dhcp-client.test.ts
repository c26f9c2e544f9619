import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseDhcpEvent } from "./dhcp-client.ts";

const BOUND = "dhcp event=bound address=10.20.0.100 prefix=24 server=10.20.0.6 seconds=120";

test("a lease is read from the script's line, at its first time and at renewal", () => {
  const lease = { address: "10.20.0.100", prefixBits: 24, server: "10.20.0.6", leaseSeconds: 120 };
  assert.deepEqual(parseDhcpEvent(BOUND), { kind: "bound", lease });
  assert.deepEqual(parseDhcpEvent(BOUND.replace("bound", "renew")), { kind: "bound", lease });
});

test("what ends a lease and what is trouble are told apart", () => {
  const empty = "address= prefix= server= seconds=";
  assert.deepEqual(parseDhcpEvent(`dhcp event=deconfig ${empty}`), { kind: "lost" });
  assert.deepEqual(parseDhcpEvent(`dhcp event=nak ${empty}`), { kind: "lost" });
  assert.deepEqual(parseDhcpEvent(`dhcp event=leasefail ${empty}`), { kind: "trouble" });
  assert.deepEqual(parseDhcpEvent(`dhcp event=bound ${empty}`), { kind: "trouble" });
  assert.deepEqual(parseDhcpEvent(BOUND.replace("24", "33")), { kind: "trouble" });
});

test("the client's own lines, and truncated ones, are no events", () => {
  fc.assert(
    fc.property(fc.nat(BOUND.length - "seconds=120".length), fc.string(), (limit, text) => {
      assert.equal(parseDhcpEvent(BOUND.slice(0, limit)), undefined);
      assert.equal(parseDhcpEvent(`udhcpc: ${text}`), undefined);
    }),
  );
});
