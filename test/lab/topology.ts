/**
 * The lab's hosts, the same ones as in the story of the product:
 *
 *     app --eth0-- 198.51.100.0/24 --eth1-- gw --up0-- 192.0.2.0/24 --up0-- tb --br-lan-- lan
 *
 * `app` is a workload in the cluster, `gw` the gateway, `tb` the testbed's box, `lan` a host on
 * the testbed's isolated network 10.20.0.0/24, fd20::/64. Everything between app and lan but the
 * tunnel itself is here.
 */
import type { Namespace, Network } from "../support/netns.ts";

/** Fixed names and addresses of the lab. */
export const LAB = {
  gatewayUplink: "192.0.2.1",
  boxUplink: "192.0.2.2",
  gatewayCluster: "198.51.100.1",
  workloadCluster: "198.51.100.2",
  lanHost: "10.20.0.7",
  lanHost6: "fd20::7",
  workload: "10.20.0.200",
  workload6: "fd20::c8",
  tunnelPort: 1194,
  /** The workload's interface on the segment. */
  workloadInterface: "tb0",
  /** The box's bridge, of the LAN's NIC and the tunnel's tap. */
  boxBridge: "br-lan",
  lanInterface: "eth0",
} as const;

/** The four hosts. */
export interface Topology {
  readonly gateway: Namespace;
  readonly box: Namespace;
  readonly lan: Namespace;
  readonly workload: Namespace;
}

/** Builds the hosts, their cables, addresses and routes; no tunnel yet. */
export async function buildTopology(network: Network): Promise<Topology> {
  const gateway = await network.namespace("gw");
  const box = await network.namespace("tb");
  const lan = await network.namespace("lan");
  const workload = await network.namespace("app");

  await network.cable(
    { namespace: workload, interface: "eth0" },
    { namespace: gateway, interface: "eth1" },
  );
  await workload.addresses("eth0", `${LAB.workloadCluster}/24`, "2001:db8:51::2/64");
  await gateway.addresses("eth1", `${LAB.gatewayCluster}/24`, "2001:db8:51::1/64");
  // The cluster's network is the workload's default route, as in a pod: joins leave by it.
  await workload.ip(`route add default via ${LAB.gatewayCluster}`);
  await workload.ip("-6 route add default via 2001:db8:51::1");

  await cableTestbed(network, { gateway, box, lan });
  return { gateway, box, lan, workload };
}

/** The uplink between gateway and box, and the testbed's LAN behind the box. */
export async function cableTestbed(
  network: Network,
  hosts: Pick<Topology, "gateway" | "box" | "lan">,
): Promise<void> {
  const { gateway, box, lan } = hosts;
  await network.cable(
    { namespace: gateway, interface: "up0" },
    { namespace: box, interface: "up0" },
  );
  await gateway.addresses("up0", `${LAB.gatewayUplink}/24`);
  await box.addresses("up0", `${LAB.boxUplink}/24`);

  await network.cable({ namespace: box, interface: "lan0" }, { namespace: lan, interface: "eth0" });
  await box.bridge(LAB.boxBridge, "lan0");
  await lan.addresses(LAB.lanInterface, `${LAB.lanHost}/24`, `${LAB.lanHost6}/64`);
  await lan.ip(`route add 224.0.0.0/4 dev ${LAB.lanInterface}`);
}
