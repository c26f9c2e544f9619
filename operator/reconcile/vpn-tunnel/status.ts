/** The status of a tunnel from what a reconcile found. Pure. */
import type { VpnTunnel } from "../../../crds/types.ts";
import {
  type Condition,
  fails,
  holds,
  stampConditions,
  unknown,
  type Verdict,
} from "../../status/conditions.ts";
import type { Live, StatefulSetObject } from "../../world.ts";
import { TunnelCondition, TunnelReason } from "./conditions.ts";

/** What the operator writes of a tunnel's status. */
export interface TunnelStatus {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  readonly peers?: { readonly total: number };
}

/** What a reconcile found. */
export interface TunnelFindings {
  /** `Accepted` or what stands against it. */
  readonly accepted: Verdict;
  /** Absent: it was not come to. */
  readonly credentials?: Verdict;
  /** Of the networks among its uplinks; absent: there are none, or they were not looked at. */
  readonly attached?: Verdict;
  readonly statefulSet?: StatefulSetObject;
  /** Declared peers of a listening tunnel. */
  readonly peerCount?: number;
}

/** The status. */
export function tunnelStatus(
  tunnel: Live<VpnTunnel>,
  findings: TunnelFindings,
  wallMs: number,
): TunnelStatus {
  const generation = tunnel.metadata.generation ?? 0;
  const { attached } = findings;
  const parts = [
    findings.accepted,
    findings.credentials ??
      unknown(TunnelCondition.CredentialsReady, TunnelReason.NotReached, "Not looked at yet."),
    ...(attached === undefined ? [] : [attached]),
    gatewayVerdict(findings),
  ];
  // A server that does not answer is what is wrong with a dialling tunnel; peers come and go.
  const connected = tunnel.spec.dial === undefined ? undefined : reportedOf(tunnel, "Connected");
  // What the gateway refused (a profile that it cannot read) leaves the former tunnel running.
  const current = reportedOf(tunnel, "Current");
  const deciding = [...parts, ...(current ? [current] : []), ...(connected ? [connected] : [])];
  const verdicts = [readyVerdict(deciding), ...parts];
  return {
    observedGeneration: generation,
    conditions: stampConditions(verdicts, tunnel.status?.conditions, { generation, wallMs }),
    ...(findings.peerCount === undefined ? {} : { peers: { total: findings.peerCount } }),
  };
}

/** Conditions that the gateway writes. */
export const REPORTED: readonly ("Connected" | "Current")[] = ["Connected", "Current"];

/** What the gateway reported, if it ever did. */
export function reportedOf(
  tunnel: Live<VpnTunnel>,
  name: (typeof REPORTED)[number],
): Verdict | undefined {
  const found = tunnel.status?.conditions?.find(({ type }) => type === name);
  if (found === undefined) return undefined;
  const { message, reason, status, type } = found;
  return { type, status, reason, message };
}

/** Ready says the reason of the first part that does not hold, so the column STATE names the cause. */
function readyVerdict(parts: readonly Verdict[]): Verdict {
  const bad = parts.find(({ status }) => status !== "True");
  if (bad !== undefined) return { ...bad, type: TunnelCondition.Ready };
  const message = "The gateway runs and the tunnel is in force.";
  return holds(TunnelCondition.Ready, TunnelReason.GatewayUp, message);
}

function gatewayVerdict({ statefulSet }: TunnelFindings): Verdict {
  const type = TunnelCondition.GatewayReady;
  if (statefulSet === undefined) {
    return unknown(type, TunnelReason.NotReached, "There is no gateway yet.");
  }
  const { replicas = 0, readyReplicas = 0 } = statefulSet.status ?? {};
  // Only the active replica is ready; the others are warm.
  if (readyReplicas > 0) {
    return holds(type, TunnelReason.GatewayUp, `${replicas} pods, one of them active.`);
  }
  const { name, namespace } = statefulSet.metadata;
  const problem = `No pod of ${name} is active yet: kubectl -n ${namespace} describe pod -l fairlead.dev/tunnel=${statefulSet.metadata.labels?.["fairlead.dev/tunnel"]}`;
  return fails(type, TunnelReason.GatewayStarting, problem);
}
