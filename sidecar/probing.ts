/**
 * Probes over the paths of sessions between two ends of ours: the dialling end sends them and
 * decides which paths are used; the listening end answers and follows. One invariant: whatever
 * a probe changes, it was authenticated and fresh like any data packet.
 */

import { randomInt } from "node:crypto";
import { countSent, takeCounts } from "./capacity.ts";
import type { PathReport, UplinkNotice } from "./control/orders.ts";
import { Counter } from "./counters.ts";
import { DESCRIPTOR_WORDS, PathWord } from "./native/layout.ts";
import { notice } from "./notices.ts";
import type { Plane } from "./plane.ts";
import { beginPlan, changePlan, tellPlan } from "./planning.ts";
import { sendPing, sendProbe } from "./send.ts";
import type { DataSession } from "./session/data-session.ts";
import { PATHS_MAX, type PathChange } from "./session/path-set.ts";
import { takeSized } from "./sizing.ts";
import { addressWords } from "./uplink/address-words.ts";
import { isSameWay, type UplinkPlaces } from "./uplink/uplink-places.ts";
import type { UplinkState, Uplinks } from "./uplink/uplinks.ts";
import { type Probe, ProbeFlag, ProbeType, readProbe } from "./wire/probe.ts";

/** In a path's row: it leaves by no socket. */
const NO_SOCKET = -1;
/** Intervals of silence after which a listening end takes a path for dead: the dialling end's default. */
const LISTENING_DOWN_AFTER = 4;
/** A peer without probes pings; silent for this many of its pings, its path is left. */
const PINGS_MISSED_MAX = 2;

/** Why a reply changed what a path is used for. */
const CHANGES: Readonly<Record<Exclude<PathChange, "none">, string>> = {
  up: "replies again",
  lossy: "loses more than probe.maxLossPercent",
  clean: "loses less again",
};

/** A probe or a reply arrived on the session's last path. */
export function takeProbe(plane: Plane, session: DataSession, start: number, length: number): void {
  const probe = readProbe(plane.view, start);
  const { paths, lastPath } = session;
  plane.counters.add(Counter.rxProbes, 1);
  if (probe.type >= ProbeType.size) {
    takeSized(plane, session, probe, length);
    return;
  }
  if (probe.type === ProbeType.reply) {
    // A reply by another path says nothing of the one that was probed.
    if (!plane.isDialling || probe.path !== lastPath || !paths.isKnown(probe.path)) return;
    const { nowMs } = plane;
    const reply = { rttMs: (nowMs - probe.timeMs) | 0, receivedThere: probe.received, nowMs };
    if (probe.clockMs !== 0) paths.arrivedAfter(lastPath, (nowMs - probe.clockMs) | 0);
    takeCounts(plane, session, probe, { start, length });
    const change = paths.replied(probe.path, reply, plane.probing);
    if (change === "none") return;
    report(plane, session, probe.path, CHANGES[change]);
    tellWay(plane, session);
    return;
  }
  if (probe.type === ProbeType.challenge) {
    if (!plane.isDialling) return;
    const flags = flagsOf(plane, session, lastPath);
    sendProbe(plane, session, lastPath, { ...probe, type: ProbeType.answer, flags });
    return;
  }
  if (!plane.isDialling) takeFromDialler(plane, session, probe);
}

/** A probe or an answer at the listening end: both say what the path is for. */
function takeFromDialler(plane: Plane, session: DataSession, probe: Probe): void {
  const { paths, lastPath } = session;
  const isDuplicating = (probe.flags & ProbeFlag.duplicate) !== 0;
  const isOnly = !isDuplicating && (probe.flags & ProbeFlag.spread) === 0;
  const use = { isWanted: (probe.flags & ProbeFlag.active) !== 0, isOnly };
  // A spreading end says more in its plan.
  if (isOnly || (isDuplicating && paths.policy !== "Duplicate"))
    paths.setPolicy(isDuplicating ? "Duplicate" : "Failover", PATHS_MAX);
  if (probe.type === ProbeType.answer) {
    if (paths.answered(lastPath, probe.sequence, use)) tellFloat(plane, session, lastPath);
    return;
  }
  session.probeIntervalMs = probe.intervalMs;
  paths.probed(lastPath, use);
  paths.arrivedAfter(lastPath, (plane.nowMs - probe.timeMs) | 0);
  const received = paths.received(lastPath);
  const clockMs = plane.nowMs & 0xffff || 1;
  sendProbe(plane, session, lastPath, { ...probe, type: ProbeType.reply, received, clockMs });
}

