/**
 * What happened on a gateway's segment as its tunnel's status tells it: the last of each kind with
 * cause and next step. Pure. Invariant: one kind is written at most once a minute, however often it
 * happens, so a storm of frames is no storm of writes.
 */
import type { EventStatus, TunnelStatus } from "../sidecar/control/status.ts";

/** The last of one kind. */
export interface SegmentHappening {
  readonly reason: string;
  /** What happened and what to do, one sentence. */
  readonly note: string;
  /** ISO 8601 by the second. */
  readonly time: string;
}

/** A kind is written again after so long. */
const AGAIN_MS = 60_000;

interface Heard {
  readonly reason: string;
  readonly note: string;
  readonly silentMs: number;
}

/** Reason and next step by kind. A way that was opened again is no news: it may be shut at once. */
const KINDS: Readonly<Record<EventStatus["kind"], { reason: string; next: string }>> = {
  moved: {
    reason: "StationMoved",
    next: "if nobody moved it, two hosts have its MAC address: give one of them another",
  },
  refused: {
    reason: "StationRefused",
    next: "another VpnPeer declares it in spec.stations: correct that, or the host's MAC address",
  },
  loop: {
    reason: "LoopShut",
    next: "the other ways go on: remove one of the bridges",
  },
  storm: {
    reason: "StormDropped",
    next: "stop the sender, or raise spec.stormLimits",
  },
  peer: {
    reason: "PeerRefused",
    next: "create its VpnPeer, or hand out the newest profile of the one it has",
  },
  cipher: {
    reason: "PeerRefused",
    next: "name one of its ciphers in spec.security.dataCiphers",
  },
};

/** The report of all sides; what was reported before stays for its minute. */
export function segmentReport(
  sides: readonly Pick<TunnelStatus, "events" | "conflicts">[],
  former: readonly SegmentHappening[] | undefined,
  wallMs: number,
): readonly SegmentHappening[] {
  const last = new Map<string, Heard>();
  for (const heard of sides.flatMap(heardOf)) {
    const known = last.get(heard.reason);
    if (known === undefined || heard.silentMs < known.silentMs) last.set(heard.reason, heard);
  }
  const kept = new Map(former?.map((one) => [one.reason, one]));
  for (const { reason, note, silentMs } of last.values()) {
    const known = kept.get(reason);
    const atMs = wallMs - silentMs;
    if (known !== undefined && atMs - Date.parse(known.time) < AGAIN_MS) continue;
    kept.set(reason, { reason, note, time: `${new Date(atMs).toISOString().slice(0, 19)}Z` });
  }
  return [...kept.values()].sort((a, b) => (a.reason < b.reason ? -1 : 1));
}

function heardOf({ conflicts, events }: Pick<TunnelStatus, "events" | "conflicts">): Heard[] {
  const happened = (events ?? []).flatMap(({ kind, what, count, silentMs }): Heard[] => {
    if (kind === "loop" && !what.endsWith("shut")) return [];
    const { next, reason } = KINDS[kind];
    const often = count === 1 ? "" : ` (${count} times)`;
    return [{ reason, note: sentence(`${what}${often}: ${next}`), silentMs }];
  });
  const twice = (conflicts ?? []).map(({ address, behind, mac, owner, silentMs }): Heard => {
    const note = `The address ${address} of ${owner} is used by ${mac} behind ${behind} too: give one of them another.`;
    return { reason: "AddressInUseTwice", note, silentMs };
  });
  return [...happened, ...twice];
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}
