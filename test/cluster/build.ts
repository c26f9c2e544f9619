/**
 * Builds the programs of the control plane, the first step of the part `cluster`; with the word `node`
 * those of a node as well, and in the long run cert-manager's controllers. What tests need of modules is
 * fetched here too: they have no network themselves.
 */
import { IS_FULL } from "../support/full.ts";
import { certManagerKinds, ensurePrograms, NODE_PROGRAMS, PLANE_PROGRAMS } from "./programs.ts";

const programs = [
  ...PLANE_PROGRAMS,
  ...(process.argv.includes("node") ? NODE_PROGRAMS : []),
  ...(IS_FULL ? (["cert-manager"] as const) : []),
];
await ensurePrograms(programs, (line) => process.stdout.write(`${line}\n`));
await certManagerKinds();
