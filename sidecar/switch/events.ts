/** What happens on a segment that a person should be told of, counted until it is told. */

/** Things that a person should be told of. */
export interface SegmentEvents {
  readonly move: { count: number; high: number; low: number; from: number; to: number };
  /** Somebody used another's declared address. */
  readonly conflict: { count: number; high: number; low: number; port: number };
  /** See `StormKind`. */
  readonly storm: { count: number; kind: number; port: number };
}

/** Nothing has happened yet. */
export function createEvents(): SegmentEvents {
  return {
    move: { count: 0, high: 0, low: 0, from: 0, to: 0 },
    conflict: { count: 0, high: 0, low: 0, port: 0 },
    storm: { count: 0, kind: 0, port: 0 },
  };
}
