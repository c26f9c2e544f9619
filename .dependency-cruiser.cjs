/**
 * Who may import whom; the picture is in ARCHITECTURE.md. Test files are free, except that nothing
 * imports them. Type imports count like any other.
 */
const STAGES = ["uplink", "session", "replay", "cipher", "redundancy", "switch", "tap"];
const stages = STAGES.join("|");
/** Stages that do no I/O and read no clock: time and packets come in, packets and timers go out. */
const PURE = "session|replay|redundancy|switch";
const TEST_FILES = "\\.test\\.ts$|(^|/)[a-z-]+-harness\\.ts$";

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: "no-cycles",
      comment: "Two files that need each other are one concept, or lack a third.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "no-orphans",
      comment: "A file that nobody imports and that imports nobody is left over.",
      severity: "error",
      from: { orphan: true, pathNot: [TEST_FILES, "\\.d\\.ts$", "\\.c?js$"] },
      to: {},
    },
    {
      name: "no-unresolvable",
      comment: "An import that leads nowhere.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: "nothing-imports-tests",
      comment: "What tests share lives in test/support.",
      severity: "error",
      from: { pathNot: "\\.test\\.ts$" },
      to: { path: "\\.test\\.ts$" },
    },
    {
      name: "stages-apart",
      comment: "Stages never import each other; receive.ts and send.ts call them in order.",
      severity: "error",
      from: { path: `^sidecar/(${stages})/`, pathNot: TEST_FILES },
      to: { path: `^sidecar/(${stages})/`, pathNot: "^sidecar/$1/" },
    },
    {
      name: "stages-below-the-path",
      comment: "A stage does not know the files that call it.",
      severity: "error",
      from: { path: `^sidecar/(${stages}|wire|buffer)/`, pathNot: TEST_FILES },
      to: { path: "^sidecar/(main|worker|receive|send|wiring)\\.ts$" },
    },
    {
      name: "leaves",
      comment: "wire and buffer import nothing of the project but themselves and common.",
      severity: "error",
      from: { path: "^sidecar/(wire|buffer)/", pathNot: TEST_FILES },
      to: {
        path: "^[^/]+/",
        pathNot: "^(sidecar/$1/|common/|node_modules/)",
        dependencyTypes: ["local"],
      },
    },
    {
      name: "pure-stages-do-no-io",
      comment: "What takes nowMs and gives packets can be run in virtual time.",
      severity: "error",
      from: { path: `^sidecar/(${PURE})/`, pathNot: TEST_FILES },
      to: {
        path: [
          "^(node:)?(fs|fs/promises|net|dgram|child_process|http|https|dns|worker_threads)$",
          "^sidecar/(clock|timer-table)\\.ts$",
          "^sidecar/native/(native|build)\\.ts$",
        ],
      },
    },
    {
      name: "programs-apart",
      comment: "The operator and the sidecar share the contract and small libraries, nothing else.",
      severity: "error",
      from: { path: "^(operator|sidecar)/", pathNot: TEST_FILES },
      to: { path: "^(operator|sidecar|cli|test)/", pathNot: "^$1/" },
    },
    {
      name: "libraries-below",
      comment: "crds, authority and common know no program.",
      severity: "error",
      from: { path: "^(crds|authority|common)/", pathNot: TEST_FILES },
      to: { path: "^(operator|sidecar|cli|test)/" },
    },
    {
      name: "common-is-a-leaf",
      comment: "common imports nothing of the project.",
      severity: "error",
      from: { path: "^common/", pathNot: TEST_FILES },
      to: { path: "^(authority|crds)/" },
    },
    {
      name: "no-development-packages",
      comment: "What an image runs must be among the dependencies.",
      severity: "error",
      from: {
        path: "^(operator|sidecar|crds|authority|common|cli)/",
        pathNot: [TEST_FILES, "^crds/generate\\.ts$"],
      },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)target/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
      extensions: [".ts", ".js", ".json"],
    },
  },
};
