/**
 * Prints a client profile (`.ovpn`) that stock OpenVPN 2.6 and 2.7 run unchanged, with nothing but
 * inline blocks, and that `fairlead up --profile` reads back to the same settings.
 *
 * Invariant: no scripts, no file paths, and the same request prints the same bytes.
 */

import { ProfileError } from "./authority-error.ts";
import type { KeyPair } from "./certificate.ts";
import { printStaticKey } from "./static-key.ts";
import { type ClientWrapKey, printClientWrapKey } from "./tls-crypt-v2.ts";

/** Everything a profile says. */
export interface ProfileRequest {
  readonly tunnel: { readonly namespace: string; readonly name: string };
  readonly peer: string;
  readonly remotes: readonly { readonly host: string; readonly port: number }[];
  readonly order: "Listed" | "Random";
  readonly protocol: "Udp" | "Tcp";
  /** What the peer carries: Ethernet frames, or IP packets. */
  readonly device: "tap" | "tun";
  /** Name of the interface at the peer; absent: the system chooses. */
  readonly interfaceName?: string;
  readonly authorityPem: string;
  readonly pair: KeyPair;
  /** Common name of the gateway's certificate. */
  readonly serverName: string;
  readonly wrap: ProfileWrap;
  /** The gateway asks for a username and a password beside the certificate. */
  readonly asksUserPass?: boolean;
  readonly dataCiphers: readonly string[];
  readonly mtu: "Auto" | number;
  readonly mssFixBytes: number;
  /** Absent: packets are not cut. */
  readonly fragmentBytes?: number;
  readonly replayWindow: { readonly packets: "Auto" | number; readonly seconds: number };
  readonly multicast: ProfileMulticast;
}

/** What wraps the control channel, from the client's side. */
export type ProfileWrap =
  | { readonly kind: "None" }
  | { readonly kind: "TlsCryptV2"; readonly key: ClientWrapKey }
  | { readonly kind: "TlsCrypt"; readonly key: Uint8Array }
  | { readonly kind: "TlsAuth"; readonly key: Uint8Array; readonly digest: string };

/** Where the peer's programs find the segment's multicast groups. */
export interface ProfileMulticast {
  /** The peer bridges: it has no address of ours and needs no route. */
  readonly bridges: boolean;
  /** None where groups are not carried: through a router that is no proxy for them. */
  readonly routes: readonly string[];
  /** Any address of the segment but the peer's own; absent: the segment has no such network. */
  readonly anyAddress4?: string;
  readonly anyAddress6?: string;
}

/** Stock OpenVPN's largest window, and what Auto means for it: 98 ms of skew at 1 Gb/s. */
const STOCK_REPLAY_PACKETS_MAX = 65_536;
const STOCK_REPLAY_PACKETS_AUTO = 8_192;

/** Prints the profile. */
export function printProfile(request: ProfileRequest): string {
  if (request.remotes.length === 0) {
    throw new ProfileError(
      `tunnel ${request.tunnel.namespace}/${request.tunnel.name} does not say where it is reached: add spec.listen.advertise, for example [{ host: vpn.example.org }]`,
    );
  }
  const lines = [
    `# Fairlead: peer ${request.peer} of tunnel ${request.tunnel.namespace}/${request.tunnel.name}.`,
    "# This file holds the peer's private key: whoever has it is this peer.",
    "client",
    ...deviceLines(request),
    `proto ${request.protocol === "Tcp" ? "tcp" : "udp"}`,
    ...request.remotes.map((remote) => `remote ${remote.host} ${remote.port}`),
    ...(request.order === "Random" ? ["remote-random"] : []),
    "nobind",
    "connect-timeout 10",
    "connect-retry 1 10",
    "persist-tun",
    // By TCP the end of the connection says it.
    ...(request.protocol === "Tcp" ? [] : ["explicit-exit-notify 1"]),
    "remote-cert-tls server",
    ...(request.asksUserPass === true ? ["auth-user-pass"] : []),
    `verify-x509-name ${quoted(request.serverName)} name`,
    "tls-version-min 1.2",
    `data-ciphers ${request.dataCiphers.join(":")}`,
    ...(request.mtu === "Auto" ? [] : [`tun-mtu ${request.mtu}`]),
    `mssfix ${request.mssFixBytes}`,
    ...(request.fragmentBytes === undefined ? [] : [`fragment ${request.fragmentBytes}`]),
    `replay-window ${replayPackets(request.replayWindow.packets)} ${request.replayWindow.seconds}`,
    ...multicastLines(request.multicast, request.interfaceName ?? `${request.device}0`),
    "verb 3",
    ...block("ca", request.authorityPem),
    ...block("cert", request.pair.certificatePem),
    ...block("key", request.pair.privateKeyPem),
    ...wrapLines(request.wrap),
  ];
  return `${lines.join("\n")}\n`;
}

