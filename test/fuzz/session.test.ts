import assert from "node:assert/strict";
import { after, test } from "node:test";
import fc from "fast-check";
import { configOf, createIdentities } from "../../sidecar/session/handshake/identities-harness.ts";
import { closePairs, SessionPair } from "../../sidecar/session/handshake/session-pair-harness.ts";
import { fuzzRuns } from "./fuzz-runs.ts";
import { mutated, randomBytes } from "./mutations.ts";

const identities = await createIdentities();
after(closePairs);

/** A pair that is up and at rest, with every datagram that made it so. */
async function upPair(
  wrap: { kind: "None" } | { kind: "TlsCrypt"; key: Buffer },
): Promise<SessionPair> {
  const pair = new SessionPair({
    client: configOf(identities, "client", { wrap }),
    server: configOf(identities, "server", { wrap }),
  });
  assert(await pair.run(() => pair.isUp));
  await pair.pass(1000);
  return pair;
}

test("no changed datagram does anything to a session whose packets are wrapped", async () => {
  const pair = await upPair({ kind: "TlsCrypt", key: Buffer.alloc(256, 7) });
  const valid = pair.sent.map(({ datagram }) => datagram);
  const count = valid.length;
  const events = [...pair.clientLog.events, ...pair.serverLog.events];
  const dues = [pair.client.nextDueMs, pair.server?.nextDueMs];
  fc.assert(
    fc.property(fc.oneof(randomBytes, mutated(valid)), fc.boolean(), (bytes, isToServer) => {
      const verdict = pair.inject(isToServer, bytes);
      assert(["unverified", "malformed"].includes(verdict), verdict);
    }),
    fuzzRuns(2000),
  );
  assert.deepEqual([pair.client.nextDueMs, pair.server?.nextDueMs], dues, "nothing is to be done");
  await pair.pass(10_000);
  assert.equal(pair.sent.length, count, "nothing was answered");
  assert.deepEqual([...pair.clientLog.events, ...pair.serverLog.events], events);
});

test("a session without wrapping survives anything, and still carries messages", async () => {
  // Nothing authenticates a control packet here: TLS does, so a session may end, but not throw.
  const outcomes = fc.asyncProperty(
    fc.array(fc.tuple(fc.nat(30), fc.nat(1000), fc.boolean()), { maxLength: 12 }),
    async (list) => {
      const pair = await upPair({ kind: "None" });
      const valid = pair.sent.map(({ datagram }) => datagram);
      const [sample] = fc.sample(fc.array(mutated(valid), { minLength: 12, maxLength: 12 }), {
        numRuns: 1,
        seed: list[0]?.[1] ?? 1,
      });
      for (const [index, [, , isToServer]] of list.entries()) {
        const datagram = sample?.[index];
        if (datagram !== undefined) pair.inject(isToServer, datagram);
      }
      await pair.pass(1000);
      assert(!pair.clientLog.events.includes("install 1"), "no key from nowhere");
      assert(!pair.serverLog.events.includes("install 1"));
      pair.close();
    },
  );
  await fc.assert(outcomes, { numRuns: Math.min(fuzzRuns(15).numRuns, 500) });
});
