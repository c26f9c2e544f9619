/** What a listening end pushes to one peer: its configuration, and what both agreed on. Pure. */

import type { ListenConfig, PeerConfig, TunnelConfig } from "./control/tunnel-config.ts";
import { parityUsable } from "./native/native.ts";
import { Proto } from "./session/handshake/peer-info.ts";
import { pushedTo } from "./session/handshake/push-options.ts";
import type { PushAgreement } from "./session/handshake/server-role.ts";

/** What it depends on beside the peer. */
export interface PushSurroundings {
  readonly config: TunnelConfig;
  readonly role: ListenConfig;
  readonly mtuBytes: number;
  readonly peerId: number;
  readonly isRouted?: true;
  readonly routes?: readonly string[];
}

/** The options, one a line of PUSH_REPLY. */
export function pushedOptions(
  peer: PeerConfig | undefined,
  agreed: PushAgreement,
  around: PushSurroundings,
): string[] {
  const { config, role, mtuBytes, peerId, isRouted, routes } = around;
  const { keepalive } = config.transport;
  const gateway4 = config.device.address4?.address;
  const gateway6 = config.device.address6?.address;
  const { address4, address6 } = peer ?? {};
  const { segment4, segment6 } = role;
  return pushedTo({
    ...(address4 === undefined || segment4 === undefined
      ? {}
      : { address4: { address: address4, prefixBits: segment4.prefixBits } }),
    ...(address6 === undefined || segment6 === undefined
      ? {}
      : { address6: { address: address6, prefixBits: segment6.prefixBits } }),
    ...(role.pushesDhcp === true && address4 === undefined ? { usesDhcp: true } : {}),
    ...(gateway4 === undefined ? {} : { gateway4 }),
    ...(gateway6 === undefined ? {} : { gateway6 }),
    ...(isRouted === undefined ? {} : { isRouted, routes: routes ?? [] }),
    peerId,
    cipher: agreed.cipher,
    hasKeyExport: (agreed.peerInfo.proto & Proto.tlsKeyExport) !== 0,
    hasProtocolFlags: (agreed.peerInfo.proto & Proto.exitNotify) !== 0,
    hasDynamicWrap: agreed.hasDynamicWrap,
    hasEpochs: agreed.hasEpochs,
    hasProbes: agreed.peerInfo.hasProbes,
    hasParity: agreed.peerInfo.hasParity && parityUsable(),
    ...(agreed.peerInfo.takesMtu ? { mtuBytes } : {}),
    pingSeconds: keepalive.intervalSeconds,
    pingRestartSeconds: keepalive.timeoutSeconds,
  });
}
