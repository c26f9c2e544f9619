import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerStatus } from "../sidecar/control/status.ts";
import { problemOf } from "./ready.ts";

const PATH = {
  remote: "192.0.2.1:1194",
  isUsable: true,
  isAlive: true,
  isActive: true,
  reorderedPackets: 0,
};

function tunnel(...peers: readonly Partial<PeerStatus>[]): Parameters<typeof problemOf>[0][number] {
  const whole = peers.map((peer) => ({ name: "gateway", port: 1, state: "Up" as const, ...peer }));
  return { namespace: "lab", name: "a", peers: whole };
}

test("a pod is ready when every tunnel has a path that was crossed and came back", () => {
  const crossed = tunnel({ paths: [{ ...PATH, rttMs: 0.2 }] });
  assert.equal(problemOf([crossed]), undefined);
  assert.match(problemOf([]) ?? "", /no tunnel runs/);
  assert.match(problemOf([tunnel()]) ?? "", /no gateway answers/);
  assert.match(problemOf([tunnel({ state: "Handshake" })]) ?? "", /no gateway answers/);
  assert.match(problemOf([tunnel({ paths: [PATH] })]) ?? "", /no frame has come back/);
  assert.match(problemOf([crossed, tunnel()]) ?? "", /no gateway answers/);
  assert.match(problemOf([{ ...crossed, problem: "no tap" }]) ?? "", /^lab\/a: no tap$/);
});
