/** The two ends of which changes of keys are measured: ours with stock OpenVPN, or stock with itself. */
import { join } from "node:path";
import { createLink } from "../interop/links.ts";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { createHosts } from "../support/hosts.ts";
import { type Namespace, Network } from "../support/netns.ts";
import { OpenvpnPeer, type OpenvpnRelease } from "../support/openvpn-peer.ts";
import { Scratch } from "../support/scratch.ts";
import { stockClientConfig, stockServerConfig } from "../support/stock-config.ts";

/** One pair of ends, and which of them asks for new keys; `stock` alone is what ours is compared with. */
export interface KeyChangeCase {
  readonly name: string;
  readonly release: OpenvpnRelease;
  readonly ours: "server" | "client" | "neither";
  readonly initiator: "ours" | "stock" | "both";
}

/** A tunnel that is up: `near` is the client's host. */
export interface KeyChangeEnds {
  readonly near: Namespace;
  readonly far: Namespace;
  /** Their interfaces in the tunnel. */
  readonly devices: { readonly near: string; readonly far: string };
  /** Of `far`, in the tunnel. */
  readonly address: string;
}

/** Ours takes no less than 5 s. */
const RENEW_SECONDS = 6;
const SERVER_ADDRESS = "10.20.0.1";

/** Brings the tunnel up; it ends with the stack. */
export async function openEnds(
  wish: KeyChangeCase,
  stack: AsyncDisposableStack,
): Promise<KeyChangeEnds> {
  if (wish.ours === "neither") return await openStockEnds(wish, stack);
  const { release, ours, initiator } = wish;
  const link = await createLink({
    release,
    role: ours,
    transport: { renegotiateSeconds: initiator === "stock" ? 0 : RENEW_SECONDS },
    stockLines: [`reneg-sec ${initiator === "ours" ? 0 : RENEW_SECONDS}`],
  });
  stack.use(link);
  const [oursEnd, stockEnd] = [
    { host: link.oursHost, device: "seg0" },
    { host: link.stockHost, device: "tap0" },
  ];
  const [near, far] = ours === "server" ? [stockEnd, oursEnd] : [oursEnd, stockEnd];
  return {
    near: near.host,
    far: far.host,
    devices: { near: near.device, far: far.device },
    address: SERVER_ADDRESS,
  };
}

async function openStockEnds(
  { release }: KeyChangeCase,
  stack: AsyncDisposableStack,
): Promise<KeyChangeEnds> {
  const network = stack.use(await Network.create());
  const { path } = stack.use(await Scratch.create());
  const { server, client } = await createHosts(network, ["server", "client"]);
  const authority = await TestAuthority.create(join(path, "authority"));
  const wrapKey = makeStaticKey();
  const start = async (namespace: Namespace, use: "server" | "client"): Promise<void> => {
    const identity = await authority.issue({ commonName: use, use });
    const keys = {
      authority: authority.certificate,
      identity,
      wrap: "tls-crypt",
      wrapKey,
    } as const;
    const lines = [`reneg-sec ${RENEW_SECONDS}`];
    const config =
      use === "server"
        ? stockServerConfig(keys, lines)
        : stockClientConfig(keys, ["192.0.2.1"], lines);
    const peer = stack.use(
      await OpenvpnPeer.start({ namespace, folder: join(path, use), config, release }),
    );
    await peer.waitUntilUp();
  };
  await start(server, "server");
  await start(client, "client");
  return {
    near: client,
    far: server,
    devices: { near: "tap0", far: "tap0" },
    address: SERVER_ADDRESS,
  };
}
