/**
 * The lab's tunnel by our own programs from the files in `examples/`: the gateway listens, the
 * workload dials, and at the testbed's end either ours or a stock OpenVPN runs the profile that
 * the gateway printed.
 */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dump, loadAll } from "js-yaml";
import type { TunnelStatus } from "../../sidecar/control/status.ts";
import { type FairleadPeer, printProfile, startFairlead } from "../support/fairlead-peer.ts";
import type { Namespace } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import type { Block } from "./screen.ts";
import type { PeerKind, Segment } from "./segment.ts";
import { LAB, type Topology } from "./topology.ts";

const EXAMPLES = join(import.meta.dirname, "..", "..", "examples");
const GATEWAY_FILE = join(EXAMPLES, "bridged-gateway.yaml");
const BOX_PEER = "box-7";
const WORKLOAD_PEER = "viewer";

/** A further identity of the gateway, for a host that a scenario adds. */
const GUEST = `---
apiVersion: fairlead.dev/v1alpha1
kind: VpnPeer
metadata: { name: guest, namespace: lab }
spec:
  tunnel: { name: testbed-a }
`;

/** Starts the gateway and the box, and waits for both. */
export async function startFairleadSegment(
  topology: Topology,
  folder: string,
  boxKind: PeerKind,
): Promise<FairleadSegment> {
  await using stack = new AsyncDisposableStack();
  const options = { folder: join(folder, "gateway") };
  const gatewayFile = join(folder, "gateway.yaml");
  await writeFile(gatewayFile, (await readFile(GATEWAY_FILE, "utf8")) + GUEST);
  const start = (): Promise<FairleadPeer> =>
    startFairlead(topology.gateway, [gatewayFile], options);
  const gateway = await start();
  // Whichever process is the gateway in the end.
  const current = { gateway, start };
  stack.defer(async () => {
    await current.gateway.stop();
  });
  await gateway.waitUntilUp();
  const boxProfile = await printProfile(BOX_PEER, gatewayFile, options);
  stack.use(await BOX_STARTERS[boxKind](topology, join(folder, "box"), boxProfile));
  await gateway.waitForPeer(BOX_PEER);
  const right = await workloadFiles(folder, "right", gatewayFile);
  // Broken as by somebody who forgot the multicast: neither end's file has its routes.
  const brokenGatewayFile = join(folder, "gateway-broken.yaml");
  await writeFile(brokenGatewayFile, withoutMulticastRoutes(await readFile(gatewayFile, "utf8")));
  const broken = await workloadFiles(folder, "broken", brokenGatewayFile);
  return new FairleadSegment({
    topology,
    folder,
    current,
    right,
    broken,
    stack: stack.move(),
    description: `fairlead at the gateway and the workload, ${boxKind} at the box`,
  });
}

interface Parts {
  readonly topology: Topology;
  readonly folder: string;
  readonly current: { gateway: FairleadPeer; readonly start: () => Promise<FairleadPeer> };
  /** The workload's files, with and without multicast routes. */
  readonly right: readonly string[];
  readonly broken: readonly string[];
  readonly stack: AsyncDisposableStack;
  readonly description: string;
}

/** The tunnel with our program at the gateway. */
export class FairleadSegment implements Segment {
  readonly description: string;
  readonly #parts: Parts;
  #workload: FairleadPeer | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.description = parts.description;
  }

  async attachWorkload({ multicastRoutes }: { multicastRoutes: boolean }): Promise<void> {
    const { topology, folder, right, broken } = this.#parts;
    const options = { folder: join(folder, "workload") };
    const files = multicastRoutes ? right : broken;
    this.#workload = await startFairlead(topology.workload, files, options);
    await this.#workload.waitUntilUp();
  }

  async detachWorkload(): Promise<void> {
    await this.#workload?.stop();
    this.#workload = undefined;
  }

  /** The gateway's own status of the tunnel. */
  async status(): Promise<TunnelStatus | undefined> {
    return await this.#parts.current.gateway.tunnel();
  }

  /** Another process takes the gateway over, and the peers come back; resolves when they are there. */
  async restartGateway(): Promise<void> {
    const { current } = this.#parts;
    await current.gateway.stop();
    current.gateway = await current.start();
    for (const peer of [BOX_PEER, WORKLOAD_PEER, "guest"]) {
      await current.gateway.waitForPeer(peer, 60_000);
    }
  }

  /** The client file of the guest, for a stock OpenVPN. */
  async guestProfile(): Promise<string> {
    const { folder } = this.#parts;
    const file = join(folder, "gateway.yaml");
    return await printProfile("guest", file, { folder: join(folder, "gateway") });
  }

  async blocks(): Promise<readonly Block[]> {
    const tunnel = await this.#parts.current.gateway.tunnel();
    return tunnel === undefined
      ? []
      : [peerBlock(tunnel), stationBlock(tunnel), counterBlock(tunnel)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.detachWorkload();
    await this.#parts.stack.disposeAsync();
  }
}

