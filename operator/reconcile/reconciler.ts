/** What all reconcilers share: what they are given, and the face that the queue calls. */
import type { Api } from "../api/api-client.ts";
import type { Clock } from "../clock.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { WorkResult } from "../queue/work-queue.ts";
import type { World } from "../world.ts";

/** Brings one key to what it should be. */
export interface Reconciler {
  reconcile(key: string): Promise<WorkResult>;
}

/** What a reconciler works with. */
export interface ReconcileContext {
  readonly api: Pick<Api, "call">;
  readonly clock: Clock;
  readonly world: World;
  readonly events: Pick<EventRecorder, "record">;
}
