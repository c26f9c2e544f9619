/**
 * Builds the programs of the control plane, the first step of the part `cluster`; with the word `node`
 * those of a node as well.
 */
import { ensurePrograms, NODE_PROGRAMS, PLANE_PROGRAMS } from "./programs.ts";

const programs = process.argv.includes("node")
  ? [...PLANE_PROGRAMS, ...NODE_PROGRAMS]
  : PLANE_PROGRAMS;
await ensurePrograms(programs, (line) => process.stdout.write(`${line}\n`));