function deviceLines(request: ProfileRequest): string[] {
  const { device } = request;
  const dev = [`dev ${request.interfaceName ?? device}`, `dev-type ${device}`];
  if (device === "tun") return [...dev, "topology subnet"];
  if (!request.multicast.bridges) return dev;
  const name = request.interfaceName ?? "tap0";
  return [
    "# This peer bridges: no address is pushed. Once connected, join the interface to the LAN's",
    `# bridge (here br0):  ip link set dev ${name} up master br0`,
    ...dev,
  ];
}

function replayPackets(packets: "Auto" | number): number {
  return packets === "Auto"
    ? STOCK_REPLAY_PACKETS_AUTO
    : Math.min(packets, STOCK_REPLAY_PACKETS_MAX);
}

/**
 * Multicast on-link through the interface, without a script. OpenVPN sets routes only via a gateway, and a
 * gateway on 224.0.0.0/4 would send every group to that gateway's own MAC address. Linux ignores the
 * gateway of a route shorter than /4 for multicast, so 224.0.0.0/3 is right and 240.0.0.0/4 (which
 * includes 255.255.255.255) is given back to the default route. Observed with OpenVPN 2.6.14.
 */
function multicastLines(multicast: ProfileMulticast, name: string): string[] {
  if (multicast.bridges) return [];
  const lines: string[] = [];
  const routes4 = multicast.routes.filter((route) => !route.includes(":"));
  if (routes4.length > 0 && multicast.anyAddress4 !== undefined) {
    lines.push(
      "# IPv4 multicast goes into the segment (the address only names the interface).",
      `route 224.0.0.0 224.0.0.0 ${multicast.anyAddress4}`,
      "route 240.0.0.0 240.0.0.0 net_gateway",
    );
  } else if (routes4.length > 0) {
    lines.push(
      "# IPv4 multicast: the segment has no addresses of ours, so once the interface is up, run",
      ...routes4.map((route) => `#   ip route add ${route} dev ${name}`),
    );
  }
  return [...lines, ...multicastLines6(multicast, name)];
}

/** The kernel's own ff00::/8 (table local, metric 256) wins over any route OpenVPN can set. */
function multicastLines6(multicast: ProfileMulticast, name: string): string[] {
  const routes6 = multicast.routes.filter((route) => route.includes(":"));
  if (routes6.length === 0) return [];
  return [
    "# IPv6 multicast: OpenVPN cannot set this route without a script. fairlead does it by itself;",
    "# beside stock OpenVPN run once, or let the program name the interface:",
    ...routes6.map(
      (route) => `#   ip -6 route add multicast ${route} dev ${name} table local metric 1`,
    ),
    ...(multicast.anyAddress6 === undefined
      ? []
      : routes6.map((route) => `route-ipv6 ${route} ${multicast.anyAddress6}`)),
  ];
}

function wrapLines(wrap: ProfileWrap): string[] {
  switch (wrap.kind) {
    case "None":
      return [];
    case "TlsCryptV2":
      return block("tls-crypt-v2", printClientWrapKey(wrap.key));
    case "TlsCrypt":
      return block("tls-crypt", printStaticKey(wrap.key));
    case "TlsAuth":
      return [
        `auth ${wrap.digest}`,
        "key-direction 1",
        ...block("tls-auth", printStaticKey(wrap.key)),
      ];
  }
}

function block(name: string, content: string): string[] {
  return [`<${name}>`, content.trim(), `</${name}>`];
}

function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}
