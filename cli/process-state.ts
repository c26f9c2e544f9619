/** What subcommands share about the process they run in: stop signals, rights, usage errors. */

/** The command line is wrong; the message says what would be right. */
export class UsageError extends Error {}

/** The command needs rights that the process does not have. */
export class NotPermittedError extends Error {}

/** Throws unless the process runs as root; `why` completes the sentence. */
export function requireRoot(why: string): void {
  if (process.getuid?.() !== 0) throw new NotPermittedError(`root is needed: ${why}`);
}

/**
 * Aborted by the first SIGINT, SIGTERM or SIGHUP, or when nobody reads our output any more; later
 * ones are ignored while things stop.
 */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => controller.abort());
  }
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", () => controller.abort());
  }
  return controller.signal;
}