function peerBlock({ peers }: TunnelStatus): Block {
  const rows = peers.map((peer) => {
    const { name, state, remote = "-", address = "-", cipher = "-" } = peer;
    return { label: name, values: [state, remote, address, cipher] };
  });
  return { title: "PEERS of the gateway", rows };
}

function stationBlock({ stations }: TunnelStatus): Block {
  const rows = stations.map(({ mac, behind, silentMs }) => {
    return { label: mac, values: [`behind ${behind}`, `heard ${silentMs} ms ago`] };
  });
  return { title: "STATIONS", rows, isTableOnly: true };
}

function counterBlock({ counters }: TunnelStatus): Block {
  const rows = Object.entries(counters)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => ({ label: name, values: [String(count)] }));
  return { title: "COUNTERS of the gateway", rows, isTableOnly: true };
}

/** A gateway in a cluster may still be on its way when the box begins to dial. */
const BOX_UP_MS = 120_000;

type BoxStarter = (
  topology: Pick<Topology, "box">,
  folder: string,
  profile: string,
) => Promise<AsyncDisposable>;

/** Starts the program at the testbed's end with the profile that was printed for it. */
export const BOX_STARTERS: Readonly<Record<PeerKind, BoxStarter>> = {
  /** Stock OpenVPN with the printed profile unchanged; its tap joins the bridge by hand. */
  openvpn: async ({ box }, folder, profile) => {
    await using stack = new AsyncDisposableStack();
    const peer = stack.use(await OpenvpnPeer.start({ namespace: box, folder, config: profile }));
    await peer.waitUntilUp(BOX_UP_MS);
    const device = await tapOf(box);
    await box.ip(`link set ${device} master ${LAB.boxBridge} up`);
    stack.move();
    return peer;
  },
  fairlead: async ({ box }, folder, profile) => {
    await using stack = new AsyncDisposableStack();
    const secretFile = `${folder}-profile.yaml`;
    await writeFile(secretFile, secretOf("box-7-profile", profile), { mode: 0o600 });
    const files = [join(EXAMPLES, "testbed-box.yaml"), secretFile];
    const peer = stack.use(await startFairlead(box, files, { folder }));
    await peer.waitUntilUp(BOX_UP_MS);
    stack.move();
    return peer;
  },
};

/** Name of the only tap in a namespace: the profile leaves it to OpenVPN. */
export async function tapOf(namespace: Namespace): Promise<string> {
  const links = JSON.parse(await namespace.run(["ip", "-j", "tuntap", "show"])) as readonly {
    readonly ifname: string;
  }[];
  assert(links.length === 1 && links[0] !== undefined, `${links.length} taps at the box`);
  return links[0].ifname;
}

/** The Secret document that `dial.profileSecretRef` names. */
function secretOf(name: string, profile: string): string {
  return dump({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "lab" },
    stringData: { "client.ovpn": profile },
  });
}

/** Writes the workload's tunnel and its profile, as the gateway's file makes it, and names both. */
async function workloadFiles(
  folder: string,
  kind: "right" | "broken",
  gatewayFile: string,
): Promise<readonly string[]> {
  const example = join(EXAMPLES, "workload.yaml");
  const profile = await printProfile(WORKLOAD_PEER, gatewayFile, {
    folder: join(folder, "gateway"),
  });
  const secretFile = join(folder, `viewer-profile-${kind}.yaml`);
  await writeFile(secretFile, secretOf("viewer-profile", profile), { mode: 0o600 });
  if (kind === "right") return [example, secretFile];
  const file = join(folder, "workload-broken.yaml");
  await writeFile(file, withoutMulticastRoutes(await readFile(example, "utf8")));
  return [file, secretFile];
}

function withoutMulticastRoutes(yaml: string): string {
  const documents = loadAll(yaml) as { kind: string; spec: Record<string, unknown> }[];
  for (const { kind, spec } of documents) {
    if (kind === "VpnTunnel") spec["multicast"] = { routes: [] };
  }
  return documents.map((document) => dump(document)).join("---\n");
}
