/**
 * Runs the parts of `fairlead test` one after another: a line per part, the whole output only of
 * what failed and in a log file, and at the end the plain line `N passed, N failed`.
 */
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { isRoot, Network } from "../support/netns.ts";
import { type Outcome, type RunOptions, run } from "../support/process.ts";
import { cacheFolder } from "../support/scratch.ts";
import { addCounts, type Counts, countOutcome, NO_COUNTS } from "./counts.ts";
import { inLanes } from "./lanes.ts";
import { type Part, ROOT, type Step } from "./parts.ts";
import { LANES } from "./patient.ts";

const SHOWN_LINES_MAX = 150;
/**
 * Steps of one run that may be repeated after a failure. Two busy processors make a timed step fail
 * now and then; a defect fails again, and a run with more failures than this is one that needs a look.
 */
const REPEATS_MAX = 3;

/** How much of the tests is run. */
export interface Extent {
  /** The long versions too. */
  readonly isFull: boolean;
  /** Some cells of the interoperation matrix only, as `chosenCells` takes them. */
  readonly cells?: string | undefined;
}

/** Runs `parts` and returns the sum of their counts. */
export async function runParts(parts: readonly Part[], extent: Extent): Promise<Counts> {
  let total = NO_COUNTS;
  const repeated: string[] = [];
  const startMs = performance.now();
  for (const part of parts) {
    if (part.needsRoot && !isRoot()) {
      say(`${part.name.padEnd(8)} skipped: it needs root for its network namespaces`);
      continue;
    }
    const { name, beginsWithinMs = Infinity } = part;
    if (parts.length > 1 && !extent.isFull && performance.now() - startMs > beginsWithinMs) {
      say(`${name.padEnd(8)} skipped: too late for it; run ./fairlead test ${name} by itself`);
      total = addCounts(total, { ...NO_COUNTS, skipped: 1 });
      continue;
    }
    total = addCounts(total, await runPart(part, extent, repeated));
  }
  for (const name of repeated) say(`unsteady: ${name} failed, then passed when it was repeated`);
  if (total.skipped > 0) say(`${total.skipped} skipped`);
  say(`${total.passed} passed, ${total.failed} failed`);
  return total;
}

/** What an attempt at a step came to. */
interface Attempt {
  readonly step: Step;
  readonly outcome: Outcome;
  readonly counts: Counts;
  readonly took: string;
}

async function runPart(part: Part, extent: Extent, repeated: string[]): Promise<Counts> {
  const log = join(cacheFolder(), "logs", `test-${part.name}.log`);
  mkdirSync(join(cacheFolder(), "logs"), { recursive: true });
  writeFileSync(log, "");
  const startMs = performance.now();
  let counts = NO_COUNTS;
  const attempt = async (step: Step, name = step.name): Promise<Attempt> => {
    const stepStartMs = performance.now();
    const outcome = await runStep(step, extent);
    appendFileSync(log, `== ${name}\n${outcome.stdout}\n${outcome.stderr}\n`);
    const counts = countOutcome(step.kind, outcome);
    return { step, outcome, counts, took: secondsSince(stepStartMs) };
  };
  /** Counts and tells it; a timed step that failed is tried again first, with nothing beside it. */
  const finish = async (first: Attempt): Promise<void> => {
    const { step } = first;
    let last = first;
    if (first.counts.failed > 0 && step.isTimed === true && repeated.length < REPEATS_MAX) {
      say(`  ${step.name}: failed, is repeated once (${first.took})`);
      say(failureText(step, first.outcome));
      last = await attempt(step, `${step.name}, again`);
      if (last.counts.failed === 0) repeated.push(step.name);
    }
    counts = addCounts(counts, last.counts);
    tell(part, last);
  };
  const steps = part.steps().filter((step) => step.isLong !== true || extent.isFull);
  const alone = steps.filter(({ lanePlace }) => lanePlace === undefined);
  // What is not timed comes first: others need what it builds.
  for (const step of alone) if (step.isTimed !== true) await finish(await attempt(step));
  const failed: Attempt[] = [];
  await inLanes(byLanePlace(steps), LANES, async (step) => {
    const first = await attempt(step);
    if (first.counts.failed > 0) failed.push(first);
    else await finish(first);
  });
  for (const first of failed) await finish(first);
  for (const step of alone) if (step.isTimed === true) await finish(await attempt(step));
  const figures = `${counts.passed} passed, ${counts.failed} failed`;
  const where = counts.failed > 0 ? `; everything in ${log}` : "";
  say(`${part.name.padEnd(8)} ${figures} (${secondsSince(startMs)})${where}`);
  return counts;
}

/** Steps that run beside each other, as they are to begin. */
function byLanePlace(steps: readonly Step[]): readonly Step[] {
  const placed = steps.flatMap((step) =>
    step.lanePlace === undefined ? [] : [{ step, place: step.lanePlace }],
  );
  return placed.toSorted((one, two) => one.place - two.place).map(({ step }) => step);
}

function tell(part: Part, { step, outcome, counts, took }: Attempt): void {
  const isFailed = counts.failed > 0;
  if (isFailed || step.name !== part.name) {
    say(`  ${step.name}: ${isFailed ? "FAILED" : "ok"} (${took})`);
  }
  if (isFailed) say(failureText(step, outcome));
}

async function runStep(step: Step, { isFull, cells }: Extent): Promise<Outcome> {
  const options: RunOptions = {
    directory: ROOT,
    timeoutMs: (isFull ? step.fullTimeoutMs : undefined) ?? step.timeoutMs,
    environment: {
      // The project's own Node and tools come first, whatever the machine has.
      PATH: [join(ROOT, "node_modules/.bin"), process.env["PATH"]].join(delimiter),
      NO_COLOR: "1",
      ...(isFull && { FAIRLEAD_FULL: "1" }),
      ...(cells !== undefined && { FAIRLEAD_CELLS: cells }),
    },
  };
  try {
    if (step.isIsolated !== true) return await run(step.command, options);
    await using network = await Network.create();
    const namespace = await network.namespace("test");
    return await namespace.try(step.command, options);
  } catch (error) {
    // It did not start, or did not end in time: a failure like others, the next step still runs.
    const text = error instanceof Error ? error.message : String(error);
    return { status: 1, stdout: "", stderr: text };
  }
}

function failureText(step: Step, { stdout, stderr }: Outcome): string {
  const failing = stdout.indexOf("failing tests:");
  const isNode = step.kind === "node" && stdout.length > 0;
  const text = isNode ? stdout.slice(Math.max(failing, 0)) : `${stdout}\n${stderr}`;
  const lines = text.trimEnd().split("\n");
  const shown = failing < 0 ? lines.slice(-SHOWN_LINES_MAX) : lines.slice(0, SHOWN_LINES_MAX);
  return shown.map((line) => `    ${line}`).join("\n");
}

function secondsSince(startMs: number): string {
  return `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
