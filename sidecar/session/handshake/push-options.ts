/**
 * PUSH_REPLY: what a server tells a client to use (openvpn-rfc, "pushreply"). One invariant:
 * nothing pushed runs anything or touches a file; what is not understood is named and ignored.
 */

import type { DataCipher } from "../../control/tunnel-config.ts";
import { isIPv4, isIPv6 } from "../../wire/ip-text.ts";
import { DATA_CIPHERS } from "./data-ciphers.ts";
import { prefixOfMask, readIfconfig } from "./ifconfig.ts";
import { EXTENSION_VERSION, PARITY_VERSION } from "./peer-info.ts";

/** What a client takes from a PUSH_REPLY. */
export interface PushedOptions {
  readonly address4?: { readonly address: string; readonly prefixBits: number };
  readonly address6?: { readonly address: string; readonly prefixBits: number };
  /** `ifconfig` with the far end's address in place of a mask (topology net30 or p2p). */
  readonly remoteAddress4?: string;
  readonly routeGateway?: string;
  /** Networks that are reached through the tunnel; not those that keep their way outside it. */
  readonly routes: readonly PushedRoute[];
  /** `route-metric`: of routes that name none. */
  readonly routeMetric?: number;
  /** Addresses are the segment's own DHCP server's affair. */
  readonly usesDhcp?: boolean;
  /** Peer-id to put on data packets; absent: the server is too old for DATA_V2. */
  readonly peerId?: number;
  readonly cipher?: DataCipher;
  /** A cipher that we do not have, by the server's name for it. */
  readonly cipherUnknown?: string;
  readonly usesKeyExport: boolean;
  readonly usesExitMessage: boolean;
  readonly usesEpoch: boolean;
  readonly usesDynamicWrap: boolean;
  /** The server is an end of ours, of a version that understands probes. */
  readonly hasProbes: boolean;
  /** It understands plans and parity as well. */
  readonly hasParity: boolean;
  readonly pingSeconds?: number;
  readonly pingRestartSeconds?: number;
  readonly mtuBytes?: number;
  readonly topology?: string;
  /** In place of the password from now on, and the username with it where it is another one. */
  readonly authToken?: string;
  readonly authTokenUser?: string;
  /** A compression that would change our packets, as pushed: refused by the caller. */
  readonly compression?: string;
  /** Options that were understood by nobody here. */
  readonly ignored: readonly string[];
}

/** One pushed `route` or `route-ipv6`. */
export interface PushedRoute {
  /** `10.30.0.0/16`. */
  readonly network: string;
  readonly metric?: number;
}

type Draft = { -readonly [Key in keyof PushedOptions]: PushedOptions[Key] } & {
  ignored: string[];
  routes: PushedRoute[];
};

/** A whole control message: stock's bundle has 1024 bytes with its NUL. */
const MESSAGE_BYTES_MAX = 1023;
const REPLY = "PUSH_REPLY";
const CONTINUATION_BYTES = ",push-continuation 2".length;
const OPTIONS_BYTES_MAX: number = MESSAGE_BYTES_MAX - REPLY.length - CONTINUATION_BYTES;
const MTU_BYTES_MIN = 576;
const MTU_BYTES_MAX = 65535;
const SECONDS_MAX = 86400;
const METRIC_MAX = 0x7fff_ffff;

