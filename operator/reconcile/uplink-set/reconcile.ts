/** Brings an UplinkSet's status to what is so: which tunnels use it. It owns nothing. */
import type { UplinkSet } from "../../../crds/types.ts";
import { UPLINK_SET } from "../../api/object.ts";
import type { WorkResult } from "../../queue/work-queue.ts";
import { type Condition, holds, stampConditions } from "../../status/conditions.ts";
import { StatusWriter } from "../../status/write-status.ts";
import type { Live } from "../../world.ts";
import type { ReconcileContext, Reconciler } from "../reconciler.ts";

/** Reasons of its one condition, Ready. */
const InUse = "InUse";
const Unused = "Unused";

/** What the operator writes of its status. */
interface UplinkSetStatus {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  readonly tunnels: readonly { readonly name: string }[];
}

/** Reconciles uplink sets. */
export class UplinkSetReconciler implements Reconciler {
  readonly #context: ReconcileContext;
  readonly #status: StatusWriter;

  constructor(context: ReconcileContext) {
    this.#context = context;
    this.#status = new StatusWriter(context.api, UPLINK_SET);
  }

  async reconcile(key: string): Promise<WorkResult> {
    const { clock, world } = this.#context;
    const uplinkSet = world.uplinkSets.get(key);
    if (uplinkSet === undefined) this.#status.forget(key);
    if (uplinkSet === undefined || uplinkSet.metadata.deletionTimestamp !== undefined) return {};
    const { name, namespace } = uplinkSet.metadata;
    const users = [...world.tunnels.values()]
      .filter((tunnel) => tunnel.metadata.namespace === namespace)
      .filter((tunnel) => tunnel.spec.uplinks?.name === name)
      .map((tunnel) => tunnel.metadata.name);
    const status = uplinkSetStatus(uplinkSet, users, clock.wallMs());
    await this.#status.write(uplinkSet, status);
    return {};
  }
}

/** Tunnels that a status names; more are counted in the condition alone. */
const TUNNELS_SHOWN_MAX = 256;

/** The status. Pure. */
function uplinkSetStatus(
  uplinkSet: Live<UplinkSet>,
  users: readonly string[],
  wallMs: number,
): UplinkSetStatus {
  const generation = uplinkSet.metadata.generation ?? 0;
  const verdict =
    users.length === 0
      ? holds("Ready", Unused, "No tunnel uses it: name it in spec.uplinks of a VpnTunnel.")
      : holds("Ready", InUse, `Used by ${users.length} tunnels.`);
  const now = { generation, wallMs };
  return {
    observedGeneration: generation,
    conditions: stampConditions([verdict], uplinkSet.status?.conditions, now),
    tunnels: [...users]
      .sort()
      .slice(0, TUNNELS_SHOWN_MAX)
      .map((name) => ({ name })),
  };
}
