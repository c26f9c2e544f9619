/** Counting tests: from Node's TAP trailer, from Cargo's result lines, from an exit status. */
import type { Outcome } from "../support/process.ts";
import type { StepKind } from "./parts.ts";

/** How many tests passed, failed and were skipped. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Nothing counted yet. */
export const NO_COUNTS: Counts = { passed: 0, failed: 0, skipped: 0 };

/** The sum of two counts. */
export function addCounts(left: Counts, right: Counts): Counts {
  return {
    passed: left.passed + right.passed,
    failed: left.failed + right.failed,
    skipped: left.skipped + right.skipped,
  };
}

/** Counts of a step that ended; a status that is not 0 is at least one failure. */
export function countOutcome(kind: StepKind, outcome: Outcome): Counts {
  const counts = countText(kind, outcome);
  if (outcome.status === 0 || counts.failed > 0) return counts;
  return { ...counts, failed: 1 };
}

function countText(kind: StepKind, { status, stdout, stderr }: Outcome): Counts {
  switch (kind) {
    case "node":
      return countTap(stderr);
    case "cargo":
      return countCargo(stdout);
    case "imports":
      return checkCounts(status === 0 && /[(\s][1-9]\d* modules/.test(stdout));
    case "check":
      return checkCounts(status === 0);
  }
}

function checkCounts(isPassed: boolean): Counts {
  return { passed: isPassed ? 1 : 0, failed: isPassed ? 0 : 1, skipped: 0 };
}

function countTap(text: string): Counts {
  const of = (name: string): number =>
    Number(text.match(new RegExp(`^# ${name} (\\d+)$`, "m"))?.[1] ?? 0);
  return {
    passed: of("pass"),
    failed: of("fail") + of("cancelled"),
    skipped: of("skipped") + of("todo"),
  };
}

function countCargo(text: string): Counts {
  let counts = NO_COUNTS;
  const results = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm;
  for (const [, passed, failed, skipped] of text.matchAll(results)) {
    counts = addCounts(counts, {
      passed: Number(passed),
      failed: Number(failed),
      skipped: Number(skipped),
    });
  }
  return counts;
}