const HANDLERS: Record<string, (draft: Draft, words: readonly string[]) => boolean> = {
  ifconfig: (draft, [address = "", second = ""]) => {
    const read = readIfconfig(address, second);
    if (read === undefined) return false;
    draft.address4 = read.address4;
    if (read.farEnd4 !== undefined) draft.remoteAddress4 = read.farEnd4;
    return true;
  },
  "ifconfig-ipv6": (draft, [network = ""]) => {
    const [address = "", bits = ""] = network.split("/");
    const prefixBits = integer(bits, 0, 128);
    if (!isIPv6(address) || prefixBits === undefined) return false;
    draft.address6 = { address, prefixBits };
    return true;
  },
  "route-gateway": (draft, [gateway = ""]) => {
    if (gateway === "dhcp") draft.usesDhcp = true;
    else if (isIPv4(gateway)) draft.routeGateway = gateway;
    else return false;
    return true;
  },
  route: (draft, [network = "", mask = "255.255.255.255", gateway = "", metric = ""]) => {
    const prefixBits = prefixOfMask(mask === "default" ? "255.255.255.255" : mask);
    if (!isIPv4(network) || prefixBits === undefined || isOutside(gateway)) return false;
    return takeRoute(draft, `${network}/${prefixBits}`, metric);
  },
  "route-ipv6": (draft, [network = "", gateway = "", metric = ""]) => {
    const [address = "", bits = ""] = network.split("/");
    const prefixBits = integer(bits, 0, 128);
    if (!isIPv6(address) || prefixBits === undefined || isOutside(gateway)) return false;
    return takeRoute(draft, `${address}/${prefixBits}`, metric);
  },
  "route-metric": (draft, [metric = ""]) =>
    number(metric, { min: 0, max: METRIC_MAX }, (n) => (draft.routeMetric = n)),
  "peer-id": (draft, [id = ""]) => number(id, { min: 0, max: 0xffffff }, (n) => (draft.peerId = n)),
  cipher: (draft, [name = ""]) => {
    const cipher = DATA_CIPHERS.find((known) => known === name.toUpperCase());
    // The last one counts, also when it is the one that we do not have.
    delete draft.cipher;
    delete draft.cipherUnknown;
    if (cipher === undefined) draft.cipherUnknown = name;
    else draft.cipher = cipher;
    return true;
  },
  "protocol-flags": (draft, flags) => {
    draft.usesKeyExport ||= flags.includes("tls-ekm");
    draft.usesExitMessage ||= flags.includes("cc-exit");
    draft.usesEpoch ||= flags.includes("aead-epoch");
    draft.usesDynamicWrap ||= flags.includes("dyn-tls-crypt");
    return true;
  },
  "key-derivation": (draft, [how]) => {
    draft.usesKeyExport ||= how === "tls-ekm";
    return how === "tls-ekm";
  },
  ping: (draft, [seconds = ""]) =>
    number(seconds, { min: 0, max: SECONDS_MAX }, (n) => (draft.pingSeconds = n)),
  "ping-restart": (draft, [seconds = ""]) =>
    number(seconds, { min: 0, max: SECONDS_MAX }, (n) => (draft.pingRestartSeconds = n)),
  "tun-mtu": (draft, [bytes = ""]) =>
    number(bytes, { min: MTU_BYTES_MIN, max: MTU_BYTES_MAX }, (n) => (draft.mtuBytes = n)),
  "setenv-safe": (draft, [name, value]) => {
    draft.hasProbes ||= name === "FAIRLEAD" && value === String(EXTENSION_VERSION);
    draft.hasParity ||= name === "FAIRLEAD_FEC" && value === String(PARITY_VERSION);
    return true;
  },
  "auth-token": (draft, [token = ""]) => {
    if (token !== "") draft.authToken = token;
    return true;
  },
  "auth-token-user": (draft, [user = ""]) => {
    draft.authTokenUser = Buffer.from(user, "base64").toString("utf8");
    return true;
  },
  topology: (draft, [name = ""]) => {
    draft.topology = name;
    return true;
  },
  compress: (draft, words) => refuseCompression(draft, "compress", words),
  "comp-lzo": (draft, words) => refuseCompression(draft, "comp-lzo", words),
};

/** Reads the options of a whole PUSH_REPLY, continuations joined. */
export function parsePushReply(options: readonly string[]): PushedOptions {
  const draft: Draft = {
    usesKeyExport: false,
    usesExitMessage: false,
    usesEpoch: false,
    usesDynamicWrap: false,
    hasProbes: false,
    routes: [],
    hasParity: false,
    ignored: [],
  };
  for (const option of options) {
    const [name = "", ...words] = option.trim().split(/\s+/);
    if (name === "" || name === "push-continuation") continue;
    const handler = Object.hasOwn(HANDLERS, name) ? HANDLERS[name] : undefined;
    if (handler?.(draft, words) !== true) draft.ignored.push(option.trim());
  }
  return draft;
}

/** PUSH_REPLY as control messages, split with `push-continuation` where one is too long. */
export function pushReplyMessages(options: readonly string[]): string[] {
  const groups: string[][] = [[]];
  let bytes = 0;
  for (const option of options) {
    const optionBytes = Buffer.byteLength(option) + 1;
    if (bytes + optionBytes > OPTIONS_BYTES_MAX) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(option);
    bytes += optionBytes;
  }
  return groups.map((group, index) => {
    const isLast = index === groups.length - 1;
    const mark = groups.length === 1 ? [] : [`push-continuation ${isLast ? 1 : 2}`];
    return [REPLY, ...group, ...mark].join(",");
  });
}

