/** Builds the programs of the control plane, the first step of the part `cluster`. */
import { ALL_PROGRAMS, ensurePrograms } from "./programs.ts";

await ensurePrograms(ALL_PROGRAMS, (line) => process.stdout.write(`${line}\n`));
