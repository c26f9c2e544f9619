/**
 * One function for each directive that `profile-directives.ts` calls applied: it checks the words
 * and puts what they mean into the draft, or adds a problem with the line.
 *
 * Invariant: there is a function for exactly the applied names (a test compares them).
 */

import { networkRange, parseNetwork } from "../../crds/ip-network.ts";
import { prefixOfMask, readIfconfig } from "../session/handshake/ifconfig.ts";
import { type Directive, OvpnSyntaxError, parseOvpnFile } from "./ovpn-file.ts";
import { COMPRESSION_REASON } from "./profile-directives.ts";
import type { ProfileDraft } from "./profile-draft.ts";
import { APPLY_SECURITY } from "./profile-security.ts";
import { type Apply, numberWord, placeOf, refuse } from "./profile-words.ts";
import type { OuterProtocol } from "./tunnel-config.ts";

/** Remotes of one profile; OpenVPN's own limit is the same. */
const REMOTES_MAX = 64;
/** `mssfix` without a number: 1492 bytes with IPv6 and UDP headers around. */
const MSSFIX_DEFAULT_BYTES = 1444;
const IP_UDP_HEADER_BYTES = 48;
/** Smaller pieces would be more than 32 of a full frame. */
const FRAGMENT_BYTES_MIN = 576;
/** What a double counts exactly. */
const RENEWAL_MAX = Number.MAX_SAFE_INTEGER;

const nothing: Apply = () => undefined;

