/** Stock OpenVPN, tap, AES-256-GCM, otherwise as it comes. */
import { join } from "node:path";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { type Contender, INNER_MTU_BYTES, type Pair, type RunningContender } from "./contender.ts";

const NEAR_ADDRESS = "10.99.0.1";

/** The contender that everything is compared with. */
export const openvpnTap: Contender = {
  name: "openvpn-tap",
  unavailable: () => undefined,
  start,
};

async function start(pair: Pair): Promise<RunningContender> {
  const authority = await TestAuthority.create(join(pair.folder, "authority"));
  const wrapKey = makeStaticKey();
  const config = async (use: "server" | "client"): Promise<string> => {
    const { certificate, key } = await authority.issue({ commonName: use, use });
    const blocks = [`<ca>\n${authority.certificate}</ca>`, `<cert>\n${certificate}</cert>`];
    blocks.push(`<key>\n${key}</key>`, `<tls-crypt>\n${wrapKey}</tls-crypt>`);
    return [use === "server" ? SERVER : client(pair.nearUnderlay), ...blocks, ""].join("\n");
  };
  await using stack = new AsyncDisposableStack();
  const near = stack.use(
    await OpenvpnPeer.start({
      namespace: pair.near,
      folder: join(pair.folder, "near"),
      config: await config("server"),
    }),
  );
  await near.waitUntilUp();
  const far = stack.use(
    await OpenvpnPeer.start({
      namespace: pair.far,
      folder: join(pair.folder, "far"),
      config: await config("client"),
    }),
  );
  await far.waitUntilUp();
  const kept = stack.move();
  return {
    nearAddress: NEAR_ADDRESS,
    pids: { near: near.pid, far: far.pid },
    [Symbol.asyncDispose]: async () => await kept.disposeAsync(),
  };
}

const COMMON = `
dev tap0
dev-type tap
proto udp
tun-mtu ${INNER_MTU_BYTES}
data-ciphers AES-256-GCM
`;

const SERVER = `${COMMON}
mode server
tls-server
topology subnet
port 1194
dh none
keepalive 10 60
ifconfig ${NEAR_ADDRESS} 255.255.255.0
ifconfig-pool 10.99.0.2 10.99.0.9 255.255.255.0
`;

function client(remote: string): string {
  return `${COMMON}
client
remote ${remote} 1194
nobind
remote-cert-tls server
`;
}
