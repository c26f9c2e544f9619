/**
 * Which path each flow has. One invariant: a flow keeps its path as long as packets may leave by it and
 * the flow is not silent; only then it is given another one, by the paths' weights. No I/O, no clock.
 *
 * Flows that share a place share a path: the table is bounded, and a flow is never in two places.
 */

/** Places for flows. */
export const FLOW_PLACES = 1024;
/** A flow that was silent for so long has nothing under way that it could overtake. */
export const FLOW_IDLE_MS = 30_000;
const NO_PATH = -1;

/** The paths that packets may leave by now, in their order, and what each can take. */
export interface FlowChoice {
  readonly sendPaths: Int32Array;
  readonly sendCount: number;
  weightOf(path: number): number;
}

/** The flows of one session. */
export class FlowTable {
  readonly #paths: Int8Array = new Int8Array(FLOW_PLACES).fill(NO_PATH);
  readonly #usedMs: Int32Array = new Int32Array(FLOW_PLACES);
  /** Places that each path has. */
  readonly #loads: Int32Array;

  constructor(pathsMax: number) {
    this.#loads = new Int32Array(pathsMax);
  }

  /** Where in `sendPaths` the path of a flow is; there is at least one. */
  pick(hash: number, choice: FlowChoice, nowMs: number): number {
    // HOT PATH
    const place = (hash ^ (hash >>> 16)) & (FLOW_PLACES - 1);
    const path = this.#paths[place] as number;
    const isIdle = ((nowMs - (this.#usedMs[place] as number)) | 0) >= FLOW_IDLE_MS;
    this.#usedMs[place] = nowMs;
    if (path !== NO_PATH) {
      for (let at = 0; at < choice.sendCount && !isIdle; at++) {
        if (choice.sendPaths[at] === path) return at;
      }
      this.#loads[path] = (this.#loads[path] as number) - 1;
    }
    const at = this.#least(choice);
    const chosen = choice.sendPaths[at] as number;
    this.#paths[place] = chosen;
    this.#loads[chosen] = (this.#loads[chosen] as number) + 1;
    return at;
  }

  /** The path that one more flow would burden least for its weight. */
  #least(choice: FlowChoice): number {
    // HOT PATH
    let best = 0;
    let bestLoad = Infinity;
    for (let at = 0; at < choice.sendCount; at++) {
      const path = choice.sendPaths[at] as number;
      const load = ((this.#loads[path] as number) + 1) / choice.weightOf(path);
      if (load < bestLoad) {
        best = at;
        bestLoad = load;
      }
    }
    return best;
  }
}
