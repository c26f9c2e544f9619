import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../test/support/manual-clock.ts";
import type { ApiCall } from "../api/api-client.ts";
import { VPN_TUNNEL } from "../api/object.ts";
import { EVENTS_WAITING_MAX } from "../limits.ts";
import { EventRecorder, type Happening } from "./event-recorder.ts";

const ABOUT = { metadata: { name: "testbed-a", namespace: "lab", uid: "u1" } };

function happening(reason: string): Happening {
  return { type: "Warning", reason, action: "Reconcile", note: "cause: next step" };
}

function recorder(send: (call: ApiCall) => Promise<unknown>): {
  readonly clock: ManualClock;
  readonly recorder: EventRecorder;
} {
  const clock = new ManualClock();
  const made = new EventRecorder({
    ...{ clock, controller: "fairlead.dev/operator", instance: "one", troubled: () => undefined },
    api: { call: async <Answer>(call: ApiCall): Promise<Answer> => (await send(call)) as Answer },
  });
  return { clock, recorder: made };
}

test("one event for each cause and minute, with six digits in its time", async () => {
  const calls: ApiCall[] = [];
  const { clock, recorder: events } = recorder((call) => Promise.resolve(calls.push(call)));
  for (const reason of ["A", "A", "B"]) events.record(VPN_TUNNEL, ABOUT, happening(reason));
  await clock.advance(59_999);
  events.record(VPN_TUNNEL, ABOUT, happening("A"));
  await clock.advance(1);
  events.record(VPN_TUNNEL, ABOUT, happening("A"));
  await events.drained();
  const bodies = calls.map(({ body }) => body as { reason: string; eventTime: string });
  assert.deepEqual(
    bodies.map(({ reason }) => reason),
    ["A", "B", "A"],
  );
  assert.match(bodies[0]?.eventTime ?? "", /\.\d{6}Z$/);
  assert.equal(events.dropped, 2);
});

test("events that cannot be sent fast enough are dropped and counted, never kept", async () => {
  const { recorder: events } = recorder(() => new Promise(() => undefined));
  for (let index = 0; index < EVENTS_WAITING_MAX + 7; index++) {
    events.record(VPN_TUNNEL, ABOUT, happening(`R${index}`));
  }
  assert.equal(events.dropped, 7);
});
