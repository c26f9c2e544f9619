/**
 * What the switch of a tunnel does with groups and storms, from its resource. One invariant: a
 * listening end snoops, asks and limits unless told otherwise; a dialling end, which has two ports
 * only, does what it is told and else floods.
 */

import { formatAddress, parseAddress } from "../../crds/ip-network.ts";
import type { VpnTunnel } from "../../crds/types.ts";
import { STORM_BROADCAST_BITS, STORM_UNKNOWN_BITS } from "../limits.ts";
import type { SegmentConfig } from "./tunnel-config.ts";

const BITS: Readonly<Record<string, number>> = { kbit: 1e3, Mbit: 1e6, Gbit: 1e9 };

/** The segment of a tunnel; `taken4`: addresses that peers have. */
export function segmentOf(tunnel: VpnTunnel, taken4: ReadonlySet<string>): SegmentConfig {
  const { listen, multicast, stormLimits } = tunnel.spec;
  const isListening = listen !== undefined;
  const isSnooping = multicast.snooping ?? isListening;
  const address4 = askingAddress(tunnel, taken4);
  return {
    ...(isSnooping
      ? {
          snooping: {
            querier: multicast.querier ?? (isListening ? "Auto" : "Never"),
            unknownGroups: multicast.unknownGroups ?? "Flood",
            ...(address4 === undefined ? {} : { address4 }),
          },
        }
      : {}),
    storm: {
      broadcast: bitsOf(stormLimits?.broadcast) ?? (isListening ? STORM_BROADCAST_BITS : undefined),
      unknownUnicast:
        bitsOf(stormLimits?.unknownUnicast) ?? (isListening ? STORM_UNKNOWN_BITS : undefined),
      multicast: bitsOf(stormLimits?.multicast),
    },
  };
}

/** `10Mbit` in bits per second. */
function bitsOf(text: string | undefined): number | undefined {
  const match = /^(\d+)([kMG]bit)$/.exec(text ?? "");
  if (match === null) return undefined;
  return Number(match[1]) * (BITS[match[2] ?? ""] ?? 1);
}

/**
 * Where our IGMP queries come from: this end's own address, else the last of our slice of the
 * segment that no peer has. A bridge's or switch's own snooping sends groups our way only when a
 * query has a source, so without any address we do not ask, and groups are flooded.
 */
function askingAddress(tunnel: VpnTunnel, taken4: ReadonlySet<string>): string | undefined {
  const { gateway, pool } = tunnel.spec.addresses ?? {};
  if (gateway !== undefined) return gateway;
  const [first, last] = (pool ?? "").split("-").map((text) => parseAddress(text.trim())?.value);
  if (first === undefined || last === undefined) return undefined;
  for (let value = last; value >= first; value--) {
    const address = formatAddress({ family: 4, value });
    if (!taken4.has(address)) return address;
  }
  return undefined;
}