/** What a server pushes to one client. */
export function pushedTo(options: {
  readonly address4?: { readonly address: string; readonly prefixBits: number };
  readonly address6?: { readonly address: string; readonly prefixBits: number };
  readonly usesDhcp?: boolean;
  readonly gateway4?: string;
  readonly gateway6?: string;
  /** A routed tunnel: one network for all peers, and what is reached through this end. */
  readonly isRouted?: boolean;
  readonly routes?: readonly string[];
  readonly peerId: number;
  readonly cipher: DataCipher;
  readonly hasKeyExport: boolean;
  readonly hasProtocolFlags: boolean;
  readonly hasDynamicWrap?: boolean;
  readonly hasEpochs?: boolean;
  /** The client is an end of ours. */
  readonly hasProbes: boolean;
  /** Both ends understand plans and parity. */
  readonly hasParity?: boolean;
  readonly mtuBytes?: number;
  readonly pingSeconds: number;
  readonly pingRestartSeconds: number;
}): string[] {
  const lines: string[] = options.isRouted === true ? ["topology subnet"] : [];
  if (options.usesDhcp === true) lines.push("route-gateway dhcp");
  else if (options.gateway4 !== undefined) lines.push(`route-gateway ${options.gateway4}`);
  if (options.pingSeconds > 0) {
    lines.push(`ping ${options.pingSeconds}`, `ping-restart ${options.pingRestartSeconds}`);
  }
  if (options.address4 !== undefined) {
    lines.push(`ifconfig ${options.address4.address} ${maskOfPrefix(options.address4.prefixBits)}`);
  }
  if (options.address6 !== undefined) {
    const { address, prefixBits } = options.address6;
    // Stock wants two operands; "::" says that the far end has no address of its own.
    lines.push(`ifconfig-ipv6 ${address}/${prefixBits} ${options.gateway6 ?? "::"}`);
  }
  for (const network of options.routes ?? []) {
    const [address = "", bits = ""] = network.split("/");
    const isIpv6 = address.includes(":");
    lines.push(isIpv6 ? `route-ipv6 ${network}` : `route ${address} ${maskOfPrefix(Number(bits))}`);
  }
  lines.push(`peer-id ${options.peerId}`, `cipher ${options.cipher}`);
  if (options.hasProtocolFlags) {
    lines.push(protocolFlags(options));
  } else if (options.hasKeyExport) {
    lines.push("key-derivation tls-ekm");
  }
  if (options.hasProbes) lines.push(`setenv-safe FAIRLEAD ${EXTENSION_VERSION}`);
  if (options.hasParity === true) lines.push(`setenv-safe FAIRLEAD_FEC ${PARITY_VERSION}`);
  if (options.mtuBytes !== undefined) lines.push(`tun-mtu ${options.mtuBytes}`);
  return lines;
}

function protocolFlags(options: {
  readonly hasKeyExport: boolean;
  readonly hasDynamicWrap?: boolean;
  readonly hasEpochs?: boolean;
}): string {
  const flags = ["protocol-flags", "cc-exit"];
  if (options.hasKeyExport) flags.push("tls-ekm");
  if (options.hasDynamicWrap === true) flags.push("dyn-tls-crypt");
  if (options.hasEpochs === true) flags.push("aead-epoch");
  return flags.join(" ");
}

/** The way of such a route is outside the tunnel, or is none of ours to find out. */
function isOutside(gateway: string): boolean {
  return ["net_gateway", "remote_host", "dhcp"].includes(gateway);
}

function takeRoute(draft: Draft, network: string, metric: string): boolean {
  const value = metric === "" || metric === "default" ? undefined : integer(metric, 0, METRIC_MAX);
  draft.routes.push(value === undefined ? { network } : { network, metric: value });
  return true;
}

function refuseCompression(draft: Draft, name: string, words: readonly string[]): boolean {
  // Asks for nothing. "comp-lzo no" is another matter: each packet gets a byte in front of it.
  if (name === "compress" && words[0] === "migrate") return true;
  draft.compression = [name, ...words].join(" ");
  return true;
}

function number(
  text: string,
  range: { readonly min: number; readonly max: number },
  keep: (value: number) => unknown,
): boolean {
  const value = integer(text, range.min, range.max);
  if (value === undefined) return false;
  keep(value);
  return true;
}

function integer(text: string, min: number, max: number): number | undefined {
  if (!/^\d{1,9}$/.test(text)) return undefined;
  const value = Number.parseInt(text, 10);
  return value >= min && value <= max ? value : undefined;
}

/** Dotted netmask of a prefix, 0 to 32 bits. */
export function maskOfPrefix(prefixBits: number): string {
  const bits = "1".repeat(prefixBits).padEnd(32, "0");
  return [0, 8, 16, 24].map((at) => Number.parseInt(bits.slice(at, at + 8), 2)).join(".");
}
