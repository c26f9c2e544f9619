/**
 * Which path each flow has. One invariant: a flow keeps its path as long as packets may leave by it and
 * the flow is not silent; only then it is given another one. No I/O, no clock.
 *
 * A new flow goes where there is most room: the load that a path has now, for its share. Shares are the
 * weights where they differ, as somebody declared them; else what the paths were seen to carry. A path that
 * nobody has seen full yet is taken to carry as much as the best one: it is found out by flows, never by
 * traffic of our own. A path that is at its limit gets a flow only when all are, and then by number of flows.
 *
 * Flows that share a place share a path: the table is bounded, and a flow is never in two places.
 */

/** Places for flows. */
export const FLOW_PLACES = 1024;
/** A flow that was silent for so long has nothing under way that it could overtake. */
export const FLOW_IDLE_MS = 30_000;
/** A flow that was silent for so long is no load. */
export const FLOW_ACTIVE_MS = 2000;
const NO_PATH = -1;
/** So much of its limit, and a path has no room: it is not always used to the last byte. */
const FULL_SHARE = 0.9;

/** The paths that packets may leave by now, in their order, and what each can take. */
export interface FlowChoice {
  readonly sendPaths: Int32Array;
  readonly sendCount: number;
  weightOf(path: number): number;
  /** Bytes a second that it carried at least; 0: unknown. */
  capacityOf(path: number): number;
  /** That is all that it carries. */
  isFull(path: number): boolean;
}

/** The flows of one session. */
export class FlowTable {
  readonly #paths: Int8Array = new Int8Array(FLOW_PLACES).fill(NO_PATH);
  readonly #usedMs: Int32Array = new Int32Array(FLOW_PLACES);
  /** Flows that each path has, and how many of them were given it since the last look. */
  readonly #loads: Int32Array;
  readonly #fresh: Int32Array;
  /** Bytes a second that left by each path, at the last look, and how much that is for each flow. */
  readonly #rates: Float64Array;
  #meanRate = 0;

  constructor(pathsMax: number) {
    this.#loads = new Int32Array(pathsMax);
    this.#fresh = new Int32Array(pathsMax);
    this.#rates = new Float64Array(pathsMax);
  }

  /** Where in `sendPaths` the path of a flow is; there is at least one. */
  pick(hash: number, choice: FlowChoice, nowMs: number): number {
    // HOT PATH
    const place = (hash ^ (hash >>> 16)) & (FLOW_PLACES - 1);
    const path = this.#paths[place] as number;
    const silentMs = (nowMs - (this.#usedMs[place] as number)) | 0;
    this.#usedMs[place] = nowMs;
    if (path !== NO_PATH) {
      for (let at = 0; at < choice.sendCount && silentMs < FLOW_IDLE_MS; at++) {
        if (choice.sendPaths[at] === path) return at;
      }
      this.#loads[path] = Math.max(0, (this.#loads[path] as number) - 1);
    }
    const at = this.#roomiest(choice);
    const chosen = choice.sendPaths[at] as number;
    this.#paths[place] = chosen;
    this.#loads[chosen] = (this.#loads[chosen] as number) + 1;
    this.#fresh[chosen] = (this.#fresh[chosen] as number) + 1;
    return at;
  }

  /** Takes in what left by each path lately, in bytes a second; call it every second or so. */
  look(rates: Float64Array, nowMs: number): void {
    this.#loads.fill(0);
    this.#fresh.fill(0);
    this.#rates.set(rates);
    let flows = 0;
    for (let place = 0; place < FLOW_PLACES; place++) {
      const path = this.#paths[place] as number;
      const silentMs = (nowMs - (this.#usedMs[place] as number)) | 0;
      // A place that is forgotten before its time wraps around is nobody's.
      if (silentMs >= FLOW_IDLE_MS) this.#paths[place] = NO_PATH;
      if (path === NO_PATH || silentMs >= FLOW_ACTIVE_MS) continue;
      this.#loads[path] = (this.#loads[path] as number) + 1;
      flows += 1;
    }
    const rate = this.#rates.reduce((sum, one) => sum + one, 0);
    this.#meanRate = rate / Math.max(1, flows);
  }

  /** The path that one more flow would burden least for its share. */
  #roomiest(choice: FlowChoice): number {
    const { sendPaths, sendCount } = choice;
    const first = sendPaths[0] as number;
    let [best, bestLoad, hasRoom, carries, isWeighted] = [0, Infinity, false, 0, false];
    for (let at = 0; at < sendCount; at++) {
      const path = sendPaths[at] as number;
      carries = Math.max(carries, choice.capacityOf(path));
      isWeighted ||= choice.weightOf(path) !== choice.weightOf(first);
    }
    for (let at = 0; at < sendCount; at++) {
      const path = sendPaths[at] as number;
      const isLimited = choice.isFull(path);
      const limit = isLimited ? choice.capacityOf(path) : carries;
      const share = isWeighted || carries === 0 ? choice.weightOf(path) : limit;
      const rate = (this.#rates[path] as number) + (this.#fresh[path] as number) * this.#meanRate;
      const isOpen = !isLimited || rate < limit * FULL_SHARE;
      const isByRate = isOpen && this.#meanRate > 0 && carries > 0;
      const load = isByRate ? rate + this.#meanRate : (this.#loads[path] as number) + 1;
      if (hasRoom === isOpen ? load / share >= bestLoad : hasRoom) continue;
      [best, bestLoad, hasRoom] = [at, load / share, isOpen];
    }
    return best;
  }
}
