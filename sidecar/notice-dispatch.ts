/**
 * Who is told what the data path says: the listening or dialling end, the board of uplinks, and what a
 * caller keeps of the segment. One invariant: every notice has exactly one taker here, and a kind that is
 * new does not compile until it has one. The program and the simulation share it.
 */
import type { Notice } from "./control/orders.ts";
import { Dialling } from "./dialling.ts";
import type { Listening } from "./listening.ts";
import type { UplinkBoard } from "./uplink-board.ts";

/** What is said about the segment. */
export type SegmentNotice = Extract<
  Notice,
  { kind: "addressConflict" | "querier" | "loop" | "moved" | "conflict" | "storm" }
>;

/** Who is there to be told. */
export interface NoticeTakers {
  readonly end: Listening | Dialling;
  readonly board: Pick<UplinkBoard, "take">;
  readonly segment: (notice: SegmentNotice) => void;
  /** What the interface of a dialling end that routes can be sent at most; 0: not known. */
  readonly way: (mtuBytes: number) => void;
  /** The data path cannot go on. */
  readonly failed: (operation: string, errno: number) => void;
}

/** Hands one notice on. */
export function dispatchNotice(notice: Notice, takers: NoticeTakers): void {
  const { end, board } = takers;
  switch (notice.kind) {
    case "floated":
      end.floated(notice.index, Int32Array.from(notice.path));
      return;
    case "silent":
    case "exited":
    case "needsKey":
      end[notice.kind](notice.index);
      return;
    case "disconnected":
      end.disconnected(Int32Array.from(notice.path), notice.errno);
      return;
    case "epoch":
      end.followEpoch(notice);
      return;
    case "uplinks":
    case "pathChanged":
    case "paths":
      board.take(notice);
      if (notice.kind === "uplinks" && end instanceof Dialling) end.uplinksChanged();
      return;
    case "addressConflict":
    case "querier":
    case "loop":
    case "moved":
    case "conflict":
    case "storm":
      takers.segment(notice);
      return;
    case "way":
      takers.way(notice.mtuBytes);
      return;
    case "failed":
      takers.failed(notice.operation, notice.errno);
      return;
    default:
      notice satisfies never;
  }
}
