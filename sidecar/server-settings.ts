/**
 * What the server side of one session is told of its tunnel: whom it lets in, and what it pushes to whom.
 * One invariant: peers are looked up when they are asked for, so a session that began before a peer
 * was deleted does not let it in.
 */

import type { Logger } from "pino";
import type { ListenConfig, PeerConfig, TunnelConfig } from "./control/tunnel-config.ts";
import { KEY_SLOTS_FOR_EPOCHS } from "./limits.ts";
import type { Logins } from "./logins.ts";
import type { PeerContext } from "./peer-session.ts";
import { pushedOptions } from "./pushed.ts";
import type { RouteBook } from "./route-book.ts";
import { printable } from "./session/handshake/client-role.ts";
import type { PushAgreement, ServerSettings } from "./session/handshake/server-role.ts";
import { addressWords, remoteText } from "./uplink/address-words.ts";

/** What all sessions of a listening end share. */
export interface ServingOptions {
  readonly config: TunnelConfig;
  readonly role: ListenConfig;
  readonly mtuBytes: number;
  readonly routes: RouteBook | undefined;
  readonly logins?: Logins | undefined;
  readonly context: Pick<PeerContext, "keySlots">;
  readonly log: Logger;
}

/** A session's number, where it comes from, and for whom its tls-crypt-v2 key was made. */
export interface Stranger {
  readonly index: number;
  readonly row: Int32Array;
  readonly keyPeer: string | undefined;
}

/** The settings of one session. */
export function serverSettings(
  options: ServingOptions,
  peers: () => readonly PeerConfig[],
  { index, row, keyPeer }: Stranger,
): ServerSettings {
  const { config, mtuBytes, logins, role } = options;
  const peerOf = (commonName: string | undefined): PeerConfig | undefined =>
    peers().find((candidate) => candidate.commonName === commonName);
  return {
    ciphers: config.security.dataCiphers,
    mtuBytes,
    device: config.device.kind,
    isStream: role.protocol === "Tcp",
    isIpv6: row[2] !== addressWords("0.0.0.0")[2],
    peerId: index,
    takesPair: config.link === "TwoPeer",
    offersEpochs: options.context.keySlots.freeCount >= KEY_SLOTS_FOR_EPOCHS,
    // A login of its own: a token of another session is worth nothing in this one.
    ...(logins === undefined ? {} : { login: logins.session(), remote: remoteText(row) }),
    refusalOf: (commonName, fingerprint) =>
      refusalOf(peerOf(commonName), { commonName, fingerprint, keyPeer }),
    pushFor: (commonName, agreed) =>
      pushFor(options, peerOf(commonName), { commonName, agreed, index }),
  };
}

/** What a stranger showed: its certificate, and for whom its tls-crypt-v2 key was made. */
interface Shown {
  readonly commonName: string | undefined;
  readonly fingerprint: string | undefined;
  readonly keyPeer: string | undefined;
}

function refusalOf(peer: PeerConfig | undefined, shown: Shown): string | undefined {
  const { commonName, fingerprint, keyPeer } = shown;
  if (peer === undefined) {
    return `no VpnPeer of this tunnel is named ${commonName ?? "(no name)"}`;
  }
  if (!isOwnCertificate(peer, fingerprint)) {
    return "its certificate is none of those that were issued for it: hand out its newest profile";
  }
  // A tls-crypt-v2 key that was made for somebody says for whom: it is worth nothing to others.
  if (keyPeer === undefined || keyPeer === peer.name) return undefined;
  return `its tls-crypt-v2 key was made for ${printable(keyPeer)}`;
}

/** Whether a certificate is the peer's own, where it is known which are. */
export function isOwnCertificate(
  { fingerprints }: Pick<PeerConfig, "fingerprints">,
  fingerprint: string | undefined,
): boolean {
  if (fingerprints === undefined) return true;
  return fingerprint !== undefined && fingerprints.includes(fingerprint);
}

function pushFor(
  options: ServingOptions,
  peer: PeerConfig | undefined,
  to: { readonly commonName: string; readonly agreed: PushAgreement; readonly index: number },
): string[] {
  const { config, role, mtuBytes } = options;
  const around = { config, role, mtuBytes, peerId: to.index, ...routesFor(options, to.commonName) };
  return pushedOptions(peer, to.agreed, around);
}

function routesFor(
  { routes, log }: ServingOptions,
  commonName: string,
): { isRouted?: true; routes?: readonly string[] } {
  const pushed = routes?.pushedTo(commonName);
  if (pushed === undefined) return {};
  const { networks, leftOutCount } = pushed;
  if (leftOutCount > 0) {
    const message = "more networks than are pushed to one peer: it does not hear of the last ones";
    log.warn({ peer: commonName, leftOutCount }, message);
  }
  return { isRouted: true, routes: networks };
}
