/**
 * The parts of `fairlead test`, in the order in which they run: what is cheap and fails often
 * comes first. A part is a list of steps; a step is one process, or one process per file.
 */
import { globSync } from "node:fs";
import { join } from "node:path";
import { PATIENT_FILES, PATIENT_SCENARIOS } from "./patient.ts";

/** How a step's output is turned into counts. */
export type StepKind =
  /** One check: passed when the status is 0. */
  | "check"
  /** As check, and the text must say that at least one module was looked at. */
  | "imports"
  /** Node's test runner. */
  | "node"
  /** Cargo's test runner. */
  | "cargo";

/** One process to run. */
export interface Step {
  readonly name: string;
  readonly kind: StepKind;
  readonly command: readonly string[];
  readonly timeoutMs: number;
  /** In the long run, where that is more. */
  readonly fullTimeoutMs?: number;
  /** Runs in a network namespace of its own. */
  readonly isIsolated?: true;
  /** Depends on when other programs get a processor: one failure is repeated and told. */
  readonly isTimed?: true;
  /** Runs beside other such steps; the lowest place begins first. */
  readonly lanePlace?: number;
  /** Runs in the long run alone. */
  readonly isLong?: true;
}

/** One part, by its name on the command line. */
export interface Part {
  readonly name: PartName;
  readonly needsRoot: boolean;
  /** Of a run of all parts it is left out, and told, when more time than this is gone. */
  readonly beginsWithinMs?: number;
  readonly steps: () => readonly Step[];
}

/** The project's root. */
export const ROOT: string = join(import.meta.dirname, "..", "..");

const MINUTE_MS = 60_000;
const NATIVE = ["--manifest-path", "sidecar/native/Cargo.toml", "--locked"];

/** What can be named. */
export type PartName =
  | "check"
  | "unit"
  | "native"
  | "netns"
  | "cluster"
  | "interop"
  | "lab"
  | "node";

/** All parts. */
export const PARTS: readonly Part[] = [
  { name: "check", needsRoot: false, steps: checkSteps },
  { name: "unit", needsRoot: false, steps: unitSteps },
  { name: "native", needsRoot: false, steps: nativeSteps },
  { name: "netns", needsRoot: true, steps: () => fileSteps("netns", true) },
  { name: "cluster", needsRoot: true, steps: clusterSteps },
  { name: "interop", needsRoot: true, steps: interopSteps },
  { name: "lab", needsRoot: true, steps: labSteps },
  // Without caches it compiles for half an hour on a slow machine, and a run has an hour and a half.
  { name: "node", needsRoot: true, beginsWithinMs: 50 * MINUTE_MS, steps: nodeSteps },
];

function checkSteps(): readonly Step[] {
  // Most have one thread, and the types take as long as all others.
  const check = (name: string, ...command: readonly string[]): Step => {
    const lanePlace = name === "types" ? 0 : 1;
    return { name, kind: "check", command, timeoutMs: 10 * MINUTE_MS, lanePlace };
  };
  const folders = globSync("*/", { cwd: ROOT }).filter((name) => name !== "node_modules");
  const hasSources = (folder: string): boolean =>
    globSync(`${folder}/**/*.ts`, { cwd: ROOT }).length > 0;
  const cruise = [
    "depcruise",
    "--config",
    ".dependency-cruiser.cjs",
    ...folders.filter(hasSources),
  ];
  return [
    check("format and lint", "biome", "ci", "--colors=off", "--error-on-warnings", "."),
    check("types", "tsc", "--noEmit", "-p", "."),
    { ...check("imports", ...cruise), kind: "imports" },
    check("unused", "knip", "--no-progress", "--no-config-hints"),
    check("crds", "node", "crds/generate.ts", "--check"),
    check(
      "native format",
      "cargo",
      "fmt",
      "--manifest-path",
      "sidecar/native/Cargo.toml",
      "--check",
    ),
    check(
      "native lint",
      "cargo",
      "clippy",
      "--release",
      ...NATIVE,
      "--all-targets",
      "-q",
      "--",
      "-Dwarnings",
    ),
  ];
}

function unitSteps(): readonly Step[] {
  const files = testFiles().filter(
    (file) => !/\.(netns|interop|cluster|node)\.test\.ts$/.test(file),
  );
  return files.length === 0 ? [] : [nodeStep("unit", files, "--test-concurrency=2")];
}

function nativeSteps(): readonly Step[] {
  const command = ["cargo", "test", "--release", ...NATIVE];
  return [{ name: "native", kind: "cargo", command, timeoutMs: 15 * MINUTE_MS }];
}

function fileSteps(infix: string, isIsolated: boolean): readonly Step[] {
  return testFiles()
    .filter((file) => file.endsWith(`.${infix}.test.ts`))
    .map((file) => ({
      ...nodeStep(file, [file]),
      isTimed: true,
      ...inLane(PATIENT_FILES.indexOf(file)),
      ...(isIsolated && { isIsolated }),
    }));
}

