/**
 * What the main thread knows of uplinks and paths: the worker's notices, kept for status and for
 * the next handshake, told in the log with cause and decision. One invariant: nothing is decided
 * here; the worker did that when it told us.
 */

import type { Logger } from "pino";
import { wallMs } from "./clock.ts";
import type { Notice, Order, PathReport, UplinkNotice } from "./control/orders.ts";
import type { ChangeStatus, PathStatus, UplinkStatus } from "./control/status.ts";
import type { UplinksConfig } from "./control/tunnel-config.ts";
import type { PathCounts } from "./path-counts.ts";
import type { CopiedClasses, ProbingSettings } from "./session/path-settings.ts";
import { localText, remoteText } from "./uplink/address-words.ts";

/** One path is probed only for its round trip and loss; nothing depends on the answer. */
const PROBING_OF_ONE_PATH: ProbingSettings = {
  policy: "Failover",
  copies: 1,
  intervalMs: 1000,
  downAfter: 5,
  upAfter: 1,
  maxLossPercent: 100,
  lossWindow: 200,
  priorities: [0],
};

/** An uplink that a handshake may begin on. */
export interface UsableUplink {
  readonly uplink: number;
  readonly name: string;
  /** The lane's socket that is bound to it. */
  readonly socket: number;
  readonly address: string;
}

/** The notices that this board takes. */
export type UplinkBoardNotice = Extract<Notice, { kind: "uplinks" | "pathChanged" | "paths" }>;

/** Uplinks and paths of one tunnel. */
export class UplinkBoard {
  #config: UplinksConfig | undefined;
  readonly #log: Logger;
  readonly #paths = new Map<number, readonly PathReport[]>();
  #uplinks: readonly UplinkNotice[] = [];
  /** By the uplink's number. */
  readonly #changes = new Map<number, ChangeStatus>();
  readonly #wallMs: () => number;

  constructor(config: UplinksConfig | undefined, log: Logger, clock: () => number = wallMs) {
    this.#config = config;
    this.#log = log;
    this.#wallMs = clock;
  }

  /** The uplinks are others from now on: what tells the data plane. */
  declare(config: UplinksConfig): Order {
    this.#config = config;
    return { kind: "changeUplinks", uplinks: config.uplinks, probing: probingOf(config) };
  }

  /** What of the policy a peer does not go along with, or needs for it. */
  policyNote(peer: {
    readonly hasProbes: boolean;
    readonly hasParity: boolean;
  }): string | undefined {
    const { policy = "Failover", reorderMs = 0 } = this.#config ?? {};
    if ((policy === "Fec" || policy === "Balance") && !peer.hasParity) {
      return `policy ${policy}: the other end takes no plans (stock OpenVPN, or a processor without AVX2): one uplink at a time, as with Failover`;
    }
    if (policy === "Duplicate" && !peer.hasProbes) {
      return "policy Duplicate: stock OpenVPN answers whichever copy comes first and drops what is later than its window: it needs replay-window 8192, and float unless it is a server of many clients";
    }
    if (reorderMs > 0 && !peer.hasParity) {
      return "reorder: the other end takes no plans (stock OpenVPN, or a processor without AVX2): only what comes from there is put in order";
    }
    return undefined;
  }

  take(notice: UplinkBoardNotice): void {
    switch (notice.kind) {
      case "uplinks": {
        this.#noteChanges(notice.uplinks);
        this.#uplinks = notice.uplinks;
        const active = this.#names(notice.active);
        this.#log.info({ active }, `uplinks: ${notice.cause} -> ${active.join(", ") || "none"}`);
        return;
      }
      case "pathChanged": {
        // One path and nowhere else to go: the keepalive tells that story.
        if (this.#config === undefined) return;
        this.#noteChange(notice.path, notice.cause);
        const active = this.#names(notice.active);
        const uplink = this.#names([notice.path]).join();
        this.#log.info(
          { uplink, active },
          `path ${uplink}: ${notice.cause} -> ${active.join(", ")}`,
        );
        return;
      }
      case "paths":
        this.#paths.set(notice.index, notice.paths);
    }
  }

  /** Usable uplinks by priority, for the handshake; undefined where routing finds the way. */
  usable(): readonly UsableUplink[] | undefined {
    if (this.#config === undefined) return undefined;
    return this.#uplinks
      .filter((one) => one.isUsable && !one.isLeaving)
      .sort((a, b) => a.priority - b.priority)
      .map(({ uplink, name, socket, address }) => ({ uplink, name, socket, address }));
  }

  uplinks(): UplinkStatus[] {
    const declared = this.#uplinks.filter((one) => !one.isLeaving);
    return declared.map(({ uplink, name, isUsable, cause, address }) => {
      return { name, isUsable, cause, address, ...this.#lastChange(uplink) };
    });
  }

  /** The paths of session `index`, as told last, and what crossed them until now. */
  pathsOf(index: number, counts: Pick<PathCounts, "figures">): PathStatus[] {
    return (this.#paths.get(index) ?? []).map(({ row, path, ...view }) => {
      const words = Int32Array.from(row);
      const uplink = this.#uplinks.find((one) => one.uplink === path)?.name;
      const local = localText(words);
      return {
        ...(uplink === undefined ? {} : { uplink }),
        ...(local === undefined ? {} : { local }),
        remote: remoteText(words),
        ...view,
        ...counts.figures(index, path),
        ...(uplink === undefined ? {} : this.#lastChange(path)),
      };
    });
  }

  /** What became of each uplink since it was told of last. */
  #noteChanges(uplinks: readonly UplinkNotice[]): void {
    for (const { uplink, name, isUsable, cause } of uplinks) {
      const former = this.#uplinks.find((one) => one.uplink === uplink && one.name === name);
      if (former?.isUsable !== isUsable || former.cause !== cause) this.#noteChange(uplink, cause);
    }
  }

  #noteChange(uplink: number, cause: string): void {
    this.#changes.set(uplink, { at: new Date(this.#wallMs()).toISOString(), cause });
  }

  #lastChange(uplink: number): { readonly lastChange?: ChangeStatus } {
    const lastChange = this.#changes.get(uplink);
    return lastChange === undefined ? {} : { lastChange };
  }

  #names(paths: readonly number[]): string[] {
    return paths.map((path) => {
      return this.#uplinks.find((one) => one.uplink === path)?.name ?? `path ${path}`;
    });
  }
}

/** How the dialling end probes, by its uplinks. */
export function probingOf(config: UplinksConfig | undefined): ProbingSettings {
  if (config === undefined) return PROBING_OF_ONE_PATH;
  const priorities = config.uplinks.map((uplink) => uplink.priority);
  const { probe, policy, copies, parity, classes, reorderMs } = config;
  return {
    ...probe,
    policy,
    copies,
    priorities,
    weights: config.uplinks.map((uplink) => uplink.weight ?? 1),
    ...(parity === undefined ? {} : { parity }),
    reorderMs,
    ...(classes === undefined ? {} : { classes: classWords(classes) }),
  };
}

function classWords(classes: readonly number[]): CopiedClasses {
  const word = (first: number): number =>
    classes.reduce(
      (bits, dscp) => (dscp >> 5 === first >> 5 ? bits | (1 << (dscp & 31)) : bits),
      0,
    );
  return { high: word(32), low: word(0) };
}
