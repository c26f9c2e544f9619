/**
 * The classic hack of the story, built from stock parts alone: a tunnel without encryption over each
 * uplink, one that encrypts inside them, its packets copied into all three by a firewall rule, and
 * the copies dropped by its replay window. What this product is measured against.
 */
import { join } from "node:path";
import { makeStaticKey, TestAuthority } from "../support/certificates.ts";
import type { Namespace } from "../support/netns.ts";
import { OpenvpnPeer } from "../support/openvpn-peer.ts";
import { ensureCommands } from "../support/packages.ts";
import { SEGMENT_GATEWAY, UPLINKS, type UplinkHosts } from "./uplink-hosts.ts";

/** Where the ends of the inner tunnel are reached, by whatever outer one. */
const INNER = { gateway: "10.99.0.1", box: "10.99.0.2" } as const;
const INNER_PORT = 1195;
const OUTER_PORT = 6000;
const SEGMENT_BOX = "10.20.0.2";
/** As in the story, but for the buffers: 2.6's own are too small for three copies of a stream. */
const INNER_OPTIONS = [
  ...["replay-window 512 10", "fragment 1372", "mssfix 1282", "passtos"],
  ...["sndbuf 1048576", "rcvbuf 1048576", "data-ciphers AES-256-GCM"],
];

type End = keyof typeof INNER;
const FAR: Record<End, End> = { gateway: "box", box: "gateway" };

/** Starts all eight programs and waits until the inner tunnel is up. */
export async function startNestedStock(
  hosts: UplinkHosts,
  folder: string,
): Promise<AsyncDisposable> {
  await ensureCommands(["nft", "openvpn"]);
  await using stack = new AsyncDisposableStack();
  for (const end of ["gateway", "box"] as const) {
    const host = hosts[end];
    await forgiveReversePaths(host);
    stack.defer(async () => await forget(host, end));
    for (const place of UPLINKS.keys()) stack.use(await startOuter(host, folder, { end, place }));
    await host.addresses("lo", `${INNER[end]}/32`);
    for (const place of UPLINKS.keys()) await host.waitForInterface(outerName(place));
    await host.ip(`route add ${INNER[FAR[end]]}/32 dev ${outerName(0)} src ${INNER[end]}`);
    await tripleFrom(host, end);
  }
  const authority = await TestAuthority.create(join(folder, "inner"));
  const keys = { authority: authority.certificate, wrapKey: makeStaticKey() };
  for (const end of ["gateway", "box"] as const) {
    const use = end === "gateway" ? "server" : "client";
    const { certificate, key } = await authority.issue({ commonName: end, use });
    const blocks = [
      ["ca", keys.authority],
      ["cert", certificate],
      ["key", key],
      ["tls-crypt", keys.wrapKey],
    ].map(([name, text]) => `<${name}>\n${text}</${name}>`);
    const config = [...innerLines(end), ...blocks, ""].join("\n");
    const where = { namespace: hosts[end], folder: join(folder, `inner-${end}`) };
    const inner = stack.use(await OpenvpnPeer.start({ ...where, config }));
    if (end === "box") await inner.waitUntilUp();
  }
  return stack.move();
}

function innerLines(end: End): readonly string[] {
  const address = end === "gateway" ? SEGMENT_GATEWAY : SEGMENT_BOX;
  return [
    ...["dev seg0", "dev-type tap", "proto udp", `ifconfig ${address} 255.255.255.0`],
    ...[`local ${INNER[end]}`, `remote ${INNER[FAR[end]]}`, `port ${INNER_PORT}`],
    ...(end === "gateway" ? ["tls-server", "dh none"] : ["tls-client"]),
    ...["keepalive 1 10", ...INNER_OPTIONS],
  ];
}

/** An end of a tunnel that neither encrypts nor authenticates. */
async function startOuter(
  namespace: Namespace,
  folder: string,
  { end, place }: { readonly end: End; readonly place: number },
): Promise<OpenvpnPeer> {
  const uplink = UPLINKS[place];
  if (uplink === undefined) throw new RangeError("there are as many outer tunnels as uplinks");
  const far = FAR[end];
  const config = [
    ...[`dev ${outerName(place)}`, "dev-type tun", "proto udp", `port ${OUTER_PORT + place}`],
    ...[`local ${uplink[end]}`, `remote ${uplink[far]}`],
    `ifconfig ${outerAddress(place, end)} ${outerAddress(place, far)}`,
    ...["cipher none", "auth none", "passtos", "sndbuf 1048576", "rcvbuf 1048576", ""],
  ].join("\n");
  return await OpenvpnPeer.start({ namespace, folder: join(folder, `${end}-${place}`), config });
}

function outerName(place: number): string {
  return `outer${place}`;
}

function outerAddress(place: number, end: End): string {
  return `10.9.${place}.${end === "gateway" ? 1 : 2}`;
}

/** Routing takes the first outer tunnel; a copy goes into each of the others. */
async function tripleFrom(host: Namespace, end: End): Promise<void> {
  const copies = [...UPLINKS.keys()].slice(1).map((place) => {
    return `dup to ${outerAddress(place, FAR[end])} device "${outerName(place)}"`;
  });
  const match = `ip daddr ${INNER[FAR[end]]} udp dport ${INNER_PORT}`;
  const rules = copies.map((copy) => `    ${match} ${copy}`);
  const table = [
    "table ip triple {",
    "  chain output {",
    "    type filter hook output priority 0; policy accept;",
    ...rules,
    "  }",
    "}",
  ];
  await host.run(["nft", "-f", "-"], { input: `${table.join("\n")}\n` });
}

/** A copy arrives by another tunnel than the one that leads back. */
async function forgiveReversePaths(host: Namespace): Promise<void> {
  const files = ["all", "default"].map((name) => `/proc/sys/net/ipv4/conf/${name}/rp_filter`);
  await host.run(["sh", "-c", files.map((file) => `echo 0 > ${file}`).join("; ")]);
}

async function forget(host: Namespace, end: End): Promise<void> {
  await host.try(["nft", "delete", "table", "ip", "triple"]);
  await host.try(["ip", "address", "del", `${INNER[end]}/32`, "dev", "lo"]);
}