/** What to do with each applied directive. */
export const APPLY: Readonly<Record<string, Apply>> = {
  ...APPLY_SECURITY,
  client: (draft) => {
    draft.isPulling = true;
  },
  "tls-client": (draft) => {
    draft.isTlsClient = true;
  },
  pull: (draft) => {
    draft.isPulling = true;
  },
  "ignore-unknown-option": nothing,
  dev: (draft, directive) => {
    const name = directive.words[0] ?? "";
    if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(name)) draft.device = placeOf(name, directive);
    else refuse(draft, directive, "needs an interface name of at most 15 letters, such as tap");
  },
  "dev-type": (draft, directive) => {
    const [type] = directive.words;
    if (type === "tap" || type === "tun") draft.deviceType = placeOf(type, directive);
    else refuse(draft, directive, "is tap or tun");
  },
  proto: (draft, directive) => {
    const protocol = protocolOf(directive.words[0]);
    if (protocol === undefined) refuse(draft, directive, PROTOCOL_WORDS);
    else draft.protocol = protocol;
  },
  "proto-force": (draft, directive) => {
    const protocol = protocolOf(directive.words[0]);
    if (protocol === undefined) refuse(draft, directive, PROTOCOL_WORDS);
    else draft.forcedProtocol = placeOf(protocol, directive);
  },
  remote: (draft, directive) => applyRemote(draft, directive),
  connection: applyConnection,
  "remote-random": (draft) => {
    draft.isRandom = true;
  },
  port: (draft, directive) => {
    draft.remotePort = numberWord(draft, directive, 1, 65_535) ?? 1194;
  },
  rport: (draft, directive) => {
    draft.remotePort = numberWord(draft, directive, 1, 65_535) ?? 1194;
  },
  lport: (draft, directive) => {
    const port = numberWord(draft, directive, 0, 65_535) ?? 0;
    if (port > 0) draft.localPort = port;
  },
  nobind: (draft) => {
    draft.isUnbound = true;
  },
  bind: (draft) => {
    draft.isUnbound = false;
  },
  "tun-mtu": (draft, directive) => {
    const mtu = numberWord(draft, directive, 576, 9000);
    if (mtu !== undefined) draft.mtu = mtu;
  },
  mssfix: applyMssFix,
  fragment: (draft, directive) => {
    const bytes = numberWord(draft, directive, 0, 9000);
    const room = directive.words[1] === "mtu" ? IP_UDP_HEADER_BYTES : 0;
    if (bytes === undefined || bytes === 0) return;
    if (bytes - room >= FRAGMENT_BYTES_MIN) draft.fragmentBytes = bytes - room;
    else refuse(draft, directive, `needs ${FRAGMENT_BYTES_MIN + room} or more`);
  },
  "replay-window": (draft, directive) => {
    const packets = numberWord(draft, directive, 0, 65_536) ?? 64;
    const seconds = Number(directive.words[1] ?? 15);
    if (!Number.isInteger(seconds) || seconds < 0 || seconds > 600) {
      refuse(draft, directive, "takes 0 to 600 seconds");
      return;
    }
    draft.replayWindow = { packets: Math.max(packets, 64), seconds: Math.max(seconds, 1) };
  },
  "reneg-sec": (draft, directive) => {
    const seconds = numberWord(draft, directive, 0, 604_800);
    if (seconds === undefined) return;
    draft.renewal.renegotiateSeconds = seconds === 0 ? 0 : Math.max(seconds, 5);
  },
  "reneg-bytes": (draft, directive) => {
    const bytes = numberWord(draft, directive, 0, RENEWAL_MAX);
    if (bytes !== undefined) draft.renewal.renegotiateBytes = bytes;
  },
  "reneg-pkts": (draft, directive) => {
    const packets = numberWord(draft, directive, 0, RENEWAL_MAX);
    if (packets !== undefined) draft.renewal.renegotiatePackets = packets;
  },
  keepalive: (draft, directive) => {
    const interval = numberWord(draft, directive, 1, 3600);
    const timeout = Number(directive.words[1]);
    if (interval === undefined) return;
    if (!Number.isInteger(timeout) || timeout < 2 * interval || timeout > 7200) {
      refuse(
        draft,
        directive,
        "takes a timeout of at least twice the interval, such as keepalive 1 5",
      );
      return;
    }
    draft.pingSeconds = interval;
    draft.pingRestartSeconds = timeout;
  },
  ping: (draft, directive) => {
    const seconds = numberWord(draft, directive, 0, 3600) ?? 0;
    if (seconds > 0) draft.pingSeconds = seconds;
  },
  "ping-restart": (draft, directive) => {
    const seconds = numberWord(draft, directive, 0, 7200) ?? 0;
    if (seconds > 0) draft.pingRestartSeconds = seconds;
  },
  ifconfig: applyIfconfig,
  "ifconfig-ipv6": (draft, directive) => {
    const network = parseNetwork(directive.words[0] ?? "");
    if (network?.address.family !== 6) {
      refuse(draft, directive, "needs an address with its prefix, such as fd20::7/64");
      return;
    }
    const address = (directive.words[0] ?? "").split("/")[0] ?? "";
    draft.address6 = { address, prefixBits: network.prefixBits };
  },
  route: applyRoute,
  "route-ipv6": (draft, directive) => {
    const text = directive.words[0] ?? "";
    const network = parseNetwork(text);
    const isMulticast = network?.address.family === 6 && network.address.value >> 120n === 0xffn;
    if (isMulticast && network.prefixBits >= 8) draft.multicastRoutes.push(text);
    else if (network?.address.family === 6) keepRoute(draft, directive, text);
    else refuse(draft, directive, "needs a network, such as route-ipv6 fd30::/64");
  },
  "route-nopull": (draft) => {
    draft.leavesRoutes = true;
  },
  "route-noexec": (draft) => {
    draft.setsNoRoutes = true;
  },
  "route-metric": (draft, directive) => {
    const metric = numberWord(draft, directive, 0, 999_999_999);
    if (metric !== undefined) draft.routeMetric = metric;
  },
  topology: (draft, directive) => {
    if (["subnet", "net30", "p2p"].includes(directive.words[0] ?? "")) return;
    refuse(draft, directive, "is subnet, net30 or p2p");
  },
  compress: (draft, directive) => {
    if (directive.words[0] === "migrate") return;
    refuse(draft, directive, COMPRESSION_REASON);
  },
  "comp-lzo": (draft, directive) => {
    // Even `comp-lzo no` adds a framing byte to every packet, so leaving it out would not be the same.
    refuse(draft, directive, COMPRESSION_REASON);
  },
  "script-security": (draft, directive) => {
    if (Number(directive.words[0] ?? 1) <= 1) return;
    draft.notes.push(
      `line ${directive.line}: script-security is ignored: profiles run no programs`,
    );
  },
};

const PROTOCOL_WORDS = "is udp or tcp, such as proto udp";

/** Undefined for what a dialling end cannot be; the family is what the address says. */
function protocolOf(word: string | undefined): OuterProtocol | undefined {
  const match = /^(?:(udp)[46]?|tcp[46]?(?:-client)?)$/.exec(word?.toLowerCase() ?? "");
  if (match === null) return undefined;
  return match[1] === undefined ? "Tcp" : "Udp";
}

function applyRemote(draft: ProfileDraft, directive: Directive): void {
  const [host = "", portWord, proto] = directive.words;
  const protocol = protocolOf(proto);
  if (!/^[0-9A-Za-z:._%-]{1,253}$/.test(host)) {
    refuse(draft, directive, "needs a host name or address, such as remote vpn.example.org 1194");
    return;
  }
  const port = portWord === undefined ? undefined : Number(portWord);
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65_535)) {
    refuse(draft, directive, "needs a port from 1 to 65535");
  } else if (proto !== undefined && protocol === undefined) {
    refuse(draft, directive, "has a protocol that is not udp or tcp");
  } else if (draft.remotes.length >= REMOTES_MAX) {
    refuse(draft, directive, `is one too many: at most ${REMOTES_MAX} are tried`);
  } else {
    draft.remotes.push({
      host,
      ...(port === undefined ? {} : { port }),
      ...(protocol === undefined ? {} : { protocol }),
    });
  }
}

