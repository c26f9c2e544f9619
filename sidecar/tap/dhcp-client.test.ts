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
});

test("an address that no host can have is trouble with its cause, whoever offers it", () => {
  const server = "the segment's DHCP server 10.20.0.6 offers";
  for (const address of [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "10.20.0",
    "10.20.0.256",
    "1.2.3.4.5",
    "",
  ]) {
    const event = parseDhcpEvent(BOUND.replace("10.20.0.100", address));
    assert.deepEqual(event, {
      kind: "trouble",
      why: `${server} ${address}/24, which no host of a segment has`,
    });
  }
  for (const prefix of ["0", "1", "7", "33", ""]) {
    assert.equal(parseDhcpEvent(BOUND.replace("prefix=24", `prefix=${prefix}`))?.kind, "trouble");
  }
  for (const address of ["1.0.0.1", "126.255.255.254", "128.0.0.1", "223.255.255.254"]) {
    assert.equal(parseDhcpEvent(BOUND.replace("10.20.0.100", address))?.kind, "bound");
  }
});

test("whatever a line holds, a lease that comes of it can be used", () => {
  const edit = fc.record({ at: fc.nat(BOUND.length - 1), text: fc.string({ maxLength: 3 }) });
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 4 }), fc.nat(BOUND.length), (edits, limit) => {
      let line = BOUND;
      for (const { at, text } of edits) line = line.slice(0, at) + text + line.slice(at + 1);
      const lease = parseDhcpEvent(line.slice(0, Math.max(limit, 60)))?.lease;
      if (lease === undefined) return;
      const octets = lease.address.split(".").map(Number);
      assert(octets.length === 4 && octets.every((octet) => octet >= 0 && octet <= 255));
      assert(lease.prefixBits >= 8 && lease.prefixBits <= 32);
      assert(lease.leaseSeconds >= 0 && lease.leaseSeconds < 2 ** 32);
    }),
    { numRuns: 5000 },
  );
});

test("the client's own lines, and truncated ones, are no events", () => {
  fc.assert(
    fc.property(fc.nat(BOUND.length - "seconds=120".length), fc.string(), (limit, text) => {
      assert.equal(parseDhcpEvent(BOUND.slice(0, limit)), undefined);
      assert.equal(parseDhcpEvent(`udhcpc: ${text}`), undefined);
    }),
  );
});
