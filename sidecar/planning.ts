/**
 * The plan: how the dialling end wants both ends to use the paths, and the rooms for parity that
 * follow from it. One invariant: a listening end does what the newest authentic plan says and decides
 * nothing; towards a peer that takes no plans both ends use one path at a time.
 */

import { Counter } from "./counters.ts";
import { endOrder, setOrder } from "./ordering.ts";
import type { ParityRoom } from "./parity-memory.ts";
import type { Plane } from "./plane.ts";
import { parityForLoss } from "./redundancy/parity-count.ts";
import { sendPlan } from "./send.ts";
import type { DataSession } from "./session/data-session.ts";
import type { PathCapacity } from "./session/path-capacity.ts";
import { PATHS_MAX } from "./session/path-set.ts";
import { ALL_CLASSES, type ParitySettings, type PathPolicy } from "./session/path-settings.ts";
import { LOSS_UNKNOWN, type Plan, PlanPolicy, readPlan } from "./wire/redundancy.ts";

/** The first plans leave with the first probes, as one may be lost; later ones so far apart. */
const PLANS_AT_ONCE = 3;
const PLAN_INTERVAL_MS = 1000;
/** Another shape of blocks costs a matrix: a peer gets no more than one in this time. */
const SHAPE_MS_MIN = 1000;
/** Longer than any resource may ask for; a peer's word is taken up to there. */
const REORDER_MS_MAX = 1000;
/** A plan tells capacities in kbit/s, in 32 bits. */
const BYTES_PER_KBIT = 125;
const CAPACITY_KBIT_MAX = 0xffff_ffff;
/** What a plan says where its policy has no blocks. */
const NO_PARITY: ParitySettings = {
  dataPackets: 1,
  parityPackets: 1,
  maxDelayMs: 1,
  isAdaptive: false,
};
const POLICY_NUMBERS: Readonly<Record<PathPolicy, number>> = {
  Failover: PlanPolicy.failover,
  Duplicate: PlanPolicy.duplicate,
  Fec: PlanPolicy.fec,
  Balance: PlanPolicy.balance,
};
const POLICIES: readonly PathPolicy[] = ["Failover", "Duplicate", "Fec", "Balance"];

/** A dialled session begins: the configured policy, as far as its peer goes along. */
export function beginPlan(plane: Plane, session: DataSession): void {
  const { policy, copies, parity, weights = [], classes = ALL_CLASSES } = plane.probing;
  const isPossible = session.hasParity || (policy !== "Fec" && policy !== "Balance");
  session.paths.setPolicy(isPossible ? policy : "Failover", copies);
  session.paths.setClasses(classes);
  setOrder(plane, session, plane.probing.reorderMs ?? 0);
  for (const [path, weight] of weights.entries()) session.paths.setWeight(path, weight);
  if (policy === "Fec" && isPossible) takeRoom(plane, session, parity ?? NO_PARITY);
}

/** The configured policy is another one: both ends are to follow from now on. */
export function changePlan(plane: Plane, session: DataSession): void {
  const room = plane.parity.bySession[session.index];
  const { policy, parity } = plane.probing;
  const isKept = policy === "Fec" && parity !== undefined && room !== undefined;
  if (!isKept || !isShape(room, parity)) returnRoom(plane, session.index);
  beginPlan(plane, session);
  session.plansSent = 0;
  // Also where probes would say it: the peer may follow a plan that said more.
  session.hasChangedPlan = true;
}

/** A dialling end's word to its peer, beside its probes: often enough that a lost one matters not. */
export function tellPlan(plane: Plane, session: DataSession): void {
  if (!session.hasParity || session.sealSlot < 0) return;
  if (!session.hasChangedPlan && !saysMoreThanProbes(plane)) return;
  const isEarly = session.plansSent < PLANS_AT_ONCE;
  if (!isEarly && ((plane.nowMs - session.plannedMs) | 0) < PLAN_INTERVAL_MS) return;
  session.plannedMs = plane.nowMs;
  session.plansSent += isEarly ? 1 : 0;
  const room = plane.parity.bySession[session.index];
  for (const view of session.paths.views()) {
    if (room !== undefined) room.lossPermille[view.path] = permille(view.lossOutPercent);
    const back = permille(view.lossBackPercent);
    if (!view.isUsable) continue;
    const capacity = session.paths.measuresOf(view.path).back;
    sendPlan(plane, session, view.path, planFor(plane, { path: view.path, back, capacity }));
  }
  if (room !== undefined) adapt(session, room);
}

