/**
 * Peer-info and the options string: what an OpenVPN end says of itself beside its keys
 * (openvpn-rfc, "peerinfo"). One invariant: what is announced here is what the data plane does.
 */
import type { DataCipher } from "../../control/tunnel-config.ts";

/** Bits of IV_PROTO (ssl.h), bit 1 to bit 12. */
export const Proto = {
  dataV2: 2,
  requestPush: 4,
  tlsKeyExport: 8,
  authPending: 16,
  ncpP2p: 32,
  exitNotify: 128,
  authFailedTemporarily: 256,
  dynamicTlsCrypt: 512,
  epoch: 1024,
  pushUpdate: 4096,
} as const;

/** What a client announces in IV_PROTO here. */
export const CLIENT_PROTO: number =
  Proto.dataV2 |
  Proto.requestPush |
  Proto.tlsKeyExport |
  Proto.authPending |
  Proto.exitNotify |
  Proto.authFailedTemporarily |
  Proto.dynamicTlsCrypt |
  Proto.epoch |
  Proto.pushUpdate;

/** Largest inner MTU that a server may push to us, bytes. */
export const PUSHED_MTU_MAX = 9000;
/** OpenVPN counts 32 bytes more than the IP MTU for a tap in its options string. */
const TAP_MTU_EXTRA = 32;

/** Version of what two ends of ours do beyond OpenVPN: probes of paths. */
export const EXTENSION_VERSION = 1;

/** Version of plans and parity, an extension of its own: who does not know it is sent neither. */
export const PARITY_VERSION = 1;

/** What a peer said of itself. */
export interface PeerInfo {
  readonly proto: number;
  /** IV_CIPHERS in the peer's order; empty when it negotiates none. */
  readonly ciphers: readonly string[];
  /** IV_MTU: the peer takes a pushed tun-mtu. */
  readonly takesMtu: boolean;
  readonly version: string;
  readonly platform: string;
  /** UV_FAIRLEAD: an end of ours, of a version that understands probes. */
  readonly hasProbes: boolean;
  /** UV_FAIRLEAD_FEC: it understands plans and parity as well. */
  readonly hasParity: boolean;
}

/** Peer-info of a dialling end. */
export function clientPeerInfo(
  version: string,
  ciphers: readonly DataCipher[],
  hasParity: boolean,
): string {
  const lines = [
    `IV_VER=fairlead-${version}`,
    "IV_PLAT=linux",
    "IV_TCPNL=1",
    `IV_MTU=${PUSHED_MTU_MAX}`,
    "IV_NCP=2",
    `IV_CIPHERS=${ciphers.join(":")}`,
    `IV_PROTO=${CLIENT_PROTO}`,
    `UV_FAIRLEAD=${EXTENSION_VERSION}`,
    ...(hasParity ? [`UV_FAIRLEAD_FEC=${PARITY_VERSION}`] : []),
  ];
  return `${lines.join("\n")}\n`;
}

/** Reads peer-info; unknown lines are ignored, a missing one has its oldest meaning. */
export function parsePeerInfo(text: string): PeerInfo {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0) values.set(line.slice(0, equals), line.slice(equals + 1));
  }
  const proto = Number.parseInt(values.get("IV_PROTO") ?? "0", 10);
  return {
    proto: Number.isSafeInteger(proto) && proto >= 0 ? proto : 0,
    ciphers: (values.get("IV_CIPHERS") ?? "").split(":").filter((name) => name !== ""),
    takesMtu: values.has("IV_MTU"),
    version: values.get("IV_VER") ?? "",
    platform: values.get("IV_PLAT") ?? "",
    hasProbes: values.get("UV_FAIRLEAD") === String(EXTENSION_VERSION),
    hasParity: values.get("UV_FAIRLEAD_FEC") === String(PARITY_VERSION),
  };
}

/** The options string; the other end only compares it and warns. */
export function optionsString(options: {
  readonly role: "client" | "server";
  /** Absent: tap. */
  readonly device?: "tap" | "tun";
  readonly mtuBytes: number;
  readonly cipher: DataCipher;
  readonly isIpv6: boolean;
  /** The packets travel by TCP. */
  readonly isStream?: boolean;
}): string {
  const { device = "tap" } = options;
  const family = options.isIpv6 ? "v6" : "v4";
  const proto =
    options.isStream === true ? `TCP${family}_${options.role.toUpperCase()}` : `UDP${family}`;
  return [
    "V4",
    `dev-type ${device}`,
    `tun-mtu ${options.mtuBytes + (device === "tap" ? TAP_MTU_EXTRA : 0)}`,
    `proto ${proto}`,
    `cipher ${options.cipher}`,
    "auth [null-digest]",
    `keysize ${options.cipher === "AES-128-GCM" ? 128 : 256}`,
    "key-method 2",
    `tls-${options.role}`,
  ].join(",");
}

/** What the other end's options string says that we must agree on; undefined: it does not say. */
export function parseOptionsString(text: string): { deviceType?: string; mtuBytes?: number } {
  const fields = new Map(
    text.split(",").map((field) => {
      const space = field.indexOf(" ");
      return space < 0 ? [field, ""] : [field.slice(0, space), field.slice(space + 1)];
    }),
  );
  const deviceType = fields.get("dev-type");
  const mtu = Number.parseInt(fields.get("tun-mtu") ?? "", 10);
  const extra = deviceType === "tap" ? TAP_MTU_EXTRA : 0;
  return {
    ...(deviceType === undefined ? {} : { deviceType }),
    ...(Number.isNaN(mtu) ? {} : { mtuBytes: mtu - extra }),
  };
}