/** Asks the peer to show that it receives on a path of its that is new or was silent. */
export function challengePath(plane: Plane, session: DataSession, path: number): void {
  const token = session.paths.challenge(path, randomInt(1, 0xffff_ffff), plane.nowMs);
  if (token === 0) return;
  const { nowMs: timeMs } = plane;
  const fields = {
    path,
    flags: 0,
    sequence: token,
    timeMs,
    received: 0,
    intervalMs: 0,
    clockMs: 0,
  };
  sendProbe(plane, session, path, { ...fields, type: ProbeType.challenge });
}

/** Control packets follow a path that packets really leave by. */
export function tellFloat(plane: Plane, session: DataSession, path: number): void {
  if (session.paths.isActive(path)) tellPath(plane, session, path);
}

/** The same at a dialling end, whose control packets leave as its first data path does. */
function tellWay(plane: Plane, session: DataSession): void {
  const [path = 0] = session.paths.sendPaths;
  if (session.paths.sendCount > 0) tellPath(plane, session, path);
}

function tellPath(plane: Plane, session: DataSession, path: number): void {
  const row = (session.index * PATHS_MAX + path) * DESCRIPTOR_WORDS;
  const words = Array.from(plane.paths.subarray(row, row + DESCRIPTOR_WORDS));
  notice(plane, { kind: "floated", index: session.index, path: words });
}

/** Opens the paths of a dialled session: the one it was begun on, and one per further uplink. */
export function openDialledPaths(
  plane: Plane,
  session: DataSession,
  uplinks: Uplinks,
  via: number,
): void {
  const { priorities } = plane.probing;
  beginPlan(plane, session);
  session.paths.open(via, priorities[via] ?? 0, plane.nowMs);
  const from = (session.index * PATHS_MAX + via) * DESCRIPTOR_WORDS;
  uplinks.states.forEach((state, uplink) => {
    if (state === undefined || uplinks.places[uplink]?.isLeaving !== false) return;
    const to = (session.index * PATHS_MAX + uplink) * DESCRIPTOR_WORDS;
    if (uplink !== via) {
      plane.paths.copyWithin(to, from, from + DESCRIPTOR_WORDS);
      session.paths.propose(uplink, priorities[uplink] ?? 0, state.isUsable);
    }
    pointAt(plane, to, state, uplinks.socketOf(uplink));
  });
  if (!session.hasProbes) session.paths.hope(plane.nowMs);
}

/**
 * Uplinks were declared anew: new ones are proposed, the others keep their paths, and those that are
 * not declared any more are used until another one works.
 */
export function redeclarePaths(
  plane: Plane,
  session: DataSession,
  uplinks: Uplinks,
  before: UplinkPlaces,
): void {
  const { priorities } = plane.probing;
  const { paths } = session;
  // Every row has the same remote address.
  const [known = { path: session.lastPath }] = paths.views();
  const from = (session.index * PATHS_MAX + known.path) * DESCRIPTOR_WORDS;
  uplinks.places.forEach((one, uplink) => {
    const former = before[uplink];
    const state = uplinks.states[uplink];
    if (one === undefined || state === undefined) return;
    const isNew = former === undefined || !isSameWay(former.config, one.config);
    if (one.isLeaving) paths.leave(uplink);
    else if (!isNew && paths.isKnown(uplink)) paths.stay(uplink, priorities[uplink] ?? 0);
    else {
      const row = (session.index * PATHS_MAX + uplink) * DESCRIPTOR_WORDS;
      plane.paths.copyWithin(row, from, from + DESCRIPTOR_WORDS);
      pointAt(plane, row, state, uplinks.socketOf(uplink));
      paths.forget(uplink);
      plane.pathCounts.clear(session.index * PATHS_MAX + uplink);
      paths.propose(uplink, priorities[uplink] ?? 0, state.isUsable);
    }
  });
  if (!session.hasProbes) paths.hope(plane.nowMs);
  changePlan(plane, session);
}