/** A plan arrived on the session's last path. */
export function takePlan(plane: Plane, session: DataSession, start: number, length: number): void {
  const plan = plane.isDialling ? undefined : readPlan(plane.view, start, length);
  const policy = plan === undefined ? undefined : POLICIES[plan.policy];
  if (plan === undefined || policy === undefined) {
    plane.counters.add(Counter.rxUnknownInner, 1);
    return;
  }
  plane.counters.add(Counter.rxPlans, 1);
  session.paths.setPolicy(policy, PATHS_MAX);
  session.paths.setClasses({ high: plan.classesHigh, low: plan.classesLow });
  session.paths.setWeight(session.lastPath, plan.weight);
  setOrder(plane, session, Math.min(plan.reorderMs, REORDER_MS_MAX));
  const { out } = session.paths.measuresOf(session.lastPath);
  out.tell(plan.capacityKbit * BYTES_PER_KBIT, plan.isFull);
  if (policy !== "Fec") {
    returnRoom(plane, session.index);
    return;
  }
  const { dataPackets, parityPackets, maxDelayMs, isAdaptive } = plan;
  const room = takeRoom(plane, session, { dataPackets, parityPackets, maxDelayMs, isAdaptive });
  if (room === undefined) return;
  room.lossPermille[session.lastPath] = plan.lossPermille;
  adapt(session, room);
}

/** The session is gone: its room and its flows with it. */
export function endPlan(plane: Plane, index: number): void {
  returnRoom(plane, index);
  endOrder(plane, index);
  plane.flowTables[index] = undefined;
}

/** The session uses no parity any more. */
function returnRoom(plane: Plane, index: number): void {
  const room = plane.parity.bySession[index];
  if (room === undefined) return;
  room.clear(0);
  plane.parity.bySession[index] = undefined;
}

/** The session's room, with this shape; undefined when all rooms are taken. */
function takeRoom(
  plane: Plane,
  session: DataSession,
  settings: ParitySettings,
): ParityRoom | undefined {
  const { bySession, rooms } = plane.parity;
  let room = bySession[session.index];
  if (room === undefined) {
    room = rooms.find((candidate) => candidate.session === 0);
    if (room === undefined) {
      if (!session.hasSaidNoRoom) plane.counters.add(Counter.fecNoRoom, 1);
      session.hasSaidNoRoom = true;
      return undefined;
    }
    room.clear(session.index);
    bySession[session.index] = room;
  }
  room.isAdaptive = settings.isAdaptive;
  if (isShape(room, settings)) return room;
  const isSoon = ((plane.nowMs - room.shapedMs) | 0) < SHAPE_MS_MIN;
  if (room.shape !== undefined && isSoon) return room;
  room.clear(session.index);
  room.shapedMs = plane.nowMs;
  room.shape = settings;
  room.parityCount = settings.parityPackets;
  return room;
}

function isShape(room: ParityRoom, settings: ParitySettings): boolean {
  const { shape } = room;
  return (
    shape !== undefined &&
    shape.dataPackets === settings.dataPackets &&
    shape.parityPackets === settings.parityPackets &&
    shape.maxDelayMs === settings.maxDelayMs
  );
}

/** Sets the parity of a full block: what was asked, or what the paths' loss needs of it. */
function adapt(session: DataSession, room: ParityRoom): void {
  const { shape, lossPermille } = room;
  if (shape === undefined) return;
  const { sendPaths, sendCount } = session.paths;
  let sum = 0;
  for (let at = 0; at < sendCount; at++) sum += lossPermille[sendPaths[at] as number] as number;
  const mean = sum / Math.max(1, sendCount);
  // As long as a path's loss is unknown, the mean is beyond any real one.
  const isKnown = mean <= 1000;
  room.parityCount =
    room.isAdaptive && isKnown
      ? parityForLoss(mean, shape.dataPackets, shape.parityPackets)
      : shape.parityPackets;
}

/** Probes alone tell of Failover, and of copies of everything, without order. */
function saysMoreThanProbes({ probing }: Plane): boolean {
  const { policy, classes, reorderMs = 0 } = probing;
  return policy === "Fec" || policy === "Balance" || classes !== undefined || reorderMs > 0;
}

/** What a plan says of the path that it goes by, and of the way back by it. */
interface PathWord {
  readonly path: number;
  /** Loss in permille. */
  readonly back: number;
  readonly capacity: PathCapacity;
}

function planFor(plane: Plane, { path, back, capacity }: PathWord): Plan {
  const { policy, copies, parity = NO_PARITY, classes = ALL_CLASSES } = plane.probing;
  return {
    policy: POLICY_NUMBERS[policy],
    copies,
    ...parity,
    reorderMs: plane.probing.reorderMs ?? 0,
    classesHigh: classes.high,
    classesLow: classes.low,
    weight: plane.probing.weights?.[path] ?? 1,
    lossPermille: back,
    capacityKbit: Math.min(CAPACITY_KBIT_MAX, Math.floor(capacity.bytesPerSecond / BYTES_PER_KBIT)),
    isFull: capacity.isFull,
  };
}

function permille(percent: number | undefined): number {
  return percent === undefined ? LOSS_UNKNOWN : Math.round(percent * 10);
}
