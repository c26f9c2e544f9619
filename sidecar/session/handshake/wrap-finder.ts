/**
 * Which wrapping a stranger's control packet has: the same for all, or with tls-crypt-v2 the
 * client's own, which comes wrapped at the end of its first packets. One invariant: nothing is
 * kept of a stranger; the key is found again in each of its packets.
 */
import { trailingWrappedKey, unwrapClientKey } from "../../../authority/tls-crypt-v2.ts";
import type { ControlWrapConfig, ServerWrapConfig } from "../../control/tunnel-config.ts";
import { carriesWrappedKey, opcodeOf } from "../../wire/control-packet.ts";
import { type ControlWrap, createControlWrap, tlsCryptWrap } from "./control-wrap.ts";

/** A stranger's wrapping. */
export interface FoundWrap {
  readonly wrap: ControlWrap;
  /** Peer that a tls-crypt-v2 key was made for, where its metadata says so. */
  readonly keyPeer?: string;
}

/** Finds a datagram's wrapping; undefined when it shows none that is ours. */
export type WrapFinder = (datagram: Buffer) => FoundWrap | undefined;

/** The same wrapping for everybody. */
export function singleWrap(wrap: ControlWrap): WrapFinder {
  const found = { wrap };
  return () => found;
}

/** What a listening end's configuration asks for. */
export function createWrapFinder(config: ControlWrapConfig | ServerWrapConfig): WrapFinder {
  if (config.kind !== "TlsCryptV2Server") return singleWrap(createControlWrap(config, "server"));
  return (datagram) => {
    if (datagram.length === 0 || !carriesWrappedKey(opcodeOf(datagram.readUInt8(0)))) {
      return undefined;
    }
    const trailing = trailingWrappedKey(datagram);
    const unwrapped =
      trailing === undefined ? undefined : unwrapClientKey(config.serverKey, trailing);
    if (unwrapped === undefined) return undefined;
    const { key, peer } = unwrapped;
    return {
      wrap: strippingWrap(tlsCryptWrap(key, "server")),
      ...(peer === undefined ? {} : { keyPeer: peer }),
    };
  };
}

/** Takes the wrapped key off the packets that carry one; a session has the key already. */
function strippingWrap(wrap: ControlWrap): ControlWrap {
  return {
    ...wrap,
    unwrap: (datagram) => {
      if (datagram.length === 0 || !carriesWrappedKey(opcodeOf(datagram.readUInt8(0)))) {
        return wrap.unwrap(datagram);
      }
      const trailing = trailingWrappedKey(datagram);
      if (trailing === undefined) return undefined;
      return wrap.unwrap(datagram.subarray(0, datagram.length - trailing.length));
    },
  };
}
