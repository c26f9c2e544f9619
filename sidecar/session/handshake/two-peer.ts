/**
 * Two ends that push nothing to each other (stock's point-to-point TLS mode): what a server would
 * push follows from what both say in their peer-info and from their TLS session (openvpn-rfc,
 * "P2P NCP"). One invariant: both ends come to the same words from the same two announcements.
 */
import type { DataCipher } from "../../control/tunnel-config.ts";
import type { KeyNegotiation } from "./key-negotiation.ts";
import { type PeerInfo, Proto } from "./peer-info.ts";

/** Label of the peer-id, which is the same in both directions. */
const PEER_ID_LABEL = "EXPORTER-OpenVPN-p2p-peerid";
const PEER_ID_BYTES = 3;
/** The peer-id of ends that cannot export keying material: "vpn". */
const PEER_ID_FIXED = 0x76_706e;
const USED: number =
  Proto.dataV2 | Proto.tlsKeyExport | Proto.ncpP2p | Proto.exitNotify | Proto.dynamicTlsCrypt;

/** Peer-info of an end of such a pair. */
export function twoPeerInfo(ciphers: readonly DataCipher[], offersEpochs: boolean): string {
  const proto = offersEpochs ? USED | Proto.epoch : USED;
  const lines = ["IV_VER=fairlead", "IV_PLAT=linux", "IV_NCP=2", `IV_CIPHERS=${ciphers.join(":")}`];
  return `${[...lines, `IV_PROTO=${proto}`].join("\n")}\n`;
}

/** The other end is one of a pair: it negotiates, and does not ask to be told. */
export function isTwoPeer({ proto }: PeerInfo): boolean {
  return (proto & Proto.ncpP2p) !== 0 && (proto & Proto.requestPush) === 0;
}

/** The peer-id of both directions. */
export function twoPeerId(key: KeyNegotiation, { proto }: PeerInfo): number {
  if ((proto & Proto.tlsKeyExport) === 0) return PEER_ID_FIXED;
  return key.exportKeyingMaterial(PEER_ID_BYTES, PEER_ID_LABEL).readUIntBE(0, PEER_ID_BYTES);
}

/** The words that a server would push to the dialling end of a pair. */
export function twoPeerOptions(
  key: KeyNegotiation,
  info: PeerInfo,
  cipher: DataCipher,
): readonly string[] {
  const { exitNotify, tlsKeyExport, dynamicTlsCrypt, epoch } = Proto;
  const flags = [
    [exitNotify, "cc-exit"],
    [tlsKeyExport, "tls-ekm"],
    [dynamicTlsCrypt, "dyn-tls-crypt"],
    [epoch, "aead-epoch"],
  ] as const;
  const named = flags.filter(([bit]) => (info.proto & bit) !== 0).map(([, name]) => name);
  const id = `peer-id ${twoPeerId(key, info)}`;
  return [
    id,
    `cipher ${cipher}`,
    ...(named.length > 0 ? [`protocol-flags ${named.join(" ")}`] : []),
  ];
}
