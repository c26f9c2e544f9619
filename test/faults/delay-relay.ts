/**
 * Makes one uplink slow: datagrams that a firewall rule brings to its port go on to the gateway of the same
 * host so many milliseconds later, and the answers back as late.
 *
 *     node delay-relay.ts PORT GATEWAY-ADDRESS GATEWAY-PORT DELAY-MS
 */
import { createSocket } from "node:dgram";
import type { Namespace } from "../support/netns.ts";
import { ensureCommands } from "../support/packages.ts";

const RELAY_PORT = 5555;
const GATEWAY_PORT = 1194;
const BUFFER_BYTES = 1024 * 1024;

/** Delays what comes to the gateway by a device, until disposed of. */
export async function delayOn(
  gateway: Namespace,
  device: string,
  { address, delayMs }: { readonly address: string; readonly delayMs: number },
): Promise<AsyncDisposable> {
  await ensureCommands(["nft"]);
  const rule = `iifname "${device}" udp dport ${GATEWAY_PORT} redirect to :${RELAY_PORT}`;
  const chain = "type nat hook prerouting priority -100; policy accept;";
  await gateway.run(["nft", "-f", "-"], {
    input: `table inet delay {\n  chain relay {\n    ${chain}\n    ${rule}\n  }\n}\n`,
  });
  const words = [RELAY_PORT, address, GATEWAY_PORT, delayMs].map(String);
  const relay = gateway.start([process.execPath, import.meta.filename, ...words]);
  await relay.waitForOutput(/ready/, 20_000);
  return relay;
}

function main([
  port = "",
  gatewayAddress = "",
  gatewayPort = "",
  delay = "",
]: readonly string[]): void {
  const delayMs = Number(delay);
  const near = createSocket("udp4");
  const far = createSocket("udp4");
  let box = { address: "", port: 0 };
  near.on("message", (datagram, { address, port: from }) => {
    box = { address, port: from };
    setTimeout(() => far.send(datagram, Number(gatewayPort), gatewayAddress), delayMs);
  });
  far.on("message", (datagram) => {
    const { address, port: to } = box;
    setTimeout(() => near.send(datagram, to, address), delayMs);
  });
  far.bind(0, () => {
    near.bind(Number(port), () => {
      for (const socket of [near, far]) socket.setRecvBufferSize(BUFFER_BYTES);
      process.stdout.write("ready\n");
    });
  });
}

if (import.meta.main) main(process.argv.slice(2));
