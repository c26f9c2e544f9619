/** `fairlead test [part…]`: the project's tests, all of them or the parts named. */
import { allCells, chosenCells, coverCells } from "../test/interop/cells.ts";
import { forgetSummary, readSummary } from "../test/interop/report.ts";
import { PARTS, type Part } from "../test/runner/parts.ts";
import { runParts } from "../test/runner/runner.ts";
import { isRoot } from "../test/support/netns.ts";
import { ExitStatus } from "./exit-status.ts";
import { requireRoot, UsageError } from "./process-state.ts";

const FULL = "full";

/** Runs the named parts; no name means all, `full` means all with the long versions. */
export async function run(
  names: readonly string[],
  flags: { readonly json?: true; readonly cells?: string } = {},
): Promise<ExitStatus> {
  const parts = select(names);
  const rooted = parts.find((part) => part.needsRoot);
  if (!isRoot() && rooted !== undefined && names.includes(rooted.name)) {
    requireRoot(`the part ${rooted.name} makes network namespaces`);
  }
  const hasSummary = flags.json === true;
  if (hasSummary && !parts.some((part) => part.name === "interop")) {
    throw new UsageError("--json needs the part interop: its matrix is what the line is about");
  }
  const { cells } = flags;
  const isFull = names.includes(FULL);
  if (cells !== undefined) checkCells(cells, isFull, parts);
  if (hasSummary) await forgetSummary();
  const { passed, failed } = await runParts(parts, { isFull, cells });
  const summary = hasSummary ? await readSummary() : undefined;
  if (summary !== undefined) process.stdout.write(`${summary}\n`);
  return failed === 0 && passed > 0 ? ExitStatus.Fine : ExitStatus.Internal;
}

/** What chooses no cell is told before anything runs. */
function checkCells(cells: string, isFull: boolean, parts: readonly Part[]): void {
  if (!parts.some((part) => part.name === "interop")) {
    throw new UsageError("--cells needs the part interop: they are its matrix's");
  }
  try {
    chosenCells(isFull ? allCells() : coverCells(), cells);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(`--cells: ${error.message}`);
  }
}

function select(names: readonly string[]): readonly Part[] {
  const known = [...PARTS.map((part) => part.name), FULL];
  const unknown = names.find((name) => !known.some((part) => part === name));
  if (unknown !== undefined) {
    throw new UsageError(`there is no part ${unknown}; the parts are ${known.join(", ")}`);
  }
  const named = names.filter((name) => name !== FULL);
  if (named.length > 0) return PARTS.filter((part) => names.includes(part.name));
  return PARTS;
}
