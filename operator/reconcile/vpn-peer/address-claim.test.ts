import assert from "node:assert/strict";
import { test } from "node:test";
import type { VpnPeer, VpnTunnel } from "../../../crds/types.ts";
import type { Api, ApiCall } from "../../api/api-client.ts";
import { ApiError } from "../../api/api-error.ts";
import { keyOf } from "../../api/object.ts";
import { CLAIM_ATTEMPTS_MAX } from "../../limits.ts";
import type { ClaimObject, Live } from "../../world.ts";
import { ClaimsBehindError, claimAddress, claimedAddresses } from "./address-claim.ts";

const SEGMENT = { segment: "10.20.0.0/24", pool: "10.20.0.1-10.20.0.3", gateway: "10.20.0.2" };

function tunnel(addresses: object): Live<VpnTunnel> {
  const metadata = { name: "t", namespace: "lab", uid: "t" };
  return { metadata, spec: { addresses } } as unknown as Live<VpnTunnel>;
}

function peer(name: string, spec: object = {}): Live<VpnPeer> {
  const metadata = { name, namespace: "lab", uid: `uid-${name}` };
  const whole = { tunnel: { name: "t" }, addressing: "Assigned", ...spec };
  return { metadata, spec: whole } as unknown as Live<VpnPeer>;
}

/** Leases as the API server keeps them, and the operator's copy, which may be behind. */
class Leases implements Pick<Api, "call"> {
  readonly kept = new Map<string, ClaimObject>();
  copy = new Map<string, ClaimObject>();
  created = 0;

  call<Answer>(call: ApiCall): Promise<Answer> {
    if (call.method === "GET") {
      const name = call.path.split("/").at(-1) ?? "";
      return Promise.resolve(this.kept.get(`lab/${name}`) as Answer);
    }
    const claim = call.body as ClaimObject;
    this.created++;
    if (this.kept.has(keyOf(claim))) {
      const answer = { status: 409, reason: "AlreadyExists", message: "" };
      return Promise.reject(new ApiError("POST", answer));
    }
    this.kept.set(keyOf(claim), claim);
    return Promise.resolve(claim as Answer);
  }

  async claim(of: Live<VpnPeer>, addresses: object = SEGMENT): Promise<string> {
    const request = { tunnel: tunnel(addresses), peer: of, family: 4 as const };
    const outcome = await claimAddress(this, this.copy, request);
    return "address" in outcome ? `${outcome.kind} ${outcome.address}` : outcome.kind;
  }
}

test("the lowest free address is taken, never the gateway's own, until none is left", async () => {
  const leases = new Leases();
  leases.copy = leases.kept;
  assert.equal(await leases.claim(peer("a")), "claimed 10.20.0.1");
  assert.equal(await leases.claim(peer("b")), "claimed 10.20.0.3");
  assert.equal(await leases.claim(peer("c")), "exhausted");
});

test("a copy that is behind leads to a refusal by the API server, not to a duplicate", async () => {
  const leases = new Leases();
  assert.equal(await leases.claim(peer("a")), "claimed 10.20.0.1");
  assert.equal(await leases.claim(peer("b")), "claimed 10.20.0.3");
  assert.equal(leases.created, 3);
});

test("what a peer holds it keeps, and finds again when its copy is behind", async () => {
  const leases = new Leases();
  await leases.claim(peer("a"));
  assert.equal(await leases.claim(peer("a")), "claimed 10.20.0.1");
  leases.copy = leases.kept;
  const created = leases.created;
  assert.equal(await leases.claim(peer("a")), "claimed 10.20.0.1");
  assert.equal(leases.created, created);
  assert.deepEqual(claimedAddresses(leases.kept, peer("a")), { address: "10.20.0.1" });
});

test("a fixed address is given, or who holds it is said, or that it lies outside", async () => {
  const leases = new Leases();
  leases.copy = leases.kept;
  assert.equal(await leases.claim(peer("a", { address: "10.20.0.77" })), "claimed 10.20.0.77");
  assert.equal(await leases.claim(peer("b", { address: "10.20.0.77" })), "taken 10.20.0.77");
  for (const address of ["10.21.0.1", "10.20.0.0", "10.20.0.255", "10.20.0.2"]) {
    assert.equal(await leases.claim(peer("c", { address })), `outside ${address}`);
  }
});

test("a peer made anew under its old name does not hold what its forerunner held", async () => {
  const leases = new Leases();
  leases.copy = leases.kept;
  await leases.claim(peer("a"));
  const anew = { ...peer("a"), metadata: { ...peer("a").metadata, uid: "another" } };
  assert.deepEqual(claimedAddresses(leases.kept, anew), {});
  assert.equal(await leases.claim(anew), "claimed 10.20.0.3");
});

test("without a segment, a pool or a wish for one there is no address and no call", async () => {
  const leases = new Leases();
  assert.equal(await leases.claim(peer("a"), {}), "none");
  assert.equal(await leases.claim(peer("a"), { segment: "10.20.0.0/24" }), "none");
  assert.equal(await leases.claim(peer("a", { addressing: "None" })), "none");
  assert.equal(leases.created, 0);
});

test("a pool of which the copy knows nothing is not asked for without end", async () => {
  const leases = new Leases();
  const addresses = { segment: "10.20.0.0/16", pool: "10.20.1.0-10.20.9.255" };
  for (let index = 0; index < CLAIM_ATTEMPTS_MAX; index++) {
    await leases.claim(peer(`p${index}`, { address: `10.20.1.${index}` }), addresses);
  }
  const before = leases.created;
  await assert.rejects(leases.claim(peer("late"), addresses), ClaimsBehindError);
  assert.equal(leases.created - before, CLAIM_ATTEMPTS_MAX);
});
