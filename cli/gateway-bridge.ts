/**
 * The bridge in a gateway's pod that joins the side to the server and the side to the pods, where a
 * tunnel has both. It lives as long as the pod's network: a gateway that starts again finds it.
 */
import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import { SEGMENT_BRIDGE } from "../operator/reconcile/vpn-tunnel/listening-side.ts";
import * as native from "../sidecar/native/native.ts";
import { TunnelError } from "../sidecar/tunnel-error.ts";

/** Whether the gateway's documents name the bridge. */
export function namesBridge(documents: string): boolean {
  return documents.includes(`"interface": "${SEGMENT_BRIDGE}"`);
}

/** Makes the bridge unless it is there; throws a TunnelError. */
export function ensureBridge(): void {
  const { EEXIST, EPERM } = constants.errno;
  const { errno, index } = native.linkAdd({ name: SEGMENT_BRIDGE, kind: "bridge" });
  if (errno === EEXIST) return;
  const failed = errno === 0 ? native.linkSet({ index, isUp: true }) : errno;
  if (failed === 0) return;
  if (failed === EPERM) {
    throw new TunnelError("notPermitted", "making a bridge needs root or CAP_NET_ADMIN");
  }
  const why = getSystemErrorName(-failed);
  throw new TunnelError("interfaceFailed", `the bridge ${SEGMENT_BRIDGE}: ${why}`);
}
