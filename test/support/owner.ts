/**
 * Who started a process or made a namespace, so that leftovers of a run that was killed are told
 * from the things of one that lives. An owner is a pid with its start time: a pid used again by
 * another program does not match.
 */
import { readFileSync } from "node:fs";

/** Environment variable that marks every process of a run, and what those start in turn. */
export const OWNER_VARIABLE = "FAIRLEAD_OWNER";

const OWNER_PATTERN = /^(\d+)-(\d+)$/;
const START_TIME_FIELD = 22;

/** This process as an owner: `<pid>-<start time in clock ticks>`. */
export function ownOwner(): string {
  return `${process.pid}-${startTime(process.pid)}`;
}

/** Says whether the process that an owner names still runs. */
export function isOwnerAlive(owner: string): boolean {
  const match = OWNER_PATTERN.exec(owner);
  if (match === null) return false;
  return startTime(Number(match[1])) === Number(match[2]);
}

/** The owner that a process is marked with; undefined for one that is not ours or is gone. */
export function ownerOfProcess(pid: number): string | undefined {
  const prefix = `${OWNER_VARIABLE}=`;
  const entries = readProcFile(pid, "environ")?.split("\0") ?? [];
  return entries.find((entry) => entry.startsWith(prefix))?.slice(prefix.length);
}

/** Fields of /proc/PID/stat counted from 1 as in proc(5); the name may hold blanks. */
export function processStat(pid: number): readonly string[] | undefined {
  const text = readProcFile(pid, "stat");
  if (text === undefined) return undefined;
  const afterName = text
    .slice(text.lastIndexOf(")") + 2)
    .trimEnd()
    .split(" ");
  return ["", String(pid), "", ...afterName];
}

/**
 * `command` as it reaches the machine's network also from a test's own namespace, which has none:
 * it is run in the network namespace of the process that owns this run.
 */
export function online(command: readonly string[]): readonly string[] {
  const pid = OWNER_PATTERN.exec(process.env[OWNER_VARIABLE] ?? "")?.[1];
  return pid === undefined ? command : ["nsenter", `--net=/proc/${pid}/ns/net`, "--", ...command];
}

function startTime(pid: number): number {
  return Number(processStat(pid)?.[START_TIME_FIELD] ?? -1);
}

function readProcFile(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES") return undefined;
    throw error;
  }
}
