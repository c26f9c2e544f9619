/**
 * The lab's tunnel by stock OpenVPN alone, at all three places: what the product is compared
 * with, and the proof that the topology itself carries multicast.
 */
import { join } from "node:path";
import { type Identity, makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import type { Block } from "./screen.ts";
import type { Segment } from "./segment.ts";
import { LAB, type Topology } from "./topology.ts";

/** Starts the gateway's server and the box's client, and waits for both. */
export async function startStockSegment(topology: Topology, folder: string): Promise<Segment> {
  const authority = await TestAuthority.create(join(folder, "authority"));
  const wrapKey = makeStaticKey();
  const issue = async (commonName: string, use: "server" | "client"): Promise<string> =>
    credentials(authority.certificate, await authority.issue({ commonName, use }), wrapKey);
  await using stack = new AsyncDisposableStack();

  const server = stack.use(
    await OpenvpnPeer.start({
      namespace: topology.gateway,
      folder: join(folder, "gateway"),
      config: `${SERVER_CONFIG}${await issue("gateway", "server")}`,
      files: { "clients/workload": WORKLOAD_ADDRESSES },
    }),
  );
  await server.waitUntilUp();
  await topology.gateway.ip("link set tap0 up");

  const box = stack.use(
    await OpenvpnPeer.start({
      namespace: topology.box,
      folder: join(folder, "box"),
      config: `${clientConfig(LAB.gatewayUplink, "tap0")}${await issue("box", "client")}`,
    }),
  );
  await box.waitUntilUp();
  await topology.box.ip(`link set tap0 master ${LAB.boxBridge} up`);

  const workloadConfig =
    clientConfig(LAB.gatewayCluster, LAB.workloadInterface) + (await issue("workload", "client"));
  const kept = stack.move();
  return new StockSegment(topology, { server, workloadConfig, folder, stack: kept });
}

interface StockParts {
  readonly server: OpenvpnPeer;
  readonly workloadConfig: string;
  readonly folder: string;
  readonly stack: AsyncDisposableStack;
}

class StockSegment implements Segment {
  readonly description = "stock openvpn at the gateway, the box and the workload";
  readonly #topology: Topology;
  readonly #parts: StockParts;
  #workload: OpenvpnPeer | undefined;

  constructor(topology: Topology, parts: StockParts) {
    this.#topology = topology;
    this.#parts = parts;
  }

  async attachWorkload(options: { readonly multicastRoutes: boolean }): Promise<void> {
    const { workload } = this.#topology;
    this.#workload = await OpenvpnPeer.start({
      namespace: workload,
      folder: join(this.#parts.folder, "workload"),
      config: this.#parts.workloadConfig,
    });
    await this.#workload.waitUntilUp();
    if (!options.multicastRoutes) return;
    await workload.ip(`route add 224.0.0.0/4 dev ${LAB.workloadInterface}`);
    // A metric below the kernel's own 256, or its entry for another interface wins.
    await workload.ip(`-6 route add ff00::/8 dev ${LAB.workloadInterface} table local metric 128`);
  }

  async detachWorkload(): Promise<void> {
    await this.#workload?.stop();
    this.#workload = undefined;
  }

  async blocks(): Promise<readonly Block[]> {
    const lines = await this.#parts.server.manage("status 3");
    const rows = lines
      .map((line) => line.split("\t"))
      .filter((fields) => fields[0] === "CLIENT_LIST")
      .map(([, name = "", remote = ""]) => ({ label: name, values: [remote] }));
    return [{ title: "PEERS of the gateway", rows }];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.detachWorkload();
    await this.#parts.stack.disposeAsync();
  }
}

const SERVER_CONFIG = `
mode server
tls-server
dev tap0
dev-type tap
proto udp
port ${LAB.tunnelPort}
multihome
topology subnet
client-to-client
client-config-dir clients
keepalive 1 5
dh none
data-ciphers AES-256-GCM
`;

const WORKLOAD_ADDRESSES = `
ifconfig-push ${LAB.workload} 255.255.255.0
push "ifconfig-ipv6 ${LAB.workload6}/64 fd20::1"
`;

function clientConfig(remote: string, device: string): string {
  return `
client
dev ${device}
dev-type tap
proto udp
remote ${remote} ${LAB.tunnelPort}
nobind
resolv-retry 5
remote-cert-tls server
data-ciphers AES-256-GCM
`;
}

function credentials(authority: string, identity: Identity, wrapKey: string): string {
  return [
    `<ca>\n${authority}</ca>`,
    `<cert>\n${identity.certificate}</cert>`,
    `<key>\n${identity.key}</key>`,
    `<tls-crypt>\n${wrapKey}</tls-crypt>`,
    "",
  ].join("\n");
}
