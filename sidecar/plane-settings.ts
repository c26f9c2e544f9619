/** What a tunnel's configuration means for its data plane. Pure: the same words, the same settings. */

import type { TunnelConfig } from "./control/tunnel-config.ts";
import { LATE_MS_MIN, REPLAY_PACKETS_AUTO_MAX } from "./limits.ts";
import type { PlaneOptions } from "./plane-link.ts";
import type { ReplayWindowOptions } from "./replay/replay-window.ts";
import { probingOf } from "./uplink-board.ts";
import { ETHERNET_HEADER_BYTES, VLAN_TAG_BYTES } from "./wire/ethernet.ts";
import { FRAGMENT_HEADER_BYTES } from "./wire/fragment-header.ts";
import { DATA_V2_EPOCH_BYTES, mssMaxima } from "./wire/mss-clamp.ts";

/** Largest inner MTU that a dialling end with `mtu: Auto` has slots for. */
export const MTU_BYTES_AUTO_MAX = 9000;
/** The replay window where the configuration says Auto: it begins with 1 Gb/s over 90 ms of skew. */
export const REPLAY_AUTO: Required<Omit<ReplayWindowOptions, "seconds">> = {
  packets: 8192,
  growth: { packetsMax: REPLAY_PACKETS_AUTO_MAX, lateMs: LATE_MS_MIN },
};

/** What exists by the time the plane starts. */
type Surroundings = Pick<
  PlaneOptions,
  "clockOrigin" | "controlHandle" | "tapHandle" | "socketHandles"
> & {
  /** Inner MTU of this end. */
  readonly mtuBytes: number;
};

/** The settings of a tunnel's plane. */
export function planeSettings(config: TunnelConfig, around: Surroundings): PlaneOptions {
  const { role, link, transport, device, segment, routing } = config;
  const { mtuBytes, ...handles } = around;
  const mtuBytesMax = device.mtu === "Auto" && role.kind === "dial" ? MTU_BYTES_AUTO_MAX : mtuBytes;
  const { packets, seconds } = transport.replayWindow;
  return {
    ...handles,
    owner: `${config.namespace}/${config.name}`,
    isDialling: role.kind === "dial",
    isStream: role.kind === "listen" && role.protocol === "Tcp",
    link,
    segment,
    routing:
      routing === undefined
        ? undefined
        : {
            isStraight: role.kind === "dial" || link === "TwoPeer",
            isPeerToPeer: routing.isPeerToPeer,
            isProxy: routing.isProxy === true && role.kind === "listen",
            // Pieces fit every path, and a number is the administrator's word.
            followsPaths: device.mtu === "Auto" && transport.fragmentBytes === undefined,
            own4: device.address4?.address,
            own6: device.address6?.address,
          },
    uplinks: config.uplinks?.uplinks ?? [],
    probing: probingOf(config.uplinks),
    replay: packets === "Auto" ? { ...REPLAY_AUTO, seconds } : { packets, seconds },
    mssFixBytes: transport.mssFixBytes,
    mss:
      transport.mssFixBytes === 0
        ? undefined
        : mssMaxima({
            outerBytesMax: transport.mssFixBytes,
            outerKind: "payload",
            outerFamily: 4,
            overheadBytes:
              DATA_V2_EPOCH_BYTES +
              (transport.fragmentBytes === undefined ? 0 : FRAGMENT_HEADER_BYTES),
            device: device.kind,
          }),
    dscpFrom: transport.copyDscp !== true ? "nothing" : device.kind === "tun" ? "packet" : "frame",
    keyLimits: {
      packets: limitOf(transport.renegotiatePackets),
      bytes: limitOf(transport.renegotiateBytes),
    },
    fragmentBytes: transport.fragmentBytes,
    frameBytesMax:
      mtuBytesMax + (device.kind === "tun" ? 0 : ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES),
  };
}

/** 0 says that there is none. */
function limitOf(value: number): number {
  return value === 0 ? Infinity : value;
}
