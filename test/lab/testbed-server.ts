/**
 * The testbed's end when it is the server: stock OpenVPN or ours in the box, its tap in the bridge
 * with the LAN, and the client file that its administrator hands out for a whole cluster.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { printProfile, startFairlead } from "../support/fairlead-peer.ts";
import type { Namespace } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { type StockKeys, stockClientConfig, stockServerConfig } from "../support/stock-config.ts";
import type { PeerKind } from "./segment.ts";
import { LAB } from "./topology.ts";

/** A running server. */
export interface TestbedServer extends AsyncDisposable {
  /** The client file. */
  readonly profile: string;
  /** What it has printed. */
  readonly log: () => string;
}

const CLIENT = "cluster";

type ServerStarter = (box: Namespace, folder: string) => Promise<TestbedServer>;

/** Starts the program at the testbed's end, and waits until it listens. */
export const SERVER_STARTERS: Readonly<Record<PeerKind, ServerStarter>> = {
  openvpn: async (box, folder) => {
    await using stack = new AsyncDisposableStack();
    const authority = await TestAuthority.create(`${folder}-authority`);
    const wrapKey = makeStaticKey();
    const keys = async (commonName: string, use: "server" | "client"): Promise<StockKeys> => {
      const identity = await authority.issue({ commonName, use });
      return { authority: authority.certificate, identity, wrap: "tls-crypt", wrapKey };
    };
    const config = stockServerConfig(await keys("server", "server"));
    const server = stack.use(await OpenvpnPeer.start({ namespace: box, folder, config }));
    await server.waitUntilUp();
    await box.ip(`link set tap0 master ${LAB.boxBridge} up`);
    const profile = stockClientConfig(await keys(CLIENT, "client"), [LAB.boxUplink]);
    return running(stack.move(), profile, () => server.log);
  },
  fairlead: async (box, folder) => {
    await using stack = new AsyncDisposableStack();
    const file = `${folder}.yaml`;
    await writeFile(file, SERVER);
    const server = stack.use(await startFairlead(box, [file], { folder: join(folder) }));
    await server.waitUntilUp();
    const profile = await printProfile(CLIENT, file, { folder });
    return running(stack.move(), profile, () => server.log);
  },
};

function running(stack: AsyncDisposableStack, profile: string, log: () => string): TestbedServer {
  return { profile, log, [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
}

const SERVER = `
apiVersion: fairlead.dev/v1alpha1
kind: VpnTunnel
metadata: { name: testbed-b, namespace: lab }
spec:
  listen: { port: ${LAB.tunnelPort}, advertise: [{ host: ${LAB.boxUplink} }] }
  gateway: { bridge: { interface: ${LAB.boxBridge} } }
---
apiVersion: fairlead.dev/v1alpha1
kind: VpnPeer
metadata: { name: ${CLIENT}, namespace: lab }
spec: { tunnel: { name: testbed-b }, addressing: None }
`;
