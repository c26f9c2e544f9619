import assert from "node:assert/strict";
import { test } from "node:test";
import type { Verdict } from "../../status/conditions.ts";
import type { PodObject } from "../../world.ts";
import { attachedVerdict } from "./attached.ts";
import { type Attachment, networkAnnotations } from "./networks.ts";

const LTE: Attachment = { uplink: "lte", namespace: "lab", name: "nad", interface: "up-lte" };
const STATUS = "k8s.v1.cni.cncf.io/network-status";

function pod(
  made: readonly Attachment[],
  status?: string,
  phase: "Running" | "Pending" = "Running",
): PodObject {
  const noted = status === undefined ? {} : { [STATUS]: status };
  const annotations = { ...networkAnnotations(made), ...noted };
  const metadata = { name: "t-gateway-0", namespace: "lab", annotations };
  return { metadata, spec: { nodeName: "n1" }, status: { phase } };
}

function verdictOf(
  attachments: readonly Attachment[],
  pods: readonly PodObject[],
  replicas = 2,
): Verdict | undefined {
  return attachedVerdict({ attachments, pods, replicas });
}

const BOTH = '[{"name":"pods","interface":"eth0"},{"name":"lab/nad","interface":"up-lte"}]';

test("a tunnel without networks says nothing of them", () => {
  assert.equal(verdictOf([], [pod([])]), undefined);
  assert.equal(verdictOf([], []), undefined);
});

test("pods that have what they were made for are attached", () => {
  const verdict = verdictOf([LTE], [pod([LTE], BOTH)]);
  assert.deepEqual([verdict?.status, verdict?.reason], ["True", "Attached"]);
  assert.match(verdict?.message ?? "", /lte is up-lte/);
});

test("a pod that is not up yet is waited for, not judged", () => {
  for (const pods of [[], [pod([LTE], undefined, "Pending")]]) {
    const verdict = verdictOf([LTE], pods);
    assert.deepEqual([verdict?.status, verdict?.reason], ["Unknown", "Attaching"]);
  }
});

test("a pod without a note of its networks ran where Multus is not", () => {
  const verdict = verdictOf([LTE], [pod([LTE])]);
  assert.deepEqual([verdict?.status, verdict?.reason], ["False", "InterfaceMissing"]);
  const { message = "" } = verdict ?? {};
  assert.match(message, /t-gateway-0 on the node n1 came up without .* lte \(up-lte\)/);
  assert.match(
    message,
    /Multus is not at work on that node: install it there, then kubectl -n lab/,
  );
});

test("a note that lacks the interface, or is none, is told apart from no note", () => {
  for (const noted of ['[{"name":"pods","interface":"eth0"}]', "[null]", "{}", "not json"]) {
    const verdict = verdictOf([LTE], [pod([LTE], noted)]);
    assert.equal(verdict?.reason, "InterfaceMissing", noted);
    assert.match(verdict.message, /Multus notes other networks/, noted);
  }
});

test("as long as a pod has other networks than are wanted, the pods are rolling", () => {
  const other = { ...LTE, name: "other" };
  for (const [wanted, made] of [
    [[LTE], []],
    [[], [LTE]],
    [[LTE], [other]],
  ] as const) {
    const verdict = verdictOf(wanted, [pod(wanted, BOTH), pod(made)]);
    assert.deepEqual([verdict?.status, verdict?.reason], ["Unknown", "Rolling"]);
    assert.match(verdict?.message ?? "", /hands over to one that is ready/);
  }
  assert.match(verdictOf([LTE], [pod([])], 1)?.message ?? "", /set gateway\.replicas to 2/);
});
