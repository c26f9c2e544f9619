import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import { ControlPlane } from "../../test/cluster/control-plane.ts";
import { pause } from "../../test/support/wait.ts";
import { ApiClient } from "../api/api-client.ts";
import { SYSTEM_CLOCK } from "../clock.ts";
import { type ElectionTimes, LeaseElection } from "./lease-election.ts";

const TIMES: ElectionTimes = { leaseMs: 3_000, renewDeadlineMs: 2_000, retryMs: 300 };

let plane: ControlPlane;
let api: ApiClient;

before(async () => {
  plane = await ControlPlane.start();
  const config = new KubeConfig();
  config.loadFromFile(plane.kubeconfig);
  api = new ApiClient(config, SYSTEM_CLOCK);
});
after(async () => {
  api.close();
  await plane[Symbol.asyncDispose]();
});

function replica(lease: string, identity: string, isPatient = false): LeaseElection {
  return new LeaseElection({
    ...{ api, clock: SYSTEM_CLOCK, namespace: "default", name: lease, identity, times: TIMES },
    ...(isPatient ? { yieldsOnlyToAnother: true } : {}),
    troubled: () => undefined,
  });
}

test("of two replicas one leads, and a released Lease is taken at once", async () => {
  const [first, second] = [replica("release", "first"), replica("release", "second")];
  const never = new AbortController();
  assert(await first.win(never.signal));
  const stop = new AbortController();
  const held = first.hold(stop.signal);
  const waiting = second.win(never.signal);
  await pause(TIMES.leaseMs + 1_000);
  assert(first.isLeader && !second.isLeader);
  stop.abort();
  assert(await held);
  const startedMs = performance.now();
  await first.release();
  assert(await waiting);
  assert(performance.now() - startedMs < 1_500);
  const lease = await plane.kubectl("get", "lease", "release", "-o", "jsonpath={.spec}");
  const { holderIdentity, leaseTransitions, renewTime } = JSON.parse(lease);
  assert.deepEqual([holderIdentity, leaseTransitions], ["second", 1]);
  assert.match(renewTime, /\.\d{6}Z$/);
});

test("a replica that was killed is followed once its Lease has not changed for its duration", async () => {
  const [first, second] = [replica("killed", "first"), replica("killed", "second")];
  const never = new AbortController();
  assert(await first.win(never.signal));
  const startedMs = performance.now();
  assert(await second.win(never.signal));
  const tookMs = performance.now() - startedMs;
  assert(tookMs >= TIMES.leaseMs && tookMs < TIMES.leaseMs + 2_000, `${tookMs} ms`);
  assert.equal(await first.hold(never.signal), false);
});

test("one that yields only to another goes on through an outage right after it took over", async () => {
  const never = new AbortController();
  assert(await replica("patient", "killed").win(never.signal));
  const patient = replica("patient", "patient", true);
  assert(await patient.win(never.signal));
  const stop = new AbortController();
  let isLost = false;
  await plane.stopApiServer();
  const held = patient.hold(stop.signal).then((isTold) => {
    isLost = !isTold;
  });
  try {
    await pause(TIMES.leaseMs + 1_000);
    assert(!isLost && patient.isLeader);
  } finally {
    stop.abort();
    await held;
    await plane.startApiServer();
  }
});

test("without the API server a leader ends before its Lease does", async () => {
  const leader = replica("outage", "leader");
  const never = new AbortController();
  assert(await leader.win(never.signal));
  const held = leader.hold(never.signal);
  await plane.stopApiServer();
  const startedMs = performance.now();
  assert.equal(await held, false);
  assert(performance.now() - startedMs < TIMES.leaseMs);
  await plane.startApiServer();
});
