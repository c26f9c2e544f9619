/** Configurations of stock OpenVPN, tap and UDP, with their keys inline. */
import type { Identity } from "./certificates.ts";

/** What wraps the control channel, by OpenVPN's names. */
export type Wrap = "tls-crypt-v2" | "tls-crypt" | "tls-auth" | "none";

/** Inline keys of one end. */
export interface StockKeys {
  /** Absent with peer-fingerprint. */
  readonly authority?: string;
  readonly identity: Identity;
  readonly wrap: Wrap;
  readonly wrapKey: string;
}

/** A server on all addresses of its host: 10.20.0.1/24 and fd20::1/64 on tap0. */
export function stockServerConfig(keys: StockKeys, extra: readonly string[] = []): string {
  return [
    "server 10.20.0.0 255.255.255.0",
    "server-ipv6 fd20::/64",
    "topology subnet",
    "dev tap0",
    "dev-type tap",
    "port 1194",
    // Neither is for TCP.
    ...(hasTcp(extra) ? [] : ["multihome", "explicit-exit-notify 1"]),
    "client-to-client",
    "keepalive 1 5",
    "dh none",
    ...extra,
    ...keyLines(keys, 0),
  ].join("\n");
}

/** One end of a pair, the TLS server: 10.20.0.1/24, nothing is pushed. */
export function stockPairConfig(keys: StockKeys, extra: readonly string[] = []): string {
  return [
    "tls-server",
    "dev tap0",
    "dev-type tap",
    "ifconfig 10.20.0.1 255.255.255.0",
    "port 1194",
    "float",
    ...(hasTcp(extra) ? [] : ["explicit-exit-notify 1"]),
    "keepalive 1 5",
    "dh none",
    ...extra,
    ...keyLines(keys, 0),
  ].join("\n");
}

/** A client of the server at these addresses, from the top. */
export function stockClientConfig(
  keys: StockKeys,
  remotes: readonly string[],
  extra: readonly string[] = [],
): string {
  return [
    "client",
    "dev tap0",
    "dev-type tap",
    ...(hasTcp(extra) ? [] : ["proto udp", "explicit-exit-notify 1"]),
    ...remotes.map((remote) => `remote ${remote} 1194`),
    "nobind",
    "remote-cert-tls server",
    ...extra,
    ...keyLines(keys, 1),
  ].join("\n");
}

function hasTcp(lines: readonly string[]): boolean {
  return lines.some((line) => line.startsWith("proto tcp"));
}

function keyLines(keys: StockKeys, direction: 0 | 1): readonly string[] {
  const wrap =
    keys.wrap === "tls-auth" ? ["auth SHA256", `key-direction ${direction}`] : ([] as string[]);
  return [
    ...(keys.authority === undefined ? [] : [block("ca", keys.authority)]),
    block("cert", keys.identity.certificate),
    block("key", keys.identity.key),
    ...wrap,
    ...(keys.wrap === "none" ? [] : [block(keys.wrap, keys.wrapKey)]),
    "",
  ];
}

function block(name: string, content: string): string {
  return `<${name}>\n${content.trim()}\n</${name}>`;
}