function inLane(lanePlace: number): Pick<Step, "lanePlace"> {
  return lanePlace < 0 ? {} : { lanePlace };
}

/** The full matrix has 1,080 cells of half a minute, four at a time: three hours, and twice that when busy. */
function interopSteps(): readonly Step[] {
  return fileSteps("interop", false).map((step) => ({ ...step, fullTimeoutMs: 420 * MINUTE_MS }));
}

/** A real control plane; its programs come first, minutes when nothing is cached, else nothing. */
function clusterSteps(): readonly Step[] {
  const build = ["node", "test/cluster/build.ts"];
  return [
    { name: "programs", kind: "check", command: build, timeoutMs: 45 * MINUTE_MS },
    ...fileSteps("cluster", true),
  ];
}

const LONG = { isLong: true } as const;

/** Which end the cluster is, and what the other one runs: the first in every run. */
const NODE_LAB_RUNS = [
  ["listen", "openvpn"],
  ["dial", "openvpn"],
  ["listen", "fairlead"],
  ["dial", "fairlead"],
] as const;

/** The product from installing to uninstalling; how the test's own node is cleared away can wait. */
function isEssential({ name }: Step): boolean {
  return name === "test/cluster/lifecycle.node.test.ts";
}

/** A real node with the image; not isolated: it needs the machine's control groups, and isolates itself. */
function nodeSteps(): readonly Step[] {
  const programs = ["node", "test/cluster/build.ts", "node"];
  const build = ["node", "test/cluster/build-image.ts"];
  return [
    { name: "programs", kind: "check", command: programs, timeoutMs: 45 * MINUTE_MS },
    { name: "image", kind: "check", command: build, timeoutMs: 30 * MINUTE_MS },
    ...fileSteps("node", false).map((step) => ({ ...step, ...(isEssential(step) ? {} : LONG) })),
    ...NODE_LAB_RUNS.map(([role, peer]) => {
      const step = labStep("S3", peer, "3", "--cluster", "--role", role);
      const isFirst = role === "listen" && peer === "openvpn";
      return { ...step, timeoutMs: 8 * MINUTE_MS, ...(isFirst ? {} : LONG) };
    }),
  ];
}

/** Scenario, the peer at the testbed's end, and how long it counts. */
const LAB_RUNS = [
  ["S0", "fairlead", "4"],
  ["S0", "openvpn", "4"],
  ["S1", "fairlead", "6"],
  ["S2", "fairlead", "3"],
  ["S2", "openvpn", "3"],
  ["S3", "fairlead", "3"],
  ["S3", "openvpn", "3"],
  ["S3", "openvpn-only", "3"],
  ["S4", "fairlead", "3"],
] as const;

/** Scenarios as a whole, and how long they may take. */
const WHOLE_LAB_RUNS = [
  ["S0", "fairlead", 60],
  ["S0", "openvpn", 60],
  ["S1", "fairlead", 40],
] as const;

function labSteps(): readonly Step[] {
  const whole = WHOLE_LAB_RUNS.map(([scenario, peer, minutes]): Step => {
    const step = labStep(scenario, peer, "1", "--full");
    return { ...step, timeoutMs: minutes * MINUTE_MS, isLong: true };
  });
  const shares = LAB_RUNS.map(([scenario, peer, seconds]) => ({
    ...labStep(scenario, peer, seconds),
    ...inLane(PATIENT_SCENARIOS.indexOf(scenario)),
  }));
  return [...shares, ...whole];
}

function labStep(
  scenario: string,
  peer: string,
  seconds: string,
  ...flags: readonly string[]
): Step {
  const options = ["--scenario", scenario, "--peer", peer, "--seconds", seconds];
  return {
    name: ["lab", ...flags, `${scenario},`, peer].join(" "),
    kind: "check",
    command: ["./fairlead", "lab", ...flags, ...options, "--json"],
    timeoutMs: 4 * MINUTE_MS,
    isTimed: true,
  };
}

function nodeStep(name: string, files: readonly string[], ...options: readonly string[]): Step {
  const reporters = [
    ...["--test-reporter=tap", "--test-reporter-destination=stderr"],
    ...["--test-reporter=spec", "--test-reporter-destination=stdout"],
  ];
  return {
    name,
    kind: "node",
    command: ["node", "--test", ...options, ...reporters, ...files],
    timeoutMs: 30 * MINUTE_MS,
  };
}

function testFiles(): readonly string[] {
  const isForeign = (name: string): boolean => /(^|\/)(node_modules|target|\.\w+)$/.test(name);
  return globSync("**/*.test.ts", { cwd: ROOT, exclude: isForeign }).sort();
}