/** `<connection>`: one remote with its own protocol and port. */
function applyConnection(draft: ProfileDraft, directive: Directive): void {
  if (directive.block === undefined) {
    refuse(draft, directive, "is a block: write <connection> and </connection>");
    return;
  }
  let inner: readonly Directive[];
  try {
    inner = parseOvpnFile(directive.block);
  } catch (error) {
    if (!(error instanceof OvpnSyntaxError)) throw error;
    refuse(draft, { ...directive, line: directive.line + error.line }, error.message);
    return;
  }
  const named = new Map(inner.map((item) => [item.name, item]));
  const remote = named.get("remote");
  if (remote === undefined) {
    refuse(draft, directive, "holds no remote: add one, or remove the block");
    return;
  }
  const port = Number((named.get("rport") ?? named.get("port"))?.words[0] ?? Number.NaN);
  const proto = named.get("proto")?.words[0];
  const [host = "", portWord = Number.isInteger(port) ? String(port) : undefined] = remote.words;
  const placed = { ...remote, line: directive.line + remote.line };
  const protocol = remote.words[2] ?? proto;
  if (protocol === undefined) {
    applyRemote(draft, { ...placed, words: portWord === undefined ? [host] : [host, portWord] });
  } else {
    applyRemote(draft, { ...placed, words: [host, portWord ?? "1194", protocol] });
  }
  for (const item of inner) {
    if (["remote", "proto", "port", "rport", "nobind"].includes(item.name)) continue;
    draft.notes.push(
      `line ${directive.line + item.line}: ${item.name} is ignored inside <connection>: put it outside to apply it to every remote`,
    );
  }
}

function applyMssFix(draft: ProfileDraft, directive: Directive): void {
  const [word, unit] = directive.words;
  if (word === undefined) {
    draft.mssFixBytes = MSSFIX_DEFAULT_BYTES;
    return;
  }
  const bytes = numberWord(draft, directive, 0, 9000);
  if (bytes === undefined) return;
  if (unit === "fixed") {
    refuse(draft, directive, "fixed is not supported: give the packet's size, such as mssfix 1400");
    return;
  }
  draft.mssFixBytes =
    unit === "mtu" && bytes > 0 ? Math.max(bytes - IP_UDP_HEADER_BYTES, 0) : bytes;
}

function applyIfconfig(draft: ProfileDraft, directive: Directive): void {
  const [address = "", second = ""] = directive.words;
  const read = readIfconfig(address, second);
  if (read === undefined) {
    refuse(
      draft,
      directive,
      "needs an address and a mask, such as ifconfig 10.20.0.7 255.255.255.0 (dev tun: or the far end's address)",
    );
    return;
  }
  draft.address4 = read.address4;
  if (read.farEnd4 === undefined) delete draft.farEnd4;
  else draft.farEnd4 = placeOf(read.farEnd4, directive);
}

/**
 * Multicast networks are routed into the interface of either kind, others into a routed tunnel. 224.0.0.0/3 with
 * 240.0.0.0/4 given back is how our own profiles make stock OpenVPN route multicast on-link.
 */
function applyRoute(draft: ProfileDraft, directive: Directive): void {
  const [network = "", mask = "255.255.255.255", gateway] = directive.words;
  const bits = prefixOfMask(mask);
  if (network === "240.0.0.0" && bits === 4 && gateway === "net_gateway") return;
  const parsed = bits === undefined ? undefined : parseNetwork(`${network}/${bits}`);
  if (network === "224.0.0.0" && bits === 3) {
    draft.multicastRoutes.push("224.0.0.0/4");
  } else if (parsed !== undefined && bits !== undefined && bits >= 4 && isMulticast4(parsed)) {
    draft.multicastRoutes.push(`${network}/${bits}`);
  } else if (parsed !== undefined) {
    keepRoute(draft, directive, `${network}/${bits}`);
  } else {
    refuse(draft, directive, "needs a network and a mask, such as route 10.30.0.0 255.255.0.0");
  }
}

function isMulticast4(network: NonNullable<ReturnType<typeof parseNetwork>>): boolean {
  return network.address.family === 4 && networkRange(network).first >> 28n === 0xen;
}

/** What is done with it depends on the device, which a later line may name. */
function keepRoute(draft: ProfileDraft, directive: Directive, network: string): void {
  const gateway = directive.words[directive.name === "route" ? 2 : 1];
  if (gateway === "net_gateway" || gateway === "remote_host") {
    draft.notes.push(
      `line ${directive.line}: ${directive.name} is ignored: routes outside the tunnel are left alone`,
    );
    return;
  }
  const metric = Number(directive.words[directive.name === "route" ? 3 : 2] ?? Number.NaN);
  const route = placeOf(network, directive);
  draft.routes.push(Number.isInteger(metric) && metric >= 0 ? { ...route, metric } : route);
}