/** A leaving uplink is closed: nothing is sent by its path any more. */
export function dropPath(plane: Plane, session: DataSession, path: number): void {
  const row = (session.index * PATHS_MAX + path) * DESCRIPTOR_WORDS;
  plane.paths[row + PathWord.socket] = NO_SOCKET;
  session.paths.forget(path);
}

/** One round of the dialling end: a probe on every usable path. */
export function probePaths(plane: Plane, session: DataSession): void {
  if (!session.hasProbes) return;
  for (let path = 0; path < PATHS_MAX; path++) {
    const isProbed = session.paths.isKnown(path) && session.paths.isUsable(path);
    if (isProbed) sendProbeOn(plane, session, path);
  }
  tellPlan(plane, session);
}

/** Leaves the paths that fell silent. Asked more often than probes go, so none is left late. */
export function leaveSilentPaths(plane: Plane, session: DataSession, lookMs: number): void {
  const { paths } = session;
  paths.looked(lookMs, plane.nowMs);
  for (let path = 0; path < PATHS_MAX; path++) {
    if (!paths.isKnown(path) || !paths.isUsable(path)) continue;
    if (session.hasProbes ? !hasNoReplies(plane, session, path) : !isSilent(plane, session, path)) {
      continue;
    }
    if (!session.hasProbes) moveOn(session, plane.nowMs);
    report(plane, session, path, "silent");
    announce(plane, session);
    tellWay(plane, session);
  }
}

/**
 * Whether a path is left for want of replies. One that is overdue is asked for at every look: four probes
 * in a row are lost 25 times an hour at 5 % each way, a dozen never.
 */
function hasNoReplies(plane: Plane, session: DataSession, path: number): boolean {
  const check = session.paths.checkReplies(path, plane.probing, plane.nowMs);
  if (check === "doubtful") sendProbeOn(plane, session, path);
  return check === "dead";
}

/** A stock peer pings only where it last heard us: only the path in use can be judged. */
function isSilent(plane: Plane, session: DataSession, path: number): boolean {
  const silentMsMax = session.pingIntervalMs * PINGS_MISSED_MAX;
  if (silentMsMax === 0 || !session.paths.isActive(path)) return false;
  return session.paths.checkSilence(path, silentMsMax, plane.nowMs);
}

/** A listening end's look at the paths of a peer of ours. */
export function checkPaths(plane: Plane, session: DataSession): void {
  if (session.probeIntervalMs === 0) return;
  const silentMsMax = session.probeIntervalMs * LISTENING_DOWN_AFTER;
  for (let path = 0; path < PATHS_MAX; path++) {
    session.paths.checkSilence(path, silentMsMax, plane.nowMs);
  }
}

/** Links, addresses or routes changed: which uplinks are usable now, and what follows from it. */
export function takeUplinkChanges(
  plane: Plane,
  session: DataSession | undefined,
  uplinks: Uplinks,
  changed: readonly number[],
): void {
  for (const uplink of changed) {
    const state = uplinks.states[uplink];
    if (state === undefined) continue;
    if (session !== undefined) {
      const row = (session.index * PATHS_MAX + uplink) * DESCRIPTOR_WORDS;
      pointAt(plane, row, state, uplinks.socketOf(uplink));
      session.paths.setUsable(uplink, state.isUsable);
      if (!session.hasProbes) session.paths.hope(plane.nowMs);
    }
    tellUplinks(plane, uplinks, session, `${state.name}: ${uplinks.changeOf(uplink)}`);
  }
  if (session === undefined || changed.length === 0) return;
  announce(plane, session);
  tellWay(plane, session);
}

