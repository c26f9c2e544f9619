/**
 * Which paths packets leave by: those that the policy makes of the paths that work. Pure. One
 * invariant: as long as there is any path, at least one is chosen.
 */

import { METERED_PRIORITY, type PathPolicy } from "./path-settings.ts";
import type { PathState } from "./path-state.ts";

/** Behind every priority. */
const LOSSY_RANK: number = 4 * METERED_PRIORITY;

/** How paths are used. */
interface PathUsage {
  readonly policy: PathPolicy;
  /** Bounds duplication. */
  readonly copies: number;
  readonly isActive: (path: number) => boolean;
}

/** Numbers of the paths that packets leave by, the first choice first. */
export function choosePaths(paths: readonly PathState[], usage: PathUsage): readonly number[] {
  const ranked = (isGood: (state: PathState) => boolean): number[] => rank(paths, usage, isGood);
  const works = ranked((state) => state.isUsable && state.isAlive && state.isWanted);
  const staying = works.filter((path) => paths[path]?.isLeaving === false);
  const hopes = [
    fromAlive(paths, usage, staying.length > 0 ? staying : works),
    // Nothing is heard on any: copies and parity are worth most now.
    fromAlive(
      paths,
      usage,
      ranked((state) => state.isUsable && state.hasLived),
    ),
    ranked((state) => state.isUsable).slice(0, 1),
    ranked(() => true).slice(0, 1),
  ];
  return hopes.find((some) => some.length > 0) ?? [];
}

/** What the policy makes of the paths that work. */
function fromAlive(
  paths: readonly PathState[],
  { policy, copies }: PathUsage,
  alive: readonly number[],
): readonly number[] {
  if (policy === "Failover") return alive.slice(0, 1);
  if (policy === "Duplicate") return alive.slice(0, copies);
  const sound = alive.filter((path) => paths[path]?.isLossy === false);
  const good = sound.length > 0 ? sound : alive;
  const free = good.filter((path) => (paths[path]?.priority ?? 0) < METERED_PRIORITY);
  return free.length > 0 ? free : good;
}

/** Known paths that pass, the most wanted first, lossy ones last; among equals the one in use stays. */
function rank(
  paths: readonly PathState[],
  { isActive }: PathUsage,
  isGood: (state: PathState) => boolean,
): number[] {
  const ranks = paths.flatMap((state, path) =>
    state.isKnown && isGood(state)
      ? [[path, (state.isLossy ? LOSSY_RANK : 0) + state.priority * 2 + (isActive(path) ? 0 : 1)]]
      : [],
  ) as [number, number][];
  return ranks.sort(([, a], [, b]) => a - b).map(([path]) => path);
}
