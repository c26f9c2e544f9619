/** The peers of a tunnel as its status shows them: those with a session, then the absent ones. */

import type { PeerStatus } from "./control/status.ts";
import { Dialling } from "./dialling.ts";
import type { Listening } from "./listening.ts";
import type { PeerSession } from "./peer-session.ts";
import type { PlaneLink } from "./plane-link.ts";
import { localText, remoteText } from "./uplink/address-words.ts";
import type { UplinkBoard } from "./uplink-board.ts";

/** What the data plane knows of its peers, and when that is. */
export interface PeersView {
  readonly plane: Pick<PlaneLink, "keyUse" | "lastHeardMs" | "pathCounts" | "traffic">;
  readonly board: Pick<UplinkBoard, "pathsOf" | "policyNote">;
  readonly nowMs: number;
}

/** Every peer of a listening end, or the one of a dialling end while there is a session. */
export function peerStatuses(end: Listening | Dialling, view: PeersView): PeerStatus[] {
  if (end instanceof Dialling) {
    const { session } = end;
    if (session === undefined) return [];
    const { commonName = "server", pushed } = session.agreement ?? {};
    return [sessionStatus(session, { name: commonName, ...pushed?.address4 }, view)];
  }
  const connected = [...end.sessions()].map(({ session, peer }) => {
    const { name = "(handshake)", address4 } = peer ?? {};
    const who = address4 === undefined ? { name } : { name, address: address4 };
    return sessionStatus(session, who, view);
  });
  const names = new Set(connected.map((peer) => peer.name));
  const absent = end.peers.filter((peer) => !names.has(peer.name));
  return [
    ...connected,
    ...absent.map((peer) => ({ name: peer.name, port: 0, state: "Absent" as const })),
  ];
}

function sessionStatus(
  session: PeerSession,
  who: { readonly name: string; readonly address?: string },
  view: PeersView,
): PeerStatus {
  const { plane, board, nowMs } = view;
  const { agreement, index } = session;
  const { name, address } = who;
  const state = session.isUp ? ("Up" as const) : ("Handshake" as const);
  const local = localText(session.row);
  const base = { name, port: index, state, remote: remoteText(session.row) };
  if (agreement === undefined) return base;
  const { hasProbes = false, hasParity = false } = agreement.pushed ?? {};
  const note = board.policyNote({ hasProbes, hasParity });
  return {
    ...base,
    ...(local === undefined ? {} : { local }),
    ...(address === undefined ? {} : { address }),
    cipher: agreement.cipher,
    tls: agreement.tlsVersion,
    since: new Date(session.sinceMs).toISOString(),
    silentMs: Math.max(0, (nowMs - plane.lastHeardMs(index)) | 0),
    traffic: plane.traffic(index),
    key: plane.keyUse(index),
    paths: board.pathsOf(index, plane.pathCounts),
    ...(hasParity ? { unrecoverablePackets: plane.pathCounts.lost(index) } : {}),
    ...(note === undefined ? {} : { note }),
    ...(agreement.peerInfo === undefined ? {} : { version: agreement.peerInfo.version }),
  };
}

/** Names of peers by their ports. */
export function namesOf(
  peers: readonly { readonly port: number; readonly name: string }[],
): ReadonlyMap<number, string> {
  return new Map(peers.map((peer) => [peer.port, peer.name]));
}
