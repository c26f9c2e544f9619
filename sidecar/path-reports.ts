/**
 * The look that the data path takes once a second at every session: what its paths are used for from now on,
 * and what status hears of them. One invariant: what is as it was told is not told again.
 */

import { lookAtArrivals } from "./arrivals.ts";
import { lookAtLoads } from "./capacity.ts";
import { SESSIONS_MAX } from "./limits.ts";
import { notice } from "./notices.ts";
import { expireBlocks } from "./parity-receive.ts";
import type { Plane } from "./plane.ts";
import { pathReports } from "./probing.ts";
import { expectSkew } from "./replay-sizing.ts";
import { changeKey } from "./send.ts";
import { clampToPaths, holdToPaths } from "./sizing.ts";

/** What the main thread was told last. */
export class PathReports {
  readonly #plane: Plane;
  readonly #told: string[] = [];

  constructor(plane: Plane) {
    this.#plane = plane;
  }

  /** A session is another one from now on. */
  forget(index: number): void {
    delete this.#told[index];
  }

  look(): void {
    const plane = this.#plane;
    expireBlocks(plane);
    for (let index = 1; index <= SESSIONS_MAX; index++) {
      const session = plane.sessions.at(index);
      if (session === undefined) continue;
      if (session.needsNewKeyStill()) changeKey(plane, session);
      if (plane.isDialling) clampToPaths(plane, session);
      expectSkew(session);
      holdToPaths(plane, session);
      lookAtLoads(plane, session);
      lookAtArrivals(plane, session);
      const paths = pathReports(plane, session);
      const text = JSON.stringify(paths);
      if (text === this.#told[index]) continue;
      this.#told[index] = text;
      notice(plane, { kind: "paths", index, paths });
    }
  }
}
