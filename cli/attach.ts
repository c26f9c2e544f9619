/**
 * `fairlead attach`: the program of a sidecar. It dials the gateway with the documents of the pod's
 * peer for as long as the pod lives, and reads them again when they change: certificates are renewed
 * months before they end, and a Secret's mounted files follow within minutes.
 */
import { unwatchFile, watchFile } from "node:fs";
import { runSidecar } from "../sidecar/main.ts";
import { ExitStatus } from "./exit-status.ts";
import { packageVersion } from "./package-version.ts";
import { metricsOf, STATUS_OF } from "./up.ts";

/** The options as commander hands them over. */
export interface AttachFlags {
  readonly file: string;
  readonly run: string;
  readonly metrics?: string;
}

const LOOK_MS = 5_000;

/** Runs until a signal; ends by itself only when the documents can never work. */
export async function run(flags: AttachFlags): Promise<ExitStatus> {
  const metrics = metricsOf(flags);
  const changed = (): void => {
    process.kill(process.pid, "SIGHUP");
  };
  watchFile(flags.file, { interval: LOOK_MS, persistent: false }, (now, before) => {
    if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) changed();
  });
  try {
    const end = await runSidecar({
      // Nothing is kept: a dialling tunnel has no state of its own.
      load: { paths: [flags.file], stateDirectory: flags.run },
      runDirectory: flags.run,
      ...metrics,
      settings: {
        version: packageVersion(),
        logLevel: "info",
        isTerminal: false,
        keepsTrying: true,
        isOursAtServer: true,
      },
    });
    return end.failure === undefined ? ExitStatus.Fine : STATUS_OF[end.failure];
  } finally {
    unwatchFile(flags.file);
  }
}
