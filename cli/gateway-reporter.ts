/**
 * Writes what the data plane does into the status of the tunnel and of its peers, as a field owner
 * of its own. Invariants: nothing is written at rest but, where there is a set of uplinks, their figures each
 * minute; a report that differs is written at most once in two seconds, and one about a peer that is as
 * connected as before once in ten; the API server's absence delays nothing but the report.
 */
import { isDeepStrictEqual } from "node:util";
import type { Api } from "../operator/api/api-client.ts";
import { type ResourceKind, VPN_PEER, VPN_TUNNEL } from "../operator/api/object.ts";
import { apply } from "../operator/apply/apply.ts";
import type { Clock } from "../operator/clock.ts";
import type { ProcessStatus } from "../sidecar/control/status.ts";
import {
  type ActiveReplica,
  type PeerReport,
  peerReports,
  sidesOf,
  type TunnelReport,
  tunnelReport,
} from "./gateway-report.ts";

/** What the reporter is made with. */
export interface ReporterOptions {
  readonly api: Pick<Api, "call">;
  readonly clock: Clock;
  readonly tunnel: { readonly namespace: string; readonly name: string };
  readonly active: ActiveReplica;
  readonly read: () => Promise<readonly ProcessStatus[]>;
  readonly troubled: (error: unknown) => void;
}

const LOOK_MS = 1_000;
const TUNNEL_WRITE_MS_MIN = 2_000;
const PEER_WRITE_MS_MIN = 10_000;
/** Peers written at each look: a thousand that connect at once are told of within some minutes. */
const PEER_WRITES_MAX = 5;
const RETRY_MS = 5_000;
const FIELD_OWNER = "fairlead-gateway";

interface Written<Report> {
  readonly report: Report;
  readonly atMs: number;
}

/** Reports of one active replica. */
export class GatewayReporter {
  readonly #options: ReporterOptions;
  readonly #peers = new Map<string, Written<PeerReport>>();
  #tunnel: Written<TunnelReport> | undefined;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** Reports until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, read, troubled } = this.#options;
    while (!signal.aborted) {
      let pauseMs = LOOK_MS;
      try {
        await this.#look(await read());
      } catch (error) {
        troubled(error);
        pauseMs = RETRY_MS;
      }
      await clock.sleep(pauseMs, signal);
    }
  }

  async #look(processes: readonly ProcessStatus[]): Promise<void> {
    const { active, clock, tunnel: place } = this.#options;
    const sides = sidesOf(processes);
    if (sides === undefined) return;
    const nowMs = clock.nowMs();
    const former = this.#tunnel;
    const context = { active, former: former?.report, wallMs: clock.wallMs() };
    const report = tunnelReport(sides, context);
    const isDue = former === undefined || nowMs - former.atMs >= TUNNEL_WRITE_MS_MIN;
    if (isDue && !isDeepStrictEqual(former?.report, report)) {
      await this.#write(VPN_TUNNEL, place.name, report);
      this.#tunnel = { report, atMs: nowMs };
    }
    await this.#lookAtPeers(peerReports(sides), nowMs);
  }

  async #lookAtPeers(reports: ReadonlyMap<string, PeerReport>, nowMs: number): Promise<void> {
    for (const name of this.#peers.keys()) if (!reports.has(name)) this.#peers.delete(name);
    let writes = 0;
    for (const [name, report] of reports) {
      const former = this.#peers.get(name);
      if (isDeepStrictEqual(former?.report, report)) continue;
      const isUrgent = former?.report.connected !== report.connected;
      if (!isUrgent && former !== undefined && nowMs - former.atMs < PEER_WRITE_MS_MIN) continue;
      if (writes++ >= PEER_WRITES_MAX) return;
      await this.#write(VPN_PEER, name, report);
      this.#peers.set(name, { report, atMs: nowMs });
    }
  }

  async #write(kind: ResourceKind, name: string, status: object): Promise<void> {
    const { api, tunnel } = this.#options;
    const item = { metadata: { name, namespace: tunnel.namespace }, status };
    await apply(api, kind, item, { subresource: "status", fieldOwner: FIELD_OWNER });
  }
}