/** Tells the main thread about every uplink. */
export function tellUplinks(
  plane: Plane,
  uplinks: Uplinks,
  session: DataSession | undefined,
  cause: string,
): void {
  const states = uplinks.states.flatMap((state, uplink): UplinkNotice[] => {
    const place = uplinks.places[uplink];
    if (state === undefined || place === undefined) return [];
    const { name, isUsable, cause, address } = state;
    const { priority } = place.config;
    const socket = uplinks.socketOf(uplink);
    return [
      { uplink, name, priority, isUsable, isLeaving: place.isLeaving, cause, address, socket },
    ];
  });
  notice(plane, { kind: "uplinks", cause, uplinks: states, active: activePaths(session) });
}

/** What status shows of a session's paths. */
export function pathReports(plane: Plane, session: DataSession): PathReport[] {
  return session.paths.views().map((view) => {
    const row = (session.index * PATHS_MAX + view.path) * DESCRIPTOR_WORDS;
    return { ...view, row: Array.from(plane.paths.subarray(row, row + DESCRIPTOR_WORDS)) };
  });
}

/**
 * Puts an uplink's socket and address into a path's row. Without a usable uplink the row names no socket:
 * an address that is gone is never sent from, whatever is chosen.
 */
function pointAt(plane: Plane, row: number, state: UplinkState, socket: number): void {
  if (!state.isUsable) {
    plane.paths[row + PathWord.socket] = NO_SOCKET;
    return;
  }
  plane.paths[row + PathWord.socket] = socket;
  plane.paths.set(addressWords(state.address), row + PathWord.localIp);
}

function flagsOf(plane: Plane, session: DataSession, path: number): number {
  const { paths } = session;
  const active = paths.isActive(path) ? ProbeFlag.active : 0;
  const duplicate = plane.probing.policy === "Duplicate" ? ProbeFlag.duplicate : 0;
  const isSpreading = paths.policy === "Fec" || paths.policy === "Balance";
  return active | duplicate | (isSpreading ? ProbeFlag.spread : 0) | ProbeFlag.counts;
}

function sendProbeOn(plane: Plane, session: DataSession, path: number): void {
  const { paths } = session;
  const { intervalMs } = plane.probing;
  const flags = flagsOf(plane, session, path);
  const sequence = paths.takeSequence(path);
  countSent(plane, session, path);
  sendProbe(plane, session, path, {
    type: ProbeType.probe,
    path,
    flags,
    sequence,
    timeMs: plane.nowMs,
    received: paths.received(path),
    intervalMs,
    clockMs: 0,
  });
}

/** At once on the paths in use: the far end answers where it was last heard. */
export function announce(plane: Plane, session: DataSession): void {
  if (!session.hasProbes) {
    sendPing(plane, session);
    return;
  }
  for (let at = 0; at < session.paths.sendCount; at++) {
    sendProbeOn(plane, session, session.paths.sendPaths[at] as number);
  }
}

/** Without probes nothing says that another path works: when all were tried, all are tried again. */
function moveOn(session: DataSession, nowMs: number): void {
  const { paths } = session;
  const isAnyAlive = paths.views().some((view) => view.isUsable && view.isAlive);
  if (!isAnyAlive) paths.hope(nowMs);
  for (let at = 0; at < paths.sendCount; at++) paths.heard(paths.sendPaths[at] as number, nowMs);
}

function report(plane: Plane, session: DataSession, path: number, cause: string): void {
  notice(plane, { kind: "pathChanged", path, cause, active: activePaths(session) });
}

function activePaths(session: DataSession | undefined): number[] {
  if (session === undefined) return [];
  return Array.from(session.paths.sendPaths.subarray(0, session.paths.sendCount));
}
