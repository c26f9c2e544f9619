/**
 * Brings an UplinkSet's status to what is so: which tunnels use it, and how they find its uplinks. It owns
 * nothing. Invariant: figures alone are written at most every ten seconds, however many tunnels report them.
 */
import type { UplinkSet } from "../../../crds/types.ts";
import { UPLINK_SET } from "../../api/object.ts";
import type { WorkResult } from "../../queue/work-queue.ts";
import { type Condition, holds, stampConditions } from "../../status/conditions.ts";
import { StatusWriter } from "../../status/write-status.ts";
import type { Live } from "../../world.ts";
import type { ReconcileContext, Reconciler } from "../reconciler.ts";
import { newsText, type TunnelUplinks, tunnelUplinks } from "./reported.ts";

/** Reasons of its one condition, Ready. */
const InUse = "InUse";
const Unused = "Unused";

/** What the operator writes of its status. */
interface UplinkSetStatus {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  readonly tunnels: readonly TunnelUplinks[];
}

const FIGURES_MS_MIN = 10_000;

/** Reconciles uplink sets. */
export class UplinkSetReconciler implements Reconciler {
  readonly #context: ReconcileContext;
  readonly #status: StatusWriter;
  /** When the status of each set was written, and what it said beside figures. */
  readonly #written = new Map<string, { readonly atMs: number; readonly news: string }>();

  constructor(context: ReconcileContext) {
    this.#context = context;
    this.#status = new StatusWriter(context.api, UPLINK_SET);
  }

  async reconcile(key: string): Promise<WorkResult> {
    const { clock, world } = this.#context;
    const uplinkSet = world.uplinkSets.get(key);
    if (uplinkSet === undefined) {
      this.#status.forget(key);
      this.#written.delete(key);
    }
    if (uplinkSet === undefined || uplinkSet.metadata.deletionTimestamp !== undefined) return {};
    const { name, namespace } = uplinkSet.metadata;
    const users = [...world.tunnels.values()]
      .filter((tunnel) => tunnel.metadata.namespace === namespace)
      .filter((tunnel) => tunnel.spec.uplinks?.name === name);
    const status = uplinkSetStatus(uplinkSet, tunnelUplinks(users), clock.wallMs());
    const news = JSON.stringify([status.conditions, newsText(status.tunnels)]);
    const written = this.#written.get(key);
    const waitMs = (written?.atMs ?? 0) + FIGURES_MS_MIN - clock.nowMs();
    if (written?.news === news && waitMs > 0) return { retryAfterMs: waitMs };
    if (await this.#status.write(uplinkSet, status)) {
      this.#written.set(key, { atMs: clock.nowMs(), news });
    }
    return {};
  }
}

/** Tunnels that a status names; more are counted in the condition alone. */
const TUNNELS_SHOWN_MAX = 256;

/** The status. Pure. */
function uplinkSetStatus(
  uplinkSet: Live<UplinkSet>,
  users: readonly TunnelUplinks[],
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
    tunnels: users.slice(0, TUNNELS_SHOWN_MAX),
  };
}
