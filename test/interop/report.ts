/**
 * What a run of the matrix leaves: docs/interop.md after a complete short run, and the line that
 * `fairlead test interop --json` ends with. One invariant: the same results give the same bytes,
 * so a run that passes leaves a clean tree clean.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "../support/scratch.ts";
import {
  allCells,
  type Cell,
  canMove,
  cellName,
  EXCLUSIONS,
  formatText,
  roleText,
} from "./cells.ts";

/** What became of a cell. */
export interface CellResult {
  readonly cell: Cell;
  /** The stock end's; empty when it never said. */
  readonly version: string;
  readonly isPassed: boolean;
}

/** The last line of `fairlead test interop --json`. */
interface Summary {
  readonly cells: number;
  readonly passed: number;
  readonly versions: readonly string[];
  readonly failed: readonly string[];
}

const DOCUMENT = join(import.meta.dirname, "..", "..", "docs", "interop.md");
const FRAGMENT = "interop.json";

/** Writes both; a run of part of the cells leaves the document alone. */
export async function writeReport(
  results: readonly CellResult[],
  run: { readonly cells: readonly Cell[]; readonly isShort: boolean },
): Promise<void> {
  const failed = results.filter((result) => !result.isPassed).map(({ cell }) => cellName(cell));
  const versions = [...new Set(results.map(({ version }) => version))].filter(Boolean).sort();
  const passed = results.length - failed.length;
  const summary: Summary = { cells: results.length, passed, versions, failed };
  await mkdir(cacheFolder(), { recursive: true });
  await writeFile(join(cacheFolder(), FRAGMENT), `${JSON.stringify(summary)}\n`);
  const isWhole = run.isShort && run.cells.every((cell, at) => results[at]?.cell === cell);
  if (isWhole) await writeFile(DOCUMENT, documentOf(results, versions));
}

/** The summary of the last run; undefined when there was none since `forgetSummary`. */
export async function readSummary(): Promise<string | undefined> {
  try {
    return (await readFile(join(cacheFolder(), FRAGMENT), "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Before a run: what is read afterwards is its own. */
export async function forgetSummary(): Promise<void> {
  await rm(join(cacheFolder(), FRAGMENT), { force: true });
}

function documentOf(results: readonly CellResult[], versions: readonly string[]): string {
  const rows = results.map(({ cell, isPassed }) => rowOf(cell, isPassed));
  return `# Interoperation with stock OpenVPN

Written by \`./fairlead test interop\`; do not edit. Stock ends: ${versions.join(" and ")}.

Each cell connects, carries ${CARRIED}, renews its keys twice under a stream of pings without losing one,
goes on from another address where the transport can ("moves"), and ends with a goodbye that the other
end hears within two seconds. These ${results.length} cells are a pairwise cover: every two values that can go together
do. \`./fairlead test interop full\` runs the full product of ${allCells().length}, \`--cells 3/13\` a share of it.

| stock | roles | carries | wrapping | TLS | cipher | data packets | underlay | moves | keys asked for by | goodbye by | result |
|---|---|---|---|---|---|---|---|---|---|---|---|
${rows.join("\n")}

Not in the product:

${EXCLUSIONS.map((text) => `- ${text}`).join("\n")}
`;
}

const CARRIED = "10 MB each way (compared by hash)";

function rowOf(cell: Cell, isPassed: boolean): string {
  const { release, device, wrap, tls, cipher, underlay, renewer, leaver } = cell;
  const values = [
    ...[release, roleText(cell), device, wrap, tls, cipher, formatText(cell), underlay],
    canMove(cell) ? "yes" : "no",
    ...[renewer, leaver, isPassed ? "passed" : "**failed**"],
  ];
  return `| ${values.join(" | ")} |`;
}
