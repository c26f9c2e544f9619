/**
 * Tests that wait more than they compute, for handshakes, timers and each other's programs, and whose limits
 * leave room for a busy machine: a part runs them beside each other, before it runs the others one by one.
 * What measures speed, gaps, or loss at a high rate is not among them.
 */

/** How many run at once. */
export const LANES = 3;

/** The longest first, so that none is left over at the end. */
export const PATIENT_FILES: readonly string[] = [
  "test/faults/tunnels.netns.test.ts",
  "test/interop/login.netns.test.ts",
  "test/faults/soak.netns.test.ts",
  "test/faults/lifecycle.netns.test.ts",
  "test/interop/peers.netns.test.ts",
  "sidecar/segment-addresses.netns.test.ts",
  "test/interop/routed.netns.test.ts",
  "test/faults/recorded.netns.test.ts",
  "test/interop/push.netns.test.ts",
  "test/interop/fragment.netns.test.ts",
  "test/interop/dscp.netns.test.ts",
  "test/interop/routed-groups.netns.test.ts",
  "test/faults/uplink-gateways.netns.test.ts",
  "test/interop/routed-peers.netns.test.ts",
  "test/interop/neighbour.netns.test.ts",
  "test/interop/revocation.netns.test.ts",
  "cli/capture.netns.test.ts",
  "cli/doctor.netns.test.ts",
  "test/faults/stock-uplinks.netns.test.ts",
  "test/faults/host.netns.test.ts",
  "test/faults/service.netns.test.ts",
  "test/faults/refused.netns.test.ts",
  "test/interop/frames.netns.test.ts",
  "operator/attach/attach.cluster.test.ts",
  "operator/attach/dialling.cluster.test.ts",
  "test/cluster/chart.cluster.test.ts",
  "test/cluster/rights.cluster.test.ts",
  "crds/definitions.cluster.test.ts",
  "operator/watch/informer.cluster.test.ts",
];

/** Scenarios of the lab, whoever the peer is. */
export const PATIENT_SCENARIOS: readonly string[] = ["S3", "S0"];
